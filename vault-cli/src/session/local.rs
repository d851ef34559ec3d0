//! The vault in this process.

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vault_core::crypto::random::{BufferedRandom, Random, SystemRandom};
use vault_core::error::{EditError, VerifyError};
use vault_core::format::entry::{EntryName, Meta};
use vault_core::format::front::Pages;
use vault_core::keys::{Credential, UnlockError, UnlockPolicy};
use vault_core::store::{self, Lock, ReplaceError, StoreError};
use vault_core::vault::blob::{BlobError, BlobWriter};
use vault_core::vault::diff::Difference;
use vault_core::vault::edit::{Edit, NewValue, Outcome, Saved, Update};
use vault_core::vault::{Counts, LockedVault, UnlockFailure, UnlockedVault, Value};

use super::{
    Change, Committed, Expect, Facts, Log, Opened, PathPins, PinError, Seen, Session, SessionError, Unpinned,
    obey,
};
use crate::failure::Failure;
use crate::message::{Status, Voice, Warning};
use crate::policy::Policy;

/// Reads a vault as far as that goes without a key.
///
/// # Errors
/// [`SessionError::Store`], [`SessionError::Format`].
pub(crate) fn open_locked(path: &Path) -> Result<LockedVault, SessionError> {
    let snapshot = store::read(path).map_err(|error| SessionError::Store(path.to_owned(), error))?;
    LockedVault::open(Arc::new(snapshot)).map_err(|error| SessionError::Format(path.to_owned(), error))
}

/// Whether what was stored outlives a power cut; if not, the error that says so, which is no reason to take anything back.
pub(crate) type Durable = Result<(), SessionError>;

/// A vault whose master key is in this process.
pub(crate) struct Local {
    pub(super) path: PathBuf,
    pub(super) vault: Arc<UnlockedVault>,
    pub(super) author: String,
    pub(super) now: u64,
    sources: Vec<&'static str>,
    voice: Option<Voice>,
    /// A log with more seals is restarted by the save that finds it so long. Asked when something is saved.
    longest_log: fn(&Path) -> usize,
    pins: Option<PathPins>,
}

impl Local {
    /// Unlocks.
    ///
    /// # Errors
    /// [`SessionError::Unlock`].
    pub(crate) fn unlock(
        path: &Path,
        locked: LockedVault,
        credentials: &[Credential],
        policy: &UnlockPolicy,
    ) -> Result<Self, SessionError> {
        match locked.unlock(credentials, policy) {
            Ok(vault) => Ok(Self::of(path, vault)),
            Err(still) => Err(SessionError::of_still_locked(path, *still)),
        }
    }

    /// A session on a vault that is unlocked already.
    pub(crate) fn of(path: &Path, vault: impl Into<Arc<UnlockedVault>>) -> Self {
        Self {
            path: path.to_owned(),
            vault: vault.into(),
            author: String::new(),
            now: 0,
            sources: Vec::new(),
            voice: None,
            longest_log: |_| usize::MAX,
            pins: None,
        }
    }

    /// The vault itself.
    pub(crate) fn into_vault(self) -> Arc<UnlockedVault> {
        self.vault
    }

    /// How this state differs from an older one of the same vault.
    ///
    /// # Errors
    /// [`SessionError::Verify`].
    pub(crate) fn differences(&self, before: &Self) -> Result<Vec<Difference>, SessionError> {
        self.vault.differences(&before.vault).map_err(|error| self.broken(error))
    }

    /// Another state of the same vault, by the master key that is known already.
    ///
    /// # Errors
    /// The locked state comes back if its master key is another.
    pub(crate) fn same_key(
        &self,
        path: &Path,
        locked: LockedVault,
    ) -> Result<Result<Self, LockedVault>, SessionError> {
        match locked.unlock_as(&self.vault) {
            Ok(vault) => Ok(Ok(Self::of(path, vault))),
            Err(still) => match still.reason {
                UnlockFailure::Verify(error) => Err(SessionError::Verify(path.to_owned(), error)),
                _ => Ok(Err(still.vault)),
            },
        }
    }

    /// Restarts the log by itself once it has more seals than this says for the vault's path.
    pub(crate) fn restarting_beyond(mut self, seals: fn(&Path) -> usize) -> Self {
        self.longest_log = seals;
        self
    }

    /// Says who changes the vault, and when.
    pub(crate) fn by(mut self, author: String, now: u64) -> Self {
        (self.author, self.now) = (author, now);
        self
    }

    /// Compares the vault with what this machine remembers, without a word, and remembers it from now on. Gives also the
    /// generation that was seen, if this one is older. What there is to say of slots waits for somebody who can be told.
    ///
    /// # Errors
    /// [`SessionError::Pin`], [`SessionError::Verify`].
    pub(crate) fn with_pins_untold(
        mut self,
        mut pins: PathPins,
    ) -> Result<(Self, Option<u64>), SessionError> {
        let seen = self.compare(&mut pins)?;
        if seen.news.is_empty() {
            pins.keep(&self.vault).map_err(|error| self.pin(error))?;
        }
        self.pins = Some(pins);
        Ok((self, seen.older.map(|(_, seen)| seen)))
    }

    fn compare(&self, pins: &mut PathPins) -> Result<Seen, SessionError> {
        let seen = pins.opened(&self.vault).map_err(|error| self.broken(error))?;
        seen.map_err(|error| self.pin(error))
    }

    /// Compares the vault with what this machine remembers, says what there is to say, and remembers it from now on.
    ///
    /// # Errors
    /// [`SessionError::Pin`], [`SessionError::Verify`]; warnings, with `--strict`.
    pub(crate) fn with_pins(mut self, mut pins: PathPins, voice: Voice) -> Result<Self, Failure> {
        let seen = self.compare(&mut pins)?;
        pins.settle(&self.path, &self.vault, seen, voice)?;
        self.pins = Some(pins);
        Ok(self)
    }

    /// The vault itself, for what this machine remembers of it.
    pub(crate) fn vault(&self) -> &UnlockedVault {
        &self.vault
    }

    /// Says so when it has to wait.
    pub(crate) fn telling(mut self, voice: Voice) -> Self {
        self.voice = Some(voice);
        self
    }

    /// Remembers what named that with which it was unlocked.
    pub(crate) fn with_sources(mut self, sources: Vec<&'static str>) -> Self {
        self.sources = sources;
        self
    }

    /// The text with `changes` applied to `vault`.
    ///
    /// # Errors
    /// As [`Session::commit`], but for saving.
    pub(crate) fn apply(
        &self,
        vault: &UnlockedVault,
        changes: Vec<Change>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Saved, Vec<Outcome>), SessionError> {
        let mut edit = vault.edit(self.now).map_err(|error| self.cannot(error))?;
        let mut outcomes = Vec::with_capacity(changes.len());
        let random = &mut BufferedRandom::new();
        for (done, change) in changes.into_iter().enumerate() {
            outcomes.extend(self.apply_one(vault, &mut edit, change, random)?);
            progress(done + 1);
        }
        let saved = edit.finish(&self.author, None, random).map_err(|error| self.cannot(error))?;
        Ok((saved, outcomes))
    }

    fn apply_one(
        &self,
        vault: &UnlockedVault,
        edit: &mut Edit<'_>,
        change: Change,
        random: &mut dyn Random,
    ) -> Result<Option<Outcome>, SessionError> {
        match change {
            Change::Set { name, update, expect } => {
                self.check(vault, edit, &name, &expect)?;
                return edit.set(&name, update, random).map(Some).map_err(|error| self.cannot(error));
            }
            Change::Remove(name) => edit.remove(&name),
            Change::Rename { from, to } => edit.rename(&from, &to, random),
            Change::Resolve { name, pick } => edit.resolve(&name, pick, random),
            Change::Copy { from, to } => {
                if edit.meta(&to).map_err(|error| self.cannot(error))?.is_some() {
                    return Err(self.cannot(EditError::Exists(to)));
                }
                let update = self.copied(vault, &from)?;
                edit.set(&to, update, random).map(drop)
            }
        }
        .map_err(|error| self.cannot(error))?;
        Ok(None)
    }

    /// Fails unless what is expected is so in what is stored now.
    fn check(
        &self,
        vault: &UnlockedVault,
        edit: &mut Edit<'_>,
        name: &EntryName,
        expect: &Expect,
    ) -> Result<(), SessionError> {
        if let Expect::Anything = expect {
            return Ok(());
        }
        let meta = edit.meta(name).map_err(|error| self.cannot(error))?;
        match (expect, meta) {
            (Expect::Entry | Expect::Value(..), None) => Err(self.cannot(EditError::NoEntry(name.clone()))),
            (Expect::NoField(field), Some(meta)) if meta.fields.contains_key(field) => {
                Err(SessionError::FieldExists(name.clone(), field.clone()))
            }
            (Expect::Value(field, was), Some(_)) => {
                match vault.value(name, field).map_err(|e| self.broken(e))? {
                    Some(Value::Inline(now)) if now.expose() == was.expose() => Ok(()),
                    _ => Err(SessionError::ChangedMeanwhile(name.clone())),
                }
            }
            _ => Ok(()),
        }
    }

    /// All of an entry, to be set elsewhere.
    fn copied(&self, vault: &UnlockedVault, from: &EntryName) -> Result<Update, SessionError> {
        let entry = vault.entry(from).map_err(|error| self.broken(error))?;
        let entry = entry.ok_or_else(|| self.cannot(EditError::NoEntry(from.clone())))?;
        if entry.meta().in_conflict() {
            return Err(self.cannot(EditError::InConflict(from.clone())));
        }
        let mut update = Update {
            attributes: entry
                .meta()
                .attributes
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
            expires: entry.meta().expires.map(Some),
            ..Update::default()
        };
        for field in entry.meta().fields.keys() {
            let value = match entry.value(field) {
                Some(Value::Inline(secret)) => NewValue::Inline(secret),
                Some(Value::Attachment(mut reader)) => attachment(&self.path, &mut reader, u64::MAX)?,
                None => continue,
            };
            update.fields.insert(field.clone(), Some(value));
        }
        Ok(update)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Locks, and reads what is stored now.
    pub(super) fn lock(&mut self) -> Result<(Lock, UnlockedVault), SessionError> {
        let store = |error| SessionError::Store(self.path.clone(), error);
        let lock = match store::lock_within(&self.path, SILENCE) {
            Err(StoreError::Busy) => {
                if let Some(voice) = self.voice {
                    let text = "waiting for another process that is changing the vault".to_owned();
                    voice.status(&Status::Done(text));
                }
                store::lock_within(&self.path, PATIENCE)
            }
            other => other,
        };
        let lock = lock.map_err(store)?;
        let snapshot = lock.snapshot().map_err(store)?;
        let locked = LockedVault::open(Arc::new(snapshot))
            .map_err(|error| SessionError::Format(self.path.clone(), error))?;
        let vault = self.unlocked_again(locked)?;
        self.check_pins(&vault)?;
        Ok((lock, vault))
    }

    /// What is stored now, by the master key that is known already.
    fn unlocked_again(&self, locked: LockedVault) -> Result<UnlockedVault, SessionError> {
        locked.unlock_as(&self.vault).map_err(|still| match still.reason {
            UnlockFailure::Denied(UnlockError::NoSlotMatches { .. }) => {
                SessionError::Replaced(self.path.clone())
            }
            UnlockFailure::Verify(error) => self.broken(error),
            reason => SessionError::Unlock { path: self.path.clone(), reason, slots: Vec::new() },
        })
    }

    pub(super) fn save(
        &mut self,
        lock: Lock,
        before: &UnlockedVault,
        saved: &Saved,
    ) -> Result<(), SessionError> {
        self.put(lock, before, saved)?
    }

    /// Stores it, and remembers what is stored. The inner result says whether it outlives a power cut.
    pub(super) fn put(
        &mut self,
        lock: Lock,
        before: &UnlockedVault,
        saved: &Saved,
    ) -> Result<Durable, SessionError> {
        let failed = |error| SessionError::Save(self.path.clone(), error);
        let (stored, durable) = match lock.replace(&saved.text) {
            Ok(stored) => (Some(stored), Ok(())),
            Err(error @ ReplaceError::FolderNotSynced(_)) => {
                (store::read(&self.path).ok(), Err(failed(error)))
            }
            Err(error) => return Err(failed(error)),
        };
        // It is stored: what cannot be read of it again is said by whoever reads it next.
        let stored = stored.and_then(|stored| LockedVault::open(Arc::new(stored)).ok());
        if let (Some(pins), Some(stored)) = (&mut self.pins, stored) {
            pins.saved(before, &stored, saved);
        }
        Ok(durable)
    }

    /// Nothing is changed in a vault that is older than what was seen here.
    fn check_pins(&mut self, vault: &UnlockedVault) -> Result<(), SessionError> {
        let Some(pins) = &mut self.pins else { return Ok(()) };
        let checked = pins.before_change(vault);
        let unpinned = checked.map_err(|error| self.broken(error))?.map_err(|error| self.pin(error))?;
        match (unpinned, self.voice) {
            (Some(why), Some(voice)) => {
                let warning = Warning::Unpinned(self.path.clone(), why.clone());
                voice.warn(warning).map_err(|_| self.pin(PinError::Unpinned(why)))
            }
            // The agent has nobody to warn.
            (Some(Unpinned::Apart), None) => Err(self.pin(PinError::Unpinned(Unpinned::Apart))),
            _ => Ok(()),
        }
    }

    fn pin(&self, error: PinError) -> SessionError {
        SessionError::pin(&self.path, error)
    }

    /// Fails if the vault, or a name that these changes give, is against the rules beside the vault.
    fn obey(&self, vault: &UnlockedVault, changes: &[Change]) -> Result<(), SessionError> {
        let rules = Policy::beside(&self.path).map_err(SessionError::Policy)?;
        let mut broken = rules.of_vault(vault.id(), vault.slots());
        broken.extend(changes.iter().filter_map(|change| match change {
            Change::Set { name, .. } | Change::Rename { to: name, .. } | Change::Copy { to: name, .. } => {
                rules.of_name(name.as_str())
            }
            Change::Remove(_) | Change::Resolve { .. } => None,
        }));
        obey(&self.path, &rules, broken)
    }

    fn broken(&self, error: VerifyError) -> SessionError {
        SessionError::Verify(self.path.clone(), error)
    }

    pub(super) fn cannot(&self, error: EditError) -> SessionError {
        match error {
            EditError::Verify(error) => self.broken(error),
            error => SessionError::Edit(self.path.clone(), error),
        }
    }
}

impl Session for Local {
    fn list(&mut self) -> Result<Vec<Meta>, SessionError> {
        self.vault.list().map_err(|error| self.broken(error))
    }

    fn meta(&mut self, name: &EntryName) -> Result<Option<Meta>, SessionError> {
        self.vault.meta(name).map_err(|error| self.broken(error))
    }

    fn entry(
        &mut self,
        name: &EntryName,
        field: &str,
    ) -> Result<Option<(Meta, Option<Value>)>, SessionError> {
        let entry = self.vault.entry(name).map_err(|error| self.broken(error))?;
        Ok(entry.map(|entry| (entry.meta().clone(), entry.value(field))))
    }

    fn alternative(
        &mut self,
        name: &EntryName,
        number: usize,
        field: &str,
    ) -> Result<Option<Value>, SessionError> {
        let entry = self.vault.entry(name).map_err(|error| self.broken(error))?;
        Ok(entry.and_then(|entry| entry.alternative(number, field)))
    }

    fn entries(&mut self, wanted: &(dyn Fn(&Meta) -> bool + Sync)) -> Result<Vec<Opened>, SessionError> {
        let all = Mutex::new(Vec::new());
        self.vault
            .each_entry(&|entry| {
                if wanted(entry.meta()) {
                    let fields = entry.meta().fields.keys();
                    let values =
                        fields.filter_map(|field| Some((field.clone(), entry.value(field)?))).collect();
                    let opened = Opened { meta: entry.meta().clone(), values };
                    all.lock().unwrap_or_else(PoisonError::into_inner).push(opened);
                }
            })
            .map_err(|error| self.broken(error))?;
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        Ok(all)
    }

    fn attach(&mut self, value: &mut dyn Read, limit: u64) -> Result<NewValue, SessionError> {
        attachment(&self.path, value, limit)
    }

    fn commit(
        &mut self,
        changes: Vec<Change>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Committed, SessionError> {
        let (lock, vault) = self.lock()?;
        self.obey(&vault, &changes)?;
        let (saved, outcomes) = self.apply(&vault, changes, progress)?;
        self.save(lock, &vault, &saved)?;
        let longest = (self.longest_log)(&self.path);
        let is_long = vault.seals() >= longest || vault.log_bytes() >= LARGEST_LOG;
        if is_long && longest != usize::MAX {
            // The change is stored. If the log cannot be restarted now, the next save will try again.
            drop(self.compact(None));
        }
        Ok(Committed { outcomes, generation: saved.generation })
    }

    fn refresh(&mut self) -> Result<(), SessionError> {
        self.vault = Arc::new(self.unlocked_again(open_locked(&self.path)?)?);
        Ok(())
    }

    fn compact(&mut self, pages: Option<Pages>) -> Result<Committed, SessionError> {
        let (lock, vault) = self.lock()?;
        self.obey(&vault, &[])?;
        let pages = pages.unwrap_or(vault.header().pages);
        let saved = vault
            .compact(pages, &self.author, None, self.now, &mut SystemRandom)
            .map_err(|error| self.cannot(error))?;
        self.save(lock, &vault, &saved)?;
        Ok(Committed { outcomes: Vec::new(), generation: saved.generation })
    }

    fn check(&mut self, progress: &(dyn Fn(u16) + Sync)) -> Result<Counts, SessionError> {
        self.vault.verify(progress).map_err(|error| self.broken(error))
    }

    fn facts(&self) -> Facts {
        let opened_by = self.vault.opened_by();
        let slot = self.vault.slots().iter().find(|slot| Some(slot.id) == opened_by);
        Facts {
            generation: self.vault.generation(),
            seals: self.vault.seals(),
            epoch: self.vault.roster().epoch,
            removal: self.removal(),
            slot: slot.map(|slot| slot.label.as_str().to_owned()),
            sources: self.sources.clone(),
            pins: self.pins.as_ref().map(|pins| pins.facts(&self.vault.id())),
        }
    }

    fn log(&mut self) -> Result<Log, SessionError> {
        let removed = self.vault.roster().removed.iter();
        let mut labels: BTreeMap<_, _> = removed.map(|slot| (slot.id, slot.label.clone())).collect();
        labels.extend(self.vault.slots().iter().map(|slot| (slot.id, slot.label.as_str().to_owned())));
        Ok(Log { records: self.vault.log().map_err(|error| self.broken(error))?, labels })
    }
}

/// Seals a value into a nameless file beside the vault. Only ciphertext is written.
///
/// # Errors
/// [`SessionError::ValueTooLarge`], [`SessionError::Save`], and [`SessionError::Edit`] if the value cannot be read.
pub(crate) fn attachment(vault: &Path, value: &mut dyn Read, limit: u64) -> Result<NewValue, SessionError> {
    let save = |error| SessionError::Save(vault.to_owned(), error);
    let read = |error| SessionError::Edit(vault.to_owned(), EditError::Io(error));
    let mut out = BufWriter::with_capacity(SPOOL_BUFFER, store::spool(vault).map_err(save)?);
    let blob = BlobWriter::write(value, limit, &mut out, &mut SystemRandom).map_err(|error| match error {
        BlobError::TooLarge { limit } => SessionError::ValueTooLarge(limit),
        BlobError::Io(error) => read(error),
        _ => read(std::io::Error::other("the value cannot be sealed")),
    })?;
    out.flush().map_err(read)?;
    let spool = out.into_inner().map_err(|error| read(error.into_error()))?;
    Ok(NewValue::Attachment(blob.finish(Arc::new(spool), 0)))
}

/// How long another process may take to save before this one gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for it without a word.
const SILENCE: Duration = Duration::from_secs(1);
const SPOOL_BUFFER: usize = 256 * 1024;
/// Bytes of links after which a log is long however few seals it has: half of where a writer stops.
const LARGEST_LOG: usize = vault_core::format::limits::WRITTEN_LINKS / 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vault_core::format::slot::Label;
    use vault_core::keys::age::Identity;
    use vault_core::keys::new_age_slot;
    use vault_core::secret::Secret;
    use vault_core::vault::create::NewVault;

    use super::*;

    #[test]
    fn a_log_that_grew_too_long_is_restarted_and_forgets_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.vault");
        let identity = Identity::generate_x25519();
        let mut new = NewVault::generate(Pages::Few, &mut SystemRandom);
        let label = Label::parse("me").unwrap();
        let slot =
            new_age_slot(&new.parts(), label, identity.recipient().unwrap(), new.master(), &mut SystemRandom);
        new.add_slot(slot.unwrap());
        store::create(&path, &new.finish("tester", 1, &mut SystemRandom).unwrap().text, 0o600).unwrap();
        let credentials = [Credential::Identities(vec![identity])];
        let open = || {
            let locked = open_locked(&path).ok().unwrap();
            Local::unlock(&path, locked, &credentials, &UnlockPolicy::default()).ok().unwrap()
        };

        let mut longest = 0;
        for i in 0..12 {
            let value = NewValue::Inline(Secret::new(vec![7]));
            let update =
                Update { fields: BTreeMap::from([("secret".to_owned(), Some(value))]), ..Update::default() };
            let name = EntryName::parse(&format!("entry/{i}")).unwrap();
            let change = Change::Set { name, update, expect: Expect::Anything };
            let session = open().by("tester".to_owned(), 2);
            session.restarting_beyond(|_| 4).commit(vec![change], &mut |_| ()).ok().unwrap();
            longest = longest.max(open().facts().seals);
        }
        assert_eq!(longest, 4, "the save that finds four seals leaves one");
        assert_eq!(open().list().ok().unwrap().len(), 12);
        assert!(open().facts().generation > 12, "the count goes on");
    }
}
