//! A home with an agent of its own, which ends with the test.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use vault_core::agent::message::{AgentStatus, Hello, Status, Welcome};
use vault_core::agent::{self, ReplyKind, Request};
use vault_core::secret::Secret;

use crate::crash::program::{Home, Run, program};

pub(crate) const PASSPHRASE: &str = "correct horse battery staple 9931";

/// A vault that a passphrase opens, and a runtime folder.
pub(crate) struct AgentHome {
    pub(crate) home: Home,
}

impl AgentHome {
    pub(crate) fn new() -> Self {
        let home = Home::empty();
        let runtime = home.beside("run");
        std::fs::create_dir(&runtime).unwrap();
        std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(home.beside("passphrase"), PASSPHRASE).unwrap();
        let agent = Self { home };
        agent.vault(["init", "--kdf-memory", "19MiB", "--passphrase-file", "../passphrase"]).ok();
        agent
    }

    /// The program, with nothing to unlock with and nobody to ask.
    pub(crate) fn vault<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        self.home.vault(arguments).env("XDG_RUNTIME_DIR", self.home.beside("run"))
    }

    pub(crate) fn unlock(&self) {
        self.unlock_with(&[]);
    }

    pub(crate) fn unlock_with(&self, more: &[&str]) {
        let arguments = ["unlock", "--stdin"].into_iter().chain(more.iter().copied());
        self.vault(arguments).stdin(PASSPHRASE).ok();
    }

    pub(crate) fn set(&self, name: &str, value: &str) {
        self.vault(["set", "--raw", name]).stdin(value).ok();
    }

    pub(crate) fn get(&self, name: &str) -> String {
        self.vault(["get", "--no-input", name]).ok().text().to_owned()
    }

    /// Nothing is unlocked: that is said, and exit code 4.
    pub(crate) fn is_locked(&self, name: &str) {
        self.vault(["get", "--no-input", name]).fails(4, "locked-no-terminal");
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.beside("run/vault/agent.sock")
    }

    pub(crate) fn connect(&self) -> Client {
        Client::of(UnixStream::connect(self.socket()).unwrap())
    }

    /// The agent's process.
    pub(crate) fn pid(&self) -> u32 {
        self.connect().status().pid
    }
}

impl Drop for AgentHome {
    fn drop(&mut self) {
        let runtime = self.home.beside("run");
        let mut command = std::process::Command::new(program());
        command.args(["agent", "stop", "--quiet"]).env_clear().env("XDG_RUNTIME_DIR", runtime);
        let _ = command.stderr(std::process::Stdio::null()).status();
    }
}

/// A client that was greeted.
pub(crate) struct Client {
    stream: UnixStream,
}

impl Client {
    pub(crate) fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut client = Self { stream };
        let hello = Request::Hello(Hello { versions: vec![1], program: "test".to_owned() });
        let (kind, body) = client.ask(&hello);
        assert_eq!(kind, ReplyKind::Result);
        assert_eq!(agent::content::<Welcome>(body.expose()).unwrap().version, 1);
        client
    }

    /// Kind and content of the next frame after a request.
    pub(crate) fn ask(&mut self, request: &Request) -> (ReplyKind, Secret) {
        self.stream.write_all(agent::request(request).unwrap().expose()).unwrap();
        reply(&mut self.stream)
    }

    /// Writes a request, and reads nothing.
    pub(crate) fn send(&mut self, request: &Request) {
        self.send_frame(&agent::request(request).unwrap());
    }

    pub(crate) fn send_frame(&mut self, frame: &Secret) {
        self.stream.write_all(frame.expose()).unwrap();
    }

    /// Kind and content of the next frame.
    pub(crate) fn reply(&mut self) -> (ReplyKind, Secret) {
        reply(&mut self.stream)
    }

    /// The connection, to do nothing more with it.
    pub(crate) fn into_stream(self) -> UnixStream {
        self.stream
    }

    pub(crate) fn status(&mut self) -> AgentStatus {
        let (kind, body) = self.ask(&Request::Status(Status {}));
        assert_eq!(kind, ReplyKind::Result);
        agent::content(body.expose()).unwrap()
    }
}

pub(crate) fn reply(stream: &mut UnixStream) -> (ReplyKind, Secret) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; agent::body_length(length).unwrap()];
    stream.read_exact(&mut body).unwrap();
    let (kind, content) = agent::reply_kind(&body).unwrap();
    (kind, Secret::new(content.to_vec()))
}

/// A number of `/proc/PID/status`, in KiB.
pub(crate) fn process_figure(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
