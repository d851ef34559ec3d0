//! Ways to unlock.

use std::fs;

use crate::support::{Ran, World, fed};

const CHEAP: [&str; 2] = ["--kdf-memory", "19MiB"];

fn with_passphrase() -> World {
    let world = World::empty();
    fs::write(world.path("pass"), "correct horse\n").unwrap();
    fs::write(world.path("wrong"), "battery staple\n").unwrap();
    let made = world.bare().args(["init", "--passphrase-file", "pass"]).args(CHEAP).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    world
}

fn run(world: &World, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    world.bare().envs(variables.iter().copied()).args(arguments).output().unwrap().into()
}

#[test]
fn every_source_of_a_passphrase_works_and_status_names_it() {
    let world = with_passphrase();
    for (variables, arguments, named) in [
        (&[][..], &["--passphrase-file", "pass"][..], "--passphrase-file"),
        (&[("VAULT_PASSPHRASE_FILE", "pass")], &[], "VAULT_PASSPHRASE_FILE"),
        (&[("VAULT_PASSPHRASE", "correct horse")], &[], "VAULT_PASSPHRASE"),
        (&[("VAULT_PASSPHRASE", "wrong"), ("VAULT_PASSPHRASE_FILE", "pass")], &[], "VAULT_PASSPHRASE_FILE"),
        (&[("VAULT_PASSPHRASE_FILE", "wrong")], &["--passphrase-file", "pass"], "--passphrase-file"),
        (&[("VAULT_PASSPHRASE_FILE", ""), ("VAULT_PASSPHRASE", "correct horse")], &[], "VAULT_PASSPHRASE"),
    ] {
        let ran = run(&world, variables, &[arguments, &["status"]].concat());
        ran.expect(0);
        let line = format!("unlocked by: slot passphrase, with {named}\n");
        assert!(ran.text().contains(&line), "{}", ran.text());
    }
    for option in [["--passphrase-fd", "0"], ["--passphrase-file", "-"]] {
        fed(world.bare().args(option).arg("list"), b"correct horse\n").expect(0);
    }
}

#[test]
fn a_wrong_passphrase_is_exit_5_and_changes_nothing() {
    let world = with_passphrase();
    let before = world.vault();
    let ran = run(&world, &[], &["--passphrase-file", "wrong", "list"]);
    ran.refuses(5, "wrong passphrase or key, or the key slot is damaged");
    assert!(!ran.stderr.contains("battery"), "{}", ran.stderr);
    fed(world.bare().args(["--passphrase-file", "wrong", "set", "a"]), b"x").expect(5);
    assert_eq!(world.vault(), before);
    run(&world, &[("VAULT_PASSPHRASE", "correct horse")], &["--slot", "nobody", "list"])
        .refuses(5, "no key slot has the label");
}

#[test]
fn a_named_source_that_cannot_be_read_is_an_error_and_never_skipped() {
    let world = with_passphrase();
    let good = ("VAULT_PASSPHRASE", "correct horse");
    for variable in ["VAULT_PASSPHRASE_FILE", "VAULT_IDENTITY_FILE", "VAULT_MACHINE_KEY_FILE"] {
        run(&world, &[good, (variable, "/nonexistent")], &["list"])
            .refuses(1, "cannot read \"/nonexistent\"");
    }
    for option in ["--passphrase-file", "--identity", "--machine-key-file"] {
        run(&world, &[good], &[option, "/nonexistent", "list"]).refuses(1, "cannot read \"/nonexistent\"");
    }
    run(&world, &[good], &["--passphrase-fd", "77", "list"]).refuses(1, "file descriptor 77");
    for variable in ["VAULT_IDENTITY", "VAULT_MACHINE_KEY"] {
        let ran = run(&world, &[good, (variable, "hunter2")], &["list"]);
        ran.refuses(1, variable);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    fs::write(world.path("empty"), "\n").unwrap();
    run(&world, &[good], &["--passphrase-file", "empty", "list"]).refuses(1, "it is empty");
}

#[test]
fn without_a_source_and_a_terminal_it_is_exit_4_naming_the_ways() {
    let world = with_passphrase();
    // A session of its own has no terminal.
    let ran: Ran = std::process::Command::new("setsid")
        .args(["--wait", env!("CARGO_BIN_EXE_vault"), "list"])
        .current_dir(world.root())
        .env_clear()
        .env("HOME", world.root())
        .output()
        .unwrap()
        .into();
    ran.refuses(4, "is locked and there is no terminal to ask for the passphrase");
    for way in
        ["--passphrase-file", "--identity", "--machine-key-file", "VAULT_PASSPHRASE", "VAULT_IDENTITY_FILE"]
    {
        assert!(ran.stderr.contains(way), "{}", ran.stderr);
    }
    run(&world, &[], &["list"]).refuses(4, "is locked");
    run(&World::empty(), &[], &["init"]).refuses(4, "no terminal to ask for a new passphrase");
}

#[test]
fn standard_input_has_one_use() {
    let world = with_passphrase();
    let ran = fed(world.bare().args(["--passphrase-file", "-", "set", "a"]), b"correct horse\n");
    ran.refuses(2, "standard input cannot be used for the secret: it is used for the passphrase");
}

#[test]
fn age_identities_open_their_slots() {
    let world = World::empty();
    let keygen = std::process::Command::new("age-keygen").arg("-o").arg(world.path("id")).output();
    if !keygen.is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: age-keygen is not installed");
        return;
    }
    let identity = fs::read_to_string(world.path("id")).unwrap();
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().to_owned();
    run(&world, &[], &["init", "--age", &recipient]).expect(0);
    run(&world, &[], &["--identity", "id", "list"]).expect(0);
    run(&world, &[("VAULT_IDENTITY_FILE", "id")], &["list"]).expect(0);
    run(&world, &[("VAULT_IDENTITY", &secret)], &["list"]).expect(0);
    let ran = run(&world, &[], &["init", "-f", "x.vault", "--age", &secret]);
    ran.refuses(2, "refusing a secret key on the command line");
    assert!(!ran.stderr.contains(&secret), "{}", ran.stderr);
    run(&world, &[], &["init", "-f", "x.vault", "--age", "age1nonsense"]).refuses(2, "cannot use recipient");
}

#[test]
fn a_machine_key_opens_its_own_vault_only() {
    let world = World::new();
    let other = World::new();
    fs::copy(world.path("key"), other.path("key")).unwrap();
    other.run(&["list"]).refuses(6, "belongs to another vault");
    let key = fs::read_to_string(world.path("key")).unwrap();
    run(&world, &[("VAULT_MACHINE_KEY", &key)], &["list"]).expect(0);
    fs::write(world.path("key"), &key[..key.len() - 4]).unwrap();
    world.run(&["list"]).refuses(1, "cannot use the machine key");
}

#[test]
fn costs_outside_the_limits_are_refused_at_init() {
    let world = World::empty();
    fs::write(world.path("pass"), "x").unwrap();
    for memory in ["1MiB", "2GiB", "0"] {
        run(&world, &[], &["init", "--passphrase-file", "pass", "--kdf-memory", memory])
            .refuses(2, "19 MiB to 1 GiB");
    }
    assert!(!world.path("secrets.vault").exists());
}
