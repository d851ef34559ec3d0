//! A vault is locked when its time is over, whatever is done to the clock.

use std::process::Command;
use std::time::{Duration, Instant};

use super::home::AgentHome;

/// Waits until nothing is held, and says how long that took.
fn until_locked(agent: &AgentHome, limit: Duration) -> Duration {
    let start = Instant::now();
    while !agent.connect().status().held.is_empty() {
        assert!(start.elapsed() < limit, "it is still unlocked after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

#[test]
fn a_lease_and_an_idle_time_end() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    agent.unlock_with(&["--for", "2s"]);
    assert_eq!(agent.get("a"), "1");
    until_locked(&agent, Duration::from_secs(10));
    agent.is_locked("a");

    agent.unlock_with(&["--idle", "3s", "--for", "1h"]);
    let status = agent.vault(["status", "--json"]).ok().json();
    assert!(
        status["agent"]["lease_seconds"].as_u64().is_some_and(|left| (3_500..=3_600).contains(&left)),
        "{status}"
    );
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(agent.get("a"), "1", "it is in use");
    }
    until_locked(&agent, Duration::from_secs(10));
    agent.is_locked("a");
}

#[test]
fn a_hangup_locks_and_a_termination_ends() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let pid = agent.pid().to_string();
    Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    until_locked(&agent, Duration::from_secs(10));
    agent.is_locked("a");
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    let start = Instant::now();
    while agent.socket().exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "its socket is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_clock_that_is_set_extends_no_lease() {
    // The agent reads the clock that can be set through the C library, which faketime replaces; the file is its remote control.
    for (name, jump, at_least, at_most) in [("back", "-30d", 3, 12), ("forward", "+30d", 0, 3)] {
        let agent = AgentHome::new();
        let control = agent.home.beside("clock");
        std::fs::write(&control, "+0").unwrap();
        let faketime = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];
        let library = faketime.iter().map(|folder| format!("{folder}/libfaketime.so.1"));
        let library = library.into_iter().find(|library| std::path::Path::new(library).exists());
        let library = library.expect("faketime is not installed: tests/setup.sh does it");
        agent
            .vault(["unlock", "--stdin", "--for", "5s"])
            .stdin(super::home::PASSPHRASE)
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &control)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .ok();
        std::fs::write(&control, jump).unwrap();
        let took = until_locked(&agent, Duration::from_secs(at_most));
        assert!(took >= Duration::from_secs(at_least), "{name}: after {took:?}");
    }
}
