//! What a machine remembers of a vault, and what it says when something else is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Ran, World, fed};

/// A world with a home, and a vault that a passphrase opens: nothing but the machine's memory says which vault it is.
fn world() -> World {
    let world = World::empty();
    fs::create_dir(world.path("home")).unwrap();
    fs::write(world.path("pass"), "orbit velvet canyon\n").unwrap();
    made(&world);
    world
}

fn made(world: &World) {
    let arguments = ["init", "--kdf-memory", "19MiB", "--passphrase-file", "pass"];
    Ran::from(world.bare().args(arguments).output().unwrap()).expect(0);
}

fn run(world: &World, arguments: &[&str]) -> Ran {
    world.bare().args(["--passphrase-file", "pass"]).args(arguments).output().unwrap().into()
}

fn set(world: &World, name: &str) -> Ran {
    fed(world.bare().args(["--passphrase-file", "pass", "set", name]), b"value")
}

fn id(world: &World) -> String {
    let status = run(world, &["status"]).text();
    status.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
}

fn pin_line(world: &World) -> String {
    let status = run(world, &["status"]).text();
    status.lines().find_map(|line| line.strip_prefix("pin: ")).unwrap().to_owned()
}

/// Fails unless it was refused as not to be trusted, in these words.
fn says(ran: &Ran, said: &str) {
    ran.expect(6);
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

fn forget(world: &World) {
    fs::remove_dir_all(world.path("home/.local/state/vault")).unwrap();
}

#[test]
fn the_first_sight_is_said_and_afterwards_the_vault_is_known() {
    let world = world();
    assert!(pin_line(&world).starts_with("as expected; known here since "), "init remembers");
    forget(&world);
    assert!(pin_line(&world).starts_with("first seen"), "{}", pin_line(&world));
    assert!(pin_line(&world).starts_with("as expected"));
    let folder = world.path("home/.local/state/vault");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert_eq!(mode(file), 0o600);
    let json: serde_json::Value = serde_json::from_slice(&run(&world, &["status", "--json"]).stdout).unwrap();
    assert_eq!(json["pin"]["state"], "pinned");
    assert!(json["pin"]["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{json}");
    assert_eq!(json["vault"]["vault_id"], id(&world));
}

#[test]
fn another_vault_at_a_known_path_is_an_error_until_it_is_trusted() {
    let world = world();
    let old = id(&world);
    fs::rename(world.path("secrets.vault"), world.path("old.vault")).unwrap();
    // Made elsewhere, with the same passphrase, and put in the place of the first one.
    let other = self::world();
    fs::copy(other.path("secrets.vault"), world.path("secrets.vault")).unwrap();
    let new = id(&other);
    for command in [&["list"][..], &["get", "a"], &["check"], &["status"]] {
        let ran = run(&world, command);
        ran.expect(6);
        assert!(
            ran.stderr.contains("it was rotated or replaced since this machine last saw it"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(&old) && ran.stderr.contains(&new), "{}", ran.stderr);
    }
    set(&world, "a").expect(6);
    // Rolling back is not what this is.
    run(&world, &["--allow-rollback", "list"]).expect(6);
    // The terminal is not asked before that is known: there is nothing to unlock with here.
    Ran::from(world.bare().arg("list").output().unwrap()).expect(6);

    let asked = run(&world, &["trust"]);
    asked.expect(4);
    assert!(asked.stderr.contains("there is no terminal to ask for"), "{}", asked.stderr);
    fs::write(world.path("wrong"), "another\n").unwrap();
    Ran::from(world.bare().args(["--passphrase-file", "wrong", "trust", "--yes"]).output().unwrap())
        .expect(5);
    run(&world, &["list"]).expect(6);
    let trusted = run(&world, &["trust", "--yes"]);
    trusted.expect(0);
    assert!(trusted.stderr.contains(&format!("it was {old}\nit is  {new}\n")), "{}", trusted.stderr);
    run(&world, &["list"]).expect(0);
    set(&world, "a").expect(0);
    // The first one is now the other.
    fs::rename(world.path("old.vault"), world.path("secrets.vault")).unwrap();
    run(&world, &["list"]).expect(6);
}

#[test]
fn a_new_vault_in_the_place_of_a_removed_one_is_the_known_one() {
    let world = world();
    fs::remove_file(world.path("secrets.vault")).unwrap();
    made(&world);
    run(&world, &["list"]).expect(0);
    assert!(pin_line(&world).starts_with("as expected"));
}

#[test]
fn an_older_state_is_read_with_a_warning_and_not_changed() {
    let world = world();
    set(&world, "a").expect(0);
    let older = world.vault();
    set(&world, "b").expect(0);
    let newer = world.vault();
    fs::write(world.path("secrets.vault"), &older).unwrap();
    for _ in 0..2 {
        let ran = run(&world, &["get", "a"]);
        ran.expect(0);
        assert_eq!(ran.stdout, b"value");
        assert!(
            ran.stderr.contains("warning: vault")
                && ran.stderr.contains("older than the last one seen here (generation 2, seen 3)"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("a checkout or a reset to an older commit does this"), "{}", ran.stderr);
    }
    run(&world, &["--strict", "get", "a"]).expect(6);
    says(&set(&world, "c"), "cannot change vault");
    assert_eq!(world.vault(), older);
    assert!(pin_line(&world).contains("it lacks changes that were seen"));
    // The newer one comes back: nothing is to be said.
    fs::write(world.path("secrets.vault"), &newer).unwrap();
    assert_eq!(run(&world, &["get", "b"]).stderr, "");
    // And it is said that the older one is meant.
    fs::write(world.path("secrets.vault"), &older).unwrap();
    fed(world.bare().args(["--passphrase-file", "pass", "--allow-rollback", "set", "c"]), b"x").expect(0);
    assert_eq!(run(&world, &["get", "c"]).stderr, "");
    // From now on it is the other one that lacks something.
    fs::write(world.path("secrets.vault"), &newer).unwrap();
    says(&set(&world, "d"), "lacks changes that were seen here");
}

#[test]
fn the_vault_that_is_named_is_accepted_and_no_other() {
    let world = world();
    let other = self::world();
    let (ours, theirs) = (id(&world), id(&other));
    run(&world, &["--vault-id", &ours, "list"]).expect(0);
    run(&world, &["--vault-id", &format!("{theirs},{ours}"), "list"]).expect(0);
    run(&world, &["--vault-id", &theirs, "list"]).refuses(6, "not the one that VAULT_ID or --vault-id names");
    let named = |ids: &str| {
        Ran::from(
            world.bare().env("VAULT_ID", ids).args(["--passphrase-file", "pass", "list"]).output().unwrap(),
        )
    };
    named(&ours).expect(0);
    named(&theirs).expect(6);
    named("nonsense").refuses(2, "\"nonsense\" names no vault");
    // It goes before what is remembered, and is remembered.
    fs::copy(other.path("secrets.vault"), world.path("secrets.vault")).unwrap();
    run(&world, &["list"]).expect(6);
    named(&ours).expect(6);
    named(&theirs).expect(0);
    run(&world, &["list"]).expect(0);
    assert!(
        run(&world, &["--vault-id", &theirs, "status"]).text().contains("named by VAULT_ID or --vault-id")
    );
}

#[test]
fn a_machine_key_of_another_vault_opens_a_named_one_only_if_it_fits() {
    let world = World::new();
    let status = world.ok(&["status"]);
    let id = status.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let other = World::new();
    fs::copy(other.path("key"), world.path("key")).unwrap();
    world.run(&["list"]).refuses(6, "the machine key belongs to another vault");
    world.run(&["--vault-id", id, "list"]).refuses(5, "wrong passphrase or key");
}

#[test]
fn without_a_place_to_remember_it_works_and_says_so_before_a_change() {
    let world = world();
    forget(&world);
    let homeless = |arguments: &[&str]| {
        fed(world.bare().env_remove("HOME").args(["--passphrase-file", "pass"]).args(arguments), b"value")
    };
    let ran = homeless(&["list"]);
    ran.expect(0);
    assert_eq!(ran.stderr, "");
    assert!(
        homeless(&["status"])
            .text()
            .contains("pin: nothing is remembered of it; cannot be kept: there is no state folder")
    );
    let ran = homeless(&["set", "a"]);
    ran.expect(0);
    assert!(ran.stderr.contains("warning: nothing is remembered of vault"), "{}", ran.stderr);
    homeless(&["--strict", "set", "a"]).expect(1);
    assert_eq!(homeless(&["--vault-id", &id(&world), "set", "a"]).stderr, "stored \"a\"\n");
    // A home that is not there is not made.
    let nowhere = world.path("nowhere");
    let ran = fed(world.bare().env("HOME", &nowhere).args(["--passphrase-file", "pass", "set", "a"]), b"v");
    ran.expect(0);
    assert!(ran.stderr.contains("nothing is remembered") && !nowhere.exists(), "{}", ran.stderr);
    // A file in the way of the folder.
    fs::write(world.path("file"), "").unwrap();
    let blocked = |arguments: &[&str]| {
        fed(
            world
                .bare()
                .env("XDG_STATE_HOME", world.path("file"))
                .args(["--passphrase-file", "pass"])
                .args(arguments),
            b"v",
        )
    };
    blocked(&["list"]).expect(0);
    assert!(blocked(&["set", "a"]).stderr.contains("nothing is remembered"));
    assert!(blocked(&["status"]).text().contains("cannot be kept"), "{}", blocked(&["status"]).text());
}

#[test]
fn a_pin_can_be_required() {
    let world = world();
    let config = world.path("home/.config/vault");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "require-pin = true\n").unwrap();
    run(&world, &["list"]).expect(0);
    set(&world, "a").expect(0);
    let blocked = |arguments: &[&str]| {
        let mut command = world.bare();
        command.env("XDG_STATE_HOME", world.path("pass/below")).args(["--passphrase-file", "pass"]);
        Ran::from(command.args(arguments).output().unwrap())
    };
    blocked(&["list"]).refuses(1, "nothing is remembered of vault");
    blocked(&["--vault-id", &id(&world), "list"]).expect(0);
}

#[test]
fn a_file_of_pins_that_is_none_begins_anew_with_a_warning() {
    let world = world();
    let folder = world.path("home/.local/state/vault");
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "vault-pins 1\nnonsense\n").unwrap();
    let ran = run(&world, &["list"]);
    ran.expect(0);
    assert!(ran.stderr.contains("warning: what this machine remembered"), "{}", ran.stderr);
    let ran = run(&world, &["list"]);
    assert_eq!(ran.stderr, "");
    assert!(fs::read_to_string(&file).unwrap().contains("\nid "));
}

#[test]
fn processes_at_the_same_time_raise_no_alarm_and_forget_nothing() {
    let world = world();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let world = &world;
            scope.spawn(move || {
                for n in 0..4 {
                    let ran = set(world, &format!("{writer}/{n}"));
                    ran.expect(0);
                    assert_eq!(ran.stderr, format!("stored \"{writer}/{n}\"\n"));
                }
            });
        }
        for _ in 0..2 {
            let world = &world;
            scope.spawn(move || {
                for _ in 0..6 {
                    let ran = run(world, &["list"]);
                    ran.expect(0);
                    assert_eq!(ran.stderr, "");
                }
            });
        }
    });
    assert_eq!(run(&world, &["list"]).text().lines().count(), 12);
    assert!(pin_line(&world).starts_with("as expected"));
}

#[test]
fn an_unknown_key_of_the_config_file_is_an_error_that_names_it() {
    let world = world();
    let config = world.path("home/.config/vault");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "require-pins = true\n").unwrap();
    run(&world, &["list"]).refuses(1, "there is no key \"require-pins\"");
    let help = Ran::from(world.bare().args(["help", "config"]).output().unwrap());
    help.expect(1);
    fs::remove_file(config.join("config.toml")).unwrap();
    let help = Ran::from(world.bare().args(["help", "config"]).output().unwrap());
    assert!(help.text().contains("require-pin = true or false"), "{}", help.text());
}
