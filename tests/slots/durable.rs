//! What is stored although its folder cannot be synced is stored: its keys are kept and given out, and it is remembered. What is
//! not stored leaves no key.

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

/// Saves that are refused: by rules that cannot be understood, by rules, and by what this machine remembers.
fn refused(home: &Home) -> Vec<(&'static str, i32)> {
    let older = std::fs::read(home.file()).unwrap();
    home.set("more", "x");
    std::fs::write(home.beside("newer"), std::fs::read(home.file()).unwrap()).unwrap();
    std::fs::write(home.beside("older"), older).unwrap();
    vec![("broken rules", 1), ("rules", 6), ("older", 6)]
}

/// Makes it so, or well again.
fn prepare(home: &Home, what: &str) {
    let rules = home.work().join("vault.toml");
    let _ = std::fs::remove_file(&rules);
    std::fs::copy(home.beside("newer"), home.file()).unwrap();
    match what {
        "broken rules" => std::fs::write(rules, "nonsense = 1\n").unwrap(),
        "rules" => std::fs::write(rules, "version = 1\n[slots]\nallowed-kinds = [\"age\"]\n").unwrap(),
        "older" => drop(std::fs::copy(home.beside("older"), home.file()).unwrap()),
        _ => {}
    }
}

#[test]
fn a_slot_that_is_not_stored_leaves_no_key_behind() {
    let home = home();
    home.vault(["slot", "add", "--recovery", "--out", "../first-code"]).ok();
    for (what, code) in refused(&home) {
        prepare(&home, what);
        for arguments in [
            &["slot", "add", "--machine", "--label", "second", "--out", "../kept"][..],
            &["slot", "add", "--recovery", "--label", "second", "--out", "../kept"],
        ] {
            let ended = home.vault(arguments).exits(code);
            assert!(!ended.stderr.contains("wrote"), "{what}: {ended:?}");
            assert!(!home.beside("kept").exists(), "{what}: {arguments:?}");
        }
        // What was against the rules before may be wrapped anew.
        if what != "rules" {
            home.vault(["rewrap", "recovery", "--out", "../kept"]).exits(code);
            assert!(!home.beside("kept").exists(), "{what}");
        }
        for arguments in [
            &["--file", "new.vault", "init", "--machine", "--out", "../kept"][..],
            &["--file", "new.vault", "init", "--recovery", "--out", "../kept"],
        ] {
            let ended = home.vault(arguments).end();
            assert_eq!(ended.status.success(), what == "older", "{what}: {ended:?}");
            assert_eq!(ended.status.success(), home.beside("kept").exists(), "{what}: {ended:?}");
            let _ = std::fs::remove_file(home.beside("kept"));
            let _ = std::fs::remove_file(home.work().join("new.vault"));
        }
    }
    // What is there already is no file of ours: it stays as it is.
    prepare(&home, "well");
    std::fs::write(home.beside("kept"), "somebody's").unwrap();
    home.vault(["slot", "add", "--machine", "--label", "second", "--out", "../kept"]).exits(7);
    assert_eq!(std::fs::read(home.beside("kept")).unwrap(), b"somebody's");
    home.vault(["slot", "add", "--machine", "--label", "second", "--out", "../second"])
        .ok()
        .says("wrote the machine key into");
    opens(&home, "second");
}

#[test]
fn a_vault_that_cannot_be_written_leaves_no_key_behind() {
    // What is new is put in place by renameat2, first the key's file; what is replaced, by renameat.
    let fails = |run: Run, rename: &str| {
        let inject = format!("-einject={rename}");
        run.under(["strace", "-f", "-qq", "-o", "/dev/null", "-etrace=renameat,renameat2", &inject])
    };
    let (replacing, second) = ("renameat:error=EIO:when=1", "renameat2:error=EIO:when=2");
    let home = home();
    let before = std::fs::read(home.file()).unwrap();
    let add = ["slot", "add", "--machine", "--label", "second", "--out", "../kept"];
    fails(home.vault(add), replacing).exits(1).says("nothing was saved");
    assert!(!home.beside("kept").exists());
    fails(home.vault(["rotate", "--yes", "--machine-keys-out", "../keys"]), replacing)
        .exits(1)
        .says("nothing was saved");
    assert_eq!(crate::crash::program::names(&home.beside("keys")), [] as [&str; 0]);
    assert_eq!(std::fs::read(home.file()).unwrap(), before);
    fails(home.vault(["--file", "new.vault", "init", "--machine", "--out", "../kept"]), second).exits(1);
    assert!(!home.beside("kept").exists() && !home.work().join("new.vault").exists());
    home.vault(["get", "entry"]).ok();
}
