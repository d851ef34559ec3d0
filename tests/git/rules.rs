//! The rules of docs/git.md, "What becomes of what", one named test each, with the program.

use super::team::{Desk, Team};

fn on_side(desk: &Desk<'_>, change: &dyn Fn()) {
    desk.git(&["checkout", "-q", "-B", "side", "main"]).ends(0);
    change();
    desk.commit("there");
    desk.git(&["checkout", "-q", "main"]).ends(0);
}

#[test]
fn a_restart_on_one_side_takes_in_what_the_other_changed() {
    for ours_restarts in [true, false] {
        let team = Team::new();
        let desk = team.desk();
        let compact = || drop(desk.vault(&["compact"]).ends(0));
        let change = || desk.set("entry/0", "changed-there");
        if ours_restarts {
            on_side(&desk, &change);
            compact();
        } else {
            on_side(&desk, &compact);
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
    on_side(&desk, &|| {
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
    on_side(&desk, &|| drop(desk.vault(&["rename", "entry/0", "there"]).ends(0)));
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
    on_side(&desk, &|| desk.set("entry/0", "changed-there"));
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
fn two_vaults_are_never_merged() {
    let team = Team::new();
    let desk = team.desk();
    on_side(&desk, &|| {
        desk.git(&["rm", "-q", "secrets.vault"]).ends(0);
        desk.vault(&["init", "--age", RECIPIENT, "--no-gitattributes"]).ends(0);
    });
    desk.save("entry/0", "here");
    desk.git(&["merge", "--no-edit", "side"]).ends(1);
    desk.vault(&["list"]).ends(6);
    desk.git(&["merge", "--abort"]).ends(0);
    desk.is_good();
}

/// Nobody has its identity.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
