//! What names a source is looked at, also where the agent holds the vault: docs/decisions/0034.

use std::fs;

use super::home::AgentHome;
use crate::crash::program::Home;

#[test]
fn a_named_source_that_is_wrong_is_the_same_error_with_the_agent_as_without() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let (folder, other) = (|name: &str| agent.home.beside(name), Home::with_vault());
    fs::write(folder("garbage"), "garbage").unwrap();
    fs::write(folder("empty"), "\n").unwrap();
    let path = |name: &str| folder(name).into_os_string().into_string().unwrap();
    let key = String::from_utf8(fs::read(other.key()).unwrap()).unwrap();
    for (variable, value) in [
        ("VAULT_IDENTITY_FILE", "/nonexistent".to_owned()),
        ("VAULT_PASSPHRASE_FILE", "/nonexistent".to_owned()),
        ("VAULT_PASSPHRASE_FILE", path("empty")),
        ("VAULT_IDENTITY_FILE", path("garbage")),
        ("VAULT_MACHINE_KEY_FILE", path("garbage")),
        ("VAULT_RECOVERY_CODE_FILE", path("garbage")),
        ("VAULT_IDENTITY", "garbage".to_owned()),
        ("VAULT_MACHINE_KEY", "garbage".to_owned()),
        // Of another vault.
        ("VAULT_MACHINE_KEY", key.trim().to_owned()),
        ("VAULT_MACHINE_KEY_FILE", other.key().into_os_string().into_string().unwrap()),
    ] {
        let run = |more: &str| {
            let run = agent.vault(["get", "a"]).env(variable, &value);
            if more.is_empty() { run.end() } else { run.first(more).end() }
        };
        let (with, without) = (run(""), run("--no-agent"));
        assert_eq!(with.stderr, without.stderr, "{variable}={value}");
        assert_eq!(with.status.code(), without.status.code(), "{variable}={value}");
        assert_ne!(with.status.code(), Some(0), "{variable}={value}");
    }
    // Nothing else is different from before.
    assert_eq!(agent.get("a"), "1");
}

#[test]
fn a_passphrase_that_is_named_and_right_is_not_tried_again_and_status_says_so() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let named = |arguments: &[&'static str]| {
        let run = agent.vault(arguments.iter().copied());
        run.env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase"))
    };
    assert_eq!(named(&["get", "a"]).ok().text(), "1");
    let status = named(&["status"]).ok();
    assert!(
        status.text().contains("unlock with: the agent; without it: VAULT_PASSPHRASE_FILE"),
        "{status:?}"
    );
    assert!(status.text().contains(", with the agent"), "{status:?}");
    let json = named(&["status", "--json"]).ok().json();
    assert_eq!(json["unlock_with"], serde_json::json!(["the agent"]));
    assert_eq!(json["without_agent"], serde_json::json!(["VAULT_PASSPHRASE_FILE"]));
    // A wrong one is found out when it is needed.
    fs::write(agent.home.beside("wrong"), "something else entirely").unwrap();
    let wrong = |arguments: &[&'static str]| {
        let run = agent.vault(arguments.iter().copied());
        run.env("VAULT_PASSPHRASE_FILE", agent.home.beside("wrong"))
    };
    assert_eq!(wrong(&["get", "a"]).ok().text(), "1");
    agent.vault(["lock"]).ok();
    wrong(&["get", "a"]).fails(5, "unlock-no-slot-matches");
}
