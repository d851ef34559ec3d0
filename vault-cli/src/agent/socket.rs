//! The socket on which the agent listens. Where it may be, and what is checked there: `vault_core::agent::place`.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, Mode, OFlags, access, flock, lstat, mkdir, open, unlink};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use vault_core::agent::link::LinkError;
use vault_core::agent::place::{Place, Places, Unfit, check_socket};

use super::AgentError;

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
            if !place.is_named() {
                let _ = mkdir(place.folder(), Mode::RWXU);
            }
            match place.check_folder() {
                Ok(()) if access(place.folder(), Access::WRITE_OK) != Err(Errno::ROFS) => return Ok(()),
                Ok(()) => unfit.push((place.socket().to_owned(), "it cannot be written to")),
                Err(Unfit::Missing) => unfit.push((place.socket().to_owned(), "there is no such folder")),
                Err(Unfit::Wrong(why)) => unfit.push((place.socket().to_owned(), why)),
            }
        }
        Err(AgentError::NoFolder(unfit))
    }

    /// The first place that passes the checks, or can be made to.
    pub(super) fn bind(places: &Places) -> Result<Self, AgentError> {
        let mut unfit = Vec::new();
        for place in places.all() {
            if !place.is_named() {
                // If it is there, or cannot be made, the check says so.
                let _ = mkdir(place.folder(), Mode::RWXU);
            }
            match place.check_folder() {
                Ok(()) => match Self::at(place.socket()) {
                    Err(AgentError::Link(LinkError::System(path, error)))
                        if !place.is_named() && error.kind() == io::ErrorKind::ReadOnlyFilesystem =>
                    {
                        unfit.push((path, "it cannot be written to"));
                    }
                    other => return other,
                },
                Err(Unfit::Missing) => unfit.push((place.socket().to_owned(), "there is no such folder")),
                Err(Unfit::Wrong(why)) => unfit.push((place.socket().to_owned(), why)),
            }
        }
        Err(AgentError::NoFolder(unfit))
    }

    /// The socket that a supervisor listens on, and passed as the first of so many: if clients will trust it.
    pub(super) fn passed(count: u32) -> Result<Self, AgentError> {
        let wrong = |why| LinkError::Place { path: PathBuf::from("a socket from LISTEN_FDS"), why };
        if count != 1 {
            return Err(wrong("exactly one is expected").into());
        }
        let socket = vault_sys::inherited(FIRST_PASSED).map_err(|_| wrong("the descriptor is not open"))?;
        let is_listened_on = socket_domain(&socket).is_ok_and(|domain| domain == AddressFamily::UNIX)
            && socket_type(&socket).is_ok_and(|kind| kind == SocketType::STREAM)
            && socket_acceptconn(&socket).is_ok_and(|listens| listens);
        if !is_listened_on {
            return Err(wrong("it is no unix stream socket that is listened on").into());
        }
        let listener = UnixListener::from(socket);
        let address = listener.local_addr().map_err(|error| LinkError::System(PathBuf::new(), error))?;
        let socket = address.as_pathname().ok_or_else(|| wrong("it has no path"))?.to_owned();
        let place = Place::named(&socket);
        match place.check_folder().and_then(|()| check_socket(&socket)) {
            Ok(()) => {}
            Err(Unfit::Missing) => return Err(place.wrong("it is not there any more").into()),
            Err(Unfit::Wrong(why)) => return Err(place.wrong(why).into()),
        }
        let lock = lock_beside(&socket)?;
        let identity = identity(&socket);
        Ok(Self { listener, socket, is_passed: true, identity, _lock: lock })
    }

    fn at(socket: &Path) -> Result<Self, AgentError> {
        let lock = lock_beside(socket)?;
        // Whoever left a socket here is gone, since the lock was free.
        match check_socket(socket) {
            Ok(()) => unlink(socket).map_err(|error| LinkError::System(socket.to_owned(), error.into()))?,
            Err(Unfit::Missing) => {}
            Err(Unfit::Wrong(why)) => return Err(LinkError::Place { path: socket.to_owned(), why }.into()),
        }
        let listener =
            UnixListener::bind(socket).map_err(|error| LinkError::System(socket.to_owned(), error))?;
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
        .map_err(|error| LinkError::System(lock_file.clone(), error.into()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock.into()),
        Err(Errno::WOULDBLOCK) => Err(AgentError::Running(socket.to_owned())),
        Err(error) => Err(LinkError::System(lock_file, error.into()).into()),
    }
}

/// The descriptor of sd_listen_fds(3).
const FIRST_PASSED: i32 = 3;
