//! A merge and a pick look where every other command looks: at what this machine remembers of the vault, at the rules beside
//! it, and at the newcomer's slot.

use super::team::{OLDER, Team};

#[test]
fn the_master_key_of_a_stranger_is_not_merged_in_until_it_is_trusted() {
    let team = Team::with_identity();
    team.desk().git(&["clone", "-q", ".", "../colleague"]).ends(0);
    let colleague = team.desk_at("colleague");
    colleague.vault(&["rotate", "--yes"]).ends(0);
    colleague.commit("rotated");
    let desk = team.desk();
    desk.save("entry/0", "changed-beside");
    desk.git(&["fetch", "-q", "../colleague", "main:theirs"]).ends(0);
    let refused = "rotated or replaced since this machine last saw it";
    desk.git(&["merge", "--no-edit", "theirs"]).ends(1).says(refused).says("vault trust");
    // Neither side is taken for the merge, and by hand it is the same; nor does who has no key get round it.
    desk.vault(&["list"]).ends(6);
    desk.vault(&["merge"]).ends(6).says(refused);
    desk.git(&["merge", "--abort"]).ends(0);
    desk.locked().git(&["merge", "--no-edit", "theirs"]).ends(1).says(refused);
    desk.git(&["merge", "--abort"]).ends(0);
    desk.vault(&["pick", "theirs"]).ends(6).says(refused);
    desk.is_good();

    // Somebody looks at it, and says that it is right.
    desk.git(&["checkout", "-q", "theirs"]).ends(0);
    desk.vault(&["list"]).ends(6).says(refused);
    desk.vault(&["trust", "--yes"]).ends(0);
    desk.git(&["checkout", "-q", "main"]).ends(0);
    desk.git(&["merge", "--no-edit", "theirs"]).ends(0);
    desk.is_good();
    assert_eq!(desk.get("entry/0"), "changed-beside");
}

/// What is merged is seen to be taken back, though nobody has read it.
pub(super) fn is_remembered(team: &Team, by_hand: bool) {
    let desk = team.desk();
    desk.parted("entry/0", "entry/0");
    let before = desk.head();
    if by_hand {
        desk.git(&["-c", "merge.vault.driver=false", "merge", "--no-edit", "side"]).ends(1);
        desk.vault(&["merge"]).ends(7);
    } else {
        desk.git(&["merge", "--no-edit", "side"]).ends(1);
    }
    desk.git(&["commit", "-q", "-a", "-m", "not resolved yet"]).ends(0);
    desk.git(&["reset", "-q", "--hard", &before]).ends(0);
    let listed = desk.vault(&["list"]).ends(0);
    assert_eq!(listed.said.contains(OLDER), !by_hand, "in the middle of a merge there is no branch");
}

#[test]
fn a_merge_is_remembered_as_a_save_is() {
    for by_hand in [false, true] {
        is_remembered(&Team::new(), by_hand);
    }
    // Of files by name, and a pick.
    let team = Team::new();
    let desk = team.desk();
    desk.on_side(&|| desk.set("entry/0", "changed-there"));
    let text = desk.git(&["show", "side:secrets.vault"]).ends(0).stdout;
    std::fs::write(desk.folder.join("theirs"), text).unwrap();
    desk.save("entry/1", "changed-here");
    desk.vault(&["merge", "secrets.vault", "theirs"]).ends(0);
    desk.git(&["checkout", "--", "secrets.vault"]).ends(0);
    desk.vault(&["list"]).ends(0).says(OLDER);
    desk.vault(&["pick", "side"]).ends(6).says(OLDER).says("--allow-rollback");
    desk.vault(&["pick", "side", "--allow-rollback"]).ends(0);
    desk.git(&["checkout", "--", "secrets.vault"]).ends(0);
    desk.vault(&["list"]).ends(0).says(OLDER);
}

#[test]
fn an_older_side_is_no_news_and_a_result_that_lacks_what_was_seen_is() {
    let team = Team::new();
    let desk = team.desk();
    desk.on_side(&|| desk.set("entry/0", "changed-there"));
    for number in 1..4 {
        desk.save(&format!("entry/{number}"), &format!("changed-here-{number}"));
    }
    // Theirs is older than what was seen here, as branches are.
    desk.git(&["checkout", "-q", "side"]).ends(0);
    let merged = desk.git(&["merge", "--no-edit", "main"]).ends(0);
    assert!(!merged.said.contains("warning"), "{}", merged.said);
    desk.git(&["checkout", "-q", "main"]).ends(0);
    let merged = desk.git(&["merge", "-q", "--no-ff", "--no-edit", "side~1"]).ends(0);
    assert!(!merged.said.contains("warning"), "{}", merged.said);

    // Ours was put back, and merging goes on from there: it is said, and the next change has to mean it.
    desk.git(&["checkout", "-q", "-b", "other", "main~2"]).ends(0);
    desk.save("entry/5", "changed-elsewhere");
    desk.git(&["checkout", "-q", "main"]).ends(0);
    desk.git(&["reset", "-q", "--hard", "HEAD~1"]).ends(0);
    desk.git(&["merge", "--no-edit", "other"])
        .ends(0)
        .says("lacks changes that were")
        .says("--allow-rollback");
    desk.vault(&["remove", "entry/4"]).ends(6).says("--allow-rollback");
    desk.vault(&["remove", "entry/4", "--allow-rollback"]).ends(0);
    desk.vault(&["remove", "entry/2"]).ends(0);
    desk.is_good();
}

#[test]
fn a_merge_brings_in_no_slot_and_no_name_that_the_rules_forbid() {
    let team = Team::new();
    let desk = team.desk();
    let recipient = team.age_identity("other.key");
    desk.on_side(&|| {
        desk.vault(&["slot", "add", "--age", &recipient, "--label", "other", "--yes"]).ends(0);
        desk.set("tmp/x", "of-the-forbidden-name");
    });
    let rules = |text: &str| {
        std::fs::write(desk.folder.join("vault.toml"), format!("version = 1\n{text}")).unwrap();
        desk.git(&["add", "-A"]).ends(0);
        desk.git(&["commit", "-q", "--allow-empty", "-m", "rules"]).ends(0);
    };
    rules("[slots]\nallowed-kinds = [\"machine\"]\n");
    desk.save("entry/0", "changed-here");
    let kind = "slot \"other\" is of the kind age, which is not allowed";
    for hand in [desk.clone(), desk.locked()] {
        hand.git(&["merge", "--no-edit", "side"]).ends(1).says(kind);
        desk.vault(&["list"]).ends(6);
        desk.git(&["merge", "--abort"]).ends(0);
    }
    desk.git(&["-c", "merge.vault.driver=false", "merge", "--no-edit", "side"]).ends(1);
    desk.vault(&["merge"]).ends(6).says(kind);
    desk.git(&["merge", "--abort"]).ends(0);

    rules("[names]\nforbidden = [\"tmp/*\"]\n");
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("\"tmp/x\" is forbidden");
    desk.git(&["merge", "--abort"]).ends(0);
    desk.vault(&["pick", "side"]).ends(6).says("\"tmp/x\" is forbidden");
    desk.is_good();

    // What has to be there stays there: the removal of its slot is not merged in.
    rules("");
    desk.git(&["merge", "--no-edit", "side"]).ends(0);
    rules("[slots]\nrequired-kinds = [\"age\"]\n");
    desk.git(&["branch", "-q", "with-age"]).ends(0);
    rules("");
    desk.on_side(&|| drop(desk.vault(&["slot", "remove", "other", "--yes"]).ends(0)));
    desk.git(&["checkout", "-q", "with-age"]).ends(0);
    desk.save("entry/1", "changed-here-too");
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("there is no slot of the kind \"age\"");
    desk.git(&["merge", "--abort"]).ends(0);
    desk.is_good();
}

#[test]
fn who_has_a_slot_on_one_side_only_can_merge_both() {
    for theirs_has_it in [true, false] {
        let team = Team::new();
        let desk = team.desk();
        let recipient = team.age_identity("new.key");
        let add =
            || drop(desk.vault(&["slot", "add", "--age", &recipient, "--label", "new", "--yes"]).ends(0));
        let change = || desk.set("entry/0", "changed-there");
        if theirs_has_it {
            desk.on_side(&|| {
                add();
                change();
            });
            desk.save("entry/0", "changed-here");
        } else {
            desk.on_side(&change);
            add();
            desk.save("entry/0", "changed-here");
        }
        let new = desk.of("new.key");
        new.git(&["merge", "--no-edit", "side"]).ends(1).says("in conflict").says("\"entry/0\"");
        new.vault(&["resolve", "--all", "--theirs"]).ends(0);
        new.commit("merged");
        new.is_good();
        assert_eq!(new.get("entry/0"), "changed-there");
    }
}

#[test]
fn a_merge_is_held_against_the_generation_of_a_machine_key() {
    let team = Team::with_identity();
    let desk = team.desk();
    desk.on_side(&|| desk.set("entry/0", "changed-there"));
    desk.save("entry/0", "changed-here");
    desk.git(&["branch", "-q", "old"]).ends(0);
    desk.save("entry/1", "changed-later");
    desk.save("entry/1", "changed-again");
    // It names the generation of the vault that it was made for.
    desk.vault(&["slot", "add", "--machine", "--label", "ci", "--out", "../ci", "--yes"]).ends(0);
    desk.commit("a machine");
    desk.git(&["checkout", "-q", "old"]).ends(0);
    desk.git(&["-c", "merge.vault.driver=false", "merge", "--no-edit", "side"]).ends(1);
    let before = desk.read("secrets.vault");
    let keys = ["--identity", "../age.key", "--machine-key-file", "../ci"];
    let merge = [&["merge"][..], &keys].concat();
    desk.vault(&merge).ends(6).says("older than its machine key").says("--allow-rollback");
    assert_eq!(desk.read("secrets.vault"), before);
    desk.vault(&[&merge[..], &["--allow-rollback"]].concat()).ends(7).says("\"entry/0\"");
}

#[test]
fn what_is_stored_is_remembered_even_if_its_folder_cannot_be_synced() {
    let team = Team::new();
    let desk = team.desk();
    desk.on_side(&|| desk.set("entry/0", "changed-there"));
    desk.save("entry/1", "changed-here");
    let text = desk.git(&["show", "side:secrets.vault"]).ends(0).stdout;
    std::fs::write(desk.folder.join("theirs"), text).unwrap();
    let folder = desk.folder.to_str().unwrap();
    let unsynced = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", folder, "-e", "inject=fsync:error=EIO"];
    for verb in [&["merge", "secrets.vault", "theirs"][..], &["pick", "side"]] {
        desk.vault(&["list"]).ends(0);
        desk.vault_under(&unsynced, verb).ends(1).says("may not survive a power cut");
        desk.is_good();
        // Nobody has read it; and yet that it was taken back is seen.
        desk.git(&["checkout", "--", "secrets.vault"]).ends(0);
        desk.vault(&["list"]).ends(0).says(OLDER);
        std::fs::remove_dir_all(team.path("home/.local")).unwrap();
    }
}
