//! The hooks that `vault git setup` installs, run by git itself: in a work tree, a linked one and a submodule, for somebody with
//! the key and for somebody without; before commits, and before those that a merge makes.

use std::fs;

use super::team::{Desk, Team};

/// What the hook lets through and what it stops, here.
fn watches(desk: &Desk<'_>) {
    let vault = desk.folder.join("secrets.vault");
    for (hand, said) in [(desk.clone(), "verifies"), (desk.locked(), "has the right form")] {
        // A good vault goes through, as do commits without one.
        desk.set("entry", "a-value-of-the-hook");
        let before = desk.head();
        hand.git(&["commit", "-q", "-a", "-m", "good"]).ends(0).says(said);
        assert_ne!(desk.head(), before);
        fs::write(desk.folder.join("notes"), before).unwrap();
        hand.git(&["add", "notes"]).ends(0);
        hand.git(&["commit", "-q", "-m", "no vault in it"]).ends(0);

        // Plain text, in the vault or in its place; marks of a merge; a line that was cut; line ends of another system.
        let good = fs::read_to_string(&vault).unwrap();
        let before = desk.head();
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
            assert_eq!(desk.head(), before);
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

/// `main` and `side` parted, with `rules` and an entry in conflict committed on `side` where nothing watched.
fn careless(desk: &Desk<'_>, rules: Option<&str>, conflict: bool) {
    desk.git(&["checkout", "-q", "-b", "theirs"]).ends(0);
    desk.save("entry/0", "their-value");
    desk.git(&["checkout", "-q", "-b", "side", "main"]).ends(0);
    desk.save("entry/0", "side-value");
    if let Some(rules) = rules {
        fs::write(desk.folder.join("vault.toml"), format!("version = 1\n{rules}")).unwrap();
    }
    if conflict {
        desk.git(&["merge", "--no-edit", "theirs"]).ends(1);
    }
    desk.commit("nobody looked");
    desk.git(&["checkout", "-q", "main"]).ends(0);
    desk.save("ours/1", "our-value");
}

/// A merge that git makes cleanly is not committed, and says why.
fn is_stopped(hand: &Desk<'_>, why: &str) {
    let before = hand.head();
    hand.git(&["merge", "--no-edit", "side"]).ends(1).says(why).says("Not committing merge");
    assert_eq!(hand.head(), before);
}

#[test]
fn a_merge_that_brings_an_unsettled_conflict_is_not_committed() {
    let team = Team::new();
    let desk = team.desk();
    careless(&desk, None, true);
    desk.vault(&["git", "setup", "--yes"]).ends(0);
    is_stopped(&desk, "\"entry/0\"");
    // It goes on where git stopped.
    desk.git(&["commit", "-q", "-a", "-m", "merged"]).ends(1).says("vault resolve");
    desk.vault(&["resolve", "--all", "--theirs"]).ends(0);
    desk.git(&["commit", "-q", "-a", "-m", "merged"]).ends(0);
    assert_eq!(desk.git(&["rev-list", "--parents", "-n", "1", "HEAD"]).said.split_whitespace().count(), 3);
    desk.is_good();
    // A good one goes through, with the key and without.
    for (hand, said) in [(desk.clone(), "verifies"), (desk.locked(), "a conflict in it would not be seen")] {
        desk.git(&["checkout", "-q", "-b", "good"]).ends(0);
        desk.save("entry/1", "good-value");
        desk.git(&["checkout", "-q", "main"]).ends(0);
        desk.save("entry/2", "more-of-ours");
        hand.git(&["merge", "--no-edit", "good"]).ends(0).says(said);
        desk.git(&["branch", "-q", "-D", "good"]).ends(0);
    }
}

#[test]
fn a_merge_against_the_rules_that_it_brings_is_not_committed() {
    for (rules, why, without_key) in [
        ("[names]\nforbidden = [\"ours/*\"]\n", "\"ours/1\" is forbidden", false),
        ("[slots]\nallowed-kinds = [\"age\"]\n", "not allowed", true),
    ] {
        let team = Team::new();
        let desk = team.desk();
        careless(&desk, Some(rules), false);
        desk.vault(&["git", "setup", "--yes"]).ends(0);
        is_stopped(&desk, why);
        desk.git(&["merge", "--abort"]).ends(0);
        if without_key {
            is_stopped(&desk.locked(), why);
            desk.git(&["merge", "--abort"]).ends(0);
        }
        // Without the hook git does not look.
        desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0);
        desk.git(&["checkout", "-q", "--", ".gitattributes"]).ends(0);
        desk.git(&["merge", "-q", "--no-edit", "side"]).ends(0);
    }
}

#[test]
fn the_framework_s_hooks_look_at_commits_and_at_merges() {
    let team = Team::new();
    let desk = team.desk();
    careless(&desk, None, true);
    fs::write(desk.folder.join(".pre-commit-config.yaml"), "repos:\n").unwrap();
    desk.vault(&["git", "setup", "--yes"]).ends(0).says("add this to the repos");
    let lint = "repos:\n- repo: local\n  hooks:\n  - id: lint\n    name: lint\n    entry: 'true'\n    language: system\n";
    fs::write(desk.folder.join(".pre-commit-config.yaml"), lint).unwrap();
    desk.vault(&["git", "setup", "--yes"]).ends(0).says("--hook-type pre-merge-commit");
    desk.framework(&["install", "--hook-type", "pre-commit", "--hook-type", "pre-merge-commit"]).ends(0);
    desk.git(&["add", "-A"]).ends(0);
    desk.git(&["commit", "-q", "-m", "hooks"]).ends(0).says("vault check --staged").says("Passed");
    is_stopped(&desk, "\"entry/0\"");
    desk.vault(&["resolve", "--all", "--ours"]).ends(0);
    desk.git(&["commit", "-q", "-a", "-m", "merged"]).ends(0).says("Passed");
    desk.is_good();
}

#[test]
fn a_check_of_the_whole_vault_names_what_is_in_conflict() {
    let team = Team::new();
    let desk = team.desk();
    let json = |desk: &Desk<'_>, options: &[&str]| {
        let ran = desk.vault(&[&["check", "--json"], options].concat());
        serde_json::from_slice::<serde_json::Value>(&ran.stdout).unwrap()
    };
    assert_eq!(json(&desk, &[])["conflicts"], serde_json::json!([]));
    careless(&desk, None, true);
    desk.git(&["checkout", "-q", "side"]).ends(0);
    desk.vault(&["check"])
        .ends(0)
        .says("everything verifies")
        .says("warning")
        .says("entries in conflict: \"entry/0\"")
        .says("vault resolve NAME");
    desk.vault(&["check", "--strict"]).ends(7).says("\"entry/0\"").says("--strict");
    assert_eq!(json(&desk, &[])["conflicts"], serde_json::json!(["entry/0"]));
    desk.vault(&["check", "--json", "--strict"])
        .ends(7)
        .says("\"id\":\"in-conflict\"")
        .says("\"parts\":[\"entry/0\"]");
    // Without a key nobody can tell, and that is what is said.
    for unseen in
        [desk.locked().vault(&["check", "--strict"]), desk.vault(&["check", "--strict", "--no-key"])]
    {
        unseen.ends(0).says("nor whether entries are in conflict");
    }
    assert_eq!(json(&desk, &["--no-key"])["conflicts"], serde_json::Value::Null);
    desk.locked().vault(&["check", "--strict", "--need-key"]).ends(4);
}

#[test]
fn values_of_every_version_of_an_entry_in_conflict_are_looked_for() {
    let team = Team::new();
    let desk = team.desk();
    careless(&desk, None, true);
    desk.git(&["checkout", "-q", "side"]).ends(0);
    fs::create_dir(desk.folder.join("leaks")).unwrap();
    for (file, text) in [
        ("ours", "side-value"),
        ("theirs", "their-value"),
        ("hex", "74686569722d76616c7565"),
        ("other", "our-value"),
    ] {
        fs::write(desk.folder.join("leaks").join(file), text).unwrap();
    }
    let ran = desk.vault(&["scan", "leaks"]).ends(6).says("3 copies");
    assert_eq!(
        String::from_utf8(ran.stdout).unwrap().lines().collect::<Vec<_>>(),
        [
            "leaks/hex:1:1: entry/0#secret, theirs 1 (hex)",
            "leaks/ours:1:1: entry/0#secret",
            "leaks/theirs:1:1: entry/0#secret, theirs 1",
        ]
    );
    let ran = desk.vault(&["scan", "leaks/theirs", "--json"]).ends(6);
    let said: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&said["found"][0]["theirs"], &said["found"][0]["field"]), (&1.into(), &"secret".into()));
    // What was settled against is no value of the vault any more.
    desk.vault(&["resolve", "--all", "--ours"]).ends(0);
    desk.vault(&["scan", "leaks/theirs"]).ends(0);
}
