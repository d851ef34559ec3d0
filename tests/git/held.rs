//! Git's merges, and what is picked and reverted, with the agent: it holds the vault, and no key is anywhere else.

use super::guards::is_remembered;
use super::team::{OLDER, Team};

const KEY: [&str; 2] = ["--passphrase-file", "../passphrase"];

#[test]
fn locked_the_clean_cases_merge_as_text_and_unlocked_with_the_key() {
    let team = Team::with_agent();
    let desk = team.desk();
    for (locked, said) in [(true, "as text, without the key"), (false, "with the key")] {
        desk.parted("entry/0", "entry/1");
        if locked {
            desk.vault(&["lock"]).ends(0);
        }
        desk.git(&["merge", "--no-edit", "side"]).ends(0).says(said);
        desk.git(&["checkout", "-q", "-b", "rebased", "side"]).ends(0);
        desk.git(&["rebase", "main"]).ends(0);
        desk.git(&["checkout", "-q", "main"]).ends(0);
        desk.git(&["checkout", "-q", "-b", "picked", "main~1"]).ends(0);
        desk.git(&["cherry-pick", "side"]).ends(0).says(said);
        desk.git(&["checkout", "-q", "main"]).ends(0);
        if locked {
            desk.vault(&["list"]).ends(4).says("is locked");
            team.unlock();
        }
        desk.is_good();
        assert_eq!(desk.get("entry/1"), "side-value-of-entry/1");
        assert_eq!(desk.get("entry/0"), "main-value-of-entry/0");
        desk.git(&["branch", "-q", "-D", "side", "rebased", "picked"]).ends(0);
    }
}

#[test]
fn locked_a_conflict_waits_for_the_key_and_says_so() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.parted("entry/0", "entry/0");
    desk.vault(&["lock"]).ends(0);
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("somebody who can open the vault");
    desk.vault(&["merge"]).ends(4).says("unlock");
    desk.vault(&["pick", "side"]).ends(4);
    // It can be unlocked, unless the lines in conflict are among the few that this reads.
    let unlocked = desk.vault(&["unlock", KEY[0], KEY[1]]).code == 0;
    desk.vault(&["list"]).ends(6).says("vault merge");
    let merge = if unlocked { &["merge"][..] } else { &["merge", KEY[0], KEY[1]] };
    desk.vault(merge).ends(7).says("\"entry/0\"");
    team.unlock();
    desk.vault(&["resolve", "--all", "--theirs"]).ends(0);
    desk.commit("merged");
    desk.is_good();
    assert_eq!(desk.get("entry/0"), "side-value-of-entry/0");
}

#[test]
fn a_conflict_of_lines_is_settled_by_the_agent_that_held_the_vault_before() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.parted("entry/0", "entry/0");
    desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0);
    desk.commit("no driver");
    desk.git(&["merge", "--no-edit", "side"]).ends(1);
    desk.vault(&["list"]).ends(6).says("conflict");
    // Into another file first: the conflict stays.
    desk.vault(&["merge", "-o", "../merged"]).ends(7);
    desk.vault(&["list"]).ends(6);
    desk.vault(&["merge"]).ends(7).says("\"entry/0\"");
    desk.vault(&["merge"]).ends(7).says("\"entry/0\"");
    desk.vault(&["resolve", "entry/0", "--ours"]).ends(0);
    desk.vault(&["merge"]).ends(0).says("merged already");
    desk.git(&["merge", "--abort"]).ends(0);
    // What was saved in the middle of it stays, and both sides come to it.
    desk.git(&["merge", "--no-edit", "side"]).ends(1);
    desk.git(&["checkout", "--ours", "--", "secrets.vault"]).ends(0);
    desk.set("entry/5", "saved-in-the-middle");
    desk.vault(&["merge"]).ends(7);
    desk.vault(&["resolve", "--all", "--theirs"]).ends(0);
    desk.commit("merged");
    desk.is_good();
    assert_eq!(desk.get("entry/0"), "side-value-of-entry/0");
    assert_eq!(desk.get("entry/5"), "saved-in-the-middle");
}

#[test]
fn files_are_merged_where_one_of_them_is_held() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.parted("entry/0", "entry/1");
    for (revision, name) in [("main~1", "base"), ("main", "ours"), ("side", "theirs")] {
        let text = desk.git(&["show", &format!("{revision}:secrets.vault")]).ends(0).stdout;
        std::fs::write(desk.folder.join(name), text).unwrap();
    }
    // As git mergetool does it: copies, and the vault as the place.
    desk.vault(&["merge", "base", "ours", "theirs", "-o", "secrets.vault"]).ends(0);
    desk.is_good();
    assert_eq!(desk.get("entry/1"), "side-value-of-entry/1");
    desk.git(&["checkout", "--", "secrets.vault"]).ends(0);
    desk.vault(&["merge", "secrets.vault", "theirs", "-o", "merged"]).ends(0);
    desk.vault(&["merge", "base", "secrets.vault", "theirs", "--json"]).ends(0).says("\"result\":\"merged\"");
    desk.vault(&["merge", "secrets.vault", "theirs", "--json"]).ends(0).says("\"result\":\"ours\"");
    assert_eq!(desk.get("entry/1"), "side-value-of-entry/1");
    desk.vault(&["merge", "theirs", "base", "secrets.vault", "-o", "x"]).ends(4);
    desk.vault(&["merge", "theirs", "secrets.vault", "base"]).ends(7).says("vault pick");
    // Copies alone are nobody's: what the agent holds is the file at its path.
    desk.vault(&["merge", "ours", "theirs"]).ends(4);
}

#[test]
fn what_the_agent_merged_is_remembered_as_a_save_is() {
    for by_hand in [false, true] {
        is_remembered(&Team::with_agent(), by_hand);
    }
    let team = Team::with_agent();
    let desk = team.desk();
    desk.parted("entry/1", "entry/0");
    let text = desk.git(&["show", "side:secrets.vault"]).ends(0).stdout;
    std::fs::write(desk.folder.join("theirs"), text).unwrap();
    desk.vault(&["merge", "secrets.vault", "theirs"]).ends(0);
    desk.git(&["checkout", "--", "secrets.vault"]).ends(0);
    desk.vault(&["list"]).ends(0).says(OLDER);
    desk.vault(&["pick", "side"]).ends(6).says(OLDER).says("--allow-rollback");
    desk.vault(&["pick", "side", "--allow-rollback"]).ends(4);
    desk.vault(&["pick", "side", "--allow-rollback", KEY[0], KEY[1]]).ends(0);
    desk.commit("picked");
    desk.vault(&["revert", "HEAD"]).ends(0);
    // Nobody has read what was reverted; and yet that it was taken back is seen.
    desk.git(&["checkout", "--", "secrets.vault"]).ends(0);
    desk.vault(&["list"]).ends(0).says(OLDER);
}

#[test]
fn an_older_side_is_no_news_and_a_result_that_lacks_what_was_seen_is() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.parted("entry/1", "entry/0");
    for number in 2..4 {
        desk.save(&format!("entry/{number}"), &format!("changed-here-{number}"));
    }
    desk.git(&["checkout", "-q", "side"]).ends(0);
    let merged = desk.git(&["merge", "--no-edit", "main"]).ends(0);
    assert!(!merged.said.contains("warning"), "{}", merged.said);
    desk.git(&["checkout", "-q", "-b", "other", "main~2"]).ends(0);
    // The agent changes nothing on a branch that has nothing of what was seen: it cannot ask whether that is meant.
    desk.vault(&["remove", "entry/4"]).ends(6).says("nothing of the states that were seen");
    desk.save_with("entry/5", "changed-elsewhere", &KEY);
    desk.git(&["checkout", "-q", "main"]).ends(0);
    desk.git(&["reset", "-q", "--hard", "HEAD~1"]).ends(0);
    desk.git(&["merge", "--no-edit", "other"]).ends(0).says(OLDER).says("--allow-rollback");
    desk.vault(&["remove", "entry/4"]).ends(6).says("--allow-rollback");
    // By hand it is refused, and nothing is written.
    desk.git(&["reset", "-q", "--hard", "HEAD~1"]).ends(0);
    let text = desk.git(&["show", "other:secrets.vault"]).ends(0).stdout;
    std::fs::write(desk.folder.join("theirs"), text).unwrap();
    let before = desk.read("secrets.vault");
    desk.vault(&["merge", "secrets.vault", "theirs"]).ends(6).says("--allow-rollback");
    assert_eq!(desk.read("secrets.vault"), before);
}

#[test]
fn a_forged_side_is_refused_by_the_agent_as_without_it() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.save("entry/0", "changed-once");
    desk.git(&["checkout", "-q", "-b", "forged"]).ends(0);
    desk.save("entry/1", "changed-beside");
    // The pages as they were, under the log of today.
    let (old, new) = (desk.git(&["show", "HEAD~2:secrets.vault"]).said, desk.read("secrets.vault"));
    let pages = |text: &str| text.find("\npage 000\n").unwrap();
    let forged = [&new[..pages(&new)], &old[pages(&old)..]].concat();
    std::fs::write(desk.folder.join("secrets.vault"), forged).unwrap();
    desk.commit("forged");
    desk.git(&["checkout", "-q", "main"]).ends(0);
    desk.save("entry/2", "changed-here");
    let before = desk.read("secrets.vault");
    desk.git(&["merge", "--no-edit", "forged"]).ends(1).says("their side of the merge");
    let with = desk.vault(&["merge"]).ends(6).says("their side of the merge").said;
    let without = desk.vault(&["merge", KEY[0], KEY[1]]).ends(6).said;
    assert_eq!(with, without);
    desk.git(&["merge", "--abort"]).ends(0);
    let with = desk.vault(&["pick", "forged"]).ends(6).said;
    assert_eq!(with, desk.vault(&["pick", "forged", KEY[0], KEY[1]]).ends(6).said);
    assert_eq!(desk.read("secrets.vault"), before);
    desk.is_good();
}

#[test]
fn the_rules_beside_the_vault_hold_for_what_the_agent_merges() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.parted("entry/0", "tmp/x");
    std::fs::write(desk.folder.join("vault.toml"), "version = 1\n[names]\nforbidden = [\"tmp/*\"]\n")
        .unwrap();
    desk.commit("rules");
    let before = desk.read("secrets.vault");
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("\"tmp/x\" is forbidden");
    desk.vault(&["merge"]).ends(6).says("\"tmp/x\" is forbidden");
    desk.git(&["merge", "--abort"]).ends(0);
    desk.vault(&["pick", "side"]).ends(6).says("\"tmp/x\" is forbidden");
    assert_eq!(desk.read("secrets.vault"), before);
    desk.is_good();
}

#[test]
fn across_a_rotation_the_agent_has_one_key_of_two_and_the_other_one_is_asked_for() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.git(&["checkout", "-q", "-b", "side"]).ends(0);
    desk.save("entry/0", "changed-there");
    desk.git(&["checkout", "-q", "main"]).ends(0);
    desk.vault(&["rotate", "--yes", KEY[0], KEY[1]]).ends(0);
    desk.commit("rotated");
    team.unlock();
    desk.git(&["merge", "--no-edit", "side"]).ends(1);
    desk.vault(&["merge"]).ends(4);
    desk.vault(&["merge", KEY[0], KEY[1]]).ends(0);
    desk.commit("merged");
    desk.is_good();
    assert_eq!(desk.get("entry/0"), "changed-there");
}

#[test]
fn a_machine_key_holds_what_the_agent_merges_against_its_generation() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.parted("entry/0", "entry/0");
    for number in 0..4 {
        desk.save("entry/1", &format!("changed-later-{number}"));
    }
    // A machine key names the generation that the vault had when it was made.
    let made = desk.vault(&[
        "slot",
        "add",
        "--machine",
        "--label",
        "ci",
        "--out",
        "../key",
        "--yes",
        KEY[0],
        KEY[1],
    ]);
    made.ends(0);
    desk.git(&["checkout", "--", "."]).ends(0);
    desk.git(&["checkout", "-q", "-b", "old", "main~4"]).ends(0);
    desk.git(&["merge", "--no-edit", "side"]).ends(1).says("is older than");
    desk.git(&["merge", "--abort"]).ends(0);
    desk.git(&["-c", "merge.vault.driver=false", "merge", "--no-edit", "side"]).ends(1);
    let conflicted = desk.read("secrets.vault");
    desk.vault(&["merge"]).ends(6).says("older than its machine key").says("--allow-rollback");
    assert_eq!(desk.read("secrets.vault"), conflicted);
}

#[test]
fn a_stash_comes_back_and_a_linked_work_tree_is_unlocked_by_its_own_path() {
    let team = Team::with_agent();
    let desk = team.desk();
    desk.vault(&["edit", "entry/0", "--attr", "url=x"]).ends(0);
    desk.git(&["stash", "-q"]).ends(0);
    desk.save_with("entry/0", "main-value", &["--allow-rollback", KEY[0], KEY[1]]);
    desk.git(&["stash", "pop"]).ends(0).says("with the key");
    desk.is_good();
    assert_eq!(desk.get("entry/0"), "main-value");
    desk.vault(&["show", "entry/0"]).ends(0).says("url=x");
    desk.commit("both");

    desk.parted("entry/1", "entry/1");
    desk.git(&["worktree", "add", "-q", "-b", "linked", "../linked", "main"]).ends(0);
    let linked = team.desk_at("linked");
    linked.git(&["merge", "--no-edit", "side"]).ends(1).says("somebody who can open the vault");
    linked.git(&["merge", "--abort"]).ends(0);
    linked.vault(&["unlock", KEY[0], KEY[1]]).ends(0);
    linked.git(&["merge", "--no-edit", "side"]).ends(1).says("with both values kept: \"entry/1\"");
    linked.vault(&["resolve", "--all", "--theirs"]).ends(0);
    linked.commit("merged");
    linked.is_good();
    assert_eq!(linked.get("entry/1"), "side-value-of-entry/1");
    assert_eq!(desk.get("entry/1"), "main-value-of-entry/1");
}
