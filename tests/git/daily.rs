//! Daily life: every way in which git puts two states together, with the driver and without, with the key and without.

use super::team::{Desk, Team};

/// With a key that is named, and with an agent that holds the vault.
fn in_both(test: impl Fn(&Team)) {
    test(&Team::new());
    test(&Team::with_agent());
}

/// As a clone without any setting of ours.
fn without_driver(desk: &Desk<'_>) {
    desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0);
    desk.commit("no driver");
}

#[test]
fn a_clone_merges_two_branches_with_the_key_or_without() {
    let team = Team::new();
    team.desk().git(&["clone", "-q", ".", "../clone"]).ends(0);
    let desk = team.desk_at("clone");
    desk.vault(&["git", "setup", "--yes", "--no-hook"]).ends(0).says("merge.vault.driver");
    for (hand, said) in [(desk.clone(), "with the key"), (desk.locked(), "as text, without the key")] {
        desk.parted("entry/0", "entry/1");
        hand.git(&["merge", "--no-edit", "side"]).ends(0).says(said);
        desk.is_good();
        assert_eq!(desk.get("entry/1"), "side-value-of-entry/1");
        assert_eq!(desk.get("entry/0"), "main-value-of-entry/0");
        desk.git(&["branch", "-q", "-D", "side"]).ends(0);
    }
}

#[test]
fn one_field_changed_on_both_sides_is_in_conflict_until_it_is_resolved() {
    in_both(|team| {
        let desk = team.desk();
        desk.parted("entry/0", "entry/0");
        desk.git(&["merge", "--no-edit", "side"]).ends(1).says("\"entry/0\"").says("vault resolve");
        // The file itself verifies, and says of the one entry that it has two values; the others are as ever.
        desk.is_good();
        assert_eq!(desk.get("entry/1"), "first-value-1");
        desk.vault(&["get", "entry/0"]).ends(7).says("several versions");
        desk.vault(&["get", "entry/0", "--json"]).ends(7).says("in-conflict");
        desk.vault(&["export"]).ends(7).says("several versions");
        desk.vault(&["set", "entry/0", "--secret-file", "/dev/null"]).ends(7);
        assert_eq!(desk.value(&["get", "entry/0", "--ours"]), "main-value-of-entry/0");
        assert_eq!(desk.value(&["get", "entry/0", "--theirs", "1"]), "side-value-of-entry/0");
        desk.vault(&["get", "entry/0", "--theirs", "2"]).ends(7);
        desk.vault(&["resolve"]).ends(0).says("entry/0").says("conflict 1: field secret");
        // Merging by hand once more undoes nothing.
        desk.vault(&["merge"]).ends(7).says("\"entry/0\"");
        desk.vault(&["resolve", "entry/0", "--theirs"]).ends(0).says("resolved \"entry/0\"");
        desk.vault(&["merge"]).ends(0).says("merged already");
        desk.commit("merged");
        assert_eq!(desk.get("entry/0"), "side-value-of-entry/0");
        desk.vault(&["resolve"]).ends(0);
        // Both values are in the history of the branch, and the next merge is clean.
        desk.git(&["merge", "--no-edit", "side"]).ends(0);
    });
}

#[test]
fn attributes_and_fields_of_one_entry_merge_one_by_one() {
    in_both(|team| {
        let desk = team.desk();
        desk.git(&["checkout", "-q", "-b", "side"]).ends(0);
        desk.vault(&["edit", "entry/0", "--attr", "url=https://example.org"]).ends(0);
        desk.commit("url");
        desk.git(&["checkout", "-q", "main"]).ends(0);
        desk.save("entry/0", "main-value");
        desk.git(&["merge", "--no-edit", "side"]).ends(0);
        desk.is_good();
        assert_eq!(desk.get("entry/0"), "main-value");
        desk.vault(&["show", "entry/0"]).ends(0).says("url=https://example.org");
    });
}

#[test]
fn without_the_key_a_conflict_is_left_to_somebody_who_has_it() {
    in_both(|team| {
        let desk = team.desk();
        desk.parted("entry/0", "entry/0");
        let locked = desk.locked();
        locked.git(&["cherry-pick", "side"]).ends(1).says("a cherry-pick with: vault pick COMMIT");
        desk.vault(&["list"]).ends(6).says("vault pick CHERRY_PICK_HEAD");
        desk.git(&["cherry-pick", "--abort"]).ends(0);
        // Also where the marks are in a page alone, which opening the vault does not see.
        desk.git(&["update-ref", "CHERRY_PICK_HEAD", "side"]).ends(0);
        let good = desk.read("secrets.vault");
        let vault = desk.folder.join("secrets.vault");
        std::fs::write(&vault, good.replacen("\npage 080\n", "\n<<<<<<< ours\npage 080\n", 1)).unwrap();
        desk.vault(&["list"]).ends(6).says("vault pick CHERRY_PICK_HEAD");
        std::fs::write(&vault, good).unwrap();
        desk.git(&["update-ref", "-d", "CHERRY_PICK_HEAD"]).ends(0);
        locked.git(&["merge", "--no-edit", "side"]).ends(1).says("somebody who can open the vault");
        // Nobody takes one side for the merge: the file has both, and is refused.
        desk.vault(&["list"]).ends(6).says("vault merge").says("git merge --abort");
        locked.vault(&["merge"]).ends(4);
        desk.vault(&["merge"]).ends(7).says("\"entry/0\"");
        desk.vault(&["resolve", "--all", "--ours"]).ends(0);
        desk.commit("merged");
        desk.is_good();
        assert_eq!(desk.get("entry/0"), "main-value-of-entry/0");
    });
}

#[test]
fn without_the_driver_the_conflict_is_settled_by_hand() {
    in_both(|team| {
        let desk = team.desk();
        without_driver(&desk);
        desk.parted("entry/0", "entry/0");
        desk.git(&["merge", "--no-edit", "side"]).ends(1);
        desk.vault(&["list"]).ends(6).says("conflict").says("vault merge");
        desk.vault(&["merge"]).ends(7);
        desk.vault(&["resolve", "entry/0", "--theirs", "1"]).ends(0);
        desk.commit("merged");
        desk.is_good();
        assert_eq!(desk.get("entry/0"), "side-value-of-entry/0");
        desk.vault(&["merge"]).ends(1).says("no conflict");
    });
}

#[test]
fn files_are_merged_by_name() {
    let team = Team::new();
    let desk = team.desk();
    desk.parted("entry/0", "entry/1");
    for (revision, name) in [("main~1", "base"), ("main", "ours"), ("side", "theirs")] {
        let text = desk.git(&["show", &format!("{revision}:secrets.vault")]).ends(0).stdout;
        std::fs::write(desk.folder.join(name), text).unwrap();
    }
    let before = desk.read("ours");
    desk.vault(&["merge", "base", "ours", "theirs", "-o", "merged"]).ends(0);
    assert_eq!(desk.read("ours"), before);
    desk.vault(&["check", "--file", "merged"]).ends(0);
    let stdout = desk.vault(&["merge", "ours", "theirs", "-o", "-"]).ends(0).stdout;
    assert!(stdout.starts_with(b"vault/1 "));
    desk.vault(&["merge", "base", "ours", "theirs"]).ends(0);
    assert_eq!(desk.value(&["get", "--file", "ours", "entry/1"]), "side-value-of-entry/1");
    // A base that a side has not grown from shows a cherry-pick.
    desk.vault(&["merge", "theirs", "base", "merged", "-o", "x"]).ends(7).says("vault pick");
}

#[test]
fn a_branch_of_several_commits_is_rebased_over_the_same_entry() {
    in_both(|team| {
        let desk = team.desk();
        desk.git(&["checkout", "-q", "-b", "side"]).ends(0);
        for number in 0..3 {
            desk.vault(&["edit", "entry/0", "--attr", &format!("a{number}=x")]).ends(0);
            desk.commit("attribute");
        }
        desk.git(&["checkout", "-q", "main"]).ends(0);
        desk.save("entry/0", "main-value");
        desk.git(&["checkout", "-q", "side"]).ends(0);
        desk.git(&["rebase", "-q", "main"]).ends(0);
        desk.is_good();
        assert_eq!(desk.get("entry/0"), "main-value");
        desk.vault(&["show", "entry/0"]).ends(0).says("a0=x").says("a2=x");
        assert_eq!(desk.git(&["rev-list", "--count", "main..side"]).said.trim(), "3");
    });
}

#[test]
fn a_stash_comes_back_over_a_change_of_the_same_entry() {
    let team = Team::new();
    let desk = team.desk();
    desk.vault(&["edit", "entry/0", "--attr", "url=x"]).ends(0);
    desk.git(&["stash", "-q"]).ends(0);
    // What is stashed was seen here: that the vault is older now is meant.
    desk.vault(&["remove", "entry/1"]).ends(6).says("--allow-rollback");
    desk.save_with("entry/0", "main-value", &["--allow-rollback"]);
    desk.git(&["stash", "pop", "-q"]).ends(0);
    desk.is_good();
    assert_eq!(desk.get("entry/0"), "main-value");
    desk.vault(&["show", "entry/0"]).ends(0).says("url=x");
}

#[test]
fn a_cherry_pick_that_lacks_its_past_is_done_by_pick_in_the_middle_or_after() {
    for (driver, team) in [(true, Team::new()), (false, Team::new()), (true, Team::with_agent())] {
        let desk = team.desk();
        if !driver {
            without_driver(&desk);
        }
        desk.git(&["checkout", "-q", "-b", "side"]).ends(0);
        desk.save("entry/1", "side-one");
        desk.save("entry/2", "side-two");
        desk.git(&["checkout", "-q", "main"]).ends(0);
        desk.save("entry/3", "main-three");
        if driver {
            desk.git(&["cherry-pick", "side"])
                .ends(1)
                .says("vault pick COMMIT")
                .says("git add secrets.vault");
            // Whatever is tried then says how to go on, and that is how it goes on.
            for (tried, code) in [
                (&["list"][..], 6),
                (&["check"], 6),
                (&["set", "x", "--secret-file", "/dev/null"], 6),
                (&["merge"], 7),
            ] {
                desk.vault(tried)
                    .ends(code)
                    .says("vault pick CHERRY_PICK_HEAD; then: git add secrets.vault, and git cherry-pick --continue")
                    .says("git cherry-pick --abort");
            }
            desk.vault(&["pick", "CHERRY_PICK_HEAD"]).ends(0).says("\"entry/2\"").says("git add");
            desk.git(&["add", "secrets.vault"]).ends(0);
            desk.git(&["cherry-pick", "--continue"]).ends(0);
        } else {
            // As text it goes through; then the vault is refused, with the way out.
            desk.git(&["cherry-pick", "side"]).ends(0);
            desk.vault(&["list"]).ends(6).says("vault pick COMMIT").says("git reset --keep HEAD~1");
            desk.git(&["reset", "-q", "--keep", "HEAD~1"]).ends(0);
            desk.vault(&["pick", "side"]).ends(0).says("git commit");
            desk.commit("picked");
        }
        desk.is_good();
        assert_eq!(desk.get("entry/1"), "first-value-1");
        assert_eq!(desk.get("entry/2"), "side-two");
        assert_eq!(desk.get("entry/3"), "main-three");
        // Merging the whole branch later brings the rest, and no conflict.
        if desk.git(&["merge", "--no-edit", "side"]).code != 0 {
            desk.vault(&["merge"]).ends(0);
            desk.commit("merged");
        }
        desk.is_good();
        assert_eq!(desk.get("entry/1"), "side-one");
        assert_eq!(desk.get("entry/2"), "side-two");
    }
}

#[test]
fn an_older_commit_is_reverted_by_a_new_seal() {
    in_both(|team| {
        let desk = team.desk();
        desk.save("entry/1", "bad-value");
        let bad = desk.git(&["rev-parse", "HEAD"]).said.trim().to_owned();
        desk.save("entry/2", "good-value");
        desk.git(&["revert", "--no-edit", &bad]).ends(1).says("vault revert COMMIT");
        desk.vault(&["list"])
            .ends(6)
            .says("vault revert REVERT_HEAD; then: git add secrets.vault, and git revert --continue")
            .says("git revert --abort");
        desk.git(&["revert", "--abort"]).ends(0);
        desk.vault(&["revert", &bad]).ends(0).says("\"entry/1\"");
        desk.commit("reverted");
        desk.is_good();
        assert_eq!(desk.get("entry/1"), "first-value-1");
        assert_eq!(desk.get("entry/2"), "good-value");
        // What was changed since is not lost: both values are kept.
        desk.save("entry/1", "newer-value");
        desk.vault(&["revert", &bad]).ends(7).says("\"entry/1\"");
        assert_eq!(desk.value(&["get", "entry/1", "--theirs", "1"]), "first-value-1");
        desk.vault(&["resolve", "entry/1", "--ours"]).ends(0);
        assert_eq!(desk.get("entry/1"), "newer-value");
        desk.vault(&["pick", "HEAD"]).ends(1).says("all of it is so already");
        desk.vault(&["pick", "no-such-commit"]).ends(3);
        desk.vault(&["pick", "HEAD~9"]).ends(3);
    });
}

#[test]
fn a_pick_of_what_was_changed_here_too_keeps_both_values() {
    in_both(|team| {
        let desk = team.desk();
        desk.parted("entry/0", "entry/0");
        desk.vault(&["pick", "side"]).ends(7).says("\"entry/0\"");
        desk.vault(&["resolve", "entry/0", "--ours"]).ends(0);
        desk.commit("picked");
        desk.git(&["checkout", "-q", "-b", "merge-of-two", "main~2"]).ends(0);
        desk.git(&["merge", "-q", "--no-ff", "--no-edit", "side"]).ends(0);
        desk.git(&["checkout", "-q", "main"]).ends(0);
        desk.vault(&["pick", "merge-of-two"]).ends(3).says("--mainline");
    });
}

#[test]
fn a_linked_work_tree_merges_as_the_first_one_does() {
    let team = Team::new();
    let desk = team.desk();
    desk.parted("entry/0", "entry/0");
    desk.git(&["worktree", "add", "-q", "-b", "linked", "../linked", "main"]).ends(0);
    let linked = team.desk_at("linked");
    linked.git(&["merge", "--no-edit", "side"]).ends(1).says("\"entry/0\"");
    linked.vault(&["resolve", "--all", "--theirs"]).ends(0);
    linked.commit("merged");
    linked.is_good();
    assert_eq!(linked.get("entry/0"), "side-value-of-entry/0");
    assert_eq!(desk.get("entry/0"), "main-value-of-entry/0");
}

#[test]
fn the_editor_shows_both_versions_and_stores_what_is_left() {
    in_both(|team| {
        let desk = team.desk();
        desk.parted("entry/0", "entry/0");
        desk.git(&["merge", "--no-edit", "side"]).ends(1);
        // Without an editor it is said; with one that changes nothing, both are still there.
        desk.vault(&["resolve", "entry/0", "--edit"]).ends(1).says("EDITOR");
        let run = |editor: &str| {
            let script = team.path("editor");
            std::fs::write(&script, format!("#!/bin/sh\n{editor}\n")).unwrap();
            desk.git(&[
                "-c",
                &format!("alias.settle=!EDITOR='sh {}' vault resolve entry/0 --edit", script.display()),
                "settle",
            ])
        };
        run("true").ends(7).says("both versions");
        run("grep -q main-value \"$1\" && grep -q side-value \"$1\" && printf settled > \"$1\"").ends(0);
        assert_eq!(desk.get("entry/0"), "settled");
    });
}
