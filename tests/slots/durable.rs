//! What is stored although its folder cannot be synced is stored: its keys are kept and given out, and it is remembered.

use super::kinds::{VALUE, home};
use crate::crash::program::{Home, Run};

/// The rename is done, and the folder's sync fails: the second one of a save.
const NOT_SYNCED: [&str; 8] = [
    "strace",
    "-f",
    "-qq",
    "-o",
    "/dev/null",
    "--seccomp-bpf",
    "-etrace=fsync",
    "-einject=fsync:error=EIO:when=2",
];
const SAID: &str = "was saved, but may not survive a power cut";

fn opens(home: &Home, key: &str) {
    let read = home.vault(["get", "entry"]).env("VAULT_MACHINE_KEY_FILE", home.beside(key)).ok();
    assert_eq!(read.stdout, VALUE);
}

fn under(run: Run) -> Run {
    run.under(NOT_SYNCED)
}

#[test]
fn a_machine_key_is_shown_although_the_folder_cannot_be_synced() {
    let home = home();
    let added = under(home.vault(["slot", "add", "--machine", "--label", "second"])).exits(1).says(SAID);
    std::fs::write(home.beside("second"), &added.stdout).unwrap();
    opens(&home, "second");
    let added = under(home.vault(["slot", "add", "--machine", "--label", "third", "--json"])).exits(1);
    std::fs::write(home.beside("third"), added.json()["machine_key"].as_str().unwrap()).unwrap();
    opens(&home, "third");
}

#[test]
fn a_new_vault_is_remembered_and_its_key_shown_although_the_folder_cannot_be_synced() {
    let home = Home::empty();
    let made = under(home.vault(["init", "--machine"])).exits(1).says(SAID);
    std::fs::write(home.key(), &made.stdout).unwrap();
    home.set("entry", VALUE);
    opens(&home, "machine.key");
    let status = home.vault(["status"]).ok();
    assert!(status.text().contains("pin: as expected"), "{status:?}");
}

#[test]
fn a_rotation_is_remembered_and_told_although_the_folder_cannot_be_synced() {
    let home = home();
    let id = home.beside("id");
    home.program("age-keygen", ["-o", id.to_str().unwrap()]).ok();
    let text = std::fs::read_to_string(&id).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    home.vault(["slot", "add", "--yes", "--age", recipient]).ok();
    let with_id = |arguments: &[&str]| home.vault(arguments).locked().env("VAULT_IDENTITY_FILE", &id);
    with_id(&["list"]).ok();
    let rotated = under(with_id(&["rotate", "--yes"])).exits(1);
    assert!(rotated.stderr.contains("VAULT_ID=") && rotated.stderr.contains(SAID), "{rotated:?}");
    assert_eq!(with_id(&["get", "entry"]).ok().stdout, VALUE);
    with_id(&["set", "more"]).stdin("x").ok();
}

#[test]
fn the_key_of_a_keyring_slot_is_kept_although_the_folder_cannot_be_synced() {
    let home = super::keyrings::home();
    let add = super::keyrings::with_key("slot add --keyring --store secret-service --label laptop");
    let add = format!("{} {add} || echo \"exit $?\"", NOT_SYNCED.join(" "));
    let script = format!("{}{add}\n{}", super::keyrings::UNLOCKED, super::keyrings::alone("get entry"));
    let ran = super::keyrings::on_a_bus(&home, &script).ok().says(SAID);
    assert_eq!(ran.text(), format!("exit 1\n{}", String::from_utf8_lossy(VALUE)));
}
