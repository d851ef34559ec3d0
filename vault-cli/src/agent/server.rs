//! The agent's process: it accepts connections, watches the clock, and ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vault_core::agent::{self, ReplyKind, message};

use super::AgentError;
use super::answer::{Conversation, Open};
use super::clock::Reading;
use super::held::{Held, Memory, real};
use super::socket::{Bound, Places, is_ours};
use super::start::{READY, RUNNING};
use super::workers::Workers;
use crate::sys::{detach, harden};

/// What the agent's threads share.
pub(super) struct Server {
    pub(super) held: Mutex<BTreeMap<PathBuf, Arc<Held>>>,
    /// Key derivations run one at a time.
    pub(super) kdf: Mutex<()>,
    connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
    workers: Workers,
    pub(super) stop: AtomicBool,
    pub(super) memory: Memory,
    /// See [`message::AgentStatus`].
    locked_memory: AtomicU8,
    /// Wakes the main thread.
    wake: Mutex<UnixStream>,
}

/// One connection, as the others see it.
pub(super) struct Connection {
    stream: UnixStream,
    /// A request is being answered.
    pub(super) is_busy: AtomicBool,
    /// When the last one was, in milliseconds since the machine was started.
    last: AtomicU64,
    /// States and values that it has open.
    pub(super) open: Mutex<Open>,
}

/// Whom the agent tells that it listens.
pub(crate) enum Readiness {
    /// Nobody.
    Foreground,
    /// The process that started it.
    Detached,
}

/// Runs the agent until it is stopped.
///
/// # Errors
/// [`AgentError`] if it cannot listen.
pub(crate) fn serve(places: &Places, memory: Memory, readiness: &Readiness) -> Result<(), AgentError> {
    let detached = matches!(readiness, Readiness::Detached);
    if detached {
        detach::leave_session();
    }
    harden::private_files();
    let (wake, woken) = UnixStream::pair().map_err(AgentError::Lost)?;
    let signal = |number: i32| -> Result<UnixStream, AgentError> {
        let (write, read) = UnixStream::pair().map_err(AgentError::Lost)?;
        signal_hook::low_level::pipe::register(number, write).map_err(AgentError::Lost)?;
        Ok(read)
    };
    let (hang_up, terminate, interrupt) = (signal(SIGHUP)?, signal(SIGTERM)?, signal(SIGINT)?);
    let bound = match Bound::bind(places) {
        Err(AgentError::Running(_)) if detached => {
            detach::say_and_let_go(RUNNING).map_err(AgentError::Lost)?;
            return Ok(());
        }
        other => other?,
    };
    if detached {
        detach::say_and_let_go(READY).map_err(AgentError::Lost)?;
    }
    let server = Arc::new(Server {
        held: Mutex::new(BTreeMap::new()),
        kdf: Mutex::new(()),
        connections: Mutex::new(BTreeMap::new()),
        workers: Workers::default(),
        stop: AtomicBool::new(false),
        memory,
        locked_memory: AtomicU8::new(if harden::lock_all_memory() { 2 } else { 1 }),
        wake: Mutex::new(wake),
    });
    bound.listener.set_nonblocking(true).map_err(AgentError::Lost)?;
    let mut number = 0;
    let mut before = Reading::now();
    while !server.stop.load(Ordering::SeqCst) {
        let mut ready = [&bound.listener as &dyn std::os::fd::AsFd, &hang_up, &terminate, &interrupt, &woken]
            .map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN));
        let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
        let wait = (!lock(&server.held).is_empty()).then_some(&second);
        match poll(&mut ready, wait) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(AgentError::Lost(error.into())),
        }
        let is_ready = ready.map(|source| !source.revents().is_empty());
        let now = Reading::now();
        if is_ready[1] || now.slept_since(&before) {
            drain(&hang_up);
            server.forget(None);
        }
        if is_ready[2] || is_ready[3] {
            break;
        }
        if is_ready[4] {
            drain(&woken);
        }
        before = now;
        server.forget_what_is_over(&now);
        while let Ok((stream, _)) = bound.listener.accept() {
            number += 1;
            server.welcome(number, stream);
        }
    }
    server.forget(None);
    // The answer to "stop" is on its way.
    Ok(())
}

/// Reads what woke us.
fn drain(stream: &UnixStream) {
    let _ = stream.set_nonblocking(true);
    let mut bytes = [0; 64];
    while rustix::io::read(stream, &mut bytes).is_ok_and(|count| count == bytes.len()) {}
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Starts to answer a client, if it is one of ours.
    fn welcome(self: &Arc<Self>, number: u64, stream: UnixStream) {
        if !is_ours(&stream) || stream.set_nonblocking(false).is_err() {
            return;
        }
        let _ = stream.set_write_timeout(Some(WRITING));
        let Ok(copy) = stream.try_clone() else { return };
        let connection = Arc::new(Connection {
            stream: copy,
            is_busy: AtomicBool::new(false),
            last: AtomicU64::new(milliseconds()),
            open: Mutex::new(Open::default()),
        });
        if !self.make_room() {
            refuse(&stream);
            return;
        }
        lock(&self.connections).insert(number, Arc::clone(&connection));
        let server = Arc::clone(self);
        let answer = Box::new(move || {
            Conversation::new(&server, &connection, stream).go_on();
            lock(&server.connections).remove(&number);
        });
        if !self.workers.answer(answer) {
            lock(&self.connections).remove(&number);
        }
    }

    /// Closes the connection that was idle longest, if there are too many.
    fn make_room(&self) -> bool {
        let mut connections = lock(&self.connections);
        if connections.len() < CONNECTIONS {
            return true;
        }
        let idle = connections.iter().filter(|(_, connection)| !connection.is_busy.load(Ordering::SeqCst));
        let longest = idle.min_by_key(|(_, connection)| connection.last.load(Ordering::SeqCst));
        let Some(number) = longest.map(|(number, _)| *number) else { return false };
        if let Some(connection) = connections.remove(&number) {
            let _ = connection.stream.shutdown(std::net::Shutdown::Both);
        }
        true
    }

    pub(super) fn connections(&self) -> u64 {
        lock(&self.connections).len() as u64
    }

    pub(super) fn find(&self, path: &std::path::Path) -> Option<(PathBuf, Arc<Held>)> {
        // Mostly the path that it is held under is the one that is asked for. While the file there is the one that was read, it
        // does not matter what links lead to it.
        let named = lock(&self.held).get_key_value(path).map(|(real, held)| (real.clone(), Arc::clone(held)));
        if let Some((real, held)) = named.filter(|(_, held)| held.is_at(path)) {
            return Some((real, held));
        }
        let real = real(path)?;
        let held = lock(&self.held).get(&real).cloned()?;
        Some((real, held))
    }

    /// Holds a vault from now on, instead of what was held of it.
    pub(super) fn hold(&self, real: PathBuf, held: Held) -> bool {
        let mut all = lock(&self.held);
        if all.len() >= VAULTS && !all.contains_key(&real) {
            return false;
        }
        all.insert(real, Arc::new(held));
        drop(all);
        self.wake_up();
        true
    }

    /// Forgets one vault, or all, and everything that connections have of it. Returns how many there were.
    pub(super) fn forget(&self, real: Option<&std::path::Path>) -> u64 {
        let gone: Vec<(PathBuf, Arc<Held>)> = {
            let mut all = lock(&self.held);
            match real {
                Some(real) => all.remove_entry(real).into_iter().collect(),
                None => std::mem::take(&mut *all).into_iter().collect(),
            }
        };
        let keys: Vec<_> = gone.iter().map(|(_, held)| held.forget()).collect();
        let connections: Vec<_> = lock(&self.connections).values().cloned().collect();
        for connection in connections {
            lock(&connection.open).forget(real);
        }
        // Requests that are at work end soon, and then the keys are gone for good.
        let deadline = Instant::now() + LAST_REQUESTS;
        while keys.iter().any(|key| key.strong_count() > 0) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        gone.len() as u64
    }

    fn forget_what_is_over(&self, now: &Reading) {
        let over: Vec<PathBuf> = {
            let all = lock(&self.held);
            all.iter().filter(|(_, held)| held.is_over(now)).map(|(real, _)| real.clone()).collect()
        };
        for real in over {
            self.forget(Some(&real));
        }
    }

    /// How well memory is kept from being swapped out.
    pub(super) fn locked_memory(&self) -> u8 {
        self.locked_memory.load(Ordering::SeqCst)
    }

    /// The system did not allow it.
    pub(super) fn keys_are_not_locked(&self) {
        let _ = self.locked_memory.compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Lets the main thread look again.
    pub(super) fn wake_up(&self) {
        let _ = lock(&self.wake).write(b"!");
    }
}

impl Connection {
    /// A request begins or ends.
    pub(super) fn set_busy(&self, is_busy: bool) {
        self.last.store(milliseconds(), Ordering::SeqCst);
        self.is_busy.store(is_busy, Ordering::SeqCst);
    }
}

fn milliseconds() -> u64 {
    u64::try_from(Reading::now().boot.as_millis()).unwrap_or(u64::MAX)
}

/// Tells a client that there is no room.
fn refuse(mut stream: &UnixStream) {
    let error = message::Error {
        id: "agent-busy".to_owned(),
        exit: 7,
        text: "the agent has as many connections as it can have, and all are at work".to_owned(),
        hints: None,
        causes: None,
    };
    if let Ok(frame) = agent::reply(ReplyKind::Error, &error) {
        let _ = stream.write_all(frame.expose());
    }
}

const CONNECTIONS: usize = 128;
const VAULTS: usize = 64;
const WRITING: Duration = Duration::from_secs(10);
const LAST_REQUESTS: Duration = Duration::from_secs(5);
