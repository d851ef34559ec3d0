//! `diff`, `log`, `history` and `get --at`.

use serde_json::json;

use super::work::Work;
use crate::crash::program::Home;

#[test]
fn a_difference_names_entries_parts_and_kinds_and_no_value() {
    let work = Work::new();
    work.set("a", "first value of a");
    work.set("b", "first value of b");
    work.set("gone", "value that goes");
    work.vault(["edit", "b", "--attr", "owner=someone"]).ok();
    work.commit("attribute");
    assert_eq!(work.lines(["diff"]), [] as [&str; 0], "nothing is different from HEAD");

    work.home.set("a", "second value of a");
    work.home.set("new", "value that is new");
    work.vault(["edit", "b", "--attr", "owner=another", "--attr", "team=x", "--expires", "2040-01-01"]).ok();
    work.vault(["set", "b", "--field", "more"]).stdin("more of b").ok();
    work.vault(["remove", "gone"]).ok();
    assert_eq!(
        work.lines(["diff"]),
        [
            "changed a: field secret changed",
            "changed b: field more added, attribute owner changed, attribute team added, expiry added",
            "removed gone: field secret",
            "added new: field secret",
        ]
    );
    let said = work.vault(["diff", "HEAD", "--json"]).ok().json();
    assert_eq!(
        said["entries"][0],
        json!({"name": "a", "change": "changed", "fields": {"secret": "changed"}, "attributes": {}, "expiry": null, "conflict": null})
    );
    assert!(!said.to_string().contains("value"), "{said}");

    // Index, then commits in both directions.
    work.git(["add", "-A"]).ok();
    work.home.set("later", "not staged");
    assert_eq!(work.lines(["diff", "--staged"]).len(), 4);
    assert_eq!(work.lines(["diff"]).len(), 5);
    work.commit("all");
    assert_eq!(work.lines(["diff", "HEAD~1", "HEAD"]).len(), 5);
    let back = work.lines(["diff", "HEAD", "HEAD~1"]);
    assert!(back.contains(&"added gone: field secret".to_owned()), "{back:?}");
}

#[test]
fn a_rename_is_told_as_one_even_if_more_changed() {
    let work = Work::new();
    work.set("old", "x");
    work.vault(["rename", "old", "middle"]).ok();
    work.vault(["rename", "middle", "new"]).ok();
    assert_eq!(work.lines(["diff"]), ["renamed old to new"]);
    work.home.set("new", "y");
    assert_eq!(work.lines(["diff"]), ["renamed old to new: field secret changed"]);
    let said = work.vault(["diff", "--json"]).ok().json();
    assert_eq!(
        (&said["entries"][0]["change"], &said["entries"][0]["former"]),
        (&json!("renamed"), &json!("old"))
    );
}

#[test]
fn storing_the_same_value_again_or_compacting_is_no_difference() {
    let work = Work::new();
    work.set("a", "x");
    work.set("large", &"y".repeat(40_000));
    work.home.set("a", "x");
    work.home.set("large", "y".repeat(40_000));
    assert_eq!(work.lines(["diff"]), [] as [&str; 0]);
    work.vault(["compact", "--pages", "4096"]).ok();
    assert_eq!(work.lines(["diff"]), [] as [&str; 0]);
    work.home.set("large", "z".repeat(40_000));
    assert_eq!(work.lines(["diff"]), ["changed large: field secret changed"]);
}

#[test]
fn without_a_key_ids_and_slots_are_compared() {
    let work = Work::new();
    work.set("a", "x");
    work.home.set("a", "y");
    work.home.set("b", "z");
    let ran = work.vault(["diff"]).locked().without_terminal().ok();
    let mut words: Vec<_> = ran.lines().iter().map(|line| line.split(' ').next().unwrap()).collect();
    words.sort_unstable();
    assert_eq!(words, ["added", "changed"]);
    let text = ran.text();
    assert!(text.lines().all(|line| line.contains(" entry with the id ")), "{text}");
    let json = work.vault(["diff", "--json"]).locked().without_terminal().ok().json();
    assert_eq!((json["unlocked"].as_bool(), json["entries"].as_array().unwrap().len()), (Some(false), 2));
}

#[test]
fn values_are_shown_to_a_terminal_only() {
    let work = Work::new();
    work.vault(["diff", "--values"]).exits(2).says("standard output is not a terminal");
    work.set("a", "before this");
    work.home.set("a", "after that");
    let line = format!("{} diff --values", crate::crash::program::program().display());
    let shown = work.home.program("script", ["-qec", &line, "/dev/null"]).env("TERM", "xterm").ok();
    let shown = shown.text().replace('\r', "");
    assert!(shown.contains("a#secret before:\nbefore this\na#secret after:\nafter that\n"), "{shown}");
}

#[test]
fn a_state_that_is_not_there_is_named() {
    let work = Work::new();
    work.vault(["diff", "nonsense"]).fails(3, "commit-not-found");
    work.vault(["get", "a", "--at", "--upload-pack=x"]).exits(2);
    work.vault(["get", "a", "--at=-x"]).fails(3, "commit-not-found");
    let first = work.git(["rev-list", "--max-parents=0", "HEAD"]).ok().text().trim().to_owned();
    work.vault(["get", "a", "--at", &first]).fails(3, "entry-not-found");
    let home = Home::with_vault();
    home.vault(["diff"]).fails(3, "no-repository");
    home.vault(["get", "a", "--at", "HEAD"]).fails(3, "no-repository");
}

#[test]
fn an_older_value_is_read_by_its_commit() {
    let work = Work::new();
    let one = work.set("a", "one");
    work.set("a", "two");
    work.vault(["rename", "a", "b"]).ok();
    work.commit("rename");
    work.set("b", "three");
    assert_eq!(work.vault(["get", "a", "--at", &one]).ok().stdout, b"one");
    assert_eq!(work.vault(["get", "a", "--at", "HEAD~2"]).ok().stdout, b"two");
    assert_eq!(work.vault(["get", "b", "--at", "HEAD~1"]).ok().stdout, b"two");
    assert_eq!(work.vault(["get", "b"]).ok().stdout, b"three");
    // A file that is damaged now does not stand in the way of the value that it had.
    work.write("secrets.vault", "gone wrong\n");
    assert_eq!(work.vault(["get", "b", "--at", "HEAD"]).ok().stdout, b"three");
}

#[test]
fn an_older_state_that_other_slots_open_says_so() {
    let work = Work::new();
    work.set("a", "x");
    // Another vault in the same place, as a rotation with other slots leaves it.
    std::fs::remove_file(work.path("secrets.vault")).unwrap();
    std::fs::remove_file(work.home.key()).unwrap();
    let made = work.vault(["init", "--machine"]).ok();
    std::fs::write(work.home.key(), &made.stdout).unwrap();
    work.commit("another");
    work.vault(["get", "a", "--at", "HEAD~1"]).exits(6).says("older state");
    work.vault(["diff", "HEAD~1"]).exits(6).says("older state");
}

#[test]
fn history_gives_the_commit_of_each_change() {
    let work = Work::new();
    let one = work.set("a", "one");
    work.set("other", "x");
    let two = work.set("a", "two");
    work.vault(["rename", "a", "b"]).ok();
    let three = work.commit("rename");
    work.home.set("b", "not committed yet");
    let said = work.vault(["history", "b", "--json"]).ok().json();
    let commits: Vec<_> =
        said["changes"].as_array().unwrap().iter().map(|change| &change["commit"]).collect();
    assert_eq!(commits, [&json!(null), &json!(three), &json!(two), &json!(one)]);
    let lines = work.lines(["history", "b"]);
    assert!(lines[0].contains("not committed") && lines[0].contains("changed b: field secret"), "{lines:?}");
    assert!(lines[1].contains(&three[..12]) && lines[1].contains("renamed a to b"), "{lines:?}");
    assert!(lines[3].contains("created a"), "{lines:?}");
    work.vault(["history", "nothing"]).fails(3, "entry-not-found");
    // Each commit gives the value of then.
    assert_eq!(work.vault(["get", "a", "--at", &two]).ok().stdout, b"two");
}

#[test]
fn before_the_first_commit_history_says_that_there_is_none() {
    let work = Work { home: Home::with_vault() };
    work.git(["init", "-q", "--template=", "-b", "main"]).ok();
    work.home.set("a", "x");
    let ended = work.vault(["history", "a"]).ok().says("no commit of git has");
    assert!(
        ended.lines()[0].contains("not committed") && ended.lines()[0].contains("created a"),
        "{ended:?}"
    );
    let said = work.vault(["history", "a", "--json"]).ok().json();
    assert_eq!(said["changes"][0]["commit"], json!(null));
    work.commit("first");
    assert!(!work.vault(["history", "a"]).ok().stderr.contains("no commit"));
}

#[test]
fn a_long_recipient_is_shown_short_and_never_mistaken_for_another() {
    let work = Work::new();
    work.vault(["slot", "add", "--machine", "--label", "second", "--out", "../second"]).ok();
    let mut lines = work.lines(["diff", "--textconv", "secrets.vault"]);
    lines.retain(|line| line.starts_with("slot "));
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert!(line.contains(" (machine) age1pq1") && line.contains(" (sha256 "), "{line}");
        assert!(line.len() < 130, "{line}");
    }
    let digest = |line: &str| line.split("sha256 ").nth(1).unwrap().to_owned();
    assert_ne!(digest(&lines[0]), digest(&lines[1]));
}

#[test]
fn history_finds_changes_of_a_branch_that_was_merged() {
    let work = Work::new();
    // With the driver: names lie in pages by the master key, and of one vault in 256 both in the same. Text is in conflict then.
    work.vault(["git", "setup", "--yes", "--no-hook"]).ok();
    work.set("a", "one");
    work.set("b", "one");
    work.git(["checkout", "-q", "-b", "side"]).ok();
    let side = work.set("a", "two");
    work.git(["checkout", "-q", "main"]).ok();
    let main = work.set("b", "two");
    work.git(["merge", "-q", "--no-edit", "side"]).ok();
    let first = |name: &str| {
        let said = work.vault(["history", name, "--json"]).ok().json();
        said["changes"][0]["commit"].as_str().map(str::to_owned)
    };
    assert_eq!((first("a"), first("b")), (Some(side), Some(main)));
}

#[test]
fn the_log_says_who_when_and_what_and_knows_former_names() {
    let work = Work::new();
    work.vault(["set", "a"]).stdin("x").env("VAULT_AUTHOR", "first@host").ok();
    work.vault(["set", "other"]).stdin("x").ok();
    work.vault(["rename", "a", "b"]).env("VAULT_AUTHOR", "second@host").ok();
    work.vault(["edit", "b", "--attr", "k=v"]).env("VAULT_AUTHOR", "third\u{1b}[2J").ok();
    let said = work.vault(["log", "b", "--json"]).ok().json();
    let records = said["records"].as_array().unwrap();
    let words: Vec<_> = records.iter().map(|one| (&one["author"], &one["entries"][0]["change"])).collect();
    assert_eq!(
        words,
        [
            (&json!("third\u{1b}[2J"), &json!("changed")),
            (&json!("second@host"), &json!("renamed")),
            (&json!("first@host"), &json!("created"))
        ]
    );
    let all = work.lines(["log"]);
    assert!(all.iter().any(|line| line.trim() == "created other: field secret"), "{all:?}");
    // Since tomorrow there was nothing; for the past day, everything.
    assert_eq!(work.lines(["log", "--since", "2100-01-01"]).len(), 0, "nothing is from a time to come");
    assert_eq!(work.lines(["log", "--since", "1d"]), all);
    work.vault(["log", "--since", "yesterday"]).fails(2, "bad-time");
    work.vault(["log", "nothing"]).fails(3, "entry-not-found");

    let shown = work.vault(["show", "b", "--json"]).ok().json();
    assert_eq!(shown["last_change"]["author"], "third\u{1b}[2J");
    // On a terminal, nobody's name drives it.
    let line = format!("{} log b", crate::crash::program::program().display());
    let shown = work.home.program("script", ["-qec", &line, "/dev/null"]).env("TERM", "xterm").ok();
    assert!(shown.text().contains("third\\u{1b}[2J") && !shown.text().contains('\u{1b}'), "{shown:?}");
}

#[test]
fn what_a_restart_carries_is_marked() {
    let work = Work::new();
    work.home.set("a", "x");
    work.vault(["compact"]).ok();
    work.home.set("a", "y");
    let said = work.vault(["log", "a", "--json"]).ok().json();
    let carried: Vec<_> =
        said["records"].as_array().unwrap().iter().map(|one| one["carried"].clone()).collect();
    assert_eq!(carried, [json!(false), json!(true)]);
    assert!(work.lines(["log"]).iter().any(|line| line.ends_with("carried by a restart")));
    assert!(work.lines(["log"]).iter().any(|line| line.ends_with("the log was started anew")));
}

#[test]
fn a_vault_below_the_top_and_one_in_another_repository_are_found() {
    let work = Work::new();
    std::fs::create_dir_all(work.path("deep/er")).unwrap();
    let made = work.vault(["--file", "deep/er/my vault", "init", "--machine"]).ok();
    work.commit("second vault");
    work.write("../other.key", &made.stdout);
    let other = |arguments: &[&str]| {
        let key = work.home.beside("other.key");
        work.vault(["--file", "deep/er/my vault"].iter().chain(arguments)).env("VAULT_MACHINE_KEY_FILE", key)
    };
    other(&["set", "a"]).stdin("x").ok();
    assert_eq!(other(&["diff"]).ok().lines(), ["added a: field secret"]);
    // From the folder of another repository, and with a hook's variables of that one.
    let far = Work::new();
    let path = work.path("deep/er/my vault");
    let run = far.vault(["--file", path.to_str().unwrap(), "diff"]).env("GIT_DIR", far.path(".git"));
    let run = run.env("VAULT_MACHINE_KEY_FILE", work.home.beside("other.key"));
    assert_eq!(run.ok().lines(), ["added a: field secret"]);
}

#[test]
fn linked_work_trees_and_submodules_are_repositories_of_their_own() {
    let work = Work::new();
    work.set("a", "x");
    work.git(["worktree", "add", "-q", "side"]).ok();
    let side = |arguments: &[&str]| work.vault(["--file", "side/secrets.vault"].iter().chain(arguments));
    side(&["set", "b"]).stdin("y").ok();
    assert_eq!(side(&["diff"]).ok().lines(), ["added b: field secret"]);
    assert_eq!(work.lines(["diff"]), [] as [&str; 0]);

    let inner = Work::new();
    inner.set("c", "z");
    let from = inner.home.work();
    let add =
        ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from.to_str().unwrap(), "inner"];
    work.git(add).ok();
    let inside = |arguments: &[&str]| {
        let run = work.vault(["--file", "inner/secrets.vault"].iter().chain(arguments));
        run.env("VAULT_MACHINE_KEY_FILE", inner.home.key())
    };
    inside(&["set", "d"]).stdin("y").ok();
    assert_eq!(inside(&["diff"]).ok().lines(), ["added d: field secret"]);
    assert_eq!(inside(&["get", "c", "--at", "HEAD"]).ok().stdout, b"z");
}
