//! Several states of one vault, unlocked together, and the place where what a merge or a pick makes of them is written. Always
//! in this process.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::format::entry::EntryName;
use vault_core::format::lines::FormatError;
use vault_core::keys::{Credential, UnlockError, UnlockPolicy};
use vault_core::source::{Source, Text};
use vault_core::store::{self, Lock, ReplaceError, Snapshot};
use vault_core::vault::edit::Saved;
use vault_core::vault::{LockedVault, StillLocked, UnlockFailure, UnlockedVault};

use super::pins::{PathPins, PinError, Seen};
use super::unlock::{Somebody, by_keyring, credentials, policy, tell_skipped};
use super::{SessionError, obey};
use crate::commands::Run;
use crate::failure::Failure;
use crate::message::{Voice, Warning};
use crate::policy::Policy;

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

/// The place of the vault that a merge or a pick writes: the rules beside it, and what this machine remembers of it.
pub(crate) struct Target {
    path: PathBuf,
    pins: PathPins,
    rules: Policy,
    voice: Voice,
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
        let rules = Policy::beside(path).map_err(SessionError::Policy)?;
        Ok(Self { path: path.to_owned(), pins: run.pins(path)?, rules, voice: run.voice })
    }

    /// Fails if one of these is another vault than those that were accepted here, or that are named.
    ///
    /// # Errors
    /// [`SessionError::Pin`].
    pub(crate) fn knows<'v>(
        &self,
        states: impl IntoIterator<Item = &'v LockedVault>,
    ) -> Result<(), SessionError> {
        states
            .into_iter()
            .try_for_each(|state| self.pins.check_id(state.id()))
            .map_err(|error| self.pin(error))
    }

    /// Unlocks all states: one with the keyring or with what the user gives, and each other one with the master key of one
    /// that is open, or, where it is another, in the same way. Who is new may have a slot in one of them alone.
    ///
    /// Nobody is asked for anything before it is known that these are states of the right vault. A merge is of states that may
    /// be older than a machine key; `first` says whether the first one may be.
    ///
    /// # Errors
    /// [`SessionError::Pin`]; [`SessionError::Unlock`] for the first that does not open.
    pub(crate) fn unlock(
        &mut self,
        run: &mut Run<'_>,
        states: Vec<LockedVault>,
        somebody: Somebody,
        first: Rollback,
    ) -> Result<Vec<UnlockedVault>, Failure> {
        self.knows(&states)?;
        let terms = policy(run)?;
        let mut opener = Opener { path: &self.path, somebody, given: None };
        let mut open: Vec<(usize, UnlockedVault)> = Vec::new();
        let mut left = Vec::new();
        for (number, locked) in states.into_iter().enumerate() {
            let policy = UnlockPolicy {
                vault_is_named: self.pins.is_named(&locked.id()),
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
                Err(still) => return Err(SessionError::of_still_locked(&self.path, *still).into()),
            }
        }
        for (number, still) in left {
            let StillLocked { vault, reason, skipped } = *still;
            let vault = with_key_of(&open, vault).map_err(|again| match is_denied(&again) {
                true => StillLocked { vault: again.vault, reason, skipped },
                false => *again,
            });
            open.push((number, vault.map_err(|still| SessionError::of_still_locked(&self.path, still))?));
        }
        if opener.has_machine_key() {
            self.pins.name_by_key();
        }
        open.sort_by_key(|(number, _)| *number);
        Ok(open.into_iter().map(|(_, vault)| vault).collect())
    }

    /// Says what there is to say of the vault that is here, and remembers it, as opening it does.
    ///
    /// # Errors
    /// [`SessionError::Pin`], [`SessionError::Verify`]; warnings, with `--strict`.
    pub(crate) fn opened(&mut self, here: &UnlockedVault) -> Result<(), Failure> {
        let seen = self.compare(here)?;
        self.pins.settle(&self.path, here, seen, self.voice)
    }

    /// Fails unless a save under the lock may follow on this state, which gives these names.
    ///
    /// # Errors
    /// [`SessionError::Pin`], [`SessionError::AgainstPolicy`].
    pub(crate) fn may_change<'n>(
        &mut self,
        here: &UnlockedVault,
        names: impl IntoIterator<Item = &'n EntryName>,
    ) -> Result<(), Failure> {
        self.check_pins(here, Rollback::Refused)?;
        let mut broken = self.rules.of_vault(here.id(), here.slots());
        broken.extend(names.into_iter().filter_map(|name| self.rules.of_name(name.as_str())));
        Ok(obey(&self.path, &self.rules, broken)?)
    }

    /// Remembers a save: what was read under the lock, and what is stored now.
    pub(crate) fn saved(&mut self, before: &UnlockedVault, stored: Snapshot, saved: &Saved) {
        // It is stored: what cannot be read of it again is said by whoever reads it next.
        if let Ok(stored) = LockedVault::open(Arc::new(stored)) {
            self.pins.saved(before, &stored, saved);
        }
    }

    /// Fails if a merged text would be against the rules where ours is not: with other slots, and whatever can be seen
    /// without a key.
    ///
    /// # Errors
    /// [`SessionError::AgainstPolicy`].
    pub(crate) fn may_become_text(
        &self,
        ours: &LockedVault,
        merged: &LockedVault,
    ) -> Result<(), SessionError> {
        let before = self.rules.of_vault(ours.id(), ours.slots());
        let after = self.rules.of_vault(merged.id(), merged.slots());
        obey(&self.path, &self.rules, worse(after, &before))
    }

    /// Fails unless the result of a merge may be written in the place of ours.
    ///
    /// # Errors
    /// [`SessionError::AgainstPolicy`] if it is against the rules where ours is not; [`SessionError::Pin`].
    pub(crate) fn may_become(
        &mut self,
        ours: &Standing,
        merged: &UnlockedVault,
        rollback: Rollback,
    ) -> Result<Admitted, Failure> {
        let after = self.standing(merged)?;
        obey(&self.path, &self.rules, worse(after.0, &ours.0))?;
        let seen = self.compare(merged)?;
        self.check_pins(merged, rollback)?;
        Ok(Admitted(seen))
    }

    /// How a state stands to the rules.
    ///
    /// # Errors
    /// [`SessionError::Verify`].
    pub(crate) fn standing(&self, vault: &UnlockedVault) -> Result<Standing, SessionError> {
        let mut broken = self.rules.of_vault(vault.id(), vault.slots());
        if self.rules.concern_entries() {
            let all = vault.list().map_err(|error| SessionError::Verify(self.path.clone(), error))?;
            broken.extend(all.iter().filter_map(|meta| self.rules.of_name(meta.name.as_str())));
        }
        Ok(Standing(broken))
    }

    /// Remembers the result of a merge, which was written, and says what there is to say.
    ///
    /// # Errors
    /// [`SessionError::Pin`]; warnings, with `--strict`.
    pub(crate) fn became(&mut self, merged: &UnlockedVault, admitted: Admitted) -> Result<(), Failure> {
        self.pins.settle(&self.path, merged, admitted.0, self.voice)
    }

    fn compare(&mut self, vault: &UnlockedVault) -> Result<Seen, SessionError> {
        let seen = self.pins.opened(vault);
        let seen = seen.map_err(|error| SessionError::Verify(self.path.clone(), error))?;
        seen.map_err(|error| self.pin(error))
    }

    fn check_pins(&mut self, vault: &UnlockedVault, rollback: Rollback) -> Result<(), Failure> {
        let checked = self.pins.before_change(vault);
        let checked = checked.map_err(|error| SessionError::Verify(self.path.clone(), error))?;
        match checked {
            Err(PinError::Older { .. }) if rollback == Rollback::Told => Ok(()),
            Err(error) => Err(self.pin(error).into()),
            Ok(Some(why)) => self.voice.warn(Warning::Unpinned(self.path.clone(), why)),
            Ok(None) => Ok(()),
        }
    }

    fn pin(&self, error: PinError) -> SessionError {
        SessionError::pin(&self.path, error)
    }
}

/// What a state breaks of the rules.
pub(crate) struct Standing(Vec<String>);

/// A result that may be written, and what there is to say of it then.
pub(crate) struct Admitted(Seen);

/// What was so before may be mended one thing at a time; nothing may be added to it.
fn worse(mut after: Vec<String>, before: &[String]) -> Vec<String> {
    after.retain(|one| !before.contains(one));
    after
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

    fn has_machine_key(&self) -> bool {
        self.given.iter().flatten().any(|given| matches!(given, Credential::MachineKey(_)))
    }
}

/// With the master key of one that is open.
fn with_key_of(
    open: &[(usize, UnlockedVault)],
    locked: LockedVault,
) -> Result<UnlockedVault, Box<StillLocked>> {
    match open.iter().find(|(_, other)| other.id() == locked.id()) {
        Some((_, other)) => locked.unlock_as(other),
        None => {
            let reason = UnlockFailure::Denied(UnlockError::NoSlotMatches { tried: 0 });
            Err(Box::new(StillLocked { vault: locked, reason, skipped: Vec::new() }))
        }
    }
}

fn is_denied(still: &StillLocked) -> bool {
    matches!(still.reason, UnlockFailure::Denied(_))
}

/// A text that is not stored yet, as a vault: in a nameless file beside its place.
///
/// # Errors
/// [`SessionError::Save`], [`SessionError::Format`].
pub(crate) fn as_vault(path: &Path, text: &Text) -> Result<LockedVault, SessionError> {
    let unsaved = |error| SessionError::Save(path.to_owned(), error);
    let spool = store::spool(path).map_err(unsaved)?;
    let mut out = BufWriter::with_capacity(BUFFER, spool);
    let written = text.write_to(&mut out).and_then(|()| out.flush());
    written.map_err(|error| unsaved(error.into()))?;
    let spool = out.into_inner().map_err(|error| unsaved(error.into_error().into()))?;
    LockedVault::open(Arc::new(spool)).map_err(|error| SessionError::Format(path.to_owned(), error))
}

/// Replaces the file that was read. Whoever has changed it since then keeps what they stored.
///
/// # Errors
/// [`SessionError::Store`], [`SessionError::Save`].
pub(crate) fn replace(path: &Path, read: Option<&Snapshot>, text: &Text) -> Result<(), SessionError> {
    let store = |error| SessionError::Store(path.to_owned(), error);
    let save = |error| SessionError::Save(path.to_owned(), error);
    let lock: Lock = store::lock(path).map_err(store)?;
    if let Some(read) = read
        && !lock.snapshot().map_err(store)?.is_same(read)
    {
        return Err(save(ReplaceError::ChangedMeanwhile));
    }
    lock.replace(text).map(drop).map_err(save)
}

const BUFFER: usize = 256 * 1024;
