//! Every command says the same, byte for byte, with the agent as without it.

use std::fs;
use std::path::Path;

use super::home::AgentHome;
use crate::crash::program::{Ended, names};

/// Not text, and longer than what stands in one frame.
fn binary() -> Vec<u8> {
    (0..700_000_u32).map(|i| u8::try_from(i % 251).unwrap() ^ 0xa5).collect()
}

/// A vault with something of everything, in a repository.
fn filled() -> AgentHome {
    let agent = AgentHome::new();
    agent.unlock();
    agent.vault(["set", "binary/large"]).stdin(binary()).ok();
    agent.vault(["set", "binary/small", "--raw"]).stdin(vec![0, 0xff, b'\n', 0x80]).ok();
    agent.vault(["set", "text", "--attr", "service=x", "--expires", "2030-01-01"]).stdin("one\ntwo\n").ok();
    agent.vault(["set", "text", "--field", "pin"]).stdin("1234\n").ok();
    agent.vault(["set", "text-large"]).stdin("\u{e9}\n".repeat(100_000)).ok();
    agent.vault(["set", "empty", "--raw"]).ok();
    let many: String = (0..3_000).map(|n| format!("N{n}=v{n}\n")).collect();
    fs::write(agent.home.work().join("many.env"), many).unwrap();
    agent.vault(["import", "many.env", "--prefix", "many/"]).ok();
    agent.vault(["mv", "many/N1", "moved"]).ok();
    agent.vault(["rm", "many/N2"]).ok();
    git(&agent, &["init", "--quiet", "-b", "main"]);
    commit(&agent, "a");
    agent
}

fn git(agent: &AgentHome, arguments: &[&str]) {
    agent.home.program("git", arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").ok();
}

fn commit(agent: &AgentHome, message: &str) {
    git(agent, &["add", "secrets.vault"]);
    git(agent, &["-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", message]);
}

/// Both ways, and that they end alike. Gives the one with the agent.
fn alike(agent: &AgentHome, arguments: &[&str]) -> Ended {
    let with = agent.vault(arguments.iter().copied()).end();
    let without = agent
        .vault(arguments.iter().copied())
        .first("--no-agent")
        .env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase"))
        .end();
    assert_eq!(
        (with.status.code(), &with.stderr),
        (without.status.code(), &without.stderr),
        "{arguments:?}: what is said"
    );
    assert!(with.stdout == without.stdout, "{arguments:?}: {:?} {:?}", with.stdout, without.stdout);
    with
}

#[test]
fn reading_commands_answer_byte_for_byte_as_without_the_agent() {
    let agent = filled();
    // What has to print something, and ends well.
    let fruitful: &[&[&str]] = &[
        &["get", "binary/large"],
        &["get", "binary/large", "--json"],
        &["get", "binary/small"],
        &["get", "binary/small", "--json"],
        &["get", "text"],
        &["get", "text", "--json"],
        &["get", "text", "pin"],
        &["get", "text-large"],
        &["get", "text-large", "--json"],
        &["list"],
        &["list", "--json"],
        &["list", "many/*"],
        &["list", "--attr", "service=x"],
        &["show", "text"],
        &["show", "text", "--json"],
        &["show", "binary/large"],
        &["show", "binary/large", "--json"],
        &["export", "text*"],
        &["export", "text*", "--format", "json"],
        &["export", "text*", "--format", "yaml"],
        &["export", "text*", "--format", "toml"],
        &["export", "many/*", "--format", "dotenv", "--prefix", "many/"],
        &["export", "many/*", "--format", "json", "-o", "-"],
        &["log"],
        &["log", "--json"],
        &["log", "text"],
        &["log", "text", "--json"],
        &["history", "text"],
        &["history", "text", "--json"],
        &["check"],
        &["check", "--json"],
        &["check", "--no-key", "--json"],
    ];
    for arguments in fruitful {
        let ended = alike(&agent, arguments);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(!ended.stdout.is_empty(), "{ended:?}");
    }
    // What is refused, or finds nothing.
    let others: &[&[&str]] = &[
        &["get", "empty"],
        &["get", "no"],
        &["get", "tex"],
        &["get", "text", "no"],
        &["get", "text", "--at", "no"],
        &["list", "no*"],
        &["list", "no*", "--json"],
        &["list", "--expired"],
        &["list", "--conflicts", "--json"],
        &["show", "no"],
        &["export", "--format", "dotenv"],
        &["export", "no*"],
        &["log", "no"],
        &["history", "no"],
    ];
    for arguments in others {
        alike(&agent, arguments);
    }
    assert_eq!(alike(&agent, &["get", "binary/large"]).stdout, binary());
}

#[test]
fn what_is_against_the_rules_is_told_piece_by_piece_as_without_the_agent() {
    let agent = filled();
    let rules = "version = 1\n[names]\nforbidden = [\"ab/*\"]\n[slots]\nrequired-kinds = [\"recovery\"]\n";
    fs::write(agent.home.work().join("vault.toml"), rules).unwrap();
    for arguments in [&["rename", "text", "ab/1", "--json"][..], &["rename", "text", "ab/1"]] {
        let ended = alike(&agent, arguments);
        assert_eq!(ended.status.code(), Some(6), "{ended:?}");
        if let Ok(said) = serde_json::from_str::<serde_json::Value>(&ended.stderr) {
            let parts: Vec<_> =
                said["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
            assert_eq!(parts.len(), 2, "{ended:?}");
            assert!(parts[0].contains("recovery") && parts[1].contains("ab/1"), "{parts:?}");
        }
    }
    // However many there are, the answer fits.
    let many: String = (0..4_000).map(|n| format!("ab/{n}-{}: v\n", "x".repeat(100))).collect();
    fs::write(agent.home.work().join("ab.yaml"), many).unwrap();
    let ended = agent.vault(["import", "ab.yaml"]).exits(6);
    assert!(ended.stderr.contains("against") && ended.stderr.len() < 300_000, "{}", ended.stderr.len());
}

#[test]
fn older_states_are_read_with_the_key_that_the_agent_holds() {
    let agent = filled();
    agent.vault(["set", "text", "--field", "pin"]).stdin("9999\n").ok();
    agent.vault(["set", "binary/large"]).stdin(vec![7; 300_000]).ok();
    agent.vault(["mv", "moved", "moved-again"]).ok();
    agent.vault(["rm", "empty"]).ok();
    commit(&agent, "b");
    agent.vault(["set", "new", "--attr", "service=y"]).stdin("n\n").ok();
    git(&agent, &["add", "secrets.vault"]);
    agent.vault(["set", "text"]).stdin("three\n").ok();
    let fruitful: &[&[&str]] = &[
        &["get", "text", "pin", "--at", "HEAD~"],
        &["get", "text", "pin", "--at", "main", "--json"],
        &["get", "binary/large", "--at", "HEAD~"],
        &["get", "text-large", "--at", "HEAD~"],
        &["diff"],
        &["diff", "--json"],
        &["diff", "HEAD~"],
        &["diff", "HEAD~", "HEAD", "--json"],
        &["diff", "--staged"],
        &["diff", "--textconv", "secrets.vault"],
        &["check", "--staged"],
        &["check", "--staged", "--json"],
        &["history", "text"],
        &["history", "text", "--json"],
    ];
    for arguments in fruitful {
        let ended = alike(&agent, arguments);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(!ended.stdout.is_empty(), "{ended:?}");
    }
    assert_eq!(alike(&agent, &["get", "text", "pin", "--at", "HEAD~"]).text(), "1234");
    assert_eq!(alike(&agent, &["get", "binary/large", "--at", "HEAD~"]).stdout, binary());
    let renamed = alike(&agent, &["diff", "HEAD~", "HEAD"]);
    assert!(renamed.text().contains("renamed moved to moved-again"), "{renamed:?}");
    let staged = agent.vault(["check", "--staged", "--json"]).ok().json();
    assert_eq!(staged["files"][0]["verified"], true);
    alike(&agent, &["get", "no", "--at", "HEAD"]);
    alike(&agent, &["get", "new", "--at", "HEAD"]);
    alike(&agent, &["diff", "HEAD", "HEAD"]);
}

#[test]
fn a_state_under_another_master_key_is_read_with_what_opens_it_and_nobody_else_s_key() {
    let agent = filled();
    let with_passphrase =
        |run: crate::crash::program::Run| run.env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase"));
    with_passphrase(agent.vault(["rotate", "--yes", "--no-agent"])).ok();
    agent.unlock();
    // The agent's key is not that of the commit. With nothing else, it is locked.
    agent.vault(["get", "text", "--at", "HEAD", "--no-input"]).fails(4, "locked-no-terminal");
    agent.vault(["diff", "--no-input"]).fails(4, "locked-no-terminal");
    agent.vault(["check", "--staged"]).ok().says("");
    assert_eq!(with_passphrase(agent.vault(["get", "text", "--at", "HEAD"])).ok().text(), "one\ntwo");
    let diff = with_passphrase(agent.vault(["diff"])).ok();
    let without = with_passphrase(agent.vault(["diff", "--no-agent"])).ok();
    assert_eq!((&diff.stdout, &diff.stderr), (&without.stdout, &without.stderr));
}

#[test]
fn a_value_that_is_not_text_is_refused_in_words_by_formats_of_text_and_exported_as_a_file() {
    let agent = filled();
    for format in ["json", "yaml", "toml", "dotenv"] {
        for pattern in ["binary/small", "binary/large"] {
            let ended = alike(&agent, &["export", pattern, "--format", format]);
            assert!(ended.stdout.is_empty(), "a part was printed");
            assert!(
                ended.status.code() != Some(0) && ended.stderr.starts_with("vault: error: "),
                "{ended:?}"
            );
        }
    }
    let exported = |more: &[&str], folder: &str| {
        let run = agent.vault(["export", "--format", "files", "--json", "-o", folder]);
        let run = more.iter().fold(run, |run, option| run.first(option));
        run.env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase")).ok();
    };
    // With the file of the passphrase, a vault that is held is still read through the agent.
    exported(&[], "with");
    exported(&["--no-agent"], "without");
    let work = agent.home.work();
    assert_same_files(&work.join("with"), &work.join("without"));
    assert_eq!(fs::read(work.join("with/binary/large")).unwrap(), binary());
    assert_eq!(fs::read(work.join("with/binary/small")).unwrap(), [0, 0xff, b'\n', 0x80]);
}

fn assert_same_files(one: &Path, other: &Path) {
    assert_eq!(names(one), names(other));
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        if one.is_dir() {
            assert_same_files(&one, &other);
        } else {
            assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap(), "{name}");
        }
    }
}

#[test]
fn changes_that_cannot_be_made_are_refused_as_without_the_agent() {
    let agent = filled();
    let before = fs::read(agent.home.file()).unwrap();
    for arguments in [
        &["set", "text", "--new"][..],
        &["mv", "text", "moved"],
        &["mv", "no", "new"],
        &["cp", "no", "new"],
        &["cp", "text", "moved"],
        &["rm", "no"],
        &["rm", "text", "--field", "no"],
    ] {
        let ended = alike(&agent, arguments);
        assert_ne!(ended.status.code(), Some(0), "{ended:?}");
    }
    assert!(fs::read(agent.home.file()).unwrap() == before, "something was stored");
}
