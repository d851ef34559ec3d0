//! Files that are meant to hurt: refused at once, with little memory, and with an error that says what is the matter.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vault_core::format::front::Pages;
use vault_core::keys::{Credential, UnlockError, UnlockPolicy};
use vault_core::secret::Passphrase;
use vault_core::vault::{LockedVault, UnlockFailure};
use vault_tests::fixture::Fixture;
use vault_tests::probing::probe_file;

const PROBE: &str = env!("CARGO_BIN_EXE_probe");
const SLOWEST: Duration = Duration::from_millis(100);
const MOST_MEMORY_KIB: u64 = 32 << 10;
/// What a reader may take for content that it must look at before it can refuse: lines up to 16 MiB, and all of the file.
const SLOWEST_AT_ALL: Duration = Duration::from_secs(1);
const MOST_MEMORY_AT_ALL_KIB: u64 = 128 << 10;

/// A vault, its machine key, and a folder for others made from it.
struct Desk {
    folder: tempfile::TempDir,
    vault: Fixture,
    key: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Fixture::with_passphrase(Pages::Few, b"phrase").set("a", b"1");
        let key = folder.path().join("key");
        fs::write(&key, vault.keys.machine.expose()).unwrap();
        Self { folder, vault, key }
    }

    fn text(&self) -> String {
        String::from_utf8(self.vault.text.to_vec()).unwrap()
    }

    fn write(&self, text: &[u8]) -> PathBuf {
        let path = self.folder.path().join("vault");
        fs::write(&path, text).unwrap();
        path
    }

    /// Refused with these words, within the time and the memory.
    fn refused(&self, path: &Path, words: &str, slowest: Duration, memory: u64) {
        let said = probe_file(PROBE, &self.key, path);
        let why = said["why"].as_str().unwrap_or_default();
        assert!(said["outcome"] != "ok" && why.contains(words), "{words}: {said}");
        // The debug build of the probe has its own slowness; the numbers hold for it all the same.
        let (micros, peak) = (said["micros"].as_u64().unwrap(), said["peak_kib"].as_u64().unwrap());
        assert!(u128::from(micros) < slowest.as_micros(), "{words}: {micros} us");
        assert!(peak < memory, "{words}: {peak} KiB");
    }

    fn refused_at_once(&self, text: &[u8], words: &str) {
        self.refused(&self.write(text), words, SLOWEST, MOST_MEMORY_KIB);
    }

    /// With one line that starts so replaced.
    fn with_line(&self, start: &str, line: &str) -> Vec<u8> {
        let text = self.text();
        let old = text.lines().find(|line| line.starts_with(start)).unwrap();
        text.replacen(old, line, 1).into_bytes()
    }
}

#[test]
fn the_vault_that_the_others_are_made_from_opens() {
    let desk = Desk::new();
    let said = probe_file(PROBE, &desk.key, &desk.write(&desk.vault.text));
    assert_eq!(said["outcome"], "ok", "{said}");
}

#[test]
fn hostile_costs_are_refused_before_anything_is_spent() {
    let desk = Desk::new();
    for (from, to) in [
        ("m=19456", "m=19455"),
        ("m=19456", "m=4294967295"),
        ("m=19456", "m=1048577"),
        (" t=1 ", " t=0 "),
        (" t=1 ", " t=4294967295 "),
        (" p=1 ", " p=0 "),
        (" p=1 ", " p=4294967295 "),
        ("m=19456 t=1", "m=1048576 t=16"),
    ] {
        let text = desk.text();
        assert_eq!(text.matches(from).count(), 1);
        let text = Arc::new(text.replace(from, to).into_bytes());
        let start = Instant::now();
        let locked = LockedVault::open(text).unwrap();
        let credential = Credential::Passphrase(Passphrase::new(b"phrase".to_vec()));
        let Err(still) = locked.unlock(&[credential], &UnlockPolicy::default()) else {
            panic!("{to} opened")
        };
        assert!(
            matches!(
                still.reason,
                UnlockFailure::Denied(UnlockError::CostOutOfBounds | UnlockError::TooCostly { .. })
            ),
            "{to}: {}",
            still.reason
        );
        assert!(start.elapsed() < SLOWEST, "{to}: {:?}", start.elapsed());
    }
    for (from, to) in [("m=19456", "m=4294967296"), ("t=1", "t=99999999999999999999"), ("p=1", "p=-1")] {
        desk.refused_at_once(desk.text().replace(from, to).as_bytes(), "expected a slot line");
    }
}

#[test]
fn hostile_counts_and_lengths_are_refused_at_once() {
    let desk = Desk::new();
    let slot = desk.text().lines().find(|line| line.starts_with("slot ")).unwrap().to_owned();
    let text = desk.text();
    desk.refused_at_once(
        text.replacen("vault/1 256", "vault/1 4294967296", 1).as_bytes(),
        "vault/1 256 or vault/1 4096",
    );
    desk.refused_at_once(
        text.replacen("vault/1 256", "vault/18446744073709551616 256", 1).as_bytes(),
        "version",
    );
    // Slots: the 65th, each with an id and a label of its own.
    let many: String = (0..65)
        .map(|n| format!("slot {n:032x} later label=l{n} {}\n", &slot[slot.find("recipient=").unwrap()..]))
        .collect();
    let many =
        many.lines().map(|line| format!("{}\n", line.split(" m=").next().unwrap())).collect::<String>();
    let (before, after) = (text.find("slot ").unwrap(), text.find("roster ").unwrap());
    desk.refused_at_once(
        format!("{}{many}{}", &text[..before], &text[after..]).as_bytes(),
        "more than 64 slots",
    );
    // Attachments: more chunks than there may be, and more than there are.
    let entry = text
        .lines()
        .skip_while(|line| !line.starts_with("page "))
        .find(|line| line.len() > 100 && !line.starts_with("head "))
        .unwrap();
    for chunks in ["21847", "4294967297", "18446744073709551617", "0", "00", "-1"] {
        let file = format!("{entry}\nfile {} {:032x} {chunks}", &entry[..32], 7);
        desk.refused_at_once(
            text.replacen(entry, &file, 1).as_bytes(),
            "expected file <entry id> <blob id> <chunks>",
        );
    }
    let file = format!("{entry}\nfile {} {:032x} 21846", &entry[..32], 7);
    desk.refused_at_once(text.replacen(entry, &file, 1).as_bytes(), "");
}

#[test]
fn lines_longer_than_allowed_are_refused_at_once() {
    let desk = Desk::new();
    let long = "A".repeat(16 << 20);
    for start in ["head ", "slot ", "id "] {
        desk.refused_at_once(&desk.with_line(start, &format!("{start}{long}")), "over 16 KiB");
    }
    desk.refused_at_once(&desk.with_line("roster ", &format!("roster {long}")), "over 96 KiB");
    desk.refused_at_once(long.as_bytes(), "not a vault");
    // A seal may have 16 MiB: this one has a byte more with its newline, and must be read so far.
    let seal = desk.with_line("seal ", &format!("seal {}", "A".repeat((16 << 20) - 5)));
    desk.refused(&desk.write(&seal), "a seal ", SLOWEST_AT_ALL, MOST_MEMORY_AT_ALL_KIB);
    // And links of 16 MiB in a line that is short enough: they may have 1 MiB.
    let seal = desk.with_line("seal ", &format!("seal {:032x} {} AAAA", 1, "A".repeat((16 << 20) - 64)));
    desk.refused(&desk.write(&seal), "a seal", SLOWEST_AT_ALL, MOST_MEMORY_AT_ALL_KIB);
    // In a page: the line is not kept beyond the 96 KiB, though the file is looked through for its pages.
    let text = desk.text().replacen("page ff\n", &format!("page ff\n{long}\n"), 1);
    desk.refused(&desk.write(text.as_bytes()), "over 96 KiB", SLOWEST_AT_ALL, MOST_MEMORY_AT_ALL_KIB);
}

#[test]
fn eight_million_lines_are_refused_at_once() {
    let desk = Desk::new();
    for line in ["\n", "x\n", "vault/1 256\n", "seal x\n"] {
        let many = line.repeat(8_000_000);
        desk.refused_at_once(many.as_bytes(), "");
        for before in ["slots\n", "log 00\n", "head "] {
            let text = desk.text().replacen(before, &format!("{many}{before}"), 1);
            desk.refused_at_once(text.as_bytes(), "expected");
        }
    }
    // After the log, a reader must look through the file for its pages before it says what is wrong.
    let text = desk.text().replacen("page ff\n", &format!("page ff\n{}", "x\n".repeat(8_000_000)), 1);
    desk.refused(
        &desk.write(text.as_bytes()),
        "expected <entry id> <meta> <secrets>",
        SLOWEST_AT_ALL,
        MOST_MEMORY_KIB,
    );
    let text = desk.text() + &"page ff\n".repeat(8_000_000);
    desk.refused(
        &desk.write(text.as_bytes()),
        "expected all pages, in order, once",
        SLOWEST_AT_ALL,
        MOST_MEMORY_KIB,
    );
}

#[test]
fn what_is_no_regular_file_has_its_own_error_and_is_never_waited_for() {
    let desk = Desk::new();
    let fifo = desk.folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (path, words) in [
        (fifo.as_path(), "named pipe"),
        (Path::new("/dev/zero"), "device"),
        (desk.folder.path(), "folder"),
        (&desk.folder.path().join("nothing"), ""),
    ] {
        desk.refused(path, words, SLOWEST, MOST_MEMORY_KIB);
    }
    // Sparse, and larger than any vault.
    let huge = desk.folder.path().join("huge");
    fs::File::create(&huge).unwrap().set_len((4 << 30) + 1).unwrap();
    desk.refused(&huge, "too large", SLOWEST, MOST_MEMORY_KIB);
    // As large as a vault may be, and all zeros.
    fs::OpenOptions::new().write(true).open(&huge).unwrap().set_len(4 << 30).unwrap();
    desk.refused(&huge, "not a vault", SLOWEST, MOST_MEMORY_KIB);
    // A right beginning, and 4 GiB of zeros in the last page.
    let mut file = fs::File::create(&huge).unwrap();
    file.write_all(desk.text().as_bytes()).unwrap();
    file.set_len(1 << 30).unwrap();
    desk.refused(&huge, "", Duration::from_secs(10), MOST_MEMORY_KIB);
}

#[test]
fn carriage_returns_and_conflict_markers_have_their_own_errors() {
    let desk = Desk::new();
    let text = desk.text();
    desk.refused_at_once(text.replace('\n', "\r\n").as_bytes(), "carriage return");
    for at in ["slots\n", "log 00\n", "log 7f\n", "page 00\n", "page 7f\n", "roster "] {
        for marker in ["<<<<<<< ours\n", "=======\n", ">>>>>>> theirs\n", "||||||| base\n"] {
            desk.refused_at_once(
                text.replacen(at, &format!("{marker}{at}"), 1).as_bytes(),
                "conflict marker",
            );
        }
        desk.refused_at_once(text.replacen(at, &format!("\r\n{at}"), 1).as_bytes(), "carriage return");
    }
    desk.refused_at_once(format!("<<<<<<< ours\n{text}").as_bytes(), "conflict marker");
}
