//! What works in which container. Every run has a timeout, so none hangs.

use std::fs;

use crate::crash::program::{Ended, Home};

use super::filter::{KEYS_AND_LOCKS, MEMFD_CREATE};
use super::sandbox::Container;

pub(super) const VALUE: &str = "a value\nof two lines";
const KEY: [&str; 2] = ["--machine-key-file", "/machine.key"];
const PASS: [&str; 2] = ["--passphrase-file", "/pass"];

/// A vault that a machine key and a passphrase of this cost open.
pub(super) fn home(memory: &str) -> Home {
    let home = Home::empty();
    fs::write(home.beside("pass"), "correct horse\n").unwrap();
    let pass = home.beside("pass");
    let made = home
        .vault(["init", "--machine", "--new-passphrase-file", pass.to_str().unwrap(), "--kdf-memory", memory])
        .ok();
    fs::write(home.key(), &made.stdout).unwrap();
    home.set("a", VALUE);
    // Containers map users: others than this one must be able to read, whoever that is.
    for path in [home.file(), home.key(), pass] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    }
    home
}

pub(super) fn everything_bad() -> Container {
    Container {
        bare: true,
        no_memory: true,
        read_only: true,
        user: Some(54_321),
        refused: KEYS_AND_LOCKS.to_vec(),
        limits: "ulimit -l 0; ulimit -v 65536;",
        ..Container::default()
    }
}

/// The containers, each with one thing less than usual, and one with everything less.
pub(super) fn containers() -> Vec<(&'static str, Container)> {
    let usual = Container::default;
    vec![
        ("usual", usual()),
        ("empty environment, no home", Container { bare: true, ..usual() }),
        ("nothing in /run, no /tmp, no /dev/shm", Container { no_memory: true, ..usual() }),
        ("read-only root and vault", Container { read_only: true, ..usual() }),
        ("a user that nobody knows", Container { user: Some(54_321), ..usual() }),
        ("no memory to be locked", Container { limits: "ulimit -l 0;", ..usual() }),
        ("no keys, no locks, no secret memory", Container { refused: KEYS_AND_LOCKS.to_vec(), ..usual() }),
        ("64 MiB of memory", Container { limits: "ulimit -v 65536;", ..usual() }),
        ("all of it", everything_bad()),
    ]
}

/// A refusal is one line and hints, with an exit code that has a meaning.
fn refuses(name: &str, ended: &Ended, code: i32, says: &str) {
    assert_eq!(ended.status.code(), Some(code), "{name}: {ended:?}");
    let errors = ended.stderr.lines().filter(|line| line.starts_with("vault: error: ")).count();
    let other = ended.stderr.lines().filter(|line| !line.starts_with("vault: ")).count();
    assert_eq!((errors, other), (1, 0), "{name}: {ended:?}");
    assert!(ended.stderr.contains(says), "{name}: {ended:?}");
    assert!(ended.stdout.is_empty(), "{name}: {ended:?}");
}

#[test]
fn secrets_are_read_in_every_container_with_a_key_or_a_cheap_passphrase() {
    let home = home("19MiB");
    for (name, container) in containers() {
        for source in [KEY, PASS] {
            let ended = container.vault(&home, &[&["get", "a"], &source[..]].concat()).end();
            assert!(ended.status.success(), "{name} {source:?}: {ended:?}");
            assert_eq!(ended.text(), VALUE, "{name} {source:?}");
        }
    }
}

#[test]
fn nothing_hangs_where_nobody_can_be_asked() {
    let home = home("19MiB");
    for (name, container) in containers() {
        for arguments in [&["get", "a"][..], &["list"], &["status", "--strict", "--json"]] {
            let ended = container.vault(&home, arguments).end();
            assert!(ended.status.code().is_some(), "{name} {arguments:?}: {ended:?}");
        }
        let ended = container.vault(&home, &["get", "a"]).end();
        refuses(name, &ended, 4, "is locked and there is no terminal");
        let ended = container.vault(&home, &["run", "--env", "A=a", "--", "true"]).end();
        refuses(name, &ended, 125, "is locked and there is no terminal");
    }
}

#[test]
fn a_passphrase_that_needs_more_memory_than_there_is_is_refused_in_one_line() {
    let home = home("256MiB");
    let container = Container { limits: "ulimit -v 65536;", ..Container::default() };
    let ended = container.vault(&home, &[&["get", "a"], &PASS[..]].concat()).end();
    refuses("64 MiB", &ended, 1, "memory");
    assert_eq!(container.vault(&home, &[&["get", "a"], &KEY[..]].concat()).ok().text(), VALUE);
}

#[test]
fn programs_run_with_secrets_in_every_container() {
    let home = home("19MiB");
    for (name, container) in containers() {
        let run = |arguments: &[&str]| {
            let ended = container.vault(&home, &[&KEY[..], &["run"], arguments].concat()).end();
            assert!(ended.status.success(), "{name}: {ended:?}");
            ended.text().to_owned()
        };
        let text = run(&["--env", "A=a", "--", "/usr/bin/sh", "-c", "printf %s \"$A\""]);
        assert_eq!(text, VALUE, "{name}");
        let text = run(&["--as-file", "A=a", "--", "/usr/bin/sh", "-c", "/usr/bin/cat \"$A\""]);
        assert_eq!(text, VALUE, "{name}");
        let text = run(&["--mask", "--env", "A=a", "--", "/usr/bin/sh", "-c", "printf '<%s>' \"$A\""]);
        assert_eq!(text, "<***>", "{name}");
    }
}

#[test]
fn without_memory_for_files_nothing_starts_and_a_disk_can_be_named() {
    let home = home("19MiB");
    let mut refused = KEYS_AND_LOCKS.to_vec();
    refused.push(MEMFD_CREATE);
    let container = Container { no_memory: true, refused, ..Container::default() };
    let start = |more: &[&str]| {
        let words = [
            &KEY[..],
            &["run", "--as-file", "A=a"],
            more,
            &["--", "/usr/bin/sh", "-c", "/usr/bin/cat \"$A\""],
        ];
        container.vault(&home, &words.concat()).end()
    };
    refuses("no memory", &start(&[]), 125, "cannot make files in memory");
    assert_eq!(home.names(), ["secrets.vault"]);
    assert_eq!(start(&["--files-in", "/here"]).text(), VALUE);
    assert_eq!(home.names(), ["secrets.vault"]);
}

#[test]
fn the_doctor_says_what_a_container_lacks() {
    let home = home("19MiB");
    let mut states = std::collections::BTreeMap::new();
    for (name, container) in containers() {
        let ended = container.vault(&home, &["doctor", "--json"]).end();
        let json = ended.json();
        for check in json["checks"].as_array().unwrap() {
            let state = check["state"].as_str().unwrap();
            if ["warning", "problem"].contains(&state) {
                assert!(check["remedy"].is_string(), "{name}: {check}");
            }
            states.insert((name, check["id"].as_str().unwrap().to_owned()), state.to_owned());
        }
        assert_eq!(ended.status.success(), json["problems"] == 0, "{name}: {json}");
    }
    let state = |name, id: &str| states.get(&(name, id.to_owned())).map(String::as_str);
    assert_eq!(state("no memory to be locked", "memory-locking"), Some("warning"));
    assert_eq!(state("no keys, no locks, no secret memory", "memory-locking"), Some("warning"));
    assert_eq!(state("nothing in /run, no /tmp, no /dev/shm", "files-in-memory"), Some("warning"));
    assert_eq!(state("usual", "files-in-memory"), Some("ok"));
    assert_eq!(state("usual", "unlocking"), Some("warning"));
    assert_eq!(state("usual", "vault-mode"), Some("warning"));
}

/// In a container of its own, the program is the first process.
#[test]
fn as_the_first_process_it_reaps_passes_signals_on_and_tells_the_child_s_end() {
    let home = home("19MiB");
    let container = Container { more: vec!["--as-pid-1".to_owned()], ..Container::default() };
    let start = |script: &str| {
        let words = [&KEY[..], &["run", "--env", "A=a", "--", "/usr/bin/sh", "-c", script]].concat();
        container.vault(&home, &words).end()
    };
    assert_eq!(start("echo $PPID").text(), "1\n");
    assert_eq!(start("exit 42").status.code(), Some(42));
    assert_eq!(start("kill -KILL $$").status.code(), Some(128 + 9));
    // The signal goes to the first process, which the child has for a parent.
    let ended = start(
        "trap 'echo got it; exit 7' TERM; kill -TERM 1; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done",
    );
    assert_eq!((ended.status.code(), ended.text()), (Some(7), "got it\n"));
    // An orphan is reaped: no process is left as a zombie.
    let ended =
        start("(sleep 0.1 & ); sleep 0.6; /usr/bin/cat /proc/[0-9]*/stat | /usr/bin/grep -c ' Z ' ; true");
    assert_eq!(ended.text(), "0\n");
}
