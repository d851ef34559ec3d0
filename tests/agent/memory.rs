//! What is in the agent's memory, and what is not there any more.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vault_core::agent::change::{Change, Incoming, Set};
use vault_core::agent::message::{self, VaultPath};
use vault_core::agent::{self, ReplyKind, Request};
use vault_core::crypto::derive::Keys;
use vault_core::format::entry::EntryName;
use vault_core::keys::{Credential, UnlockPolicy, VaultHeaderParts, open_master};
use vault_core::secret::{Passphrase, Secret};
use vault_core::store;
use vault_core::vault::LockedVault;

use super::home::{AgentHome, Client, PASSPHRASE};
use super::scan::{Memory, forms};

const VALUE: &str = "Canary-Value-7f3a9c-Canary-Value-of-48-bytes-long";

/// What must not be there once the vault is locked, each with its name. The first is the master key.
fn secrets(agent: &AgentHome) -> Vec<(&'static str, Vec<u8>)> {
    let snapshot = store::read(&agent.home.file()).unwrap();
    let locked = LockedVault::open(std::sync::Arc::new(snapshot)).unwrap();
    let header = locked.header();
    let parts = VaultHeaderParts { uuid: header.uuid, salt: header.salt, commitment: locked.id().commitment };
    let passphrase = [Credential::Passphrase(Passphrase::new(PASSPHRASE.into()))];
    let opened = open_master(&parts, locked.slots(), &passphrase, &UnlockPolicy::default());
    let master = opened.ok().unwrap().master;
    let keys = Keys::derive(&header.uuid, &header.salt, &master);
    vec![
        ("the master key", master.expose().to_vec()),
        ("the passphrase", PASSPHRASE.into()),
        ("a value", VALUE.into()),
        ("the key of names", keys.name.expose().to_vec()),
        ("the key of metadata", keys.meta.expose().to_vec()),
        ("the key of secrets", keys.secret.expose().to_vec()),
        ("the key of seals", keys.seal.expose().to_vec()),
        ("the key of the roster", keys.roster.expose().to_vec()),
        ("the key of tags", keys.table.expose().to_vec()),
    ]
}

pub(super) fn master_key(agent: &AgentHome) -> Vec<u8> {
    secrets(agent).swap_remove(0).1
}

fn assert_nothing_of(memory: &Memory, secrets: &[(&'static str, Vec<u8>)], when: &str) {
    for (name, secret) in secrets {
        let copies = memory.copies(secret);
        assert!(copies.is_empty(), "{name}, {when}: {copies:#?}");
    }
}

/// The vault, for requests of the test's own.
fn named(agent: &AgentHome) -> VaultPath {
    VaultPath::new(&agent.home.file()).unwrap()
}

/// A frame that unlocks, cut before its last byte: the passphrase is in the connection's buffer.
fn half_an_unlock(agent: &AgentHome) -> UnixStream {
    let hello = message::Hello { versions: vec![1], program: "test".to_owned() };
    let hello = agent::request(&Request::Hello(hello)).unwrap();
    let unlock = unlock(agent);
    let mut stream = UnixStream::connect(agent.socket()).unwrap();
    stream.write_all(hello.expose()).unwrap();
    stream.write_all(&unlock.expose()[..unlock.expose().len() - 1]).unwrap();
    stream
}

fn unlock(agent: &AgentHome) -> Secret {
    let unlock = message::Unlock {
        vault: named(agent),
        credentials: vec![message::Credential::Passphrase(Secret::new(PASSPHRASE.into()))],
        lease: None,
        idle: None,
        slot: None,
        max_kdf_memory: None,
        allow_rollback: None,
    };
    agent::request(&Request::Unlock(unlock)).unwrap()
}

/// A value that waits for a commit which does not come.
fn staged_value(agent: &AgentHome) -> Client {
    let mut client = agent.connect();
    assert_eq!(client.ask(&stage()).0, ReplyKind::Result);
    client
}

fn stage() -> Request {
    let set = Set {
        name: EntryName::parse("staged").unwrap(),
        fields: [("secret".to_owned(), Some(Incoming::Short(Secret::new(VALUE.into()))))].into(),
        attributes: Default::default(),
        expires: None,
        expect: None,
    };
    Request::Stage(message::Stage { changes: vec![Change::Set(Box::new(set))] })
}

/// A long value that comes in, and does not end.
fn half_a_value(agent: &AgentHome) -> Client {
    let mut client = agent.connect();
    let attach = message::Attach { vault: named(agent), limit: 1 << 20 };
    client.send(&Request::Attach(attach));
    for _ in 0..3 {
        let bytes = message::Bytes(Secret::new(VALUE.repeat(700).into()));
        client.send(&Request::Write(message::Write { bytes }));
    }
    client
}

/// A long value of which the first part was read.
fn half_read(agent: &AgentHome) -> Client {
    let mut client = agent.connect();
    let get = message::Get {
        vault: named(agent),
        state: None,
        name: EntryName::parse("long").unwrap(),
        field: "secret".to_owned(),
    };
    let (_, body) = client.ask(&Request::Get(get));
    let got: message::Got = agent::content(body.expose()).unwrap();
    let Some(message::Found::Long { handle, .. }) = got.value else { panic!("it is not long") };
    assert_eq!(client.ask(&Request::Read(message::Read { handle })).0, ReplyKind::Result);
    client
}

/// An agent that has been used for everything that has to do with values.
fn used() -> AgentHome {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", VALUE);
    agent.set("a", VALUE);
    agent.vault(["set", "--raw", "long"]).stdin(VALUE.repeat(10_000)).ok();
    assert_eq!(agent.get("a"), VALUE);
    assert_eq!(agent.get("long"), VALUE.repeat(10_000));
    agent.vault(["export", "--format", "json", "--yes"]).ok();
    agent.vault(["cp", "a", "b"]).ok();
    agent
        .vault(["set", "--no-agent", "--raw", "c"])
        .stdin(VALUE)
        .env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase"))
        .ok();
    agent.vault(["list"]).ok();
    agent.vault(["check"]).ok();
    agent.vault(["compact"]).ok();
    agent
}

/// Until it is so, or the time for it is over.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_scan_finds_every_spelling_in_a_process_that_holds_it() {
    let secret = b"\xff\x00Control?>~-9a41-Control-of-32";
    let script = "import sys,base64\ns=bytes.fromhex(sys.stdin.readline())\n\
                  k=[bytes(b for b in s), s.hex(), s.hex().upper(), [base64.b64encode(b'x'*n+s) for n in range(3)],\n\
                  [base64.urlsafe_b64encode(b'x'*n+s) for n in range(3)], s.decode('latin1').encode('utf-16-le'), s.decode('latin1').encode('utf-16-be')]\n\
                  print('ready',flush=True)\nsys.stdin.readline()\n";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{hex}").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let copies = Memory::of(child.id()).copies(secret);
    drop(stdin);
    child.wait().unwrap();
    for (name, _) in forms(secret) {
        assert!(copies.iter().any(|copy| copy.starts_with(name)), "{name}: {copies:?}");
    }
}

#[test]
fn the_scan_finds_in_the_agent_what_a_request_brings_and_the_master_key_as_long_as_it_is_unlocked() {
    let agent = AgentHome::new();
    agent.unlock();
    let pid = agent.pid();
    let secrets = secrets(&agent);
    let [(_, master), (_, passphrase), (_, value), ..] = &secrets[..] else { panic!() };
    let copies = Memory::of(pid).copies(master);
    assert!(!copies.is_empty() && copies.iter().all(|copy| copy.contains("[heap]")), "{copies:?}");
    assert!(Memory::of(pid).copies(passphrase).is_empty(), "while it is unlocked");
    // Requests that are not over.
    let half = half_an_unlock(&agent);
    let staged = staged_value(&agent);
    until("the passphrase is in memory", || !Memory::of(pid).copies(passphrase).is_empty());
    assert!(!Memory::of(pid).copies(value).is_empty(), "a value that waits for a commit");
    drop((half, staged));
    until("they are gone with their connections", || {
        let memory = Memory::of(pid);
        memory.copies(passphrase).is_empty() && memory.copies(value).is_empty()
    });
}

#[test]
fn after_a_lock_nothing_is_left_of_passphrase_keys_and_values() {
    let agent = used();
    let pid = agent.pid();
    let secrets = secrets(&agent);
    let (mut staged, reading, coming) = (staged_value(&agent), half_read(&agent), half_a_value(&agent));
    until("the values are in memory", || Memory::of(pid).copies(VALUE.as_bytes()).len() > 2);
    agent.vault(["lock"]).ok().says("locked 1 vault");
    assert_nothing_of(&Memory::of(pid), &secrets, "after it was locked");
    // Half of what was to be stored is not stored, and nothing is lost in silence.
    agent.unlock();
    let commit = message::Commit { vault: named(&agent), author: String::new(), changes: None };
    let (kind, body) = staged.ask(&Request::Commit(commit));
    assert_eq!(kind, ReplyKind::Error);
    assert_eq!(agent::content::<message::Error>(body.expose()).unwrap().id, "agent-locked");
    drop((reading, coming));
    agent.vault(["get", "--no-input", "staged"]).fails(3, "entry-not-found");
}

#[test]
fn after_a_lease_nothing_is_left_of_passphrase_keys_and_values() {
    let agent = used();
    let pid = agent.pid();
    let secrets = secrets(&agent);
    agent.unlock_with(&["--for", "1s"]);
    let waiting = (staged_value(&agent), half_read(&agent), half_a_value(&agent));
    until("the lease is over", || agent.connect().status().held.is_empty());
    // What was at work then is over as soon as its thread runs.
    std::thread::sleep(Duration::from_millis(300));
    assert_nothing_of(&Memory::of(pid), &secrets, "after its lease ended");
    drop(waiting);
}

/// Holds a process where it is about to end, for a while: its memory is as it leaves it.
struct Held(Child);

impl Held {
    fn at_its_end(agent: &AgentHome, pid: u32) -> Self {
        let strace = Command::new("strace")
            .args([
                "-qq",
                "-f",
                "-e",
                "trace=exit_group",
                "-e",
                "inject=exit_group:delay_enter=20000000",
                "-p",
            ])
            .arg(pid.to_string())
            .arg("-o")
            .arg(agent.home.beside("trace"))
            .stdin(Stdio::null())
            .spawn()
            .expect("tests/setup.sh installs strace");
        until("strace holds every thread", || {
            let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            threads.all(|thread| {
                let status = std::fs::read_to_string(thread.unwrap().path().join("status"));
                status.is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
            })
        });
        Self(strace)
    }

    /// The memory once the process is there.
    fn memory(&self, pid: u32) -> Memory {
        let exit_group = if cfg!(target_arch = "x86_64") { "231 " } else { "94 " };
        until("the process ends", || {
            let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            call.starts_with(exit_group)
        });
        Memory::of(pid)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_agent_that_stops_has_wiped_everything_before_it_ends() {
    for how in ["stop", "-TERM", "-INT"] {
        let agent = used();
        let pid = agent.pid();
        let secrets = secrets(&agent);
        let held = Held::at_its_end(&agent, pid);
        // Whatever is under way.
        let waiting = (staged_value(&agent), half_read(&agent), half_a_value(&agent));
        let mut unlocking = agent.connect();
        unlocking.send_frame(&unlock(&agent));
        let half = half_an_unlock(&agent);
        assert!(!Memory::of(pid).copies(&secrets[0].1).is_empty(), "the control: it is unlocked");
        match how {
            "stop" => drop(agent.vault(["agent", "stop"]).ok()),
            signal => drop(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap()),
        }
        assert_nothing_of(&held.memory(pid), &secrets, &format!("at its end, by {how}"));
        drop((waiting, unlocking, half));
    }
}

#[test]
fn a_lock_waits_for_requests_that_have_keys_but_not_for_ever() {
    let agent = used();
    let pid = agent.pid();
    let secrets = secrets(&agent);
    // A client that asks for much, and reads nothing of it.
    let mut greedy = agent.connect();
    let many: String = (0..400).map(|number| format!("N{number}={}\n", VALUE.repeat(100))).collect();
    std::fs::write(agent.home.beside("many.env"), many).unwrap();
    agent.vault(["import", "../many.env", "--prefix", "many/"]).ok();
    greedy.send(&Request::Entries(message::Entries { vault: named(&agent), state: None, names: None }));
    until("its answer is stuck", || Memory::of(pid).copies(VALUE.as_bytes()).len() > 1_000);
    let start = Instant::now();
    agent.vault(["lock"]).ok().says("locked 1 vault");
    let took = start.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(9)).contains(&took), "{took:?}");
    assert_nothing_of(&Memory::of(pid), &secrets, "although somebody did not read his answer");
    // A lock does not wait for another one.
    agent.unlock();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| agent.vault(["lock"]).ok());
        }
    });
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
