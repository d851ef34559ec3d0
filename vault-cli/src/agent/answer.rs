//! What the agent does for a client: every request is answered through the session that works without an agent.
//!
//! Here: the conversation, which vault is meant, and what is open. `unlock` unlocks, `read` gives what is in a vault, `write` changes
//! it, `merge` makes one of several states.

mod merge;
mod read;
mod unlock;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use minicbor::Encode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use vault_core::agent::change;
use vault_core::agent::link::{Frame, Frames, NoFrame, Told};
use vault_core::agent::message::{self, Done, MetaBytes, VaultPath};
use vault_core::agent::{self, FrameError, ReplyKind, Request, VERSIONS};
use vault_core::format::front::Pages;
use vault_core::secret::scrub_stack;
use vault_core::store;
use vault_core::vault::edit::NewValue;
use vault_core::vault::{LockedVault, LongValue, UnlockFailure, UnlockedVault};
use zeroize::Zeroizing;

use super::PROGRAM;
use super::clock::Reading;
use super::connection::Connection;
use super::held::{Held, NotCurrent, lock_keys, real_even_if_gone};
use super::server::{Server, lock};
use crate::context;
use crate::message::wire;
use crate::session::{Local, Session, SessionError};

/// What a connection has open.
#[derive(Default)]
pub(super) struct Open {
    states: BTreeMap<u64, (PathBuf, Arc<UnlockedVault>)>,
    values: BTreeMap<u64, (PathBuf, Box<dyn LongValue>)>,
    attached: BTreeMap<u64, NewValue>,
    staged: Vec<change::Change>,
    staged_bytes: usize,
    /// Something that was to be stored was forgotten: the next commit must not store the rest alone.
    is_spoilt: bool,
    /// Numbers of values that were forgotten: whoever asks for one learns that the vault is locked.
    forgotten: BTreeSet<u64>,
    last: u64,
}

impl Open {
    /// Forgets what is of this vault, or all; and what was to be stored, since it does not say in which.
    pub(super) fn forget(&mut self, vault: Option<&Path>) {
        self.states.retain(|_, (real, _)| vault.is_some_and(|vault| real != vault));
        self.values.retain(|number, (real, _)| {
            let stays = vault.is_some_and(|vault| real != vault);
            if !stays {
                self.forgotten.insert(*number);
            }
            stays
        });
        while self.forgotten.len() > VALUES {
            self.forgotten.pop_first();
        }
        self.is_spoilt |= !(self.staged.is_empty() && self.attached.is_empty());
        (self.staged, self.staged_bytes) = (Vec::new(), 0);
        self.attached.clear();
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// The vault that is named: its real path, what holds it, its state, and the generation seen if this one is older.
type Named = (PathBuf, Option<Arc<Held>>, Arc<UnlockedVault>, Option<u64>);

/// Why a request has no result.
enum Refusal {
    Session(Box<SessionError>),
    Told(Box<Told>),
    /// Nobody is there to be told.
    Gone,
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::Session(Box::new(error))
    }
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

fn told(id: &str, exit: u8, text: impl Into<String>) -> Refusal {
    let told = Told { id: id.to_owned(), exit, text: text.into(), ..Told::default() };
    Refusal::Told(Box::new(told))
}

fn bad_request(what: &str) -> Refusal {
    told("agent-bad-request", 1, format!("the agent does not understand the request: {what}"))
}

/// One connection's requests and their answers.
pub(super) struct Conversation<'a> {
    server: &'a Server,
    connection: &'a Connection,
    frames: Frames,
    said_hello: bool,
    /// A short answer without secrets, which goes with that to a request that came already.
    waiting: Vec<u8>,
    /// What was passed with the request.
    passed: Vec<OwnedFd>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(server: &'a Server, connection: &'a Connection, stream: Arc<UnixStream>) -> Self {
        Self {
            server,
            connection,
            frames: Frames::of(stream),
            said_hello: false,
            waiting: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// Answers until the client goes, or is sent away.
    pub(super) fn go_on(mut self) {
        loop {
            let frame = match self.frames.next(Some(DEADLINE)) {
                Ok(Some(frame)) => frame,
                Err(NoFrame::Frame(error)) => {
                    self.refuse(bad_request(&error.to_string()));
                    return;
                }
                Ok(None) | Err(NoFrame::Io(_)) => return,
            };
            if !self.connection.begin() {
                return;
            }
            let goes_on = self.answer(frame);
            // Descriptors that came with it are of no use to another one.
            self.passed.clear();
            scrub_stack();
            self.connection.finish();
            if !goes_on || !self.frames.has_more() && self.send_waiting().is_err() {
                return;
            }
        }
    }

    /// Whether the conversation goes on.
    fn answer(&mut self, frame: Frame) -> bool {
        self.passed = frame.descriptors;
        let request = match Request::decode(frame.body.expose()) {
            Ok(request) => request,
            Err(_) if !self.said_hello => return self.refuse_and_end(no_hello()),
            Err(error @ FrameError::Unknown(_)) => {
                let text = format!("the agent does not know this: {error}; it is {PROGRAM}");
                return self.refuse(told("agent-unknown-request", 1, text));
            }
            Err(error) => return self.refuse(bad_request(&error.to_string())),
        };
        // What may take its time does not keep an earlier answer waiting.
        let is_quick =
            matches!(request, Request::Hello(_) | Request::Use(_) | Request::Get(_) | Request::Meta(_));
        if !is_quick && self.send_waiting().is_err() {
            return false;
        }
        if !self.said_hello {
            return match request {
                Request::Hello(hello) => self.hello(&hello),
                _ => self.refuse_and_end(no_hello()),
            };
        }
        let is_stop = matches!(request, Request::Stop(_));
        match self.work(request) {
            Ok(()) => !is_stop,
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn hello(&mut self, hello: &message::Hello) -> bool {
        let version = hello.versions.iter().filter(|version| VERSIONS.contains(version)).max();
        let Some(version) = version else {
            let newest = hello.versions.iter().max().copied().unwrap_or(0);
            let which = if newest > VERSIONS[0] { "newer" } else { "older" };
            let text = format!(
                "the agent is {PROGRAM} and speaks version {} of the protocol; this client is {which} and does not",
                VERSIONS[0]
            );
            let hints = vec!["end the older agent with: vault agent stop".to_owned()];
            let told = Told { id: "agent-version".to_owned(), exit: 1, text, hints, ..Told::default() };
            return self.refuse_and_end(Refusal::Told(Box::new(told)));
        };
        self.said_hello = true;
        let pid = std::process::id();
        self.result_with_next(&message::Welcome { version: *version, program: PROGRAM.to_owned(), pid })
            .is_ok()
    }

    fn refuse_and_end(&mut self, refusal: Refusal) -> bool {
        self.refuse(refusal);
        false
    }

    fn refuse(&mut self, refusal: Refusal) -> bool {
        let error: message::Error = match refusal {
            Refusal::Gone => return false,
            Refusal::Told(told) => (*told).into(),
            Refusal::Session(error) => wire(&error).into(),
        };
        self.send(ReplyKind::Error, &error).is_ok()
    }

    fn result<T: Encode<()>>(&mut self, result: &T) -> Result<(), Refusal> {
        self.send(ReplyKind::Result, result)
    }

    fn send<T: Encode<()>>(&mut self, kind: ReplyKind, content: &T) -> Result<(), Refusal> {
        let frame = agent::reply(kind, content)
            .map_err(|error| told("agent-too-large", 1, format!("the answer does not fit: {error}")))?;
        if self.waiting.is_empty() {
            self.write(frame.expose())?;
        } else {
            let waiting = std::mem::take(&mut self.waiting);
            let both = Zeroizing::new([&waiting, frame.expose()].concat());
            self.write(&both)?;
        }
        Ok(())
    }

    /// An answer without secrets. If the next request came already, the two answers go together: a client that is woken for the
    /// first one only to wait again loses more time than it takes to answer.
    fn result_with_next<T: Encode<()>>(&mut self, result: &T) -> Result<(), Refusal> {
        if !self.frames.has_more() || self.waiting.len() > WAITING {
            return self.result(result);
        }
        if let Ok(frame) = agent::reply(ReplyKind::Result, result) {
            self.waiting.extend_from_slice(frame.expose());
        }
        Ok(())
    }

    fn send_waiting(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() { Ok(()) } else { self.write(&waiting) }
    }

    /// Writes all of it, as soon as the client takes it; not later than the limit, however slowly it does.
    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let stream = self.frames.stream();
        let mut deadline = None;
        while !bytes.is_empty() {
            match send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + WRITING);
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    let left = Timespec::try_from(left).map_err(io::Error::other)?;
                    let mut ready = [PollFd::new(stream, PollFlags::OUT)];
                    match self.connection.while_waiting(|| poll(&mut ready, Some(&left))) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Who takes what was asked for uses the vault.
        if let Some(real) = self.connection.vault() {
            self.server.touch(&real);
        }
        Ok(())
    }

    fn work(&mut self, request: Request) -> Result<(), Refusal> {
        match request {
            Request::Hello(_) => Err(bad_request("it was greeted already")),
            Request::Status(_) => self.status(),
            Request::Unlock(unlock) => self.unlock(unlock),
            Request::Lock(lock) => self.lock(lock),
            Request::Stop(_) => {
                self.connection.forgets();
                self.server.stop_for(self.frames.shared_stream());
                Ok(())
            }
            Request::Use(it) => {
                let (_, _, vault, older) = self.vault(&it.vault, None)?;
                self.result_with_next(&facts(&vault, older))
            }
            Request::Get(get) => self.get(&get),
            Request::Alternative(it) => {
                let (real, _, vault, _) = self.vault(&it.vault, it.state)?;
                let number = usize::try_from(it.number).unwrap_or(usize::MAX);
                let value = Local::of(it.vault.path(), vault).alternative(&it.name, number, &it.field)?;
                let value = self.found(real, value)?;
                self.result(&message::Got { meta: None, value })
            }
            Request::Meta(it) => {
                let mut session = self.session(&it.vault, it.state)?;
                let meta = session.meta(&it.name)?;
                self.result(&message::Got { meta: meta.map(MetaBytes), value: None })
            }
            Request::List(it) => {
                let metas = self.session(&it.vault, it.state)?.list()?;
                self.metas(metas)
            }
            Request::Find(find) => self.find(find),
            Request::Entries(entries) => self.entries(entries),
            Request::Commit(commit) => self.commit(commit),
            Request::Stage(stage) => self.stage(stage),
            Request::Attach(attach) => self.attach(&attach),
            Request::Write(_) => Err(bad_request("no value was announced")),
            Request::Read(read) => self.read(read.handle),
            Request::Close(close) => self.close(&close),
            Request::Check(it) => {
                let counts = self.session(&it.vault, it.state)?.check(&|_| ())?;
                self.result(&message::Checked {
                    entries: counts.entries,
                    attachments: counts.attachments,
                    seals: counts.seals,
                    bytes: counts.bytes,
                })
            }
            Request::Open(open) => self.open(&open),
            Request::Log(it) => self.log(&it),
            Request::Differ(it) => self.differ(&it),
            Request::Merge(it) => self.merge(&it),
            Request::Pick(it) => self.pick(&it),
            Request::Covers(it) => self.covers(&it),
            Request::Written(it) => self.written(&it),
            Request::Compact(compact) => {
                let pages = match compact.pages {
                    None => None,
                    Some(256) => Some(Pages::Few),
                    Some(4096) => Some(Pages::Many),
                    Some(_) => return Err(bad_request("a vault has 256 or 4,096 pages")),
                };
                let mut session = self.writer(&compact.vault, compact.author)?;
                let committed = session.compact(pages)?;
                self.committed(&committed)
            }
        }
    }

    /// The vault that is named, in the state that is named.
    fn vault(&self, path: &VaultPath, state: Option<u64>) -> Result<Named, Refusal> {
        let path = path.path();
        if let Some(state) = state {
            let open = lock(&self.connection.open);
            let (real, vault) =
                open.states.get(&state).ok_or_else(|| locked(path, "the state that was open"))?;
            self.connection.is_about(real);
            // Whoever forgets it is on the way.
            if !self.server.touch(real) {
                return Err(locked(path, "this vault"));
            }
            return Ok((real.clone(), None, Arc::clone(vault), None));
        }
        let Some((real, held)) = self.server.find(path) else { return Err(locked(path, "this vault")) };
        self.connection.is_about(&real);
        match held.current(&real, path) {
            Ok(current) => {
                held.touch(&Reading::now());
                Ok((real, Some(held), current.vault, current.older))
            }
            Err(NotCurrent::Locked) => Err(locked(path, "this vault")),
            Err(NotCurrent::Replaced) => Err(told(
                "agent-replaced",
                4,
                "the vault was rotated or replaced since the agent unlocked it; unlock it again",
            )),
            Err(NotCurrent::Session(error)) => Err(Refusal::Session(error)),
        }
    }

    /// Keeps something of a vault for later requests, unless it was locked meanwhile.
    fn keep<T>(&self, real: &Path, put: impl FnOnce(&mut Open) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut open = lock(&self.connection.open);
        // Whoever forgets a vault first takes it from what is held, and then looks at what is open.
        if !lock(&self.server.held).contains_key(real) {
            return Err(locked(real, "this vault"));
        }
        put(&mut open)
    }

    fn session(&self, path: &VaultPath, state: Option<u64>) -> Result<Local, Refusal> {
        let (_, _, vault, _) = self.vault(path, state)?;
        Ok(Local::of(path.path(), vault).restarting_beyond(context::longest_log))
    }

    /// A session that changes the vault: it is held against what this machine remembers, as in any other process.
    fn writer(&self, path: &VaultPath, author: String) -> Result<Local, Refusal> {
        let (_, held, vault, _) = self.vault(path, None)?;
        let session = Local::of(path.path(), vault)
            .restarting_beyond(context::longest_log)
            .by(author, crate::time::now());
        let Some(held) = held else { return Ok(session) };
        Ok(session.with_pins_untold(held.pins(path.path()))?.0)
    }

    fn status(&mut self) -> Result<(), Refusal> {
        let now = Reading::now();
        let all: Vec<_> =
            lock(&self.server.held).iter().map(|(path, held)| (path.clone(), Arc::clone(held))).collect();
        let held = all.iter().filter_map(|(path, held)| {
            let (current, lease, idle) = held.shown(&now)?;
            let facts = facts(&current.vault, current.older);
            Some(message::Held { vault: VaultPath::new(path)?, facts, lease, idle })
        });
        let held = held.collect();
        let status = message::AgentStatus {
            program: PROGRAM.to_owned(),
            pid: std::process::id(),
            connections: self.server.connections(),
            held,
            locked_memory: self.server.locked_memory(),
        };
        self.result(&status)
    }

    fn lock(&mut self, which: message::Lock) -> Result<(), Refusal> {
        self.connection.forgets();
        let count = match which.vault {
            None => self.server.forget_and_wait(None),
            Some(path) => self.server.forget_and_wait(Some(&real_even_if_gone(path.path()))),
        };
        self.result(&message::Locked { count })
    }

    fn close(&mut self, close: &message::Close) -> Result<(), Refusal> {
        let mut open = lock(&self.connection.open);
        if let Some(handle) = close.handle {
            open.values.remove(&handle);
            open.attached.remove(&handle);
        }
        if let Some(state) = close.state {
            open.states.remove(&state);
        }
        drop(open);
        self.result(&Done {})
    }

    fn open(&mut self, it: &message::Open) -> Result<(), Refusal> {
        let path = it.other.as_ref().map_or_else(|| it.vault.path(), VaultPath::path);
        let other = match (&it.other, self.passed.pop()) {
            (None, None) => None,
            (Some(other), None) => Some(store::read(other.path())),
            (None, Some(file)) if self.passed.is_empty() => Some(store::Snapshot::of_open(file.into())),
            _ => return Err(bad_request("one path or one descriptor")),
        };
        let (real, vault, older) = match other {
            None => {
                let (real, _, vault, older) = self.vault(&it.vault, None)?;
                (real, vault, older)
            }
            Some(snapshot) => {
                // For another state only the key matters: in the file itself, git may have left a conflict.
                let (real, key) = self.key(&it.vault)?;
                let snapshot = snapshot.map_err(|error| SessionError::Store(path.to_owned(), error))?;
                let locked = LockedVault::open(Arc::new(snapshot))
                    .map_err(|error| SessionError::Format(path.to_owned(), error))?;
                let opened = locked.unlock_as(&key).map_err(|still| match still.reason {
                    UnlockFailure::Verify(error) => SessionError::Verify(path.to_owned(), error).into(),
                    _ => told(
                        "agent-replaced",
                        4,
                        "the other file is no state of this vault under the key that the agent holds",
                    ),
                })?;
                lock_keys(&opened);
                (real, Arc::new(opened), None)
            }
        };
        let facts = facts(&vault, older);
        let state = self.keep_open(&real, vault)?;
        self.result(&message::Opened { state, facts })
    }

    /// The key of the vault that is named: its state that was read last, whatever stands there now.
    fn key(&self, path: &VaultPath) -> Result<(PathBuf, Arc<UnlockedVault>), Refusal> {
        let path = path.path();
        let Some((real, held)) = self.server.find(path) else { return Err(locked(path, "this vault")) };
        self.connection.is_about(&real);
        let vault = held.last().ok_or_else(|| locked(path, "this vault"))?;
        held.touch(&Reading::now());
        Ok((real, vault))
    }

    /// Keeps a state readable, and gives its number.
    fn keep_open(&self, real: &Path, vault: Arc<UnlockedVault>) -> Result<u64, Refusal> {
        self.keep(real, |open| {
            if open.states.len() >= STATES {
                return Err(told("agent-busy", 7, "too many states are open on this connection"));
            }
            let state = open.next();
            open.states.insert(state, (real.to_owned(), vault));
            Ok(state)
        })
    }
}

fn no_hello() -> Refusal {
    told("agent-version", 1, format!("the client did not say its version first; the agent is {PROGRAM}"))
}

fn locked(path: &Path, what: &str) -> Refusal {
    told("agent-locked", 4, format!("the agent does not hold {what}: {}", crate::escape::quoted_path(path)))
}

fn facts(vault: &Arc<UnlockedVault>, older: Option<u64>) -> message::Facts {
    let facts = Local::of(Path::new("/"), Arc::clone(vault)).facts();
    message::Facts {
        generation: facts.generation,
        seals: facts.seals as u64,
        epoch: facts.epoch,
        slot: facts.slot,
        older,
        removal: facts.removal,
    }
}

/// From the first byte of a frame to its last.
const DEADLINE: Duration = Duration::from_secs(2);
/// The same of one that a client is to take.
const WRITING: Duration = Duration::from_secs(10);
/// Bytes of answers that wait for the next one.
const WAITING: usize = 4 << 10;
/// Values that a connection has open, to read or to store.
const VALUES: usize = 256;
const STATES: usize = 16;
