//! Where the agent's socket is, and whether what is there can be trusted. docs/agent-protocol.md, "Finding the socket".

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, FileType, FlockOperation, Mode, OFlags, Stat, access, flock, lstat, mkdir, open, stat, unlink,
};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
#[cfg(target_os = "linux")]
use rustix::net::{
    SocketAddrUnix, SocketFlags, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};
use rustix::process::geteuid;

use super::AgentError;
use super::link::PROMPT;
use crate::context::Environment;

/// Places where an agent may be, in order.
#[derive(Clone)]
pub(crate) struct Places(Vec<Place>);

/// One of them.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) socket: PathBuf,
    /// It was named, and no other is looked at.
    named: bool,
}

impl Places {
    /// As the environment says.
    pub(crate) fn of(environment: &Environment) -> Self {
        if let Some(socket) = environment.agent_socket() {
            return Self(vec![Place { socket: socket.to_owned(), named: true }]);
        }
        let user = geteuid().as_raw();
        let folders = environment.runtime_folder().map(|folder| folder.join("vault")).into_iter();
        let folders = folders.chain([
            PathBuf::from(format!("/run/user/{user}/vault")),
            PathBuf::from(format!("/tmp/vault-{user}")),
        ]);
        let mut places: Vec<Place> = Vec::new();
        for socket in folders.map(|folder| folder.join("agent.sock")) {
            if places.iter().all(|place| place.socket != socket) {
                places.push(Place { socket, named: false });
            }
        }
        Self(places)
    }

    pub(super) fn all(&self) -> &[Place] {
        &self.0
    }
}

impl Place {
    /// Connects, if an agent of this user listens there.
    pub(super) fn connect(&self) -> Result<Option<UnixStream>, AgentError> {
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
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(AgentError::Silent(PROMPT)),
            Err(error) => Err(AgentError::System(self.socket.clone(), error)),
        }
    }

    fn folder(&self) -> &Path {
        self.socket.parent().unwrap_or(Path::new("/"))
    }

    fn wrong(&self, why: &'static str) -> AgentError {
        AgentError::Place { path: self.socket.clone(), why }
    }

    fn check_folder(&self) -> Result<(), Unfit> {
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
enum Unfit {
    Missing,
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

fn check_socket(socket: &Path) -> Result<(), Unfit> {
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
pub(super) fn is_ours(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == geteuid())
}

/// A socket that is listened on. While this lives, no other agent listens there.
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    pub(super) socket: PathBuf,
    /// The socket is a supervisor's, who goes on listening.
    is_passed: bool,
    /// Device and inode of the socket: another one may be put in its place.
    identity: Option<(u64, u64)>,
    _lock: File,
}

impl Bound {
    /// Fails if no place passes the checks, nor can be made to.
    pub(super) fn check(places: &Places) -> Result<(), AgentError> {
        let mut unfit = Vec::new();
        for place in places.all() {
            if !place.named {
                let _ = mkdir(place.folder(), Mode::RWXU);
            }
            match place.check_folder() {
                Ok(()) if access(place.folder(), Access::WRITE_OK) != Err(Errno::ROFS) => return Ok(()),
                Ok(()) => unfit.push((place.socket.clone(), "it cannot be written to")),
                Err(Unfit::Missing) => unfit.push((place.socket.clone(), "there is no such folder")),
                Err(Unfit::Wrong(why)) => unfit.push((place.socket.clone(), why)),
            }
        }
        Err(AgentError::NoFolder(unfit))
    }

    /// The first place that passes the checks, or can be made to.
    pub(super) fn bind(places: &Places) -> Result<Self, AgentError> {
        let mut unfit = Vec::new();
        for place in places.all() {
            if !place.named {
                // If it is there, or cannot be made, the check says so.
                let _ = mkdir(place.folder(), Mode::RWXU);
            }
            match place.check_folder() {
                Ok(()) => match Self::at(&place.socket) {
                    Err(AgentError::System(path, error))
                        if !place.named && error.kind() == io::ErrorKind::ReadOnlyFilesystem =>
                    {
                        unfit.push((path, "it cannot be written to"));
                    }
                    other => return other,
                },
                Err(Unfit::Missing) => unfit.push((place.socket.clone(), "there is no such folder")),
                Err(Unfit::Wrong(why)) => unfit.push((place.socket.clone(), why)),
            }
        }
        Err(AgentError::NoFolder(unfit))
    }

    /// The socket that a supervisor listens on, and passed as the first of so many: if clients will trust it.
    pub(super) fn passed(count: u32) -> Result<Self, AgentError> {
        let wrong = |why| AgentError::Place { path: PathBuf::from("a socket from LISTEN_FDS"), why };
        if count != 1 {
            return Err(wrong("exactly one is expected"));
        }
        let socket = vault_sys::inherited(FIRST_PASSED).map_err(|_| wrong("the descriptor is not open"))?;
        let is_listened_on = socket_domain(&socket).is_ok_and(|domain| domain == AddressFamily::UNIX)
            && socket_type(&socket).is_ok_and(|kind| kind == SocketType::STREAM)
            && socket_acceptconn(&socket).is_ok_and(|listens| listens);
        if !is_listened_on {
            return Err(wrong("it is no unix stream socket that is listened on"));
        }
        let listener = UnixListener::from(socket);
        let address = listener.local_addr().map_err(|error| AgentError::System(PathBuf::new(), error))?;
        let socket = address.as_pathname().ok_or_else(|| wrong("it has no path"))?.to_owned();
        let place = Place { socket: socket.clone(), named: true };
        match place.check_folder().and_then(|()| check_socket(&socket)) {
            Ok(()) => {}
            Err(Unfit::Missing) => return Err(place.wrong("it is not there any more")),
            Err(Unfit::Wrong(why)) => return Err(place.wrong(why)),
        }
        let lock = lock_beside(&socket)?;
        let identity = identity(&socket);
        Ok(Self { listener, socket, is_passed: true, identity, _lock: lock })
    }

    fn at(socket: &Path) -> Result<Self, AgentError> {
        let lock = lock_beside(socket)?;
        // Whoever left a socket here is gone, since the lock was free.
        match check_socket(socket) {
            Ok(()) => unlink(socket).map_err(|error| AgentError::System(socket.to_owned(), error.into()))?,
            Err(Unfit::Missing) => {}
            Err(Unfit::Wrong(why)) => return Err(AgentError::Place { path: socket.to_owned(), why }),
        }
        let listener =
            UnixListener::bind(socket).map_err(|error| AgentError::System(socket.to_owned(), error))?;
        let identity = identity(socket);
        Ok(Self { listener, socket: socket.to_owned(), is_passed: false, identity, _lock: lock })
    }

    /// Whether the path still leads to this socket.
    pub(super) fn is_there(&self) -> bool {
        self.identity.is_some() && self.identity == identity(&self.socket)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if !self.is_passed && self.is_there() {
            let _ = unlink(&self.socket);
        }
    }
}

/// Device and inode of what is there.
fn identity(socket: &Path) -> Option<(u64, u64)> {
    lstat(socket).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// The lock of whoever listens there.
fn lock_beside(socket: &Path) -> Result<File, AgentError> {
    let lock_file = socket.with_extension("lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = open(&lock_file, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| AgentError::System(lock_file.clone(), error.into()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock.into()),
        Err(Errno::WOULDBLOCK) => Err(AgentError::Running(socket.to_owned())),
        Err(error) => Err(AgentError::System(lock_file, error.into())),
    }
}

/// The descriptor of sd_listen_fds(3).
const FIRST_PASSED: i32 = 3;
