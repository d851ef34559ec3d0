//! What a person sees and types, on a pseudo-terminal that `script` (util-linux) makes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::World;

/// Runs a command line on a terminal; each answer is typed when its question has appeared. Gives all that was shown.
fn on_terminal(world: &World, line: &str, dialogue: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut child = Command::new("script")
        .args(["-qec", line, "/dev/null"])
        .current_dir(world.root())
        .env("PATH", with_vault_first())
        .env("HOME", world.root())
        // `script` runs the line with it; whose shell it is must not matter.
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut shown = String::new();
    let mut bytes = [0; 1024];
    let mut read_more = |shown: &mut String| {
        let count = screen.read(&mut bytes).unwrap_or(0);
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    };
    let mut from = 0;
    for (question, answer) in dialogue {
        while !shown[from..].contains(question) {
            assert!(read_more(&mut shown), "no {question:?} in {shown:?}");
        }
        from = shown.len();
        // The mode is set before the question is written, so this is not too early.
        keyboard.write_all(answer.as_bytes()).unwrap();
        keyboard.flush().unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    while read_more(&mut shown) {}
    let code = child.wait().unwrap().code();
    (code, shown)
}

fn with_vault_first() -> std::ffi::OsString {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_vault")).parent().unwrap().to_owned();
    let rest = std::env::var_os("PATH").unwrap();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&rest))).unwrap()
}

#[test]
fn a_passphrase_is_asked_for_twice_and_never_shown() {
    let world = World::empty();
    let answers = [("new passphrase", "s3cret phrase\r"), ("(again)", "s3cret phrase\r")];
    let (code, shown) = on_terminal(&world, "vault init --kdf-memory 19MiB", &answers);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("s3cret") && shown.contains("made vault"), "{shown}");
    // The question is erased.
    assert!(shown.contains("\r\u{1b}[K"), "{shown:?}");

    let dialogue =
        [("passphrase for", "s3cret phrase\r"), ("secret for \"a\"", "typed!\r"), ("(again)", "typed!\r")];
    let (code, shown) = on_terminal(&world, "vault set a", &dialogue);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("typed!"), "{shown}");
    let (code, shown) = on_terminal(&world, "vault get a", &[("passphrase for", "s3cret phrasX\x7fe\r")]);
    assert_eq!(code, Some(0), "{shown}");
    // On a terminal a newline follows.
    assert!(shown.ends_with("typed!\r\n"), "{shown:?}");
    let (code, shown) = on_terminal(&world, "vault get a", &[("passphrase for", "wrong\r")]);
    assert_eq!(code, Some(5), "{shown}");
}

#[test]
fn what_is_typed_ahead_is_never_shown() {
    let world = World::empty();
    std::fs::write(world.path("pass"), "s3cret").unwrap();
    let make = "vault init --passphrase-file pass --kdf-memory 256MiB";
    assert_eq!(on_terminal(&world, make, &[]).0, Some(0));
    // The passphrase takes a while, in which the rest is typed; of it, the last line is for nobody.
    let ahead = [("passphrase for", "s3cret\r"), ("", "ahead!\rahead!\rahead!\r")];
    let (code, shown) = on_terminal(&world, "sh -c 'vault set a; stty -a > after'", &ahead);
    assert!(shown.contains("stored \"a\"") && !shown.contains("ahead"), "{code:?} {shown:?}");
    let after = std::fs::read_to_string(world.path("after")).unwrap();
    assert!(after.contains(" echo ") && after.contains("susp = ^Z"), "{after}");
    let line = "sh -c 'stty -a > before; trap : INT; vault set a; echo code $?; stty -a > after'";
    let (_, shown) = on_terminal(&world, line, &[("passphrase for", "s3cret\r"), ("", "\x03")]);
    assert!(shown.contains("code 130") && !shown.contains("secret for"), "{shown:?}");
    let read = |name| std::fs::read_to_string(world.path(name)).unwrap();
    assert_eq!(read("before"), read("after"));
}

#[test]
fn a_program_gets_every_interrupt_once() {
    let world = World::new();
    world.set("a", b"value");
    let count = "import os,signal,sys,time\nn=0\ndef got(*_):\n  global n\n  n+=1\n  print('got',n,flush=True)\nsignal.signal(2,got)\nprint('ready',flush=True)\nif sys.argv[1:]: os.kill(os.getppid(),2)\nend=time.time()+1\nwhile time.time()<end: time.sleep(.05)\nprint('all',n)\n";
    std::fs::write(world.path("count.py"), count).unwrap();
    // No shell in between that an interrupt would end, and no signal that whoever runs the tests ignores.
    let line =
        "exec env --default-signal=INT vault --machine-key-file key run --as-file F=a -- python3 count.py";
    let (code, shown) = on_terminal(&world, line, &[("ready", "\x03")]);
    assert!(code == Some(0) && shown.contains("all 1"), "{code:?} {shown}");
    // "kill" reaches this process alone, terminal or not.
    let (code, shown) = on_terminal(&world, &format!("{line} kill"), &[]);
    assert!(code == Some(0) && shown.contains("all 1"), "{code:?} {shown}");
}

#[test]
fn answers_that_differ_change_nothing() {
    let world = World::empty();
    let answers = [("new passphrase", "one\r"), ("(again)", "two\r")];
    let (code, shown) = on_terminal(&world, "vault init", &answers);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("what you typed twice is not the same"), "{shown}");
    assert!(!world.path("secrets.vault").exists());
}

#[test]
fn ctrl_c_dies_by_the_signal_and_restores_the_terminal() {
    let world = World::empty();
    let line = "sh -c 'stty -a > before; vault init; echo code $?; stty -a > after'";
    let (_, shown) = on_terminal(&world, line, &[("new passphrase", "abc\x03")]);
    assert!(shown.contains("code 130"), "{shown}");
    let read = |name| std::fs::read_to_string(world.path(name)).unwrap();
    assert_eq!(read("before"), read("after"));
    assert!(read("after").contains(" echo ") && !world.path("secrets.vault").exists());
}

#[test]
fn binary_and_hostile_names_do_not_reach_a_terminal() {
    let world = World::new();
    world.set("a\x1b[2J\u{202e}", b"\x1b]0;owned\x07");
    let with_key = |command: &str| format!("vault --machine-key-file key {command}");
    let (code, shown) = on_terminal(&world, &with_key("list"), &[]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("a\\u{1b}[2J\\u{202e}") && !shown.contains('\x1b'), "{shown:?}");
    assert_eq!(world.ok(&["list"]), "a\x1b[2J\u{202e}\n");
    let get = with_key("get $(vault --machine-key-file key list)");
    let (code, shown) = on_terminal(&world, &get, &[]);
    assert_eq!(code, Some(1), "{shown:?}");
    assert!(
        shown.contains("refusing to show a secret that is not text") && !shown.contains("owned"),
        "{shown:?}"
    );
    let (code, shown) = on_terminal(&world, &format!("{get} -o -"), &[]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("\x1b]0;owned\x07"), "{shown:?}");
}

#[test]
fn an_import_asks_before_it_replaces() {
    let world = World::new();
    world.set("A", b"old");
    std::fs::write(world.path(".env"), "A=new\n").unwrap();
    let line = "vault --machine-key-file key import .env";
    let (code, shown) = on_terminal(&world, line, &[("Replace it?", "n\r")]);
    assert_eq!(code, Some(8), "{shown}");
    assert_eq!(world.get("A"), b"old");
    let (code, shown) = on_terminal(&world, line, &[("Replace it?", "y\r")]);
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(world.get("A"), b"new");
}

#[test]
fn without_input_nothing_is_asked_even_on_a_terminal() {
    let world = World::new();
    let (code, shown) = on_terminal(&world, "vault --no-input --machine-key-file key set a", &[]);
    assert_eq!(code, Some(4), "{shown}");
    assert!(
        shown.contains("no terminal to ask for the secret") && shown.contains("--secret-file"),
        "{shown}"
    );
    let (code, shown) = on_terminal(&world, "vault --no-input init -f x.vault", &[]);
    assert_eq!(code, Some(4), "{shown}");
    assert!(shown.contains("--new-passphrase-file"), "{shown}");
}

#[test]
fn a_long_passphrase_and_a_long_check_show_one_line_that_is_erased() {
    let world = World::empty();
    std::fs::write(world.path("pass"), "x").unwrap();
    let make = "vault init --passphrase-file pass --kdf-memory 768MiB";
    assert_eq!(on_terminal(&world, make, &[]).0, Some(0));
    let (code, shown) = on_terminal(&world, "vault --passphrase-file pass check", &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("trying the passphrase, which takes a while on purpose\r\u{1b}[K"), "{shown:?}");
    assert!(shown.contains("checked 256 of 256 pages\r\u{1b}[K"), "{shown:?}");
    let (_, shown) = on_terminal(&world, "vault --quiet --passphrase-file pass check", &[]);
    assert!(!shown.contains("\u{1b}["), "{shown:?}");
}
