//! Standard output that is full or gone: never a false success.

use std::process::Stdio;

use super::program::{Home, TIMEOUT, wait};

#[test]
fn a_result_that_does_not_arrive_is_a_failure() {
    let home = Home::with_vault();
    home.set("a", "secret");
    home.set("long", vec![b'x'; 300_000]);
    for arguments in [
        &["get", "a"][..],
        &["get", "long"],
        &["get", "a", "--json"],
        &["list"],
        &["list", "--json"],
        &["show", "a"],
        &["export"],
        &["export", "--format", "dotenv", "a"],
        &["generate"],
        &["generate", "g", "--print"],
        &["check"],
        &["status"],
        &["completions", "bash"],
        &["help", "exit-codes"],
        &["--version"],
        &["--help"],
        &["set", "b", "--json"],
        &["init", "--machine", "--file", "other.vault"],
    ] {
        let ended = home.vault(arguments).stdin("x").stdout_to("/dev/full").exits(1);
        assert!(ended.stderr.contains("vault: error: ") || ended.stderr.contains("\"exit\":1"), "{ended:?}");
    }
    // What was stored before the result was to be told is stored.
    assert_eq!(home.get("b"), b"x");
    home.check();
}

#[test]
fn a_reader_that_goes_away_ends_the_program_silently() {
    let home = Home::with_vault();
    home.set("long", vec![b'x'; 3_000_000]);
    for arguments in [&["get", "long"][..], &["export"], &["get", "long", "--json"]] {
        let mut command = home.vault(arguments).command();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = child.stderr.take().unwrap();
        let status = wait(&mut child, TIMEOUT, "a program without a reader");
        let mut said = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(141), ""), "{arguments:?}");
    }
}

#[test]
fn a_message_that_cannot_be_written_changes_no_exit_code() {
    let home = Home::with_vault();
    let shell = |script: &str| {
        let program = super::program::program();
        home.program("sh", ["-c".as_ref(), script.as_ref(), program.as_os_str()])
    };
    shell("printf 1 | \"$0\" set a 2>/dev/full").ok();
    assert_eq!(home.get("a"), b"1");
    shell("\"$0\" get none 2>/dev/full").exits(3);
    shell("\"$0\" get none 2>&-").exits(3);
}
