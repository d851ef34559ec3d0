//! Garbage, idle connections and slow ones cost others nothing, and few descriptors are enough.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use vault_core::agent::message::{Attach, Found, Get, Got, Read, VaultPath};
use vault_core::agent::{self, Request};
use vault_core::format::entry::{DEFAULT_FIELD, EntryName};

use super::home::{AgentHome, Client, PASSPHRASE, process_figure};

#[test]
fn garbage_and_idle_connections_are_survived() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let pid = agent.pid();
    let before = process_figure(pid, "VmRSS");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for number in 0..10_000 {
        let mut stream = UnixStream::connect(agent.socket()).unwrap();
        let length = usize::try_from(1 + next() % 200).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| next().to_be_bytes()[0]).collect();
        if number % 2 == 0 {
            // In a frame, so that it is decoded.
            bytes.splice(0..0, u32::try_from(length).unwrap().to_be_bytes());
        }
        // It may be closed before all is written.
        let _ = stream.write_all(&bytes);
    }
    let idle: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(agent.socket()).unwrap()).collect();
    let slow: Vec<UnixStream> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(agent.socket()).unwrap();
            stream.write_all(&[0, 0, 1]).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    assert_eq!(agent.get("a"), "1");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let grown = process_figure(pid, "VmRSS").saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    // A frame that does not come within two seconds closes its connection.
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).is_ok_and(|count| count == 0));
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop(idle);
    assert_eq!(agent.pid(), pid, "the same agent");
}

/// A client that announces a value, and sends nothing of it.
fn silent(agent: &AgentHome) -> Client {
    let mut client = agent.connect();
    let vault = VaultPath::new(&agent.home.file()).unwrap();
    client.send(&Request::Attach(Attach { vault, limit: 1 << 20 }));
    client
}

/// A client that asks for much, and reads nothing of it.
fn sated(agent: &AgentHome, name: &str) -> Client {
    let mut client = agent.connect();
    let vault = VaultPath::new(&agent.home.file()).unwrap();
    let (name, field) = (EntryName::parse(name).unwrap(), DEFAULT_FIELD.to_owned());
    let (_, got) = client.ask(&Request::Get(Get { vault, state: None, name, field }));
    let got: Got = agent::content(got.expose()).unwrap();
    let Some(Found::Long { handle, .. }) = got.value else { panic!("it is short") };
    for _ in 0..4 {
        client.send(&Request::Read(Read { handle }));
    }
    client
}

#[test]
fn who_keeps_the_agent_waiting_keeps_nobody_out() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let large = "x".repeat(2 << 20);
    agent.vault(["set", "--raw", "large"]).stdin(large).ok();
    for hogs in [silent as fn(&AgentHome) -> Client, |agent| sated(agent, "large")] {
        let hogs: Vec<Client> = (0..160).map(|_| hogs(&agent)).collect();
        let start = Instant::now();
        assert_eq!(agent.get("a"), "1");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let start = Instant::now();
        agent.vault(["lock"]).ok().says("locked 1 vault");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        agent.is_locked("a");
        drop(hogs);
        agent.unlock();
    }
    // Nor without a vault that is held.
    agent.vault(["lock"]).ok();
    let hogs: Vec<Client> = (0..160).map(|_| silent(&agent)).collect();
    agent.vault(["agent", "stop"]).ok();
    drop(hogs);
}

#[test]
fn few_descriptors_are_enough() {
    let agent = AgentHome::new();
    let starved = ["sh", "-c", "ulimit -n 40; exec \"$@\"", "-"];
    agent.vault(["unlock", "--stdin"]).stdin(PASSPHRASE).under(starved).ok();
    agent.set("a", "1");
    let pid = agent.pid();
    // Each of the others has a descriptor until it is closed for somebody else.
    for hogs in [connected as fn(&AgentHome) -> UnixStream, |agent| silent(agent).into_stream()] {
        let hogs: Vec<UnixStream> = (0..100).map(|_| hogs(&agent)).collect();
        let start = Instant::now();
        assert_eq!(agent.get("a"), "1");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let before = ticks(pid);
        std::thread::sleep(Duration::from_secs(1));
        let used = ticks(pid) - before;
        assert!(used < 30, "{used} hundredths of a second of work for nobody");
        drop(hogs);
    }
    agent.set("b", "2");
    assert_eq!(agent.get("b"), "2");
    assert_eq!(agent.pid(), pid, "the same agent");
}

fn connected(agent: &AgentHome) -> UnixStream {
    UnixStream::connect(agent.socket()).unwrap()
}

/// Time that a process has worked, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn the_agent_may_open_as_much_as_the_system_allows() {
    let agent = AgentHome::new();
    let starved = ["sh", "-c", "ulimit -S -n 24; exec \"$@\"", "-"];
    agent.vault(["unlock", "--stdin"]).stdin(PASSPHRASE).under(starved).ok();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = open.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{open}");
}

#[test]
fn an_agent_that_is_stopped_is_said_to_be_silent() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let pid = agent.pid().to_string();
    let kill = |signal: &str| assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    kill("-STOP");
    let start = Instant::now();
    let run = agent.vault(["get", "--no-input", "a"]).within(Duration::from_secs(60)).end();
    let took = start.elapsed();
    let without = agent.vault(["get", "--no-agent", "--passphrase-file", "../passphrase", "a"]).end();
    kill("-CONT");
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let run = run.says("the agent did not answer for 15 s").says("--no-agent");
    assert!(took < Duration::from_secs(30) && run.stdout.is_empty(), "{took:?}");
    assert_eq!(without.text(), "1", "{without:?}");
    assert_eq!(agent.get("a"), "1");
}
