//! An agent that is measured, and a client that keeps its connection.

use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use vault_core::agent::message::{Hello, Welcome};
use vault_core::agent::{self, ReplyKind, Request};

use crate::fixture::Bench;
use crate::run::{Failed, command, run};

/// An agent in the foreground, which holds one vault. It ends when it is dropped.
pub struct Agent {
    program: PathBuf,
    child: Child,
    socket: PathBuf,
    vault: PathBuf,
}

impl Agent {
    /// Starts an agent and unlocks the vault with the identity.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn holding(bench: &Bench, vault: &Path) -> Result<Self, Failed> {
        // Short: a socket's path has at most 107 bytes.
        let folder = std::env::temp_dir().join(format!("vault-bench-{}", std::process::id()));
        let _ = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        let socket = folder.join("agent.sock");
        let mut start = command(&bench.vault);
        let child = start.env("VAULT_AGENT_SOCK", &socket).args(["agent", "--foreground"]).spawn()?;
        let agent = Self { program: bench.vault.clone(), child, socket, vault: vault.to_owned() };
        let begin = Instant::now();
        while UnixStream::connect(&agent.socket).is_err() {
            if begin.elapsed() > Duration::from_secs(10) {
                return Err(Failed("the agent does not listen".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        run(bench.on(vault)?.env("VAULT_AGENT_SOCK", &agent.socket).arg("unlock"))?;
        Ok(agent)
    }

    /// `vault` on the vault, which has nothing to unlock it with but the agent.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = command(&self.program);
        command.env("VAULT_AGENT_SOCK", &self.socket).env("VAULT_FILE", &self.vault);
        command
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A connection.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn connect(&self) -> Result<Client, Failed> {
        let mut client = Client(UnixStream::connect(&self.socket)?);
        let hello = Hello { versions: agent::VERSIONS.to_vec(), program: "vault-bench".to_owned() };
        let _: Welcome = client.ask(&Request::Hello(hello), |_| Ok(()))?;
        Ok(client)
    }

    /// Bytes that it has in memory now.
    ///
    /// # Errors
    /// [`Failed`] where there is no `/proc`.
    pub fn memory(&self) -> Result<u64, Failed> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| Failed("no VmRSS in /proc".to_owned()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = run(self.command().args(["agent", "stop"]));
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = self.socket.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// A connection that was greeted.
pub struct Client(UnixStream);

impl Client {
    /// The result of a request; every part goes to `part`.
    ///
    /// # Errors
    /// [`Failed`] with what the agent says.
    pub fn ask<T: for<'b> minicbor::Decode<'b, ()>>(
        &mut self,
        request: &Request,
        mut part: impl FnMut(&[u8]) -> Result<(), Failed>,
    ) -> Result<T, Failed> {
        let broken = |error: agent::FrameError| Failed(error.to_string());
        self.0.write_all(agent::request(request).map_err(broken)?.expose())?;
        loop {
            let mut length = [0; 4];
            self.0.read_exact(&mut length)?;
            let mut body = vec![0; agent::body_length(length).map_err(broken)?];
            self.0.read_exact(&mut body)?;
            let (kind, content) = agent::reply_kind(&body).map_err(broken)?;
            match kind {
                ReplyKind::Part => part(content)?,
                ReplyKind::Result => return agent::content(content).map_err(broken),
                ReplyKind::Error => {
                    let error: agent::message::Error = agent::content(content).map_err(broken)?;
                    return Err(Failed(format!("the agent says: {}", error.text)));
                }
            }
        }
    }
}

/// The attributes that one entry alone has.
#[must_use]
pub fn attributes(number: usize) -> [(String, String); 2] {
    let service = format!("service-{}.example.org", number % 1_000);
    [("service".to_owned(), service), ("username".to_owned(), format!("user-{number}"))]
}
