//! Rewrap: one slot anew, and nothing else, told from the text of the file.

use std::collections::BTreeSet;

use crate::crash::program::Home;

/// A vault with a machine key, a cheap passphrase, a recovery code, and entries.
fn home() -> Home {
    let home = Home::with_vault();
    std::fs::write(home.beside("pw"), "the first passphrase of this slot\n").unwrap();
    std::fs::write(home.beside("new"), "quite another passphrase of it\n").unwrap();
    for n in 0..20 {
        home.set(&format!("entry/{n}"), format!("value {n}"));
    }
    let pw = home.beside("pw");
    let add = ["slot", "add", "--passphrase", "--kdf-memory", "19MiB", "--new-passphrase-file"];
    home.vault(add).arg(&pw).ok();
    home.vault(["slot", "add", "--recovery", "--out"]).arg(home.beside("code")).ok();
    home
}

fn lines(home: &Home) -> Vec<String> {
    let text = std::fs::read_to_string(home.file()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// What `change` took out of the file's lines and put in, each by its first word.
fn changed(home: &Home, change: impl FnOnce()) -> (Vec<String>, Vec<String>) {
    let before = lines(home);
    change();
    let after = lines(home);
    let without = |all: &[String], other: &[String]| {
        let other: BTreeSet<_> = other.iter().collect();
        let words = all.iter().filter(|line| !other.contains(line));
        words.map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Nothing is moved, either: what is in both stands in the same order.
    let common = |all: &[String], other: &[String]| {
        let other: BTreeSet<_> = other.iter().collect();
        all.iter().filter(|line| other.contains(line)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(common(&before, &after), common(&after, &before));
    (without(&before, &after), without(&after, &before))
}

#[test]
fn a_changed_passphrase_changes_one_slot_line_the_roster_the_table_s_head_and_adds_one_log_line() {
    let home = home();
    let new = home.beside("new");
    let rewrap = || drop(home.vault(["rewrap", "passphrase", "--new-passphrase-file"]).arg(&new).ok());
    assert_only_one_slot(changed(&home, rewrap));
    let open =
        |file: &str| home.vault(["get", "entry/7"]).locked().env("VAULT_PASSPHRASE_FILE", home.beside(file));
    assert_eq!(open("new").ok().stdout, b"value 7");
    open("pw").fails(5, "unlock-no-slot-matches");
    home.check();
}

#[test]
fn a_raised_cost_and_a_new_recovery_code_change_no_more() {
    let home = home();
    let pw = home.beside("pw");
    let keep = ["rewrap", "passphrase", "--keep", "--kdf-memory", "20MiB"];
    let raise = || drop(home.vault(keep).locked().env("VAULT_PASSPHRASE_FILE", &pw).ok());
    assert_only_one_slot(changed(&home, raise));
    let listed = home.vault(["slot", "list", "--json"]).ok().json();
    let slots = listed["slots"].as_array().unwrap();
    let slot = slots.iter().find(|slot| slot["label"] == "passphrase").unwrap();
    assert_eq!(slot["kdf"]["memory_kib"], 20 << 10);
    home.vault(["get", "entry/1"]).locked().env("VAULT_PASSPHRASE_FILE", &pw).ok();

    let code = home.beside("code-2");
    let anew = || drop(home.vault(["rewrap", "recovery", "--out"]).arg(&code).ok());
    assert_only_one_slot(changed(&home, anew));
    assert_ne!(std::fs::read(home.beside("code")).unwrap(), std::fs::read(&code).unwrap());
    home.vault(keep).fails(2, "usage").says("was not unlocked with it");
    home.vault(["rewrap", "recovery", "--keep"]).fails(2, "usage").says("has no passphrase");
    home.vault(["rewrap", "nobody"]).fails(3, "slot-not-found").says("the key slots are: ");
    home.check();
}

#[test]
fn a_slot_that_is_renamed_changes_no_more_either() {
    let home = home();
    let rename = || drop(home.vault(["slot", "rename", "passphrase", "alice@work"]).ok());
    assert_only_one_slot(changed(&home, rename));
    home.vault(["slot", "rename", "recovery", "alice@work"]).fails(7, "label-taken");
    home.vault(["slot", "rename", "recovery", "a/b"]).fails(2, "bad-label");
}

fn assert_only_one_slot((out, into): (Vec<String>, Vec<String>)) {
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    assert_eq!(sorted(out), ["head", "roster", "slot"]);
    assert_eq!(sorted(into), ["head", "roster", "seal", "slot"]);
}
