//! Reports: what is said about entries, by whom it was changed, and about mistakes.

use crate::support::World;

#[test]
fn a_name_never_makes_a_line_of_a_report() {
    let world = World::new();
    let name = "a\n::add-path::/tmp/evil\x1b[2J";
    world.set(name, b"value");
    world.ok(&["edit", name, "--attr", "k=v\n::error::x"]);
    for command in [&["log"][..], &["show", name], &["resolve"]] {
        let text = world.ok(command);
        assert!(
            !text.contains('\x1b') && !text.lines().any(|line| line.starts_with("::")),
            "{command:?}: {text}"
        );
    }
    assert!(world.ok(&["show", name]).contains("name: a\\u{a}::add-path::/tmp/evil\\u{1b}[2J\n"));
    // What a script takes as an argument of the next command is the name itself.
    assert_eq!(world.ok(&["list"]), format!("{name}\n"));
}

#[test]
fn log_shows_what_is_newer_than_a_time_or_a_span() {
    let world = World::new();
    world.set("a", b"1");
    let all = world.ok(&["log"]);
    for since in ["30m", "90s", "12h", "2w", "2020-01-01"] {
        assert_eq!(world.ok(&["log", "--since", since]), all, "{since}");
    }
    for since in ["2099-01-01", "9999-12-31T23:59:59Z"] {
        assert_eq!(world.ok(&["log", "--since", since]), "", "{since}");
    }
    let ran = world.run(&["log", "--since", "soon"]);
    assert!(
        ran.refuses(2, "\"soon\" is no time").stderr.contains("a span back from now: 30m"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_entry_in_conflict_is_shown_with_whose_the_other_version_is() {
    let world = World::new();
    world.set_in_conflict("db/password");
    let shown = world.ok(&["show", "db/password"]);
    assert!(shown.contains("conflict 1: field secret; theirs, by tester"), "{shown}");
    assert!(!shown.contains("their value") && !shown.contains("our value"), "{shown}");
    let json = world.ok(&["show", "db/password", "--json"]);
    assert!(json.contains("\"alternatives\":[{\"author\":\"tester"), "{json}");
    assert!(world.ok(&["resolve"]).contains("conflict 1: field secret; theirs, by tester"));
}

#[test]
fn what_is_not_there_is_not_removed_and_what_was_there_is_said_to_be_replaced() {
    let world = World::new();
    world.ok(&["generate", "db/password"]);
    let ran = world.run(&["generate", "db/password"]);
    assert_eq!(ran.expect(0).stderr, "replaced the value of \"db/password\"\n");
    let ran = world.run(&["generate", "db/password", "--field", "other"]);
    assert_eq!(ran.expect(0).stderr, "stored \"db/password\"\n");
    world.ok(&["edit", "db/password", "--attr", "owner=me"]);
    let generation = world.generation();
    let ran = world.run(&["edit", "db/password", "--remove-attr", "nope", "--attr", "x=y"]);
    ran.refuses(3, "has no attribute \"nope\"");
    assert!(ran.stderr.contains("it has: \"owner\""), "{}", ran.stderr);
    assert_eq!(world.generation(), generation);
    world.ok(&["edit", "db/password", "--remove-attr", "owner"]);
}

#[test]
fn a_mistake_is_answered_with_the_help_of_its_command() {
    let world = World::new();
    for (line, command) in [
        (&["unlock", "--for", "x"][..], "unlock"),
        (&["generate", "a", "--length", "x"], "generate"),
        (&["run", "--env", "x", "--", "true"], "run"),
        (&["list", "--attr", "x"], "list"),
        (&["slot", "add", "--passphrase", "--kdf-memory", "x"], "slot add"),
    ] {
        let ran = world.run(line);
        ran.refuses(if command == "run" { 125 } else { 2 }, "cannot use the value");
        assert!(ran.stderr.contains(&format!("see: vault help {command}\n")), "{}", ran.stderr);
    }
    world.run_with(&["set", "a", "--max-size", "2GiB"], b"x").refuses(2, "at most 1 GiB");
    world.run_with(&["set", "a", "--max-size", "1GiB"], b"x").expect(0);
    for words in [&["slot", "add"][..], &["agent", "stop"], &["git", "setup"]] {
        let help = world.ok(&[&["help"][..], words].concat());
        assert!(help.contains(&format!("Usage: vault {}", words.join(" "))), "{help}");
    }
    world.run(&["help", "slot", "nonsense"]).refuses(2, "no help on \"slot nonsense\"");
}

#[test]
fn a_damaged_vault_says_how_to_save_what_opens() {
    let world = World::new();
    world.set("a", b"1");
    let text = String::from_utf8(world.vault()).unwrap().replacen("\npage 80\n", "\npage 8x\n", 1);
    std::fs::write(world.path("secrets.vault"), text).unwrap();
    let ran = world.run(&["check"]);
    assert!(ran.refuses(6, "damaged").stderr.contains("vault check --salvage PATH"), "{}", ran.stderr);
}
