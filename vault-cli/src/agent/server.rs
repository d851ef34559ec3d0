//! The agent's process: it accepts connections, watches the clock, and ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
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
    /// What is being answered.
    work: Mutex<Option<Work>>,
    /// When the last request was, in milliseconds since the machine was started.
    last: AtomicU64,
    /// States and values that it has open.
    pub(super) open: Mutex<Open>,
}

/// A request that is being answered.
struct Work {
    /// It differs from all others of this connection.
    number: u64,
    /// The vault that it is about, once that is known.
    vault: Option<PathBuf>,
    kind: Kind,
}

impl Work {
    fn may_be_about(&self, real: Option<&Path>) -> bool {
        self.vault.is_none() || real.is_none() || self.vault.as_deref() == real
    }
}

/// What a request has of keys and values.
#[derive(PartialEq, Eq)]
enum Kind {
    /// It may have both.
    Uses,
    /// A value comes in, as long as the client takes for it.
    Receives,
    /// It has nothing, and waits for others.
    Forgets,
}

/// Whom the agent tells that it listens.
pub(crate) enum Readiness {
    /// Nobody.
    Foreground,
    /// The process that started it.
    Detached,
    /// Nobody; a supervisor listens already, and passed so many sockets.
    Passed(u32),
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
    let bound = match readiness {
        Readiness::Passed(count) => Bound::passed(*count),
        Readiness::Foreground | Readiness::Detached => Bound::bind(places),
    };
    let bound = match bound {
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
    server.end();
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
            work: Mutex::new(None),
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
        let idle = connections.iter().filter(|(_, connection)| lock(&connection.work).is_none());
        let longest = idle.min_by_key(|(_, connection)| connection.last.load(Ordering::SeqCst));
        let Some(number) = longest.map(|(number, _)| *number) else { return false };
        if let Some(connection) = connections.remove(&number) {
            connection.cut(Shutdown::Both);
        }
        true
    }

    pub(super) fn connections(&self) -> u64 {
        lock(&self.connections).len() as u64
    }

    pub(super) fn find(&self, path: &Path) -> Option<(PathBuf, Arc<Held>)> {
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

    /// Holds a vault from now on, instead of what was held of it; not beyond the limit, nor when the agent ends.
    pub(super) fn hold(&self, real: PathBuf, held: Held) -> bool {
        let mut all = lock(&self.held);
        let is_full = all.len() >= VAULTS && !all.contains_key(&real);
        if is_full || self.stop.load(Ordering::SeqCst) {
            return false;
        }
        all.insert(real, Arc::new(held));
        drop(all);
        self.wake_up();
        true
    }

    /// Forgets one vault, or all, and everything that connections have of it. Returns how many there were, at once: requests
    /// that are at work have keys until they end.
    fn forget(&self, real: Option<&Path>) -> u64 {
        let gone: Vec<(PathBuf, Arc<Held>)> = {
            let mut all = lock(&self.held);
            match real {
                Some(real) => all.remove_entry(real).into_iter().collect(),
                None => std::mem::take(&mut *all).into_iter().collect(),
            }
        };
        gone.iter().for_each(|(_, held)| held.forget());
        // From here on no request finds it, and none keeps anything of it open: both look at what is held first.
        for connection in self.all_connections() {
            lock(&connection.open).forget(real);
            connection.end_what_comes_in(real);
        }
        gone.len() as u64
    }

    /// Forgets one vault, or all, and waits until nothing of it is in memory: until the requests that had its keys have ended, and
    /// wiped what they had. One that takes too long loses its connection.
    pub(super) fn forget_and_wait(&self, real: Option<&Path>) -> u64 {
        let count = self.forget(real);
        let connections = self.all_connections();
        let at_work =
            connections.iter().filter_map(|connection| Some((connection, connection.at_work(real)?)));
        let at_work: Vec<_> = at_work.collect();
        let are_at_work = || at_work.iter().any(|(connection, number)| connection.is_at(*number));
        wait(LAST_REQUESTS, &are_at_work);
        // Whoever does not read its answer has had its time.
        for (connection, number) in &at_work {
            if connection.is_at(*number) {
                connection.cut(Shutdown::Both);
            }
        }
        wait(LAST_MOMENT, &are_at_work);
        count
    }

    /// Forgets everything, and lets nobody begin anew.
    fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.forget_and_wait(None);
        for connection in self.all_connections() {
            connection.cut(Shutdown::Both);
        }
        // Half a request may be in a connection's buffer, which is wiped when its thread ends.
        wait(LAST_MOMENT, &|| !lock(&self.connections).is_empty());
    }

    fn all_connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).values().cloned().collect()
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
    /// A request begins.
    pub(super) fn begin(&self) {
        self.last.store(milliseconds(), Ordering::SeqCst);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        *lock(&self.work) = Some(Work { number, vault: None, kind: Kind::Uses });
    }

    /// It is about this vault.
    pub(super) fn is_about(&self, real: &Path) {
        if let Some(work) = lock(&self.work).as_mut() {
            work.vault = Some(real.to_owned());
        }
    }

    /// It waits for a value that the client sends.
    pub(super) fn receives(&self) {
        self.is(Kind::Receives);
    }

    /// It has no keys, and nobody who forgets them waits for it.
    pub(super) fn forgets(&self) {
        self.is(Kind::Forgets);
    }

    fn is(&self, kind: Kind) {
        if let Some(work) = lock(&self.work).as_mut() {
            work.kind = kind;
        }
    }

    /// It ended, and left nothing behind.
    pub(super) fn finish(&self) {
        self.last.store(milliseconds(), Ordering::SeqCst);
        *lock(&self.work) = None;
    }

    /// The request that is at work, if it may have something of this vault, or of any.
    fn at_work(&self, real: Option<&Path>) -> Option<u64> {
        let work = lock(&self.work);
        let work = work.as_ref().filter(|work| work.kind != Kind::Forgets && work.may_be_about(real))?;
        Some(work.number)
    }

    /// A value that is to be stored in this vault comes no further.
    fn end_what_comes_in(&self, real: Option<&Path>) {
        let work = lock(&self.work);
        if work.as_ref().is_some_and(|work| work.kind == Kind::Receives && work.may_be_about(real)) {
            self.cut(Shutdown::Read);
        }
    }

    fn is_at(&self, number: u64) -> bool {
        lock(&self.work).as_ref().is_some_and(|work| work.number == number && work.kind != Kind::Forgets)
    }

    fn cut(&self, how: Shutdown) {
        // It may be closed already.
        let _ = self.stream.shutdown(how);
    }
}

/// Waits as long as this is so, but not longer than that.
fn wait(limit: Duration, is_so: &dyn Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while is_so() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
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
        parts: None,
    };
    if let Ok(frame) = agent::reply(ReplyKind::Error, &error) {
        let _ = stream.write_all(frame.expose());
    }
}

const CONNECTIONS: usize = 128;
const VAULTS: usize = 64;
const WRITING: Duration = Duration::from_secs(10);
/// For requests that have keys when these are to be forgotten.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// For a thread to end whose connection is cut.
const LAST_MOMENT: Duration = Duration::from_millis(500);
/// Of the next request.
static NUMBER: AtomicU64 = AtomicU64::new(0);
