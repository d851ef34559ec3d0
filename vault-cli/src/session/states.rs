//! States of a vault that nobody has unlocked yet, the place where what is made of several will be written, and opening them for
//! it: in the agent, or here.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::format::lines::FormatError;
use vault_core::keys::machine::MachineKey;
use vault_core::keys::{Credential, UnlockError, UnlockPolicy, VaultId};
use vault_core::source::{Source, Text};
use vault_core::store::{self, Lock, ReplaceError, Snapshot};
use vault_core::vault::{LockedVault, StillLocked, UnlockFailure, UnlockedVault};

use super::local::Durable;
use super::pins::PinError;
use super::spot::{Maker, Spot};
use super::together::{Mark, Marked, Together};
use super::unlock::{Somebody, by_keyring, credentials, fit, is_named, look_at_named, policy, tell_skipped};
use super::{Remote, SessionError, Unpinned};
use crate::agent::{self, AgentError};
use crate::commands::Run;
use crate::failure::Failure;
use crate::message::{Voice, Warning};

/// A state of a vault that nobody has unlocked yet.
pub(crate) struct State {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) vault: LockedVault,
}

impl State {
    /// The state in a file.
    ///
    /// # Errors
    /// [`SessionError::Store`], [`SessionError::Format`].
    pub(crate) fn in_file(path: &Path) -> Result<Self, SessionError> {
        let snapshot = store::read(path).map_err(|error| SessionError::Store(path.to_owned(), error))?;
        Self::of(Arc::new(snapshot)).map_err(|error| SessionError::Format(path.to_owned(), error))
    }

    /// The state in these bytes.
    ///
    /// # Errors
    /// [`FormatError`].
    pub(crate) fn of(source: Arc<dyn Source>) -> Result<Self, FormatError> {
        Ok(Self { vault: LockedVault::open(Arc::clone(&source))?, source })
    }
}

/// The place of the vault that a merge or a pick writes.
pub(crate) struct Target {
    pub(super) spot: Spot,
    /// Another file by which an agent may know the vault.
    also: Option<PathBuf>,
    author: String,
    now: u64,
    voice: Voice,
    /// What was unlocked with is of no older vault than this.
    oldest: Option<u64>,
}

/// What is done about a result that lacks what was seen at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollback {
    /// It is not written, as by any other save.
    Refused,
    /// It is written, and said: git asks for it, and the next change does not go through unless it is meant.
    Told,
}

impl Target {
    /// Reads the rules and the pins. The pins have to be read before the states are.
    ///
    /// # Errors
    /// [`SessionError::Policy`]; a wrong `VAULT_ID`.
    pub(crate) fn at(run: &Run<'_>, path: &Path) -> Result<Self, Failure> {
        Ok(Self {
            spot: Spot::at(path, run.pins(path)?)?,
            also: None,
            author: run.environment.author(),
            now: run.now,
            voice: run.voice,
            oldest: None,
        })
    }

    /// An agent that knows this file has its keys, too.
    pub(crate) fn or_of(mut self, path: &Path) -> Self {
        self.also = Some(path.to_owned());
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.spot.path
    }

    pub(super) fn at_work(&mut self) -> (&mut Spot, Maker<'_>) {
        (&mut self.spot, Maker { author: &self.author, now: self.now })
    }

    /// Unlocks all states together: in the agent, if it holds the vault and they all have its key. Else one with the keyring or with
    /// what the user gives, and each other one with the master key of one that is open, or, where it is another, in the same way.
    /// Who is new may have a slot in one of them alone.
    ///
    /// Nobody is asked for anything before it is known that these are states of the right vault. A merge is of states that may
    /// be older than a machine key; `first` says whether the first one may be.
    ///
    /// # Errors
    /// [`SessionError::Pin`]; [`SessionError::Unlock`] for the first that does not open.
    pub(crate) fn unlock(
        &mut self,
        run: &mut Run<'_>,
        states: Vec<State>,
        somebody: Somebody,
        first: Rollback,
    ) -> Result<Together, Failure> {
        states
            .iter()
            .try_for_each(|state| self.spot.pins.check_id(state.vault.id()))
            .map_err(|error| self.spot.pin(error))?;
        if let Some(together) = self.in_agent(run, &states, first)? {
            return Ok(together);
        }
        let (sources, vaults) = states.into_iter().map(|state| (state.source, state.vault)).unzip();
        Ok(Together::here(sources, self.here(run, vaults, somebody, first)?))
    }

    fn in_agent(
        &mut self,
        run: &Run<'_>,
        states: &[State],
        first: Rollback,
    ) -> Result<Option<Together>, Failure> {
        if !run.may_use_agent() {
            return Ok(None);
        }
        let sources: Vec<_> = states.iter().map(|state| Arc::clone(&state.source)).collect();
        let mut held = None;
        for path in [Some(self.path()), self.also.as_deref()].into_iter().flatten() {
            held = match Remote::together(agent::places(&run.environment), path, &self.author, &sources) {
                Err(SessionError::Agent(AgentError::Link(error))) if error.is_version() => {
                    self.voice.warn(Warning::OtherAgent)?;
                    return Ok(None);
                }
                other => other?,
            };
            if held.is_some() {
                break;
            }
        }
        let Some(remotes) = held else { return Ok(None) };
        let keys = look_at_named(run)?;
        let id = states[0].vault.id();
        // The sides of a merge may be older than a machine key.
        let generation = if first == Rollback::Refused { remotes[0].generation() } else { u64::MAX };
        fit(self.path(), &keys, (&id, self.spot.pins.is_named(&id)), generation)?;
        self.oldest = oldest(&keys, &id);
        Ok(Some(Together::there(sources, remotes)))
    }

    fn here(
        &mut self,
        run: &mut Run<'_>,
        states: Vec<LockedVault>,
        somebody: Somebody,
        first: Rollback,
    ) -> Result<Vec<UnlockedVault>, Failure> {
        let terms = policy(run)?;
        let id = states.first().map(LockedVault::id);
        let mut opener = Opener { path: &self.spot.path, somebody, given: None };
        let mut open: Vec<(usize, UnlockedVault)> = Vec::new();
        let mut left = Vec::new();
        for (number, locked) in states.into_iter().enumerate() {
            let policy = UnlockPolicy {
                vault_is_named: self.spot.pins.is_named(&locked.id()),
                allow_rollback: terms.allow_rollback || number > 0 || first == Rollback::Told,
                ..terms.clone()
            };
            let attempt = match with_key_of(&open, locked) {
                Err(still) if is_denied(&still) => opener.open(run, still.vault, &policy)?,
                other => other,
            };
            match attempt {
                Ok(vault) => open.push((number, vault)),
                Err(still) if is_denied(&still) => left.push((number, still)),
                Err(still) => return Err(SessionError::of_still_locked(&self.spot.path, *still).into()),
            }
        }
        for (number, still) in left {
            let StillLocked { vault, reason, skipped } = *still;
            let vault = with_key_of(&open, vault).map_err(|again| match is_denied(&again) {
                true => StillLocked { vault: again.vault, reason, skipped },
                false => *again,
            });
            let vault = vault.map_err(|still| SessionError::of_still_locked(&self.spot.path, still))?;
            open.push((number, vault));
        }
        let keys: Vec<&MachineKey> = opener.machine_keys().collect();
        if !keys.is_empty() {
            self.spot.pins.name_by_key();
        }
        if let Some(id) = id.filter(|_| !terms.allow_rollback) {
            self.oldest = oldest(keys, &id);
        }
        open.sort_by_key(|(number, _)| *number);
        Ok(open.into_iter().map(|(_, vault)| vault).collect())
    }

    /// Fails unless this may be written here; else gives what there is to say when it is.
    pub(super) fn admit(
        &self,
        generation: u64,
        (older, unpinned): (Option<(u64, u64)>, Option<Unpinned>),
        rollback: Rollback,
    ) -> Result<Option<(u64, u64)>, Failure> {
        let older_than_key = self.oldest.filter(|&pinned| pinned > generation);
        match (rollback, older, older_than_key) {
            (Rollback::Refused, Some((generation, seen)), _) => {
                return Err(self.spot.pin(PinError::Older { generation, seen }).into());
            }
            (Rollback::Refused, None, Some(pinned)) => {
                return Err(self.refused(UnlockFailure::RolledBack { generation, pinned }).into());
            }
            _ => {}
        }
        if let Some(why) = unpinned {
            self.voice.warn(Warning::Unpinned(self.path().to_owned(), why))?;
        }
        Ok(older_than_key.map(|pinned| (generation, pinned)))
    }

    fn refused(&self, reason: UnlockFailure) -> SessionError {
        SessionError::Unlock { path: self.path().to_owned(), reason, slots: Vec::new() }
    }

    /// Fails if a merged text would be against the rules where ours is not.
    ///
    /// # Errors
    /// [`SessionError::AgainstPolicy`].
    pub(crate) fn may_become_text(
        &self,
        ours: &LockedVault,
        merged: &LockedVault,
    ) -> Result<(), SessionError> {
        self.spot.may_become_text(ours, merged)
    }

    /// Says what there is to say of a state that stands here, and remembers it, as opening it does.
    ///
    /// # Errors
    /// [`SessionError::Pin`], [`SessionError::Verify`]; warnings, with `--strict`.
    pub(crate) fn opened(&mut self, here: &Together, number: usize) -> Result<(), Failure> {
        let mark = here.mark(self, number)?;
        self.became(mark)
    }

    /// Remembers what was written here, and says what there is to say.
    ///
    /// # Errors
    /// [`SessionError::Pin`]; warnings, with `--strict`.
    pub(crate) fn became(&mut self, mark: Mark) -> Result<(), Failure> {
        let Spot { path, pins, .. } = &mut self.spot;
        let mut older = mark.older;
        match mark.what {
            Marked::Seen(vault, seen) => {
                older = older.filter(|_| seen.older.is_none());
                pins.settle(path, &vault, seen, self.voice)?;
            }
            Marked::Saved(before, saved) => pins.followed(&before, &saved),
            Marked::There(remote) => {
                let seen = remote.stands_at(path)?;
                older = seen.map(|seen| (remote.generation(), seen)).or(older);
            }
        }
        match older {
            None => Ok(()),
            Some((generation, seen)) => {
                self.voice.warn(Warning::OlderThanSeen { path: path.clone(), generation, seen })
            }
        }
    }
}

/// Whatever opens states, read once.
struct Opener<'p> {
    path: &'p Path,
    somebody: Somebody,
    given: Option<Vec<Credential>>,
}

impl Opener<'_> {
    fn open(
        &mut self,
        run: &mut Run<'_>,
        locked: LockedVault,
        policy: &UnlockPolicy,
    ) -> Result<Result<UnlockedVault, Box<StillLocked>>, Failure> {
        let locked = match by_keyring(run, self.path, locked, policy, self.somebody)? {
            Ok(vault) => return Ok(Ok(vault)),
            Err(locked) => locked,
        };
        if self.somebody == Somebody::Nobody && !is_named(run) {
            return Ok(Err(denied(locked)));
        }
        let given = match &mut self.given {
            Some(given) => given,
            none => none.insert(credentials(run, self.path, Some(&locked))?.all),
        };
        let opened = locked.unlock(given, policy);
        if let Ok(vault) = &opened {
            tell_skipped(run.voice, vault.skipped())?;
        }
        Ok(opened)
    }

    fn machine_keys(&self) -> impl Iterator<Item = &MachineKey> {
        self.given.iter().flatten().filter_map(|given| match given {
            Credential::MachineKey(key) => Some(key),
            _ => None,
        })
    }
}

/// The generation of this vault that machine keys say it has reached.
fn oldest<'k>(keys: impl IntoIterator<Item = &'k MachineKey>, id: &VaultId) -> Option<u64> {
    let of_it = keys.into_iter().filter(|key| key.vault().uuid == id.uuid);
    of_it.map(MachineKey::generation).max()
}

/// With the master key of one that is open.
fn with_key_of(
    open: &[(usize, UnlockedVault)],
    locked: LockedVault,
) -> Result<UnlockedVault, Box<StillLocked>> {
    match open.iter().find(|(_, other)| other.id() == locked.id()) {
        Some((_, other)) => locked.unlock_as(other),
        None => Err(denied(locked)),
    }
}

fn denied(vault: LockedVault) -> Box<StillLocked> {
    let reason = UnlockFailure::Denied(UnlockError::NoSlotMatches { tried: 0 });
    Box::new(StillLocked { vault, reason, skipped: Vec::new() })
}

fn is_denied(still: &StillLocked) -> bool {
    matches!(still.reason, UnlockFailure::Denied(_))
}

/// A text that is not stored yet, as a vault: in a nameless file beside its place.
///
/// # Errors
/// [`SessionError::Save`], [`SessionError::Format`].
pub(crate) fn as_vault(path: &Path, text: &Text) -> Result<LockedVault, SessionError> {
    Ok(put_aside(path, |out| Ok(text.write_to(out)?))?.vault)
}

/// The state that `fill` writes, in a nameless file beside its place.
///
/// # Errors
/// [`SessionError::Save`], [`SessionError::Format`]; those of `fill`.
pub(super) fn put_aside(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), ReplaceError>,
) -> Result<State, SessionError> {
    let unsaved = |error| SessionError::Save(path.to_owned(), error);
    let spool = store::spool(path).map_err(unsaved)?;
    let mut out = BufWriter::with_capacity(BUFFER, spool);
    fill(&mut out).map_err(unsaved)?;
    out.flush().map_err(|error| unsaved(error.into()))?;
    let spool = out.into_inner().map_err(|error| unsaved(error.into_error().into()))?;
    State::of(Arc::new(spool)).map_err(|error| SessionError::Format(path.to_owned(), error))
}

/// Replaces the file that was read. Whoever has changed it since then keeps what they stored.
///
/// # Errors
/// [`SessionError::Store`], [`SessionError::Save`].
pub(crate) fn replace(path: &Path, read: Option<&Snapshot>, text: &Text) -> Result<Durable, SessionError> {
    let store = |error| SessionError::Store(path.to_owned(), error);
    let lock: Lock = store::lock(path).map_err(store)?;
    if let Some(read) = read
        && !lock.snapshot().map_err(store)?.is_same(read)
    {
        return Err(SessionError::Save(path.to_owned(), ReplaceError::ChangedMeanwhile));
    }
    replace_locked(path, lock, text)
}

/// Replaces the file that is locked.
///
/// # Errors
/// [`SessionError::Save`].
pub(crate) fn replace_locked(path: &Path, lock: Lock, text: &Text) -> Result<Durable, SessionError> {
    let save = |error| SessionError::Save(path.to_owned(), error);
    match lock.replace(text) {
        Ok(_) => Ok(Ok(())),
        Err(error @ ReplaceError::FolderNotSynced(_)) => Ok(Err(save(error))),
        Err(error) => Err(save(error)),
    }
}

const BUFFER: usize = 256 * 1024;
