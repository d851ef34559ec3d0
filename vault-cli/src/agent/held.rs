//! Vaults that are held: their keys, for how long, and whether the file is still theirs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use vault_core::keys::UnlockError;
use vault_core::store::{self, Snapshot};
use vault_core::vault::catalogue::Catalogue;
use vault_core::vault::{LockedVault, UnlockFailure, UnlockedVault};

use super::clock::{End, Reading};
use crate::session::SessionError;

/// A vault that is held.
pub(super) struct Held {
    state: Mutex<Option<State>>,
}

struct State {
    vault: Arc<UnlockedVault>,
    snapshot: Arc<Snapshot>,
    /// The highest generation that was seen.
    newest: u64,
    /// Made when the first search needs it.
    catalogue: Option<Arc<Catalogue>>,
    lease: Option<End>,
    idle: Option<(u64, End)>,
}

/// A vault as it is now.
pub(super) struct Current {
    pub(super) vault: Arc<UnlockedVault>,
    /// Older than one that was seen.
    pub(super) is_older: bool,
}

/// Why there is no current state.
pub(super) enum NotCurrent {
    /// It is not held.
    Locked,
    /// The file is another vault's, or has another master key.
    Replaced,
    /// Anything else.
    Session(SessionError),
}

impl Held {
    pub(super) fn new(
        vault: Arc<UnlockedVault>,
        snapshot: Arc<Snapshot>,
        lease: Option<End>,
        idle: Option<(u64, End)>,
    ) -> Self {
        let newest = vault.generation();
        let state = State { vault, snapshot, newest, catalogue: None, lease, idle };
        Self { state: Mutex::new(Some(state)) }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vault as the file is now. `path` is for errors.
    pub(super) fn current(&self, real: &Path, path: &Path) -> Result<Current, NotCurrent> {
        let failed = |error| NotCurrent::Session(SessionError::Store(path.to_owned(), error));
        let mut guard = self.state();
        let state = guard.as_mut().ok_or(NotCurrent::Locked)?;
        // Looked at under the lock: of two requests, the later one sees the newer file.
        let snapshot = Arc::new(store::read(real).map_err(failed)?);
        if !snapshot.is_same(&state.snapshot) {
            let locked = LockedVault::open(Arc::clone(&snapshot) as _)
                .map_err(|error| NotCurrent::Session(SessionError::Format(path.to_owned(), error)))?;
            let vault = locked.unlock_as(&state.vault).map_err(|still| match still.reason {
                UnlockFailure::Denied(UnlockError::NoSlotMatches { .. }) => NotCurrent::Replaced,
                UnlockFailure::Verify(error) => {
                    NotCurrent::Session(SessionError::Verify(path.to_owned(), error))
                }
                reason => NotCurrent::Session(SessionError::Unlock {
                    path: path.to_owned(),
                    reason,
                    slots: Vec::new(),
                }),
            })?;
            lock_keys(&vault);
            state.newest = state.newest.max(vault.generation());
            (state.vault, state.snapshot, state.catalogue) = (Arc::new(vault), snapshot, None);
        }
        let is_older = state.vault.generation() < state.newest;
        Ok(Current { vault: Arc::clone(&state.vault), is_older })
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
        let mut guard = self.state();
        match guard.as_mut() {
            Some(state) if Arc::ptr_eq(&state.vault, vault) => {
                if state.catalogue.is_none() {
                    state.catalogue = Some(make()?);
                }
                state.catalogue.clone().map_or_else(make, Ok)
            }
            _ => {
                drop(guard);
                make()
            }
        }
    }

    /// It was used.
    pub(super) fn touch(&self, now: &Reading) {
        if let Some(State { idle: Some((seconds, end)), .. }) = self.state().as_mut() {
            *end = End::after(now, *seconds);
        }
    }

    /// What was read last, and the seconds that are left of the lease and of the idle time.
    pub(super) fn shown(&self, now: &Reading) -> Option<(Current, Option<u64>, Option<u64>)> {
        let guard = self.state();
        let state = guard.as_ref()?;
        let is_older = state.vault.generation() < state.newest;
        let current = Current { vault: Arc::clone(&state.vault), is_older };
        Some((current, state.lease.map(|end| end.left(now)), state.idle.map(|(_, end)| end.left(now))))
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: &Reading) -> bool {
        match self.shown(now) {
            Some((_, lease, idle)) => lease == Some(0) || idle == Some(0),
            None => true,
        }
    }

    /// Forgets the keys. Requests that are at work have them until they end: see what is returned.
    pub(super) fn forget(&self) -> Weak<UnlockedVault> {
        let state = self.state().take();
        state.map(|state| Arc::downgrade(&state.vault)).unwrap_or_default()
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
