//! Many clients, writers without the agent, and git: no lost update, no stale read, no failed read.

use std::time::{Duration, Instant};

use super::home::AgentHome;

/// Clients of the agent, one in five of which write all the time, and two writers that do without it.
const CLIENTS: usize = 50;
const DIRECT: usize = 2;

#[test]
fn a_crowd_loses_nothing_and_reads_nothing_stale() {
    let seconds = std::env::var("VAULT_CROWD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let half = Duration::from_secs(seconds) / 2;
    let agent = AgentHome::new();
    agent.unlock();
    let git = |arguments: &[&str]| {
        let run = agent.home.program("git", arguments.iter().copied()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let run = run.env("GIT_AUTHOR_NAME", "t").env("GIT_AUTHOR_EMAIL", "t@t");
        run.env("GIT_COMMITTER_NAME", "t").env("GIT_COMMITTER_EMAIL", "t@t").ok();
    };
    std::fs::write(agent.home.work().join(".gitattributes"), "*.vault -text\n").unwrap();
    git(&["init", "--quiet", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "empty"]);
    // The vault was there before the repository: until that is said to be meant, what was seen without git holds.
    agent.vault(["trust"]).env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase")).ok();
    let counts = crowd(&agent, &vec![0; CLIENTS + DIRECT], half);
    git(&["commit", "--quiet", "-am", "half"]);
    // An older state, and back, while the agent holds the vault.
    git(&["checkout", "--quiet", "HEAD~"]);
    agent.vault(["get", "--no-input", "client/0"]).fails(3, "entry-not-found");
    git(&["checkout", "--quiet", "main"]);
    let counts = crowd(&agent, &counts, half);
    for (number, count) in counts.iter().enumerate() {
        let name = name(number);
        assert_eq!(agent.get(&name), count.to_string(), "{name}: a lost update");
    }
    let checked = agent.vault(["check", "--json"]).ok().json();
    assert_eq!(checked["verified"], true);
}

fn name(number: usize) -> String {
    if number < CLIENTS { format!("client/{number}") } else { format!("direct/{number}") }
}

/// What each has written by the end.
fn crowd(agent: &AgentHome, before: &[u64], time: Duration) -> Vec<u64> {
    let end = Instant::now() + time;
    let work = |number: usize, mut count: u64| {
        let name = name(number);
        let mut is_first = true;
        while is_first || Instant::now() < end {
            if is_first || number.is_multiple_of(5) || number >= CLIENTS {
                count += 1;
                if number < CLIENTS {
                    agent.set(&name, &count.to_string());
                } else {
                    let run = agent.vault(["set", "--raw", "--no-agent", &name]).stdin(count.to_string());
                    run.env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase")).ok();
                }
            }
            is_first = false;
            assert_eq!(agent.get(&name), count.to_string(), "{name}: a stale read");
        }
        count
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = before
            .iter()
            .enumerate()
            .map(|(number, count)| scope.spawn(move || work(number, *count)))
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}
