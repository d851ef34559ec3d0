//! Vaults that are held: their keys, for how long, and whether the file is still theirs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vault_core::keys::UnlockError;
use vault_core::store::{self, Snapshot};
use vault_core::vault::catalogue::Catalogue;
use vault_core::vault::{LockedVault, UnlockFailure, UnlockedVault};

use super::clock::{End, Reading};
use super::kept::Kept;
use crate::context::StateFolder;
use crate::session::{Local, PathPins, SessionError, Terms};

/// A vault that is held.
pub(super) struct Held {
    state: Kept<State>,
    /// Apart, since whoever looks at the clock must not wait for somebody who reads the file.
    time: Mutex<Time>,
    memory: Memory,
}

/// Where this machine remembers vaults, and what is made of it. docs/decisions/0017.
#[derive(Clone)]
pub(crate) struct Memory {
    /// Where it is kept.
    pub(crate) folder: Option<StateFolder>,
    /// `require-pin`.
    pub(crate) required: bool,
    /// Something else says which vault it is: a machine key.
    pub(crate) named_by_key: bool,
    /// An older vault is meant.
    pub(crate) allow_rollback: bool,
}

impl Memory {
    /// What is remembered of the vault at this path, as the client named it. It has to be read before the vault is.
    pub(super) fn pins(&self, path: &Path) -> PathPins {
        let terms = Terms {
            required: self.required,
            allow_rollback: self.allow_rollback,
            named: Vec::new(),
            named_by_key: self.named_by_key,
            now: crate::time::now(),
        };
        PathPins::read(self.folder.clone(), path, terms)
    }
}

struct State {
    vault: Arc<UnlockedVault>,
    snapshot: Arc<Snapshot>,
    /// The generation that this machine has seen, if this one is older.
    older: Option<u64>,
    /// Made when the first search needs it.
    catalogue: Option<Arc<Catalogue>>,
}

/// For how long it is held.
struct Time {
    lease: Option<End>,
    idle: Option<(u64, End)>,
}

impl Time {
    fn is_over(&self, now: &Reading) -> bool {
        let idle = self.idle.map(|(_, end)| end);
        [self.lease, idle].into_iter().flatten().any(|end| end.left(now) == 0)
    }
}

/// A vault as it is now.
pub(super) struct Current {
    pub(super) vault: Arc<UnlockedVault>,
    /// The generation that this machine has seen, if this one is older.
    pub(super) older: Option<u64>,
}

/// Why there is no current state.
pub(super) enum NotCurrent {
    /// It is not held.
    Locked,
    /// The file is another vault's, or has another master key.
    Replaced,
    /// Anything else.
    Session(Box<SessionError>),
}

impl NotCurrent {
    fn session(error: SessionError) -> Self {
        Self::Session(Box::new(error))
    }
}

impl Held {
    pub(super) fn new(
        vault: Arc<UnlockedVault>,
        snapshot: Arc<Snapshot>,
        (memory, older): (Memory, Option<u64>),
        lease: Option<End>,
        idle: Option<(u64, End)>,
    ) -> Self {
        let state = Kept::of(State { vault, snapshot, older, catalogue: None });
        Self { state, time: Mutex::new(Time { lease, idle }), memory }
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vault as the file is now. `path` is as the client named it.
    pub(super) fn current(&self, real: &Path, path: &Path) -> Result<Current, NotCurrent> {
        let failed = |error| NotCurrent::session(SessionError::Store(path.to_owned(), error));
        let mut turn = self.state.turn();
        let state = turn.get().ok_or(NotCurrent::Locked)?;
        if self.is_over(&Reading::now()) {
            return Err(NotCurrent::Locked);
        }
        // Looked at under the lock: of two requests, the later one sees the newer file.
        if !state.snapshot.is_at(real)
            && !store::read(real).map_err(failed)?.is_untouched_since(&state.snapshot)
        {
            let pins = self.memory.pins(path);
            let snapshot = Arc::new(store::read(real).map_err(failed)?);
            let locked = LockedVault::open(Arc::clone(&snapshot) as _)
                .map_err(|error| NotCurrent::session(SessionError::Format(path.to_owned(), error)))?;
            let vault = locked.unlock_as(&state.vault).map_err(|still| match still.reason {
                UnlockFailure::Denied(UnlockError::NoSlotMatches { .. }) => NotCurrent::Replaced,
                UnlockFailure::Verify(error) => {
                    NotCurrent::session(SessionError::Verify(path.to_owned(), error))
                }
                reason => NotCurrent::session(SessionError::Unlock {
                    path: path.to_owned(),
                    reason,
                    slots: Vec::new(),
                }),
            })?;
            lock_keys(&vault);
            let vault = Arc::new(vault);
            let compared = Local::of(path, Arc::clone(&vault)).with_pins_untold(pins);
            let (_, older) = compared.map_err(NotCurrent::session)?;
            (state.vault, state.snapshot, state.older, state.catalogue) = (vault, snapshot, older, None);
        }
        Ok(Current { vault: Arc::clone(&state.vault), older: state.older })
    }

    /// The vault as it was read last, whatever the file is now; none if it is not held any more.
    pub(super) fn last(&self) -> Option<Arc<UnlockedVault>> {
        let mut turn = self.state.turn();
        let vault = turn.get().map(|state| Arc::clone(&state.vault));
        vault.filter(|_| !self.is_over(&Reading::now()))
    }

    /// Whether the file at this path is still the one that was read.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.state.turn().get().is_some_and(|state| state.snapshot.is_at(path))
    }

    /// The names and attributes of this state, made once for all requests.
    pub(super) fn catalogue(
        &self,
        vault: &Arc<UnlockedVault>,
        path: &Path,
    ) -> Result<Arc<Catalogue>, SessionError> {
        let make = || {
            let made = vault.catalogue().map_err(|error| SessionError::Verify(path.to_owned(), error));
            made.map(Arc::new)
        };
        let mut turn = self.state.turn();
        match turn.get() {
            Some(state) if Arc::ptr_eq(&state.vault, vault) => {
                if state.catalogue.is_none() {
                    state.catalogue = Some(make()?);
                }
                state.catalogue.clone().map_or_else(make, Ok)
            }
            _ => {
                drop(turn);
                make()
            }
        }
    }

    /// What is remembered of it by this path, for a session that changes it.
    pub(super) fn pins(&self, path: &Path) -> PathPins {
        self.memory.pins(path)
    }

    /// It is used, unless its time is over: false then.
    pub(super) fn touch(&self, now: &Reading) -> bool {
        if self.is_over(now) {
            return false;
        }
        if let Some((seconds, end)) = &mut self.time().idle {
            *end = End::after(now, *seconds);
        }
        true
    }

    /// What was read last, and the seconds that are left of the lease and of the idle time.
    pub(super) fn shown(&self, now: &Reading) -> Option<(Current, Option<u64>, Option<u64>)> {
        let current = {
            let mut turn = self.state.turn();
            let state = turn.get()?;
            Current { vault: Arc::clone(&state.vault), older: state.older }
        };
        let time = self.time();
        Some((current, time.lease.map(|end| end.left(now)), time.idle.map(|(_, end)| end.left(now))))
    }

    /// Whether its time is over. Waits for nobody.
    pub(super) fn is_over(&self, now: &Reading) -> bool {
        self.state.is_forgotten() || self.time().is_over(now)
    }

    /// Forgets the keys, and waits for nobody. Requests that are at work have them until they end.
    pub(super) fn forget(&self) {
        self.state.forget();
    }
}

/// Keeps the pages with keys from being swapped out, as far as that is allowed.
pub(super) fn lock_keys(vault: &UnlockedVault) -> bool {
    vault.key_memory().into_iter().all(|(start, length)| vault_sys::lock_memory(start, length).is_ok())
}

/// The path under which a vault is held: links resolved.
pub(super) fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// The same of one that may be gone from the disk, and is held under the path that it had.
pub(super) fn real_even_if_gone(path: &Path) -> PathBuf {
    let in_real_folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    real(path).or_else(in_real_folder).unwrap_or_else(|| path.to_owned())
}
