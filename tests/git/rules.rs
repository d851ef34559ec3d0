//! The rules of docs/git.md, "What becomes of what", one named test each, with the program.

use super::team::{Desk, Team};

#[test]
fn a_restart_on_one_side_takes_in_what_the_other_changed() {
    for ours_restarts in [true, false] {
        let team = Team::new();
        let desk = team.desk();
        let compact = || drop(desk.vault(&["compact"]).ends(0));
        let change = || desk.set("entry/0", "changed-there");
        if ours_restarts {
            desk.on_side(&change);
            compact();
        } else {
            desk.on_side(&compact);
            change();
        }
        desk.commit("here");
        desk.git(&["merge", "--no-edit", "side"]).ends(0);
        desk.is_good();
        assert_eq!(desk.get("entry/0"), "changed-there");
    }
}

#[test]
fn a_restart_on_both_sides_is_refused_with_how_to_go_on() {
    let team = Team::new();
    let desk = team.desk();
    desk.on_side(&|| {
        desk.set("entry/0", "there");
        desk.vault(&["compact"]).ends(0);
    });
    desk.set("entry/1", "here");
    desk.vault(&["compact"]).ends(0);
    desk.commit("here");
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("both sides restarted").says("git merge --abort");
    // Neither side is taken for the merge.
    desk.vault(&["list"]).ends(6);
    desk.vault(&["merge"]).ends(7).says("both sides restarted");
    desk.git(&["merge", "--abort"]).ends(0);
    desk.is_good();
}

#[test]
fn the_same_entry_renamed_on_both_sides_keeps_our_name_and_asks() {
    let team = Team::new();
    let desk = team.desk();
    desk.on_side(&|| drop(desk.vault(&["rename", "entry/0", "there"]).ends(0)));
    desk.vault(&["rename", "entry/0", "here"]).ends(0);
    desk.commit("here");
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("\"here\"");
    desk.vault(&["show", "here"]).ends(0).says("conflict 1: name there");
    desk.vault(&["resolve", "here", "--theirs"]).ends(0);
    assert_eq!(desk.get("there"), "first-value-0");
    desk.vault(&["get", "here"]).ends(3);
    desk.is_good();
}

#[test]
fn removed_here_and_changed_there_stays_and_asks() {
    let team = Team::new();
    let desk = team.desk();
    desk.on_side(&|| desk.set("entry/0", "changed-there"));
    desk.vault(&["remove", "entry/0"]).ends(0);
    desk.commit("here");
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("\"entry/0\"");
    desk.vault(&["show", "entry/0"]).ends(0).says("removed there");
    assert_eq!(desk.value(&["get", "entry/0", "--ours"]), "changed-there");
    desk.vault(&["resolve", "entry/0", "--theirs"]).ends(0);
    desk.vault(&["get", "entry/0"]).ends(3);
    desk.is_good();
}

#[test]
fn slots_added_on_both_sides_all_open_the_vault_and_labels_that_clash_are_made_longer() {
    let team = Team::new();
    let desk = team.desk();
    let [ann, bob] = ["ann.key", "bob.key"].map(|file| team.age_identity(file));
    desk.on_side(&|| drop(desk.vault(&["slot", "add", "--age", &bob, "--label", "new", "--yes"]).ends(0)));
    desk.vault(&["slot", "add", "--age", &ann, "--label", "new", "--yes"]).ends(0);
    desk.commit("here");
    desk.git(&["merge", "--no-edit", "side"]).ends(0);
    desk.is_good();
    for key in ["ann.key", "bob.key"] {
        assert_eq!(desk.of(key).get("entry/0"), "first-value-0");
    }
    let slots = String::from_utf8(desk.vault(&["slot", "list"]).ends(0).stdout).unwrap();
    let labels: Vec<&str> = slots.split_whitespace().filter(|word| word.starts_with("new")).collect();
    assert!(labels.contains(&"new") && labels.iter().any(|label| label.starts_with("new-")), "{slots}");
}

#[test]
fn changes_beside_a_rotation_are_sealed_for_the_new_key_whichever_side_rotates() {
    for ours_rotates in [true, false] {
        let team = Team::with_identity();
        let desk = team.desk();
        let old = id(&desk, "HEAD");
        let rotate = || drop(desk.vault(&["rotate", "--yes"]).ends(0));
        // Where the rotation was seen first, the branch without it is older: who changes it there says that it is meant.
        let meant: &[&str] = if ours_rotates { &[] } else { &["--allow-rollback"] };
        let change = || {
            desk.set_with("entry/0", "changed-beside", meant);
            desk.set_with("new", "made-beside", meant);
            desk.vault(&[&["remove", "entry/5"], meant].concat()).ends(0);
            desk.vault(&[&["rename", "entry/4", "renamed"], meant].concat()).ends(0);
        };
        let (here, there): (&dyn Fn(), &dyn Fn()) =
            if ours_rotates { (&rotate, &change) } else { (&change, &rotate) };
        desk.on_side(there);
        here();
        desk.commit("here");
        let rotated = id(&desk, if ours_rotates { "main" } else { "side" });
        assert_ne!(rotated, old);
        // As text it cannot be merged; with the key it is, for the new one.
        desk.locked().git(&["merge", "--no-edit", "side"]).ends(1).says("somebody who can open the vault");
        desk.git(&["merge", "--abort"]).ends(0);
        desk.git(&["merge", "--no-edit", "side"]).ends(0).says("with the key");
        assert_eq!(id(&desk, "HEAD"), rotated);
        desk.is_good();
        assert_eq!(desk.get("entry/0"), "changed-beside");
        assert_eq!(desk.get("new"), "made-beside");
        assert_eq!(desk.get("renamed"), "first-value-4");
        assert_eq!(desk.get("entry/1"), "first-value-1");
        desk.vault(&["get", "entry/5"]).ends(3);
        // Both go on from here, and meet again.
        desk.on_side(&|| desk.set("entry/2", "second-round"));
        desk.save("entry/3", "also-second");
        desk.git(&["merge", "--no-edit", "side"]).ends(0);
        desk.is_good();
        assert_eq!(desk.get("entry/2"), "second-round");
    }
}

#[test]
fn what_is_clean_as_text_across_a_rotation_or_a_restart_waits_for_the_key() {
    for command in [&["rotate", "--yes"][..], &["compact"]] {
        let team = Team::with_identity();
        let desk = team.desk();
        desk.on_side(&|| desk.set("quite/new", "made-there"));
        desk.vault(command).ends(0);
        desk.commit("here");
        desk.locked().git(&["merge", "--no-edit", "side"]).ends(1).says("somebody who can open the vault");
        desk.git(&["merge", "--abort"]).ends(0);
        desk.git(&["merge", "--no-edit", "side"]).ends(0).says("with the key");
        desk.is_good();
        assert_eq!(desk.get("quite/new"), "made-there");
    }
}

#[test]
fn a_rotation_on_both_sides_is_refused_with_how_to_go_on() {
    let team = Team::with_identity();
    let desk = team.desk();
    desk.on_side(&|| drop(desk.vault(&["rotate", "--yes"]).ends(0)));
    desk.vault(&["rotate", "--yes"]).ends(6).says("is older than the last one seen here");
    desk.vault(&["rotate", "--yes", "--allow-rollback"]).ends(0);
    desk.commit("here");
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("both sides restarted").says("git merge --abort");
    desk.git(&["merge", "--abort"]).ends(0);
    desk.is_good();
}

/// The vault's id in a commit.
fn id(desk: &Desk<'_>, revision: &str) -> String {
    let text = desk.git(&["show", &format!("{revision}:secrets.vault")]).ends(0).said;
    text.lines().nth(1).unwrap().to_owned()
}

#[test]
fn two_vaults_are_never_merged() {
    let team = Team::new();
    let desk = team.desk();
    desk.on_side(&|| {
        desk.git(&["rm", "-q", "secrets.vault"]).ends(0);
        desk.vault(&["init", "--age", RECIPIENT, "--no-gitattributes"]).ends(0);
    });
    // Another vault was made at this path: that the first one is back there has to be somebody's decision.
    desk.vault(&["list"]).ends(6);
    desk.vault(&["trust", "--yes"]).ends(0);
    desk.save("entry/0", "here");
    desk.git(&["merge", "--no-edit", "side"]).ends(1);
    desk.vault(&["list"]).ends(6);
    desk.git(&["merge", "--abort"]).ends(0);
    desk.is_good();
}

/// Nobody has its identity.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
