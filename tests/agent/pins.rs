//! What this machine remembers of a vault holds for the agent as for every other process.

use std::fs;

use super::home::AgentHome;
use crate::crash::program::Run;

/// The agent holds a vault of generation 3, and has been given back the one before.
fn rolled_back() -> (AgentHome, Vec<u8>) {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let older = fs::read(agent.home.file()).unwrap();
    agent.set("a", "2");
    fs::write(agent.home.file(), &older).unwrap();
    (agent, older)
}

/// In its own process, with the passphrase.
fn here(agent: &AgentHome, run: Run) -> Run {
    run.first("--no-agent").env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase"))
}

#[test]
fn an_older_vault_is_read_with_a_warning_and_not_changed() {
    let (agent, older) = rolled_back();
    let with =
        agent.vault(["get", "a"]).ok().says("is older than the last one seen here (generation 2, seen 3)");
    assert_eq!(with.text(), "1");
    let without = here(&agent, agent.vault(["get", "a"])).ok();
    assert_eq!(with.stderr, without.stderr);
    agent.vault(["get", "a", "--strict"]).exits(6);

    let changes: &[&[&str]] = &[&["set", "b"], &["mv", "a", "b"], &["rm", "a"], &["compact"]];
    for change in changes {
        let with = agent.vault(change.iter().copied()).stdin("x").exits(6).says("cannot change vault");
        let without = here(&agent, agent.vault(change.iter().copied())).stdin("x").exits(6);
        assert_eq!(with.stderr, without.stderr, "{change:?}");
        assert_eq!(with.stderr.matches("older than").count(), 1, "it is said once: {with:?}");
        assert!(fs::read(agent.home.file()).unwrap() == older, "{change:?}: something was stored");
    }
    // An agent that is started anew remembers it as well.
    agent.vault(["agent", "stop"]).ok();
    agent.unlock();
    agent.vault(["get", "a"]).ok().says("is older than");
    agent.vault(["set", "b"]).stdin("x").exits(6).says("cannot change vault");
    // It is meant: so it is told to the agent, or done without it.
    here(&agent, agent.vault(["set", "b"])).first("--allow-rollback").stdin("x").ok();
    assert_eq!(agent.get("b"), "x");
    agent.set("b", "y");
    assert_eq!(agent.get("b"), "y");
}

#[test]
fn an_older_vault_that_was_meant_at_an_unlock_is_the_only_one_that_is() {
    let (agent, older) = rolled_back();
    agent.vault(["agent", "stop"]).ok();
    agent.vault(["--allow-rollback", "unlock", "--stdin"]).stdin(super::home::PASSPHRASE).ok();
    // From here on it is the one that was seen.
    assert!(!agent.vault(["get", "a"]).ok().stderr.contains("older"));
    agent.set("a", "3");
    fs::write(agent.home.file(), &older).unwrap();
    agent.vault(["get", "a"]).ok().says("is older than");
    agent.vault(["set", "b"]).stdin("x").exits(6).says("cannot change vault");
}

#[test]
fn another_vault_at_the_same_path_is_refused_and_gets_no_passphrase_tried() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let mine = fs::read(agent.home.file()).unwrap();
    // Somebody else's, with the same passphrase, which this machine has not seen.
    let other = AgentHome::new();
    other.unlock();
    other.set("a", "forged");
    let forged = fs::read(other.home.file()).unwrap();
    fs::write(agent.home.file(), &forged).unwrap();

    let words = "it was rotated or replaced since this machine last saw it";
    for arguments in [&["get", "a"][..], &["list"], &["export", "--format", "json"]] {
        let with = agent.vault(arguments.iter().copied()).exits(6).says(words);
        let without = here(&agent, agent.vault(arguments.iter().copied())).exits(6);
        assert_eq!((&with.stdout, &with.stderr), (&without.stdout, &without.stderr), "{arguments:?}");
    }
    // Without a key, only its form would be checked.
    let check = agent.vault(["check"]).env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase"));
    check.exits(6).says(words);
    for options in [&["check"][..], &["check", "--no-key"]] {
        let ended = here(&agent, agent.vault(options.iter().copied()).without("VAULT_PASSPHRASE_FILE"));
        ended.without("VAULT_PASSPHRASE_FILE").exits(6).says(words);
    }
    agent.vault(["set", "a"]).stdin("2").exits(6).says(words);
    agent.vault(["unlock", "--stdin"]).stdin(super::home::PASSPHRASE).exits(6).says(words);
    agent.vault(["unlock", "--stdin"]).stdin("wrong").exits(6).says(words);
    assert!(fs::read(agent.home.file()).unwrap() == forged, "something was stored");
    // The real one is back.
    fs::write(agent.home.file(), &mine).unwrap();
    assert_eq!(agent.get("a"), "1");
    // It is another one on purpose.
    fs::write(agent.home.file(), &forged).unwrap();
    here(&agent, agent.vault(["trust", "--yes"])).ok();
    agent.unlock();
    assert_eq!(agent.get("a"), "forged");
}

#[test]
fn a_state_with_nothing_that_was_seen_is_not_changed_through_the_agent_which_cannot_warn() {
    let agent = AgentHome::new();
    let git = |arguments: &[&str]| {
        let run = agent.home.program("git", arguments.iter().copied()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let run = run.env("GIT_AUTHOR_NAME", "t").env("GIT_AUTHOR_EMAIL", "t@t");
        run.env("GIT_COMMITTER_NAME", "t").env("GIT_COMMITTER_EMAIL", "t@t").ok();
    };
    git(&["init", "--quiet", "-b", "main"]);
    here(&agent, agent.vault(["trust"])).ok();
    agent.unlock();
    for value in ["1", "2"] {
        agent.set("a", value);
        git(&["add", "-A"]);
        git(&["commit", "--quiet", "-m", value]);
    }
    git(&["checkout", "--quiet", "-b", "old", "HEAD~1"]);
    assert_eq!(agent.get("a"), "1");
    let before = fs::read(agent.home.file()).unwrap();
    let refused = agent.vault(["set", "b"]).stdin("x").exits(6);
    assert!(refused.stderr.contains("has nothing of the states that were seen here"), "{refused:?}");
    assert!(fs::read(agent.home.file()).unwrap() == before, "something was stored");
    here(&agent, agent.vault(["set", "b"])).first("--allow-rollback").stdin("x").ok();
    agent.set("c", "y");
    assert_eq!(agent.get("b"), "x");
}
