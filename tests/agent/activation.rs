//! An agent that a supervisor starts when its socket is first used, with systemd's own program for that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use super::home::AgentHome;
use crate::crash::program::wait;

/// Listens as systemd does, and starts the agent with the first connection.
fn listening(agent: &AgentHome, options: &[&str]) -> Child {
    let wrapper = ["sh", "-c", "umask 077; exec \"$@\"", "sh", "systemd-socket-activate"];
    let wrapper = wrapper.iter().chain(options).chain(&["-E", "HOME", "-E", "XDG_RUNTIME_DIR"]);
    let mut command = agent.vault(["agent", "--foreground"]).under(wrapper).command();
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("tests/setup.sh installs systemd")
}

fn ended(mut child: Child) -> Output {
    wait(&mut child, Duration::from_secs(30), "systemd-socket-activate");
    child.wait_with_output().unwrap()
}

/// A runtime folder as the unit makes it, with the path of the socket.
fn prepared(agent: &AgentHome) -> String {
    let folder = agent.home.beside("run/vault");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    agent.socket().to_str().unwrap().to_owned()
}

fn until_there_is(socket: &std::path::Path) {
    let start = Instant::now();
    while !socket.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody listens");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_first_program_that_asks_starts_the_agent() {
    let agent = AgentHome::new();
    let socket = prepared(&agent);
    let child = listening(&agent, &["-l", &socket]);
    until_there_is(&agent.socket());
    agent.is_locked("a");
    assert_eq!(agent.pid(), child.id(), "the supervisor's own child answers");
    agent.unlock();
    agent.set("a", "1");
    assert_eq!(agent.get("a"), "1");
    assert_eq!(agent.pid(), child.id(), "unlock starts no other");
    // Another agent does not come between.
    agent.vault(["agent", "--foreground"]).fails(7, "agent-running");
    agent.vault(["agent", "stop"]).ok();
    let output = ended(child);
    assert!(output.status.success(), "{output:?}");
    assert!(agent.socket().exists(), "the supervisor's socket is still there, for the next time");
}

#[test]
fn what_is_passed_has_to_be_a_socket_as_clients_expect_it() {
    let agent = AgentHome::new();
    let socket = prepared(&agent);
    let refused = |options: &[&str], connect: &dyn Fn(), says: &str| {
        let child = listening(&agent, options);
        connect();
        let output = ended(child);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("vault: error: ") && said.contains(says), "{said}");
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let tcp = || {
        let start = Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    refused(&["-l", &address], &tcp, "no unix stream socket");
    let unix = || {
        until_there_is(&agent.socket());
        drop(UnixStream::connect(agent.socket()).unwrap());
    };
    let other = agent.home.beside("run/vault/other.sock").to_str().unwrap().to_owned();
    refused(&["-l", &socket, "-l", &other], &unix, "exactly one");
    // In a folder that others may change, no client would look for it.
    fs::remove_file(&socket).unwrap();
    fs::set_permissions(agent.home.beside("run/vault"), fs::Permissions::from_mode(0o777)).unwrap();
    refused(&["-l", &socket], &unix, "others may change");
}

#[test]
fn sockets_for_another_process_are_none() {
    let agent = AgentHome::new();
    // As inherited by whatever a service starts.
    let run = agent.vault(["unlock", "--stdin"]).stdin(super::home::PASSPHRASE);
    run.env("LISTEN_PID", "1").env("LISTEN_FDS", "1").ok();
    agent.set("a", "1");
    assert_eq!(agent.get("a"), "1");
}
