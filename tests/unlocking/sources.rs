//! Sources with the real things: files of services and containers, pinentry on a terminal, askpass programs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Ran, World, fed, status};

/// A vault for the passphrase in `pass`.
fn with_passphrase() -> World {
    let world = World::new();
    fs::write(world.path("pass"), "orbit velvet canyon").unwrap();
    world.ok("vault", &["init", "--kdf-memory", "19MiB", "--passphrase-file", "pass"]);
    world
}

pub(super) fn script(world: &World, name: &str, text: &str) -> String {
    let path = world.path(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_a_service_is_given_is_found_and_named() {
    let world = with_passphrase();
    let folder = world.path("credentials");
    fs::create_dir(&folder).unwrap();
    let run = |arguments: &[&str]| -> Ran {
        let mut command = world.command("vault");
        command.env("CREDENTIALS_DIRECTORY", &folder).args(arguments).output().unwrap().into()
    };
    // A service that was given something else.
    fs::write(folder.join("database"), "x").unwrap();
    run(&["list"]).says(4, "no terminal to ask");
    fs::write(folder.join("vault-passphrase"), "orbit velvet canyon\n").unwrap();
    fs::set_permissions(folder.join("vault-passphrase"), fs::Permissions::from_mode(0o400)).unwrap();
    run(&["list"]).quiet();
    assert_eq!(status(&run(&["status"]), "unlocked by: "), "slot passphrase, with CREDENTIALS_DIRECTORY");
    // One newline is removed, and no more; what is named higher goes before.
    for (text, code) in
        [("orbit velvet canyon\r\n", 0), ("orbit velvet canyon\n\n", 5), (" orbit velvet canyon", 5)]
    {
        fs::remove_file(folder.join("vault-passphrase")).unwrap();
        fs::write(folder.join("vault-passphrase"), text).unwrap();
        run(&["list"]).expect(code);
    }
    run(&["--passphrase-file", "pass", "list"]).quiet();
    // What is there and no key is an error, and so is what cannot be read.
    fs::write(folder.join("vault-machine-key"), "nonsense").unwrap();
    run(&["list"]).says(1, "cannot use the machine key");
    fs::remove_file(folder.join("vault-machine-key")).unwrap();
    fs::create_dir(folder.join("vault-machine-key")).unwrap();
    run(&["list"]).says(1, "cannot read");
}

#[test]
fn a_container_s_secrets_are_used_when_they_are_named_whatever_their_mode() {
    let world = with_passphrase();
    let secrets = world.path("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("db_pass"), "orbit velvet canyon\n").unwrap();
    fs::write(secrets.join("vault-passphrase"), "another one\n").unwrap();
    for name in ["db_pass", "vault-passphrase"] {
        fs::set_permissions(secrets.join(name), fs::Permissions::from_mode(0o444)).unwrap();
    }
    // A mount namespace of its own, as a container has one.
    let run = |arguments: &[&str]| -> Ran {
        let mut command = world.command("bwrap");
        command.args([
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--tmpfs",
            "/run",
            "--ro-bind",
        ]);
        command.arg(&secrets).args(["/run/secrets", "--", "vault"]).args(arguments).output().unwrap().into()
    };
    run(&["list"]).says(4, "no terminal to ask");
    run(&["--run-secret", "passphrase=db_pass", "list"]).quiet();
    run(&["--run-secret", "vault-passphrase", "list"]).says(5, "wrong passphrase");
    run(&["--run-secret", "passphrase=nothing", "list"]).says(1, "cannot read \"/run/secrets/nothing\"");
    run(&["--run-secret", "db_pass", "list"]).says(2, "KIND=NAME");
    run(&["--run-secret", "passphrase=../etc/passwd", "list"]).expect(2);
    let config = world.path("home/.config/vault");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "run-secrets = [\"passphrase=db_pass\"]\n").unwrap();
    assert_eq!(status(&run(&["status"]), "unlocked by: "), "slot passphrase, with run-secrets");
    // Outside of the container the file is not there: named, and so an error.
    world.vault(&["list"]).says(1, "cannot read \"/run/secrets/db_pass\"");
}

#[test]
fn an_askpass_program_is_asked_and_a_dismissal_ends_it_at_once() {
    let world = with_passphrase();
    let asked = world.path("asked");
    let good = script(
        &world,
        "good",
        &format!("echo \"$1\" > {}; env >> {0}; echo 'orbit velvet canyon'", asked.display()),
    );
    let dismissed = script(&world, "dismissed", "exit 1");
    let wrong = script(&world, "wrong", "echo nonsense");
    let run = |program: &str, display: &str, arguments: &[&str]| -> Ran {
        let mut command = world.command("vault");
        command.env("VAULT_ASKPASS", program).env("DISPLAY", display).args(arguments).output().unwrap().into()
    };
    run(&good, ":9", &["list"]).quiet();
    let text = fs::read_to_string(&asked).unwrap();
    assert!(text.starts_with("passphrase for \"") && text.contains("secrets.vault\": \n"), "{text}");
    assert_eq!(status(&run(&good, ":9", &["status"]), "unlock with: "), "VAULT_ASKPASS");
    let start = Instant::now();
    run(&dismissed, ":9", &["list"]).says(4, "was dismissed");
    run(&wrong, ":9", &["list"]).says(5, "wrong passphrase");
    run("/nonexistent", ":9", &["list"]).says(4, "does not start");
    // Nobody is there, or nobody may be asked.
    run(&good, "", &["list"]).says(4, "no terminal to ask");
    run(&good, ":9", &["--no-input", "list"]).says(4, "no terminal to ask");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_pinentry_program_is_asked_and_a_dismissal_ends_it_at_once() {
    let world = with_passphrase();
    let run = |program: &str| -> Ran {
        let mut command = world.command("vault");
        command.env("VAULT_PINENTRY", program).env("DISPLAY", ":9").arg("list").output().unwrap().into()
    };
    // Answers as pinentry does when its window is closed, and as one that breaks off.
    let conversation = |last: &str| {
        format!(
            "echo OK; while read line; do case $line in GETPIN) printf '{last}\\n'; exit;; *) echo OK;; esac; done"
        )
    };
    let start = Instant::now();
    let closed = script(&world, "closed", &conversation("ERR 83886179 Operation cancelled <Pinentry>"));
    run(&closed).says(4, "was dismissed");
    run(&script(&world, "broken", &conversation("what?"))).says(4, "broke off");
    let percent = script(&world, "percent", &conversation("D orbit%%20velvet canyon\\nOK"));
    run(&percent).quiet();
    // The real one without a terminal.
    run("pinentry-tty").expect(4);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn pinentry_asks_on_a_real_terminal() {
    let world = with_passphrase();
    let shown = on_terminal(
        &world,
        "VAULT_PINENTRY=pinentry-tty vault list --json && echo FINE",
        "passphrase:",
        "orbit velvet canyon\r",
    );
    assert!(shown.contains("\"entries\"") && shown.contains("FINE"), "{shown}");
    assert!(!shown.contains("orbit"), "{shown}");
    // Ctrl-C goes to both, and ends both.
    let shown =
        on_terminal(&world, "VAULT_PINENTRY=pinentry-tty vault list && echo FINE", "passphrase:", "\x03");
    assert!(!shown.contains("FINE"), "{shown}");
}

/// Runs a line on a terminal that `script` makes; the answer is typed when the question is there. Gives what was shown.
pub(super) fn on_terminal(world: &World, line: &str, question: &str, answer: &str) -> String {
    let mut command = Command::new("script");
    command.args(["-qec", line, "/dev/null"]).current_dir(world.path("")).env_clear().env("TERM", "xterm");
    world.prepare(&mut command);
    let mut child =
        command.env("NO_COLOR", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = String::new();
    let mut bytes = [0; 1024];
    let mut more = |shown: &mut String| {
        let count = screen.read(&mut bytes).unwrap_or(0);
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    };
    while !shown.contains(question) {
        assert!(more(&mut shown), "no {question:?} in {shown:?}");
    }
    // pinentry writes its question before it turns the echo off.
    std::thread::sleep(Duration::from_millis(300));
    keyboard.write_all(answer.as_bytes()).unwrap();
    keyboard.flush().unwrap();
    while more(&mut shown) {}
    child.wait().unwrap();
    shown
}

#[test]
fn a_weak_passphrase_is_refused_where_others_have_copies() {
    let world = World::new();
    fs::write(world.path("weak"), "letmein123\n").unwrap();
    let init = ["init", "--kdf-memory", "19MiB", "--passphrase-file", "weak"];
    world.vault(&[&init[..], &["--file", "alone.vault"]].concat()).says(0, "easy to guess");
    world.ok("git", &["init", "-q"]);
    world.vault(&init).says(1, "refusing a passphrase that is easy to guess");
    assert!(!world.path("secrets.vault").exists());
    let made = world.ok("vault", &["generate", "--passphrase"]);
    assert_eq!(made.trim().split(' ').count(), 6, "{made}");
    let ran = fed(
        world.command("vault").args(["init", "--kdf-memory", "19MiB", "--new-passphrase-file", "-"]),
        made.as_bytes(),
    );
    ran.expect(0);
    fs::remove_file(world.path("secrets.vault")).unwrap();
    world.vault(&[&init[..], &["--weak-passphrase"]].concat()).expect(0);
}
