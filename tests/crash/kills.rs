//! SIGKILL at any moment of a save: what was reported stored is there.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::program::Home;

#[test]
fn two_hundred_kills_lose_nothing_that_was_reported_stored() {
    let home = Home::with_vault();
    home.set("n", "0");
    let usual = {
        let start = Instant::now();
        home.set("n", "0");
        start.elapsed()
    };
    let mut random = Random(0x005e_ed0f_c4a5);
    let (mut stored, mut killed_before, mut killed_after) = ("0".to_owned(), 0, 0);
    for round in 1..=KILLS {
        let value = round.to_string();
        let mut command = home.vault(["set", "n"]).command();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The value is small: it is in the pipe at once.
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, value.as_bytes()).unwrap();
        drop(stdin);
        // Up to a little longer than a save takes, so that some of them are reported.
        std::thread::sleep(usual.mul_f64(random.fraction() * 1.2));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let now = String::from_utf8(home.get("n")).unwrap();
        assert!(now == value || now == stored, "round {round}: {now:?} is neither {value:?} nor {stored:?}");
        assert!(!status.success() || now == value, "round {round}: reported, and lost");
        *if now == value { &mut killed_after } else { &mut killed_before } += 1;
        stored = now;
        if round % 20 == 0 {
            home.check();
        }
        let names = home.names();
        let (vault, temp) = (names.iter().any(|n| n == "secrets.vault"), ".secrets.vault.new".to_owned());
        assert!(vault && names.iter().all(|name| name == "secrets.vault" || *name == temp), "{names:?}");
    }
    println!("{killed_before} kills left the old value, {killed_after} the new one");
    assert!(killed_before >= 10 && killed_after >= 3, "{killed_before}, {killed_after}: all at one moment");
    home.set("n", "end");
    assert_eq!((home.get("n"), home.names()), (b"end".to_vec(), vec!["secrets.vault".to_owned()]));
    home.check();
}

#[test]
fn a_killed_import_stores_all_or_nothing() {
    let home = Home::with_vault();
    let path = home.beside("many.env");
    std::fs::write(&path, (0..2000).map(|n| format!("KEY_{n}=value{n}\n")).collect::<String>()).unwrap();
    // Each turn puts the vault back as it was: it is older than what was seen, and that is meant.
    let import =
        home.vault(["import".as_ref(), path.as_os_str(), "--yes".as_ref(), "--allow-rollback".as_ref()]);
    let before = std::fs::read(home.file()).unwrap();
    let mut random = Random(0x1a5c);
    for _ in 0..20 {
        let mut child = import.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(400).mul_f64(random.fraction()));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let count = home.vault(["list"]).ok().lines().len();
        assert!(count == 2000 || (count == 0 && !status.success()), "{count} entries");
        home.check();
        std::fs::write(home.file(), &before).unwrap();
    }
    import.ok();
    assert_eq!(home.names(), ["secrets.vault"]);
}

/// The same kills in every run, as far as the machine's speed lets them.
struct Random(u64);

impl Random {
    /// From 0 to 1, by xorshift.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f64::from((self.0 >> 40) as u32) / f64::from(1_u32 << 24)
    }
}

const KILLS: usize = 200;
