//! What somebody leaves behind does not outlive a lock, keep others waiting, or keep the agent from ending.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, thread};

use vault_core::agent::message::{
    self, Attach, Credential, Found, Get, Got, Lock, Read, Status, Stop, Unlock, Use, VaultPath,
};
use vault_core::agent::{self, ReplyKind, Request};
use vault_core::format::entry::{DEFAULT_FIELD, EntryName};
use vault_core::secret::Secret;

use super::home::{AgentHome, Client, PASSPHRASE};

fn path(agent: &AgentHome) -> VaultPath {
    VaultPath::new(&agent.home.file()).unwrap()
}

fn unlock(agent: &AgentHome, passphrase: &str) -> Request {
    Request::Unlock(Unlock {
        vault: path(agent),
        credentials: vec![Credential::Passphrase(Secret::new(passphrase.as_bytes().to_vec()))],
        lease: None,
        idle: None,
        slot: None,
        max_kdf_memory: None,
        allow_rollback: None,
    })
}

/// The number of a long value that a client has open.
fn opened(agent: &AgentHome, client: &mut Client, name: &str) -> u64 {
    let (name, field) = (EntryName::parse(name).unwrap(), DEFAULT_FIELD.to_owned());
    let (_, got) = client.ask(&Request::Get(Get { vault: path(agent), state: None, name, field }));
    let got: Got = agent::content(got.expose()).unwrap();
    let Some(Found::Long { handle, .. }) = got.value else { panic!("it is short") };
    handle
}

#[track_caller]
fn is_error(answer: &(ReplyKind, Secret), id: &str) {
    assert_eq!(answer.0, ReplyKind::Error);
    let error: message::Error = agent::content(answer.1.expose()).unwrap();
    assert_eq!(error.id, id, "{}", error.text);
}

fn ends_within(pid: u32, limit: Duration) {
    let start = Instant::now();
    // It is the child of nobody here, and so is not kept as a zombie.
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(start.elapsed() < limit, "the agent still runs after {:?}", start.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn unlocks_that_nobody_waits_for_are_not_done() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    for _ in 0..160 {
        agent.connect().send(&unlock(&agent, "wrong"));
    }
    let start = Instant::now();
    assert_eq!(agent.get("a"), "1");
    agent.unlock();
    agent.vault(["lock"]).ok().says("locked 1 vault");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    // Nor do those whose clients wait keep anybody out.
    let waiting: Vec<Client> = (0..160)
        .map(|_| {
            let mut client = agent.connect();
            client.send(&unlock(&agent, "wrong"));
            client
        })
        .collect();
    let start = Instant::now();
    agent.vault(["agent", "stop"]).ok();
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    drop(waiting);
}

#[test]
fn what_is_being_unlocked_when_all_is_locked_stays_locked() {
    let agent = AgentHome::new();
    agent.unlock();
    let clients: Vec<Client> = (0..6)
        .map(|_| {
            let mut client = agent.connect();
            client.send(&unlock(&agent, PASSPHRASE));
            client
        })
        .collect();
    thread::sleep(Duration::from_millis(60));
    agent.vault(["lock", "--all"]).ok();
    // Whoever comes too late is told, or finds the connection closed.
    thread::sleep(Duration::from_secs(1));
    assert!(agent.connect().status().held.is_empty(), "it was unlocked after the lock");
    drop(clients);
    agent.is_locked("a");
}

#[test]
fn the_end_of_a_lease_waits_for_a_slow_reader_no_longer_than_a_lock() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.vault(["set", "--raw", "large"]).stdin("x".repeat(4 << 20)).ok();
    agent.unlock_with(&["--for", "2s"]);
    let mut client = agent.connect();
    let handle = opened(&agent, &mut client, "large");
    for _ in 0..16 {
        client.send(&Request::Read(Read { handle }));
    }
    // Two seconds of lease, five of patience; what is not taken at all is given up after ten.
    thread::sleep(Duration::from_secs(8));
    let mut stream = client.into_stream();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut taken = Vec::new();
    // Closed, or closed with requests that were not read; were it open, the time would be up.
    let ended =
        stream.read_to_end(&mut taken).map_or_else(|error| error.kind(), |_| ErrorKind::UnexpectedEof);
    assert!([ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&ended), "{ended:?}");
    assert!(taken.len() < 2 << 20, "{} bytes", taken.len());
}

#[test]
fn a_value_whose_vault_was_locked_is_said_to_be_locked() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.vault(["set", "--raw", "large"]).stdin("x".repeat(1 << 20)).ok();
    let mut client = agent.connect();
    let handle = opened(&agent, &mut client, "large");
    let (kind, _) = client.ask(&Request::Read(Read { handle }));
    assert_eq!(kind, ReplyKind::Result);
    let (kind, _) = agent.connect().ask(&Request::Lock(Lock { vault: None }));
    assert_eq!(kind, ReplyKind::Result);
    is_error(&client.ask(&Request::Read(Read { handle })), "agent-locked");
    is_error(&client.ask(&Request::Read(Read { handle: 999 })), "agent-bad-request");
}

#[test]
fn a_value_that_does_not_come_to_its_end_is_refused_and_the_connection_goes_on() {
    let agent = AgentHome::new();
    agent.unlock();
    let mut client = agent.connect();
    client.send(&Request::Attach(Attach { vault: path(&agent), limit: 1 << 20 }));
    is_error(&client.ask(&Request::Status(Status {})), "agent-bad-request");
    assert_eq!(client.status().held.len(), 1);
}

#[test]
fn half_a_request_does_not_keep_the_answer_to_those_before_it() {
    let agent = AgentHome::new();
    agent.unlock();
    let mut client = agent.connect();
    let ask = agent::request(&Request::Use(Use { vault: path(&agent) })).unwrap();
    let (whole, half) = (ask.expose(), &ask.expose()[..9]);
    client.send_frame(&Secret::new([whole, half].concat()));
    assert_eq!(client.reply().0, ReplyKind::Result);
    client.send_frame(&Secret::new([&whole[9..], half].concat()));
    assert_eq!(client.reply().0, ReplyKind::Result);
}

#[test]
fn slow_reading_and_writing_is_use() {
    let agent = AgentHome::new();
    agent.unlock_with(&["--idle", "3s"]);
    let mut command = agent.vault(["set", "--raw", "slow"]).command();
    let mut set = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = set.stdin.take().unwrap();
    let piece = vec![b'x'; 400 << 10];
    for _ in 0..4 {
        input.write_all(&piece).unwrap();
        thread::sleep(Duration::from_millis(1_200));
    }
    drop(input);
    let ended = set.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let mut get = agent.vault(["get", "slow"]).command().stdout(Stdio::piped()).spawn().unwrap();
    let mut output = get.stdout.take().unwrap();
    let mut read = vec![0; 300 << 10];
    let mut length = 0;
    for _ in 0..4 {
        output.read_exact(&mut read).unwrap();
        length += read.len();
        thread::sleep(Duration::from_millis(1_200));
    }
    length += output.read_to_end(&mut Vec::new()).unwrap();
    assert!(get.wait().unwrap().success() && length == 4 * piece.len(), "{length}");
    thread::sleep(Duration::from_secs(5));
    agent.is_locked("slow");
}

#[test]
fn an_agent_that_is_stopped_ends_whoever_does_not_read_the_answer() {
    let agent = AgentHome::new();
    agent.unlock();
    let pid = agent.pid();
    // How many answers there is room for, with one that has no more, ...
    let ask = agent::request(&Request::Status(Status {})).unwrap();
    let mut full = agent.connect().into_stream();
    full.write_all(ask.expose()).unwrap();
    let length = settled(&full);
    full.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while full.write_all(ask.expose()).is_ok() && waiting(&full) < 4 << 20 {}
    let count = settled(&full) / length;
    // ... and so many on another one: the answer to the stop does not fit.
    let mut stream = agent.connect().into_stream();
    stream.write_all(&ask.expose().repeat(usize::try_from(count).unwrap())).unwrap();
    assert_eq!(settled(&stream), count * length);
    stream.write_all(agent::request(&Request::Stop(Stop {})).unwrap().expose()).unwrap();
    ends_within(pid, Duration::from_secs(9));
}

#[test]
fn who_unlocks_while_an_agent_ends_waits_for_the_next_one() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.vault(["set", "--raw", "large"]).stdin("x".repeat(4 << 20)).ok();
    let pid = agent.pid();
    let mut client = agent.connect();
    let handle = opened(&agent, &mut client, "large");
    for _ in 0..16 {
        client.send(&Request::Read(Read { handle }));
    }
    thread::sleep(Duration::from_millis(300));
    // Whoever does not take its answer has five seconds.
    let kill = std::process::Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(kill.success());
    agent.unlock();
    assert_ne!(agent.pid(), pid);
    drop(client);
}

/// Bytes that wait to be read, when there come no more.
fn settled(stream: &UnixStream) -> u64 {
    let mut before = 0;
    loop {
        thread::sleep(Duration::from_millis(300));
        match waiting(stream) {
            now if now == before && now > 0 => return now,
            now => before = now,
        }
    }
}

/// Bytes that wait to be read.
fn waiting(stream: &UnixStream) -> u64 {
    rustix::io::ioctl_fionread(stream).unwrap()
}

#[test]
fn an_agent_that_nobody_can_find_ends() {
    let agent = AgentHome::new();
    agent.unlock();
    let pid = agent.pid();
    // As at a logout.
    fs::remove_dir_all(agent.home.beside("run/vault")).unwrap();
    ends_within(pid, Duration::from_secs(5));

    // Somebody cleans up, and so a second one takes the place of the first.
    agent.unlock();
    agent.set("a", "1");
    let first = agent.pid();
    fs::remove_file(agent.home.beside("run/vault/agent.lock")).unwrap();
    let mut second = agent.vault(["agent", "--foreground"]).command().spawn().unwrap();
    ends_within(first, Duration::from_secs(5));
    assert_eq!(agent.pid(), second.id(), "the second one is still found");
    agent.is_locked("a");
    agent.vault(["agent", "stop"]).ok();
    assert!(second.wait().unwrap().success());
}

#[test]
fn where_there_can_be_no_more_threads_one_does_it_all() {
    let agent = AgentHome::new();
    let passphrase = ["--no-agent", "--passphrase-file", "../passphrase"];
    let with_passphrase = |words: &[&str]| agent.vault(passphrase.into_iter().chain(words.iter().copied()));
    let entries: String = (0..3_000).map(|number| format!("KEY_{number}=value of {number}\n")).collect();
    with_passphrase(&["import", "--format", "dotenv", "-"]).stdin(entries).ok();
    let key = with_passphrase(&["slot", "add", "--machine", "--label", "m"]).ok();
    fs::write(agent.home.beside("key"), &key.stdout).unwrap();
    // A program of one's own may be where nobody else can go.
    let program = agent.home.beside("vault");
    fs::copy(crate::crash::program::program(), &program).unwrap();
    let mut wrapper = vec!["prlimit", "--nproc=1:1"];
    // Limits of this kind do not hold for root.
    if rustix::process::geteuid().is_root() {
        let as_nobody = ["setpriv", "--clear-groups", "--reuid", "65534", "--regid", "65534"];
        wrapper.splice(0..0, as_nobody);
        fs::set_permissions(agent.home.beside("."), fs::Permissions::from_mode(0o755)).unwrap();
        for file in
            [agent.home.work(), agent.home.file(), agent.home.beside("key"), agent.home.beside("passphrase")]
        {
            chown(file, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let alone = |unlock: [&str; 2], words: &[&str]| {
        let arguments = ["--no-agent"].into_iter().chain(unlock).chain(words.iter().copied());
        let run = agent.home.program(&program, arguments).env("XDG_STATE_HOME", "/nonexistent");
        run.under(wrapper.clone())
    };
    let key = ["--machine-key-file", "../key"];
    assert_eq!(alone(key, &["list"]).ok().lines().len(), 3_000);
    let large = "y".repeat(3 << 20);
    alone(key, &["set", "--raw", "large"]).stdin(large.clone()).ok();
    assert_eq!(alone(key, &["get", "large"]).ok().text(), large);
    // Argon2's threads are not this one.
    alone(["--passphrase-file", "../passphrase"], &["list"]).exits(1).says("or can be no further thread");
}

const NOBODY: u32 = 65534;
