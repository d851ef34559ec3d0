//! `doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Ran, World};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The state and text of a check.
fn check(ran: &Ran, id: &str) -> (String, String) {
    let line = ran.text().lines().find(|line| line.contains(&format!(" {id}: "))).map(str::to_owned);
    let line = line.unwrap_or_else(|| panic!("{id} in {}", ran.text()));
    let (state, text) = line.split_once(' ').unwrap();
    (state.to_owned(), text.trim_start().to_owned())
}

#[test]
fn the_exit_code_is_for_problems_and_strictly_for_warnings() {
    let world = World::new();
    mode(&world.path("key"), 0o600);
    mode(world.root(), 0o700);
    let ran = world.run(&["doctor"]);
    ran.expect(0);
    assert_eq!(check(&ran, "slots").0, "warning");
    assert_eq!(check(&ran, "vault-mode").0, "ok");
    assert_eq!(check(&ran, "key-file").0, "ok");
    assert!(ran.text().contains("remedy: add another: vault slot add"), "{}", ran.text());
    world.run(&["doctor", "--strict"]).expect(1);
    mode(&world.path("key"), 0o644);
    let ran = world.run(&["doctor"]);
    ran.expect(1);
    assert_eq!(check(&ran, "key-file").0, "PROBLEM");
    assert!(ran.text().contains("chmod 600 "), "{}", ran.text());
}

#[test]
fn who_may_read_or_replace_the_vault_is_told() {
    let world = World::new();
    mode(&world.path("key"), 0o600);
    mode(world.root(), 0o700);
    for (bits, state) in [(0o600, "ok"), (0o644, "warning"), (0o620, "PROBLEM"), (0o602, "PROBLEM")] {
        mode(&world.path("secrets.vault"), bits);
        assert_eq!(check(&world.run(&["doctor"]), "vault-mode").0, state, "{bits:o}");
    }
    mode(&world.path("secrets.vault"), 0o600);
    mode(world.root(), 0o777);
    assert_eq!(check(&world.run(&["doctor"]), "vault-folder").0, "PROBLEM");
}

#[test]
fn secrets_in_the_environment_and_cheap_passphrases_are_told() {
    let world = World::empty();
    fs::write(world.path("pass"), "x").unwrap();
    let made =
        world.bare().args(["init", "--passphrase-file", "pass", "--kdf-memory", "19MiB"]).output().unwrap();
    assert!(made.status.success());
    let mut command = world.bare();
    let ran: Ran = command.env("VAULT_PASSPHRASE", "hunter2").arg("doctor").output().unwrap().into();
    assert_eq!(check(&ran, "environment").0, "warning");
    assert_eq!(check(&ran, "passphrase-cost").0, "warning");
    assert!(!ran.text().contains("hunter2") && !ran.stderr.contains("hunter2"));
    let ran: Ran = world.bare().arg("doctor").output().unwrap().into();
    assert_eq!(check(&ran, "unlocking").0, "warning");
}

#[test]
fn nothing_has_to_be_there_for_a_diagnosis() {
    let world = World::empty();
    let ran: Ran = world.bare().arg("doctor").env_remove("HOME").env_remove("PATH").output().unwrap().into();
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
    assert_eq!(check(&ran, "vault").0, "absent");
    fs::write(world.path("secrets.vault"), "no vault").unwrap();
    let ran: Ran = world.bare().arg("doctor").output().unwrap().into();
    ran.expect(1);
    assert_eq!(check(&ran, "vault").0, "PROBLEM");
}

#[test]
fn programs_get_one_object() {
    let world = World::new();
    let text = world.run(&["doctor", "--json"]).text();
    assert!(text.starts_with("{\"version\":1,\"ok\":") && text.lines().count() == 1, "{text}");
    assert!(text.contains("\"id\":\"slots\",\"state\":\"warning\""), "{text}");
}

/// The real interpreter with a stand-in for the package: only the name of the class that it chooses is looked at.
#[test]
fn python_s_choice_of_a_plain_text_keyring_is_a_problem() {
    let world = World::new();
    let package = world.path("python/keyring");
    fs::create_dir_all(&package).unwrap();
    let with = |code: &str| -> Ran {
        fs::write(package.join("__init__.py"), code).unwrap();
        world
            .command()
            .env("PYTHONPATH", world.path("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(["doctor", "--python"])
            .output()
            .unwrap()
            .into()
    };
    let chosen = |class: &str| format!("class {class}: pass\ndef get_keyring(): return {class}()\n");
    assert_eq!(check(&with(&chosen("PlaintextKeyring")), "python-keyring").0, "PROBLEM");
    assert_eq!(check(&with(&chosen("Keyring")), "python-keyring").0, "ok");
    assert_eq!(check(&with("raise RuntimeError('broken')\n"), "python-keyring").0, "unknown");
    let ran: Ran =
        world.command().env("PATH", "/nonexistent").args(["doctor", "--python"]).output().unwrap().into();
    assert_eq!(check(&ran, "python-keyring").0, "absent");
}
