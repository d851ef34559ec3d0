//! Rotation: no old ciphertext stays, no value is lost, and whatever ends it leaves the old file or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Instant;

use vault_tests::fixture::Seeded;

use crate::crash::places::Mount;
use crate::crash::program::Home;

/// Names and values: text, binary, empty, an attachment.
fn values() -> BTreeMap<String, Vec<u8>> {
    let mut values: BTreeMap<String, Vec<u8>> =
        (0..40).map(|n| (format!("group/{n}"), format!("value {n}").into_bytes())).collect();
    values.insert("binary".to_owned(), (0..=255).collect());
    values.insert("empty".to_owned(), Vec::new());
    values.insert("large".to_owned(), b"0123456789abcdef".repeat(20_000));
    values
}

/// A vault with these values that an age identity opens, which stays the same when the master key changes.
fn home(home: Home) -> Home {
    let id = home.beside("id");
    home.program("age-keygen", ["-o", id.to_str().unwrap()]).ok();
    let text = std::fs::read_to_string(&id).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    home.vault(["init", "--age", recipient]).ok();
    let folder = home.beside("in.json");
    let small = values().into_iter().filter(|(_, value)| !value.is_empty() && value.len() < 200);
    let small: BTreeMap<_, _> =
        small.map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect();
    std::fs::write(&folder, serde_json::to_vec(&small).unwrap()).unwrap();
    with_id(&home, &["import", folder.to_str().unwrap(), "--yes"]).ok();
    for (name, value) in values().into_iter().filter(|(name, _)| !small.contains_key(name)) {
        with_id(&home, &["set", "--raw", &name]).stdin(value).ok();
    }
    home
}

fn with_id(home: &Home, arguments: &[&str]) -> crate::crash::program::Run {
    home.vault(arguments).env("VAULT_IDENTITY_FILE", home.beside("id"))
}

/// Everything verifies, and every value is there.
fn assert_whole(home: &Home, trust: bool) {
    if trust {
        // Another master key at a known path is an alarm until somebody says that it is meant.
        with_id(home, &["trust", "--yes"]).end();
    }
    let checked = with_id(home, &["check", "--json"]).ok().json();
    assert_eq!((&checked["ok"], &checked["verified"]), (&true.into(), &true.into()));
    let out = home.beside("out");
    let _ = std::fs::remove_dir_all(&out);
    with_id(home, &["export", "--format", "files", "-o", out.to_str().unwrap()]).ok();
    for (name, value) in values() {
        assert_eq!(std::fs::read(out.join(&name)).unwrap(), value, "{name}");
    }
    assert_eq!(with_id(home, &["list"]).ok().lines().len(), values().len());
}

fn id_line(home: &Home) -> String {
    std::fs::read_to_string(home.file()).unwrap().lines().nth(1).unwrap().to_owned()
}

/// What of the file is secret or sealed: long words of base64.
fn sealed(home: &Home) -> BTreeSet<String> {
    let text = std::fs::read_to_string(home.file()).unwrap();
    text.split([' ', '\n', '=']).filter(|word| word.len() >= 40).map(str::to_owned).collect()
}

#[test]
fn a_rotation_leaves_no_old_ciphertext_and_keeps_every_value() {
    let home = home(Home::empty());
    let (before, id) = (sealed(&home), id_line(&home));
    let rotated = with_id(&home, &["rotate", "--yes"]).ok();
    assert!(rotated.stderr.contains("VAULT_ID") && rotated.stderr.contains("git"), "{rotated:?}");
    assert_ne!(id_line(&home), id);
    let recipient: BTreeSet<String> =
        before.iter().filter(|word| word.starts_with("age1")).cloned().collect();
    let left: BTreeSet<_> = sealed(&home).intersection(&before).cloned().collect();
    assert_eq!(left, recipient, "sealed words of the old file are in the new one");
    // This machine made the rotation: it raises no alarm here.
    assert_whole(&home, false);
    let status = with_id(&home, &["status", "--json"]).ok().json();
    assert_eq!(status["unlocked"]["epoch"], 1);
}

#[test]
fn a_machine_key_from_before_is_refused_and_a_new_one_is_given_out() {
    let home = Home::with_vault();
    home.set("a", "1");
    let keys = home.beside("keys");
    // Nobody could open it afterwards.
    home.vault(["rotate", "--yes"]).fails(1, "last-slot").says("--machine-keys-out");
    assert_eq!(home.get("a"), b"1");
    let rotated = home.vault(["rotate", "--yes"]).arg("--machine-keys-out").arg(&keys).ok();
    assert!(rotated.stderr.contains("machine"), "{rotated:?}");
    home.vault(["get", "a"]).exits(6).says("rotated or replaced");
    let key = keys.join("machine.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::copy(key, home.key()).unwrap();
    assert_eq!(home.get("a"), b"1");
    home.check();
}

#[test]
fn a_rotation_that_is_killed_leaves_the_old_or_the_new_file_whole() {
    let home = home(Home::empty());
    let original = std::fs::read(home.file()).unwrap();
    let start = Instant::now();
    with_id(&home, &["rotate", "--yes"]).ok();
    let usual = start.elapsed();
    let mut random = Seeded::new(11);
    let (mut old, mut new) = (0, 0);
    for round in 0..KILLS {
        std::fs::write(home.file(), &original).unwrap();
        let _ = std::fs::remove_dir_all(home.beside(".local"));
        let id = id_line(&home);
        let mut command = with_id(&home, &["rotate", "--yes"]).command();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let fraction = f64::from(u32::try_from(random.below(1300)).unwrap()) / 1000.0;
        // The last rounds aim at the end, where the file is replaced.
        let fraction = if round % 2 == 0 { fraction } else { 0.8 + fraction / 3.0 };
        std::thread::sleep(usual.mul_f64(fraction));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let is_new = id_line(&home) != id;
        assert!(!status.success() || is_new, "round {round}: reported, and not done");
        *if is_new { &mut new } else { &mut old } += 1;
        if round % 4 == 0 || is_new {
            assert_whole(&home, true);
        }
        let names = home.names();
        assert!(
            names.iter().all(|name| name == "secrets.vault" || name == ".secrets.vault.new"),
            "{names:?}"
        );
    }
    println!("{KILLS} kills: {old} left the old file, {new} the new one");
    assert!(old >= 5 && new >= 2, "{old} old, {new} new: all at one moment");
}

#[test]
fn a_rotation_on_a_full_disk_leaves_the_old_file() {
    let home = Home::empty();
    let Some(_mount) = Mount::tmpfs(&home.work(), "size=4m") else { return };
    let home = self::home(home);
    let before = std::fs::read(home.file()).unwrap();
    // Room for the old file, and not for another.
    let room = (4 << 20) - before.len() - 200_000;
    std::fs::write(home.work().join("filler"), vec![b'x'; room]).unwrap();
    with_id(&home, &["rotate", "--yes"]).exits(1).says("no space left");
    assert_eq!(std::fs::read(home.file()).unwrap(), before);
    assert_eq!(home.names(), ["filler", "secrets.vault"]);
    assert_whole(&home, false);
    std::fs::remove_file(home.work().join("filler")).unwrap();
    with_id(&home, &["rotate", "--yes"]).ok();
    assert_whole(&home, false);
}

#[test]
fn a_removal_can_rotate_at_once() {
    let home = home(Home::empty());
    let out = home.beside("eve.key");
    with_id(&home, &["slot", "add", "--machine", "--label", "eve", "--out", out.to_str().unwrap()]).ok();
    let id = id_line(&home);
    let removed = with_id(&home, &["slot", "remove", "eve", "--yes", "--rotate"]).ok();
    assert!(
        removed.stderr.contains("removed slot \"eve\"") && removed.stderr.contains("VAULT_ID"),
        "{removed:?}"
    );
    assert_ne!(id_line(&home), id);
    home.vault(["list"]).env("VAULT_MACHINE_KEY_FILE", out).exits(6);
    assert_eq!(with_id(&home, &["list", "--exposed"]).ok().lines().len(), values().len());
    assert_whole(&home, false);
}

/// Each is a whole rotation, or a part of one.
const KILLS: usize = 40;
