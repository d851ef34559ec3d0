//! Files that are no vault, or are meant to hurt, given to the whole program: one line that says what is the matter, within
//! the bounds of time and memory. What the library does with them is in hostile.rs beside this folder.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use super::program::{Home, Run, script};

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let home = Home::with_vault();
    let fifo = home.work().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::create_dir(home.work().join("folder")).unwrap();
    let socket = home.work().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, code, words) in [
        ("fifo", 1, "it is a named pipe"),
        ("folder", 1, "it is a folder"),
        ("socket", 1, "it is a socket"),
        ("/dev/zero", 1, "it is a device"),
        ("/dev/full", 1, "it is a device"),
        ("missing", 3, "no vault at"),
        ("folder/missing", 3, "no vault at"),
        ("secrets.vault/inside", 3, "no vault at"),
    ] {
        for command in COMMANDS {
            let run = home.vault(command.iter().chain(&["--file", path])).stdin("x");
            bounded(run.clone(), SMALL);
            let ended = run.exits(code);
            assert!(ended.stderr.contains(words), "{command:?} {path}: {ended:?}");
            assert_eq!(ended.stderr.matches("vault: error: ").count(), 1, "{ended:?}");
        }
    }
}

#[test]
fn files_that_are_no_vault_are_refused_with_the_reason() {
    let home = Home::with_vault();
    home.set("a", "1");
    let good = fs::read_to_string(home.file()).unwrap();
    let conflict = good.replacen("page 00\n", "<<<<<<< HEAD\npage 00\n=======\npage 00\n>>>>>>> b\n", 1);
    assert_ne!(conflict, good);
    for (text, id, words) in [
        (String::new(), "not-a-vault", "is not a vault"),
        ("hello\n".to_owned(), "not-a-vault", "is not a vault"),
        (good.replacen("vault/1", "vault/2", 1), "not-a-vault", "its version is not known"),
        (good.replace('\n', "\r\n"), "damaged", "line ends were changed"),
        (conflict, "conflict-markers", "a merge left its conflict"),
        (format!("{good}\n"), "damaged", "damaged"),
        (good[..good.len() - 1].to_owned(), "damaged", "damaged"),
        (good.replacen("page 00\n", "", 1), "damaged", "damaged"),
    ] {
        fs::write(home.file(), &text).unwrap();
        for command in COMMANDS {
            bounded(home.vault(*command).stdin("x"), SMALL);
            if *command == ["get", "a"] && reads_the_true_value(&home) {
                continue;
            }
            let ended = home.vault(*command).stdin("x").fails(6, id);
            assert!(ended.stderr.contains(words), "{words}: {ended:?}");
        }
        assert_eq!(fs::read_to_string(home.file()).unwrap(), text, "an error changed the file");
        assert_eq!(home.names(), ["secrets.vault"]);
    }
}

#[test]
fn hostile_numbers_are_refused_at_once_and_in_little_memory() {
    let home = Home::empty();
    let pass = home.beside("pass");
    fs::write(&pass, "correct horse\n").unwrap();
    let with_pass = |arguments: &[&str]| {
        home.vault(
            arguments
                .iter()
                .map(std::ffi::OsStr::new)
                .chain(["--passphrase-file".as_ref(), pass.as_os_str()]),
        )
    };
    with_pass(&["init", "--kdf-memory", "19MiB"]).ok();
    let good = fs::read_to_string(home.file()).unwrap();
    let cost =
        good.lines().find(|line| line.contains("19456")).expect("the memory stands in the slot").to_owned();
    for memory in ["1048577", "4294967295", "4294967296", "99999999999999999999", "019456", "-1", "1"] {
        let hostile = good.replacen(&cost, &cost.replacen("19456", memory, 1), 1);
        fs::write(home.file(), &hostile).unwrap();
        let ended = with_pass(&["list"]).exits(6);
        assert_eq!(ended.stderr.matches("vault: error: ").count(), 1, "{memory}: {ended:?}");
        bounded(with_pass(&["list"]), SMALL);
        bounded(with_pass(&["check"]), SMALL);
    }
    for (from, to) in [
        ("vault/1 256", "vault/1 4294967295"),
        ("vault/1 256", "vault/1 0256"),
        ("vault/1 256", "vault/1 4096"),
    ] {
        fs::write(home.file(), good.replacen(from, to, 1)).unwrap();
        assert_eq!(with_pass(&["list"]).end().status.code(), Some(6), "{to}");
        bounded(with_pass(&["list"]), SMALL);
    }
}

#[test]
fn enormous_lines_and_numbers_of_lines_are_refused_within_bounds() {
    let home = Home::with_vault();
    home.set("a", "1");
    let good = fs::read_to_string(home.file()).unwrap();
    let (head, tail) = good.split_once("page 00\n").unwrap();
    let long = "A".repeat(16 << 20);
    for (what, text) in [
        ("one line of 16 MiB", format!("vault/1 256 {long}")),
        ("16 MiB after the header", format!("vault/1 256\n{long}\n")),
        ("a line of 16 MiB in a page", format!("{head}page 00\n{long}\n{tail}")),
        ("a log line of 16 MiB", format!("vault/1 256\nlog 00\n{long}\n{tail}")),
        ("8 million empty lines", format!("{head}page 00\n{}{tail}", "\n".repeat(8_000_000))),
        ("8 million page lines", format!("{head}{}{tail}", "page 00\n".repeat(8_000_000))),
        ("8 million header lines", format!("vault/1 256\n{}", "id 00\n".repeat(8_000_000))),
    ] {
        let mut file = fs::File::create(home.file()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        drop((file, text));
        for command in [&["get", "a"][..], &["check"], &["set", "a"]] {
            bounded(home.vault(command).stdin("x"), LARGE);
            if command == ["get", "a"] && reads_the_true_value(&home) {
                continue;
            }
            println!("{what} {command:?}");
            let ended = home.vault(command).stdin("x").exits(6);
            assert_eq!(ended.stderr.matches("vault: error: ").count(), 1, "{what}: {ended:?}");
        }
    }
}

#[test]
fn the_measure_sees_time_and_memory() {
    let home = Home::empty();
    let hungry = "x = bytearray(80 << 20); x[::4096] = b'1' * len(x[::4096])";
    let busy = "import time\nwhile time.process_time() < 0.6: pass";
    let seen = measured(home.program("python3", ["-c", hungry]));
    assert!(seen["peak_kib"].as_u64().unwrap() > 80 << 10, "{seen}");
    let seen = measured(home.program("python3", ["-c", busy]));
    assert!(seen["cpu_ms"].as_u64().unwrap() >= 500, "{seen}");
}

/// Reading one entry looks at its page only: what is wrong elsewhere is for the others to find.
fn reads_the_true_value(home: &Home) -> bool {
    let ended = home.vault(["get", "a"]).end();
    ended.status.success() && ended.stdout == b"1"
}

/// A bound of time and memory for one run of the program.
#[derive(Clone, Copy)]
struct Bound {
    /// Of the processor: another process on the same machine is not this one's fault.
    cpu_ms: u64,
    peak_kib: u64,
}

const SMALL: Bound = Bound { cpu_ms: 100, peak_kib: 32 << 10 };
/// For what has to be looked at before it can be refused; docs/threat-model.md.
const LARGE: Bound = Bound { cpu_ms: 1000, peak_kib: 128 << 10 };

fn bounded(run: Run, bound: Bound) {
    let seen = measured(run);
    let (cpu, peak) = (seen["cpu_ms"].as_u64().unwrap(), seen["peak_kib"].as_u64().unwrap());
    assert!(cpu < bound.cpu_ms && peak < bound.peak_kib, "{seen}");
}

/// What a run took, as the system counts it.
fn measured(run: Run) -> Json {
    let seen = tempfile::NamedTempFile::new().unwrap();
    let program = script("crash/measure.py");
    let words: [&Path; 3] = [Path::new("python3"), &program, seen.path()];
    run.under(words).end();
    serde_json::from_slice(&fs::read(seen.path()).unwrap()).expect("the measure was written")
}

/// A reader, a checker and a writer.
const COMMANDS: &[&[&str]] = &[&["get", "a"], &["check"], &["set", "a"]];
