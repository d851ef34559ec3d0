//! One connection, as others than its own thread see it: what it is at, since when, and how to end it.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use vault_core::agent::{self, ReplyKind, message};

use super::answer::Open;
use super::clock::Reading;
use super::server::lock;

pub(super) struct Connection {
    stream: Arc<UnixStream>,
    /// What is being answered.
    work: Mutex<Option<Work>>,
    /// The request that is being answered waits for its client, who has to send something or to take something, or for its turn.
    waits: AtomicBool,
    /// No further request is taken from it. Set while nobody changes what is being answered.
    is_closed: AtomicBool,
    /// When its client did anything last, in milliseconds since the machine was started.
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
    /// It unlocks a vault; in vain, if that was to be locked meanwhile.
    Unlocks { in_vain: bool },
    /// It has nothing, and waits for others.
    Forgets,
}

/// Which connection is closed first, if one has to be: the least.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Nothing is asked; since then.
    Idle(u64),
    /// It keeps the agent waiting; since then.
    Waits(u64),
}

impl Connection {
    pub(super) fn of(stream: Arc<UnixStream>) -> Self {
        Self {
            stream,
            work: Mutex::new(None),
            waits: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            last: AtomicU64::new(milliseconds()),
            open: Mutex::new(Open::default()),
        }
    }

    /// A request begins; not on a connection that was closed.
    pub(super) fn begin(&self) -> bool {
        self.is_alive();
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let mut work = lock(&self.work);
        if self.is_closed.load(Ordering::SeqCst) {
            return false;
        }
        *work = Some(Work { number, vault: None, kind: Kind::Uses });
        true
    }

    /// Closes it for another one. False if it is at work by now.
    pub(super) fn close(&self) -> bool {
        let work = lock(&self.work);
        if work.is_some() && !self.waits.load(Ordering::SeqCst) {
            return false;
        }
        self.is_closed.store(true, Ordering::SeqCst);
        self.cut(Shutdown::Both);
        true
    }

    /// The vault that the request is about.
    pub(super) fn vault(&self) -> Option<PathBuf> {
        lock(&self.work).as_ref().and_then(|work| work.vault.clone())
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

    /// It unlocks a vault.
    pub(super) fn unlocks(&self) {
        self.is(Kind::Unlocks { in_vain: false });
    }

    /// A vault that it is unlocking is to be locked.
    pub(super) fn unlock_in_vain(&self, real: Option<&Path>) {
        if let Some(work) = lock(&self.work).as_mut().filter(|work| work.may_be_about(real))
            && let Kind::Unlocks { in_vain } = &mut work.kind
        {
            *in_vain = true;
        }
    }

    /// Whether the vault that it unlocks was to be locked.
    pub(super) fn unlocks_in_vain(&self) -> bool {
        lock(&self.work).as_ref().is_some_and(|work| work.kind == Kind::Unlocks { in_vain: true })
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
        self.is_alive();
        *lock(&self.work) = None;
    }

    /// Does what its client has to end, or others.
    pub(super) fn while_waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.waits.store(true, Ordering::SeqCst);
        let result = wait();
        self.waits.store(false, Ordering::SeqCst);
        self.is_alive();
        result
    }

    fn is_alive(&self) {
        self.last.store(milliseconds(), Ordering::SeqCst);
    }

    /// None while it is at work.
    pub(super) fn rank(&self) -> Option<Rank> {
        let since = self.last.load(Ordering::SeqCst);
        match (lock(&self.work).is_some(), self.waits.load(Ordering::SeqCst)) {
            (false, _) => Some(Rank::Idle(since)),
            (true, true) => Some(Rank::Waits(since)),
            (true, false) => None,
        }
    }

    /// The request that is at work, if it may have something of this vault, or of any.
    pub(super) fn at_work(&self, real: Option<&Path>) -> Option<u64> {
        // An unlock that goes on is about a time that begins.
        let others = [Kind::Forgets, Kind::Unlocks { in_vain: false }];
        let work = lock(&self.work);
        let work = work.as_ref().filter(|work| !others.contains(&work.kind) && work.may_be_about(real))?;
        Some(work.number)
    }

    /// A value that is to be stored in this vault comes no further.
    pub(super) fn end_what_comes_in(&self, real: Option<&Path>) {
        let work = lock(&self.work);
        if work.as_ref().is_some_and(|work| work.kind == Kind::Receives && work.may_be_about(real)) {
            self.cut(Shutdown::Read);
        }
    }

    pub(super) fn is_at(&self, number: u64) -> bool {
        lock(&self.work).as_ref().is_some_and(|work| work.number == number && work.kind != Kind::Forgets)
    }

    pub(super) fn is_of(&self, stream: &Arc<UnixStream>) -> bool {
        Arc::ptr_eq(&self.stream, stream)
    }

    pub(super) fn cut(&self, how: Shutdown) {
        // It may be closed already.
        let _ = self.stream.shutdown(how);
    }
}

/// Tells a client that there is no room.
pub(super) fn refuse(mut stream: &UnixStream) {
    let error = message::Error {
        id: "agent-busy".to_owned(),
        exit: 7,
        text: "the agent has as many connections as it can have, and all are at work".to_owned(),
        hints: None,
        causes: None,
        parts: None,
    };
    // A few bytes, for which there is room in a connection that is new.
    if let Ok(frame) = agent::reply(ReplyKind::Error, &error) {
        let _ = stream.write_all(frame.expose());
    }
}

fn milliseconds() -> u64 {
    u64::try_from(Reading::now().boot.as_millis()).unwrap_or(u64::MAX)
}

/// Of the next request.
static NUMBER: AtomicU64 = AtomicU64::new(0);
