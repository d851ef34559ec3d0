//! Where the agent's socket may be, and whether what is there can be trusted. docs/agent-protocol.md, "Finding the socket".

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, Stat, lstat, stat};
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};
use rustix::process::geteuid;

use super::link::{LinkError, PROMPT};

/// Places where an agent may be, in order, and the program that looks there.
#[derive(Clone)]
pub struct Places {
    all: Vec<Place>,
    program: &'static str,
}

/// One of them.
#[derive(Clone)]
pub struct Place {
    socket: PathBuf,
    named: bool,
}

impl Places {
    /// For a program of this name and version: the socket that is named, as `VAULT_AGENT_SOCK` does, or else those below the
    /// folder of `XDG_RUNTIME_DIR`, and at the places that are always looked at. What is empty counts as absent.
    #[must_use]
    pub fn new(program: &'static str, socket: Option<&Path>, runtime: Option<&Path>) -> Self {
        if let Some(socket) = socket.filter(|socket| !socket.as_os_str().is_empty()) {
            return Self { all: vec![Place::named(socket)], program };
        }
        let user = geteuid().as_raw();
        let runtime = runtime.filter(|folder| folder.is_absolute());
        let folders = runtime.map(|folder| folder.join("vault")).into_iter();
        let folders = folders.chain([
            PathBuf::from(format!("/run/user/{user}/vault")),
            PathBuf::from(format!("/tmp/vault-{user}")),
        ]);
        let mut all: Vec<Place> = Vec::new();
        for socket in folders.map(|folder| folder.join("agent.sock")) {
            if all.iter().all(|place| place.socket != socket) {
                all.push(Place { socket, named: false });
            }
        }
        Self { all, program }
    }

    /// In the order in which they are looked at.
    #[must_use]
    pub fn all(&self) -> &[Place] {
        &self.all
    }

    /// Name and version of the program that looks there.
    #[must_use]
    pub fn program(&self) -> &'static str {
        self.program
    }
}

impl Place {
    /// A place that somebody named: no other is looked at.
    #[must_use]
    pub fn named(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), named: true }
    }

    /// Whether somebody named it.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Connects, if an agent of this user listens there.
    ///
    /// # Errors
    /// [`LinkError::Place`], [`LinkError::Silent`], [`LinkError::System`].
    pub fn connect(&self) -> Result<Option<UnixStream>, LinkError> {
        match self.check_folder() {
            Ok(()) => {}
            Err(Unfit::Missing) => return Ok(None),
            Err(Unfit::Wrong(why)) if self.named => return Err(self.wrong(why)),
            Err(Unfit::Wrong(_)) => return Ok(None),
        }
        match check_socket(&self.socket) {
            Ok(()) => {}
            Err(Unfit::Missing) => return Ok(None),
            Err(Unfit::Wrong(why)) => return Err(self.wrong(why)),
        }
        match connect(&self.socket) {
            Ok(stream) if is_ours(&stream) => Ok(Some(stream)),
            Ok(_) => Err(self.wrong("another user listens there")),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
            {
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LinkError::Silent(PROMPT)),
            Err(error) => Err(LinkError::System(self.socket.clone(), error)),
        }
    }

    /// The socket's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.socket.parent().unwrap_or(Path::new("/"))
    }

    /// The error that says why it is not used.
    #[must_use]
    pub fn wrong(&self, why: &'static str) -> LinkError {
        LinkError::Place { path: self.socket.clone(), why }
    }

    /// Whether the folder is one where nobody else can put a socket.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check_folder(&self) -> Result<(), Unfit> {
        let folder = self.folder();
        if self.named {
            if !self.socket.is_absolute() {
                return Err(Unfit::Wrong("the path is not absolute"));
            }
            return check_above(folder);
        }
        check_above(folder.parent().unwrap_or(Path::new("/")))?;
        let stat = lstat(folder).map_err(missing)?;
        if kind(&stat) != FileType::Directory {
            return Err(Unfit::Wrong("its folder is none"));
        }
        if stat.st_uid != geteuid().as_raw() {
            return Err(Unfit::Wrong("its folder belongs to another user"));
        }
        if mode(&stat).intersects(Mode::RWXG | Mode::RWXO) {
            return Err(Unfit::Wrong("others may use its folder"));
        }
        Ok(())
    }
}

/// Connects, and waits for an agent that does not accept no longer than for one that does not answer.
#[cfg(target_os = "linux")]
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(PROMPT))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

#[cfg(not(target_os = "linux"))]
fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

/// Why a place is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Nothing is there.
    Missing,
    /// What is there is not to be trusted.
    Wrong(&'static str),
}

fn missing(error: Errno) -> Unfit {
    match error {
        Errno::NOENT => Unfit::Missing,
        _ => Unfit::Wrong("it cannot be looked at"),
    }
}

fn check_above(folder: &Path) -> Result<(), Unfit> {
    let stat = stat(folder).map_err(missing)?;
    if kind(&stat) != FileType::Directory {
        return Err(Unfit::Wrong("its folder is none"));
    }
    if ![0, geteuid().as_raw()].contains(&stat.st_uid) {
        return Err(Unfit::Wrong("a folder on the way belongs to another user"));
    }
    if mode(&stat).intersects(Mode::WGRP | Mode::WOTH) && !mode(&stat).contains(Mode::SVTX) {
        return Err(Unfit::Wrong("others may change a folder on the way"));
    }
    Ok(())
}

/// Whether this is a socket of this user.
///
/// # Errors
/// [`Unfit`].
pub fn check_socket(socket: &Path) -> Result<(), Unfit> {
    let stat = lstat(socket).map_err(missing)?;
    if kind(&stat) != FileType::Socket {
        return Err(Unfit::Wrong("it is no socket"));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(Unfit::Wrong("it belongs to another user"));
    }
    Ok(())
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode)
}

/// Whether the process at the other end has our uid. What cannot be known is no.
#[must_use]
pub fn is_ours(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == geteuid())
}
