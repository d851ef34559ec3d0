//! The pre-commit hook that `vault git setup` installs, run by git itself: in a work tree, a linked one and a submodule, for
//! somebody with the key and for somebody without.

use std::fs;

use super::team::{Desk, Team};

fn head(desk: &Desk<'_>) -> String {
    desk.git(&["rev-parse", "HEAD"]).said.trim().to_owned()
}

/// What the hook lets through and what it stops, here.
fn watches(desk: &Desk<'_>) {
    let vault = desk.folder.join("secrets.vault");
    for (hand, said) in [(desk.clone(), "verifies"), (desk.locked(), "has the right form")] {
        // A good vault goes through, as do commits without one.
        desk.set("entry", "a-value-of-the-hook");
        let before = head(desk);
        hand.git(&["commit", "-q", "-a", "-m", "good"]).ends(0).says(said);
        assert_ne!(head(desk), before);
        fs::write(desk.folder.join("notes"), before).unwrap();
        hand.git(&["add", "notes"]).ends(0);
        hand.git(&["commit", "-q", "-m", "no vault in it"]).ends(0);

        // Plain text, in the vault or in its place; marks of a merge; a line that was cut; line ends of another system.
        let good = fs::read_to_string(&vault).unwrap();
        let before = head(desk);
        for (bad, said) in [
            ("entry=a-value-in-plain-text\n".to_owned(), "is not a vault"),
            (format!("{good}entry: a-value-in-plain-text\n"), "secrets.vault"),
            (format!("<<<<<<< ours\n{good}=======\n{good}>>>>>>> theirs\n"), "conflict"),
            (good[..good.len() - 100].to_owned(), "secrets.vault"),
            (good.replace('\n', "\r\n"), "secrets.vault"),
        ] {
            fs::write(&vault, bad).unwrap();
            hand.git(&["-c", "core.safecrlf=false", "-c", "core.attributesFile=/dev/null", "add", "-A"])
                .ends(0);
            let ran = hand.git(&["commit", "-q", "-m", "bad"]);
            let staged = desk.git(&["show", ":secrets.vault"]).stdout;
            // Git itself takes the carriage returns out, as .gitattributes says.
            if staged == good.as_bytes() {
                desk.git(&["reset", "-q", "--hard", &before]).ends(0);
                continue;
            }
            let ran = ran.ends(1).says(said);
            assert!(!ran.said.contains("a-value-in-plain-text"), "{}", ran.said);
            assert_eq!(head(desk), before);
        }
        fs::write(&vault, good).unwrap();
        desk.git(&["add", "-A"]).ends(0);

        // What the rules that are committed with it forbid.
        fs::write(desk.folder.join("vault.toml"), "version = 1\n[slots]\nallowed-kinds = []\n").unwrap();
        desk.git(&["add", "-A"]).ends(0);
        hand.git(&["commit", "-q", "-m", "bad"]).ends(1).says("not allowed");
        desk.git(&["reset", "-q", "--hard", &before]).ends(0);
    }
}

#[test]
fn the_installed_hook_stops_what_is_no_good_vault_wherever_git_commits() {
    let team = Team::bare();
    let desk = team.desk();
    desk.vault(&["git", "setup", "--yes"]).ends(0).says(".git/hooks/pre-commit");
    desk.set("entry", "first-value");
    desk.commit("first");
    watches(&desk);

    desk.git(&["worktree", "add", "-q", "-b", "linked", "../linked"]).ends(0);
    watches(&team.desk_at("linked"));

    fs::create_dir(team.path("outer")).unwrap();
    let outer = team.desk_at("outer");
    outer.git(&["init", "-q", "-b", "main"]).ends(0);
    outer.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", "../work", "deploy"]).ends(0);
    let inner = team.desk_at("outer/deploy");
    inner.vault(&["git", "setup", "--yes"]).ends(0).says("hooks/pre-commit");
    watches(&inner);
}

#[test]
fn the_installed_hook_stops_a_conflict_that_is_not_settled_if_it_can_see_it() {
    let team = Team::bare();
    let desk = team.desk();
    desk.vault(&["git", "setup", "--yes"]).ends(0);
    desk.set("entry", "first-value");
    desk.commit("first");
    desk.git(&["checkout", "-q", "-b", "side"]).ends(0);
    desk.save("entry", "their-value");
    desk.git(&["checkout", "-q", "main"]).ends(0);
    desk.save("entry", "our-value");
    desk.git(&["merge", "--no-edit", "side"]).ends(1);
    desk.git(&["commit", "-q", "-a", "-m", "merged"]).ends(1).says("\"entry\"").says("vault resolve");
    desk.vault(&["resolve", "--all", "--ours"]).ends(0);
    desk.git(&["commit", "-q", "-a", "-m", "merged"]).ends(0);
    assert_eq!(desk.get("entry"), "our-value");
}
