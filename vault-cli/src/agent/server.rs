//! The agent's process: it accepts connections, watches the clock, and ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{SendFlags, send};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vault_core::agent::link::LinkError;
use vault_core::agent::message::Done;
use vault_core::agent::place::{Places, is_ours};
use vault_core::agent::{self, ReplyKind};

use super::AgentError;
use super::answer::Conversation;
use super::clock::Reading;
use super::connection::{Connection, refuse};
use super::held::{Held, Memory, real};
use super::socket::Bound;
use super::start::{READY, RUNNING};
use super::workers::Workers;
use crate::sys::{detach, harden};

/// What the agent's threads share.
pub(super) struct Server {
    pub(super) held: Mutex<BTreeMap<PathBuf, Arc<Held>>>,
    /// Key derivations run one at a time.
    pub(super) kdf: Mutex<()>,
    connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
    /// How many of them there can be.
    most_connections: usize,
    workers: Workers,
    pub(super) stop: AtomicBool,
    /// Who asked for it, and is told when nobody listens here any more.
    leavers: Mutex<Vec<Arc<UnixStream>>>,
    pub(super) memory: Memory,
    /// See [`vault_core::agent::message::AgentStatus`].
    locked_memory: AtomicU8,
    /// Wakes the main thread.
    wake: Mutex<UnixStream>,
}

/// Why a vault is not held.
pub(super) enum NotHeld {
    /// It was locked while it was being unlocked.
    Locked,
    /// The agent is about to end.
    Ending,
    /// It holds as many as it can.
    Full,
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
    let (wake, woken) = UnixStream::pair().map_err(LinkError::Lost)?;
    let signal = |number: i32| -> Result<UnixStream, AgentError> {
        let (write, read) = UnixStream::pair().map_err(LinkError::Lost)?;
        signal_hook::low_level::pipe::register(number, write).map_err(LinkError::Lost)?;
        Ok(read)
    };
    let (hang_up, terminate, interrupt) = (signal(SIGHUP)?, signal(SIGTERM)?, signal(SIGINT)?);
    let bound = match readiness {
        Readiness::Passed(count) => Bound::passed(*count),
        Readiness::Foreground | Readiness::Detached => Bound::bind(places),
    };
    let bound = match bound {
        Err(AgentError::Running(_)) if detached => {
            detach::say_and_let_go(RUNNING).map_err(LinkError::Lost)?;
            return Ok(());
        }
        other => other?,
    };
    if detached {
        detach::say_and_let_go(READY).map_err(LinkError::Lost)?;
    }
    let server = Arc::new(Server {
        held: Mutex::new(BTreeMap::new()),
        kdf: Mutex::new(()),
        connections: Mutex::new(BTreeMap::new()),
        most_connections: most_connections(harden::raise_descriptors()),
        workers: Workers::default(),
        stop: AtomicBool::new(false),
        leavers: Mutex::default(),
        memory,
        locked_memory: AtomicU8::new(if harden::lock_all_memory() { 2 } else { 1 }),
        wake: Mutex::new(wake),
    });
    bound.listener.set_nonblocking(true).map_err(LinkError::Lost)?;
    let mut incoming = Incoming::of(&bound);
    let mut before = Reading::now();
    while !server.stop.load(Ordering::SeqCst) {
        let mut ready = [&bound.listener as &dyn std::os::fd::AsFd, &hang_up, &terminate, &interrupt, &woken]
            .map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN));
        let seconds = if lock(&server.held).is_empty() { LOOKS_IDLE } else { LOOKS };
        let wait = rustix::event::Timespec { tv_sec: seconds, tv_nsec: 0 };
        match poll(&mut ready, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(LinkError::Lost(error.into()).into()),
        }
        let is_ready = ready.map(|source| !source.revents().is_empty());
        let now = Reading::now();
        if is_ready[1] || now.slept_since(&before) {
            drain(&hang_up);
            server.forget_soon(None, Why::Asked);
        }
        // Where nobody finds it, nobody can lock what it holds.
        if is_ready[2] || is_ready[3] || !bound.is_there() {
            break;
        }
        if is_ready[4] {
            drain(&woken);
        }
        before = now;
        server.forget_what_is_over(&now);
        incoming.welcome_all(&server);
    }
    drop(incoming);
    server.end();
    // Whoever starts an agent after the answer finds neither the socket nor the lock of this one.
    drop(bound);
    server.say_that_it_ended();
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

/// Why a vault is forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Somebody wants it: nor is one kept that is being unlocked.
    Asked,
    /// Its time is over: but not that of one that is being unlocked anew.
    Over,
}

/// Connections that are to be accepted.
struct Incoming<'a> {
    listener: &'a UnixListener,
    /// How many there were.
    count: u64,
    /// A descriptor that is kept to be given up, so that somebody can be told that there is no other.
    spare: Option<File>,
}

impl<'a> Incoming<'a> {
    fn of(bound: &'a Bound) -> Self {
        Self { listener: &bound.listener, count: 0, spare: spare() }
    }

    /// Accepts everybody who waits.
    fn welcome_all(&mut self, server: &Arc<Server>) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.count += 1;
                    server.welcome(self.count, stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if [io::ErrorKind::Interrupted, io::ErrorKind::ConnectionAborted]
                        .contains(&error.kind()) => {}
                Err(_) => {
                    // The system wants a descriptor before it looks whether somebody waits. For nobody, nobody is closed: it would be
                    // the one that was accepted last, and has asked nothing yet.
                    if self.is_awaited() {
                        self.without_descriptor(server);
                    }
                    return;
                }
            }
        }
    }

    fn is_awaited(&self) -> bool {
        let mut ready = [PollFd::new(self.listener, PollFlags::IN)];
        poll(&mut ready, Some(&rustix::event::Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// No descriptor is left: one is got from whoever needs it least, or somebody is told.
    fn without_descriptor(&mut self, server: &Server) {
        if !server.close_one() && self.spare.take().is_some() {
            if let Ok((stream, _)) = self.listener.accept() {
                refuse(&stream);
            }
            self.spare = spare();
        }
        // The one that was closed is let go by its own thread; and whoever cannot be helped must not keep this one busy.
        std::thread::sleep(PAUSE);
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// As many connections as leave descriptors for the rest.
fn most_connections(descriptors: u64) -> usize {
    let room = usize::try_from(descriptors.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(usize::MAX);
    room.clamp(FEWEST_CONNECTIONS, CONNECTIONS)
}

impl Server {
    /// Starts to answer a client, if it is one of ours.
    fn welcome(self: &Arc<Self>, number: u64, stream: UnixStream) {
        if !is_ours(&stream) || stream.set_nonblocking(false).is_err() {
            return;
        }
        if lock(&self.connections).len() >= self.most_connections && !self.close_one() {
            refuse(&stream);
            return;
        }
        let stream = Arc::new(stream);
        let connection = Arc::new(Connection::of(Arc::clone(&stream)));
        lock(&self.connections).insert(number, Arc::clone(&connection));
        let server = Arc::clone(self);
        let its_stream = Arc::clone(&stream);
        let answer = Box::new(move || {
            Conversation::new(&server, &connection, its_stream).go_on();
            lock(&server.connections).remove(&number);
        });
        if !self.workers.answer(answer) {
            lock(&self.connections).remove(&number);
            refuse(&stream);
        }
    }

    /// Closes the connection that was idle longest; if none is, the one that kept us waiting longest. False if all are at work.
    fn close_one(&self) -> bool {
        let mut connections = lock(&self.connections);
        let ranked = connections.iter().filter_map(|(number, it)| Some((it.rank()?, *number)));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        let closed = ranked.into_iter().find(|(_, number)| connections[number].close());
        closed.is_some_and(|(_, number)| connections.remove(&number).is_some())
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

    /// Holds a vault from now on, instead of what was held of it; not beyond the limit, nor when the agent ends, nor if it was to be
    /// forgotten meanwhile.
    pub(super) fn hold(&self, connection: &Connection, real: PathBuf, held: Held) -> Result<(), NotHeld> {
        let mut all = lock(&self.held);
        if self.stop.load(Ordering::SeqCst) {
            return Err(NotHeld::Ending);
        }
        if connection.unlocks_in_vain() {
            return Err(NotHeld::Locked);
        }
        if all.len() >= VAULTS && !all.contains_key(&real) {
            return Err(NotHeld::Full);
        }
        all.insert(real, Arc::new(held));
        drop(all);
        self.wake_up();
        Ok(())
    }

    /// The vault under this path is in use; false if it is not held, or its time is over.
    pub(super) fn touch(&self, real: &Path) -> bool {
        let held = lock(&self.held).get(real).cloned();
        held.is_some_and(|held| held.touch(&Reading::now()))
    }

    /// Forgets one vault, or all, and everything that connections have of it. Returns how many there were, at once: requests
    /// that are at work have keys until they end.
    fn forget(&self, real: Option<&Path>, why: Why) -> u64 {
        if why == Why::Asked {
            // First, so that an unlock that is at work either has put its vault there already, or does not.
            self.all_connections().iter().for_each(|connection| connection.unlock_in_vain(real));
        }
        // Whoever unlocked it anew a moment ago has begun another time.
        let goes = |held: &Held| why == Why::Asked || held.is_over(&Reading::now());
        let mut gone = Vec::new();
        lock(&self.held).retain(|path, held| {
            let stays = real.is_some_and(|real| real != path) || !goes(held);
            if !stays {
                gone.push(Arc::clone(held));
            }
            stays
        });
        if gone.is_empty() && why == Why::Over {
            return 0;
        }
        gone.iter().for_each(|held| held.forget());
        // From here on no request finds it, and none keeps anything of it open: both look at what is held first.
        for connection in self.all_connections() {
            lock(&connection.open).forget(real);
            connection.end_what_comes_in(real);
        }
        gone.len() as u64
    }

    /// Waits until the requests that had keys of one vault, or any, have ended, and wiped what they had. One that takes too long
    /// loses its connection.
    fn wait_for_requests(&self, real: Option<&Path>) {
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
    }

    /// Forgets one vault, or all, as somebody asked for, and waits until nothing of it is in memory.
    pub(super) fn forget_and_wait(&self, real: Option<&Path>) -> u64 {
        let count = self.forget(real, Why::Asked);
        self.wait_for_requests(real);
        count
    }

    /// The same, without waiting here.
    fn forget_soon(self: &Arc<Self>, real: Option<PathBuf>, why: Why) {
        self.forget(real.as_deref(), why);
        let server = Arc::clone(self);
        let wait = move || server.wait_for_requests(real.as_deref());
        // Where there can be no thread, requests have what they have until they end.
        let _ = std::thread::Builder::new().spawn(wait);
    }

    /// Ends the agent, and lets the client know when it has.
    pub(super) fn stop_for(&self, client: Arc<UnixStream>) {
        lock(&self.leavers).push(client);
        self.stop.store(true, Ordering::SeqCst);
        self.wake_up();
    }

    fn say_that_it_ended(&self) {
        let Ok(done) = agent::reply(ReplyKind::Result, &Done {}) else { return };
        for client in lock(&self.leavers).iter() {
            // They may have gone, or read nothing: nobody is waited for.
            let _ = send(client, done.expose(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    /// Forgets everything, and lets nobody begin anew.
    fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.forget_and_wait(None);
        for connection in self.all_connections() {
            if lock(&self.leavers).iter().all(|leaver| !connection.is_of(leaver)) {
                connection.cut(Shutdown::Both);
            }
        }
        // Half a request may be in a connection's buffer, which is wiped when its thread ends.
        wait(LAST_MOMENT, &|| !lock(&self.connections).is_empty());
    }

    fn all_connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).values().cloned().collect()
    }

    fn forget_what_is_over(self: &Arc<Self>, now: &Reading) {
        let over: Vec<PathBuf> = {
            let all = lock(&self.held);
            all.iter().filter(|(_, held)| held.is_over(now)).map(|(real, _)| real.clone()).collect()
        };
        for real in over {
            self.forget_soon(Some(real), Why::Over);
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

/// Waits as long as this is so, but not longer than that.
fn wait(limit: Duration, is_so: &dyn Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while is_so() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// As many as there can be, where the system allows so many descriptors.
const CONNECTIONS: usize = 128;
/// Even where it does not.
const FEWEST_CONNECTIONS: usize = 8;
/// Descriptors that are not for connections: files that are read and written, values that are open.
const OTHER_DESCRIPTORS: u64 = 64;
/// How often the clock and the socket are looked at, in seconds; and with nothing held.
const LOOKS: i64 = 1;
const LOOKS_IDLE: i64 = 30;
/// Before the next connection is looked at, where there is no descriptor for one.
const PAUSE: Duration = Duration::from_millis(10);
const VAULTS: usize = 64;
/// For requests that have keys when these are to be forgotten.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// For a thread to end whose connection is cut.
const LAST_MOMENT: Duration = Duration::from_millis(500);
