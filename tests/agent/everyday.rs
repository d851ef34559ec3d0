//! Every command gives the same with the agent as without it.

use std::fs;
use std::process::Command;

use vault_core::agent::{self, ReplyKind, message};

use super::home::{AgentHome, Client};

#[test]
fn a_passphrase_goes_in_once() {
    let agent = AgentHome::new();
    agent.is_locked("a");
    agent.unlock();
    agent.set("a", "first");
    assert_eq!(agent.get("a"), "first");
    agent.vault(["mv", "a", "b"]).ok();
    agent.vault(["get", "--no-input", "a"]).fails(3, "entry-not-found");
    assert_eq!(agent.vault(["list"]).ok().lines(), ["b"]);
    let status = agent.vault(["status", "--json"]).ok().json();
    assert_eq!(
        (&status["agent"]["holds"], &status["unlocked"]["sources"][0]),
        (&true.into(), &"the agent".into())
    );
    let checked = agent.vault(["check", "--json"]).ok().json();
    assert_eq!(checked["verified"], true);
    agent.vault(["lock"]).ok().says("locked 1 vault");
    agent.is_locked("b");
    agent.vault(["agent", "stop"]).ok();
    agent.vault(["agent", "stop"]).fails(3, "agent-not-running");
}

#[test]
fn a_wrong_passphrase_is_exit_code_5_and_changes_nothing() {
    let agent = AgentHome::new();
    agent.vault(["unlock", "--stdin"]).stdin("wrong").fails(5, "unlock-no-slot-matches");
    agent.is_locked("a");
    agent.unlock();
    agent.set("a", "1");
    agent.vault(["unlock", "--stdin"]).stdin("wrong").fails(5, "unlock-no-slot-matches");
    assert_eq!(agent.get("a"), "1", "what was unlocked stays so");
    agent.vault(["unlock", "--stdin"]).stdin("").fails(1, "empty-passphrase");
}

#[test]
fn what_others_save_is_seen_at_once_and_a_foreign_file_is_not_opened() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let copy = fs::read(agent.home.file()).unwrap();
    let beside = |run: crate::crash::program::Run| {
        run.env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase")).first("--no-agent")
    };
    beside(agent.vault(["set", "a"])).stdin("2").ok();
    assert_eq!(agent.get("a"), "2");
    fs::write(agent.home.file(), &copy).unwrap();
    assert_eq!(agent.get("a"), "1", "a checkout of an older state is read");
    let (kind, body) = agent.connect().ask(&agent::Request::Use(message::Use {
        vault: message::VaultPath::new(&agent.home.file()).unwrap(),
    }));
    assert_eq!(kind, ReplyKind::Result);
    assert!(
        agent::content::<message::Facts>(body.expose()).unwrap().older.is_some(),
        "and it is said to be older"
    );
    fs::write(agent.home.file(), "vault/1 damaged").unwrap();
    agent.vault(["get", "--no-input", "a"]).exits(6);
    fs::remove_file(agent.home.file()).unwrap();
    agent.vault(["get", "--no-input", "a"]).fails(3, "vault-not-found");
    // Another vault at the same path: the agent's key is not its key.
    agent.vault(["init", "--kdf-memory", "19MiB", "--passphrase-file", "../passphrase"]).ok();
    agent.is_locked("a");
    agent.unlock();
    agent.vault(["get", "--no-input", "a"]).fails(3, "entry-not-found");
}

#[test]
fn the_agent_lets_go_of_what_it_was_started_with() {
    let agent = AgentHome::new();
    // Whoever waits for a pipe or a lock must not wait for the agent.
    let script = format!(
        "exec 9>../lockfile; flock 9; printf %s '{}' | \"$0\" unlock --stdin; exec 9>&-; flock -n ../lockfile true && echo free",
        super::home::PASSPHRASE
    );
    let run = agent.vault([]).under(["sh", "-c", &script]);
    assert!(run.ok().text().contains("free"));
    let pid = agent.pid();
    let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(folder, std::path::Path::new("/"));
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        let ours =
            target.contains("vault/agent.") || target.ends_with("secrets.vault") || target == "/dev/null";
        assert!(ours || target.starts_with("socket:"), "{target}");
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("PASSPHRASE="));
    let session = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let words: Vec<&str> = session.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!(words[3], pid.to_string(), "a session of its own");
}

#[test]
fn it_says_which_version_it_speaks_and_refuses_what_it_does_not_know() {
    use std::io::Write;
    let agent = AgentHome::new();
    agent.vault(["agent"]).ok().says("started the agent");
    agent.vault(["agent"]).ok().says("runs already");
    let told = |request: &[u8]| -> message::Error {
        let mut stream = std::os::unix::net::UnixStream::connect(agent.socket()).unwrap();
        stream.write_all(request).unwrap();
        let (kind, body) = super::home::reply(&mut stream);
        assert_eq!(kind, ReplyKind::Error);
        agent::content(body.expose()).unwrap()
    };
    let hello = |versions| {
        let hello = message::Hello { versions, program: "test".to_owned() };
        agent::request(&agent::Request::Hello(hello)).unwrap()
    };
    let newer = told(hello(vec![9]).expose());
    assert_eq!((newer.id.as_str(), newer.exit), ("agent-version", 1));
    assert!(newer.text.contains("newer"), "{}", newer.text);
    assert!(told(hello(vec![0]).expose()).text.contains("older"));
    assert_eq!(told(&[0, 0, 0, 3, 0x82, 1, 0xa0]).id, "agent-version", "not greeted");
    assert_eq!(told(&[0xff; 8]).id, "agent-bad-request", "too long");
    let unknown = [hello(vec![1]).expose(), &[0, 0, 0, 4, 0x82, 0x18, 40, 0xa0]].concat();
    let mut stream = std::os::unix::net::UnixStream::connect(agent.socket()).unwrap();
    stream.write_all(&unknown).unwrap();
    assert_eq!(super::home::reply(&mut stream).0, ReplyKind::Result);
    let (_, body) = super::home::reply(&mut stream);
    assert_eq!(agent::content::<message::Error>(body.expose()).unwrap().id, "agent-unknown-request");
    drop(Client::of(std::os::unix::net::UnixStream::connect(agent.socket()).unwrap()));
}

#[test]
fn an_unlock_whose_client_gave_up_unlocks_nothing() {
    let agent = AgentHome::new();
    let slow =
        ["init", "--file", "slow.vault", "--kdf-memory", "96MiB", "--passphrase-file", "../passphrase"];
    agent.vault(slow).ok();
    agent.vault(["agent"]).ok();
    let vault = message::VaultPath::new(&agent.home.work().join("slow.vault")).unwrap();
    let credentials = || {
        vec![message::Credential::Passphrase(vault_core::secret::Secret::new(super::home::PASSPHRASE.into()))]
    };
    let unlock = || {
        agent::Request::Unlock(message::Unlock {
            vault: vault.clone(),
            credentials: credentials(),
            lease: None,
            idle: None,
            slot: None,
            max_kdf_memory: None,
            allow_rollback: None,
        })
    };
    let mut client = agent.connect();
    client.send(&unlock());
    drop(client);
    let start = std::time::Instant::now();
    while agent.connect().status().connections > 1 {
        assert!(start.elapsed() < std::time::Duration::from_secs(30), "it is still tried");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(agent.connect().status().held.is_empty());
    // The same request of a client that waits.
    let mut client = agent.connect();
    assert_eq!(client.ask(&unlock()).0, ReplyKind::Result);
    assert_eq!(agent.connect().status().held.len(), 1);
}

#[test]
fn a_killed_agent_blocks_nobody() {
    let agent = AgentHome::new();
    for _ in 0..3 {
        agent.unlock();
        agent.set("a", "1");
        let pid = agent.pid().to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        agent.is_locked("a");
        assert!(agent.socket().exists(), "a stale socket");
    }
    agent.unlock();
    assert_eq!(agent.get("a"), "1");
    // At any moment: a command that is under way ends, whatever it says; the next one works or says locked.
    for pause in [0_u64, 1, 3, 6, 10, 20] {
        agent.unlock();
        let pid = agent.pid().to_string();
        let child = std::thread::spawn({
            let run = agent.vault(["set", "--raw", "a"]).stdin("1");
            move || run.end()
        });
        std::thread::sleep(std::time::Duration::from_millis(pause));
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        child.join().unwrap();
        agent.is_locked("a");
    }
    agent.unlock();
    assert_eq!(agent.get("a"), "1");
}

#[test]
fn a_vault_that_was_moved_away_is_locked_by_every_name_of_its_folder() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    std::os::unix::fs::symlink(agent.home.work(), agent.home.beside("link")).unwrap();
    fs::rename(agent.home.file(), agent.home.beside("moved")).unwrap();
    agent.vault(["-f", "../link/secrets.vault", "lock"]).ok().says("locked 1 vault");
    fs::rename(agent.home.beside("moved"), agent.home.file()).unwrap();
    agent.is_locked("a");
}
