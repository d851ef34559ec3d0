//! An unlocked vault, as commands see it. They know this trait alone, not where the keys are.

mod local;
mod pins;
mod remote;
mod rotation;
mod sent;
mod slots;
mod spot;
mod states;
mod together;
mod unlock;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use vault_core::agent::link::LinkError;
use vault_core::error::{EditError, VerifyError};
use vault_core::format::entry::{EntryName, Meta};
use vault_core::format::front::Pages;
use vault_core::format::lines::FormatError;
use vault_core::format::slot::{Label, SlotId, SlotLine};
use vault_core::keys::age::IdentityFileError;
use vault_core::keys::machine::MachineKeyError;
use vault_core::keys::recovery::RecoveryCodeError;
use vault_core::keys::{NewSlotError, VaultId};
use vault_core::secret::Secret;
use vault_core::store::{ReplaceError, StoreError};
use vault_core::vault::edit::{NewValue, Outcome, Pick, Update};
use vault_core::vault::merge::MergeError;
use vault_core::vault::rotate::RotateError;
use vault_core::vault::salvage::SalvageError;
use vault_core::vault::{Counts, LogRecord, StillLocked, UnlockFailure, Value};

pub(crate) use local::{Durable, Local, attachment, open_locked};
pub(crate) use pins::{PathPins, PinError, PinFacts, Purpose, Seen, Terms, Unpinned};
pub(crate) use remote::Remote;
pub(crate) use sent::to_be_sent;
pub(crate) use slots::SlotEdit;
pub(crate) use spot::{Deed, Maker, Spot, covers};
pub(crate) use states::{Rollback, State, Target, as_vault, replace, replace_locked};
pub(crate) use together::{Made, Manner, Which};
pub(crate) use unlock::{
    Credentials, Somebody, by_keyring, can_ask, credentials, fit, has_passphrase, is_named, keyring,
    keyrings, look_at_named, new_passphrase, policy, slot_asker, tell_skipped, work,
};

use crate::agent::AgentError;
use crate::input::Place;
use crate::policy::{Policy, PolicyError};

/// An unlocked vault: in this process, or in the agent. Whatever is added here has to make sense for both.
pub(crate) trait Session {
    /// All metadata, sorted by name.
    fn list(&mut self) -> Result<Vec<Meta>, SessionError>;

    /// An entry's metadata.
    fn meta(&mut self, name: &EntryName) -> Result<Option<Meta>, SessionError>;

    /// An entry's metadata, and the value of one field if it is there.
    fn entry(&mut self, name: &EntryName, field: &str)
    -> Result<Option<(Meta, Option<Value>)>, SessionError>;

    /// The value that another version of an entry in conflict has for a field; versions are counted from 0.
    fn alternative(
        &mut self,
        name: &EntryName,
        number: usize,
        field: &str,
    ) -> Result<Option<Value>, SessionError>;

    /// Entries with all their values, sorted by name.
    fn entries(&mut self, wanted: &(dyn Fn(&Meta) -> bool + Sync)) -> Result<Vec<Opened>, SessionError>;

    /// Makes a value too large for memory ready to be stored.
    fn attach(&mut self, value: &mut dyn Read, limit: u64) -> Result<NewValue, SessionError>;

    /// Applies changes to what is stored now, all or none, and saves once. `progress` is told how many are applied.
    fn commit(
        &mut self,
        changes: Vec<Change>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Committed, SessionError>;

    /// From now on reads what is stored now.
    fn refresh(&mut self) -> Result<(), SessionError>;

    /// Starts the log anew.
    fn compact(&mut self, pages: Option<Pages>) -> Result<Committed, SessionError>;

    /// Verifies everything. `progress` is told how many pages are done, from several threads.
    fn check(&mut self, progress: &(dyn Fn(u16) + Sync)) -> Result<Counts, SessionError>;

    /// What there is to say about the session itself.
    fn facts(&self) -> Facts;

    /// Who changed what, oldest first, with what restarts carried.
    fn log(&mut self) -> Result<Log, SessionError>;
}

/// The sealed log, opened.
pub(crate) struct Log {
    pub(crate) records: Vec<LogRecord>,
    /// What slots are or were called, as far as it is known.
    pub(crate) labels: BTreeMap<SlotId, String>,
}

impl Session for Box<dyn Session> {
    fn list(&mut self) -> Result<Vec<Meta>, SessionError> {
        (**self).list()
    }

    fn meta(&mut self, name: &EntryName) -> Result<Option<Meta>, SessionError> {
        (**self).meta(name)
    }

    fn entry(
        &mut self,
        name: &EntryName,
        field: &str,
    ) -> Result<Option<(Meta, Option<Value>)>, SessionError> {
        (**self).entry(name, field)
    }

    fn alternative(
        &mut self,
        name: &EntryName,
        number: usize,
        field: &str,
    ) -> Result<Option<Value>, SessionError> {
        (**self).alternative(name, number, field)
    }

    fn entries(&mut self, wanted: &(dyn Fn(&Meta) -> bool + Sync)) -> Result<Vec<Opened>, SessionError> {
        (**self).entries(wanted)
    }

    fn attach(&mut self, value: &mut dyn Read, limit: u64) -> Result<NewValue, SessionError> {
        (**self).attach(value, limit)
    }

    fn commit(
        &mut self,
        changes: Vec<Change>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Committed, SessionError> {
        (**self).commit(changes, progress)
    }

    fn refresh(&mut self) -> Result<(), SessionError> {
        (**self).refresh()
    }

    fn compact(&mut self, pages: Option<Pages>) -> Result<Committed, SessionError> {
        (**self).compact(pages)
    }

    fn check(&mut self, progress: &(dyn Fn(u16) + Sync)) -> Result<Counts, SessionError> {
        (**self).check(progress)
    }

    fn facts(&self) -> Facts {
        (**self).facts()
    }

    fn log(&mut self) -> Result<Log, SessionError> {
        (**self).log()
    }
}

/// An entry with its values.
pub(crate) struct Opened {
    pub(crate) meta: Meta,
    pub(crate) values: Vec<(String, Value)>,
}

/// A change to be made.
pub(crate) enum Change {
    /// Some of an entry.
    Set {
        /// The entry; it is made if there is none.
        name: EntryName,
        /// What is to be different.
        update: Update,
        /// What has to be so when it is made.
        expect: Expect,
    },
    /// An entry goes.
    Remove(EntryName),
    /// An entry gets another name.
    Rename {
        /// The old one.
        from: EntryName,
        /// The new one.
        to: EntryName,
    },
    /// One version of an entry in conflict stays, the others go.
    Resolve {
        /// The entry.
        name: EntryName,
        /// The version.
        pick: Pick,
    },
    /// An entry is there twice.
    Copy {
        /// The entry.
        from: EntryName,
        /// The copy.
        to: EntryName,
    },
}

/// What has to be so, under the lock, for a change to be made.
pub(crate) enum Expect {
    /// Nothing.
    Anything,
    /// The entry is there.
    Entry,
    /// The entry or this field of it is not there.
    NoField(String),
    /// This field still has this value.
    Value(String, Secret),
}

/// A save that was made.
pub(crate) struct Committed {
    /// What became of each entry that was set, in order.
    pub(crate) outcomes: Vec<Outcome>,
    /// The vault's generation now.
    pub(crate) generation: u64,
}

/// What there is to say about an unlocked vault.
pub(crate) struct Facts {
    /// How deep the log is.
    pub(crate) generation: u64,
    /// Seals in the log.
    pub(crate) seals: usize,
    /// How many rotations there have been.
    pub(crate) epoch: u64,
    /// The epoch in which a slot was last removed whose holder has no other: they could read what was last changed in it or
    /// before.
    pub(crate) removal: Option<u64>,
    /// The label of the slot that was opened.
    pub(crate) slot: Option<String>,
    /// The options or variables that named what it was opened with.
    pub(crate) sources: Vec<&'static str>,
    /// What this machine remembers of the vault.
    pub(crate) pins: Option<PinFacts>,
}

/// Why a vault cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum SessionError {
    /// The file cannot be read or locked.
    Store(PathBuf, StoreError),
    /// The file is not as a vault should be.
    Format(PathBuf, FormatError),
    /// The file is not a real state of the vault.
    Verify(PathBuf, VerifyError),
    /// No slot was opened.
    Unlock {
        /// The vault.
        path: PathBuf,
        /// Why.
        reason: UnlockFailure,
        /// The slots' labels and kinds.
        slots: Vec<(String, String)>,
    },
    /// No slot of another state of the vault was opened.
    OtherState {
        /// The vault.
        path: PathBuf,
        /// Why.
        reason: UnlockFailure,
        /// The slots' labels and kinds.
        slots: Vec<(String, String)>,
    },
    /// There is nothing to unlock with, and nobody to ask.
    Locked {
        /// The vault.
        path: PathBuf,
        /// Whether it has a slot for a passphrase at all.
        passphrase: bool,
        /// A variable that would unlock, but is empty.
        empty: Option<&'static str>,
    },
    /// What was given as identities is none.
    Identities(Place, IdentityFileError),
    /// What was given as a machine key is none.
    MachineKey(Place, MachineKeyError),
    /// What was given as a recovery code is none.
    RecoveryCode(Place, RecoveryCodeError),
    /// The new master key cannot be wrapped for a slot.
    Rotate(PathBuf, RotateError),
    /// A slot cannot be made.
    Slot(NewSlotError),
    /// No slot can have this label.
    Label(String),
    /// The vault was rotated or replaced between reading and saving.
    Replaced(PathBuf),
    /// A key slot is not what it was when it was read.
    SlotChanged(String),
    /// A field has another value than when it was read.
    ChangedMeanwhile(EntryName),
    /// The entry has several versions after a merge, and none is the right one yet.
    InConflict(EntryName),
    /// A field is there, and was to be new.
    FieldExists(EntryName, String),
    /// The change cannot be made.
    Edit(PathBuf, EditError),
    /// Two states are not merged.
    Merge {
        /// The vault.
        path: PathBuf,
        /// Why.
        error: Box<MergeError>,
    },
    /// What a commit did is not done again, or not undone.
    Pick {
        /// The vault.
        path: PathBuf,
        /// The verb and the commit.
        deed: String,
        /// Why.
        error: Box<MergeError>,
    },
    /// The change cannot be saved.
    Save(PathBuf, ReplaceError),
    /// It is not the vault that is meant, or not the newest state of it, as far as this machine knows.
    Pin(PathBuf, Box<PinError>),
    /// Nothing can be recovered of a damaged file.
    Salvage(PathBuf, SalvageError),
    /// A value has more bytes than allowed.
    ValueTooLarge(u64),
    /// The agent says so, or cannot be used.
    Agent(AgentError),
    /// The rules beside the vault cannot be understood.
    Policy(PolicyError),
    /// The vault is, or would be, against the rules beside it.
    AgainstPolicy {
        /// The vault.
        path: PathBuf,
        /// The rules.
        policy: PathBuf,
        /// What is against them.
        broken: Vec<String>,
    },
}

impl From<LinkError> for SessionError {
    fn from(error: LinkError) -> Self {
        Self::Agent(error.into())
    }
}

impl From<AgentError> for SessionError {
    fn from(error: AgentError) -> Self {
        Self::Agent(error)
    }
}

/// Fails if something is against the rules.
///
/// # Errors
/// [`SessionError::AgainstPolicy`].
pub(crate) fn obey(path: &Path, rules: &Policy, broken: Vec<String>) -> Result<(), SessionError> {
    if broken.is_empty() {
        return Ok(());
    }
    Err(SessionError::AgainstPolicy { path: path.to_owned(), policy: rules.path().to_owned(), broken })
}

/// Fails if a vault with these slots would be against the rules beside it. Whatever saves other slots asks here first.
///
/// # Errors
/// [`SessionError::Policy`], [`SessionError::AgainstPolicy`].
pub(crate) fn obey_with_slots(path: &Path, id: VaultId, slots: &[SlotLine]) -> Result<(), SessionError> {
    let rules = Policy::beside(path).map_err(SessionError::Policy)?;
    obey(path, &rules, rules.of_vault(id, slots))
}

impl SessionError {
    /// It is not the vault that is meant.
    pub(crate) fn pin(path: &Path, error: PinError) -> Self {
        Self::Pin(path.to_owned(), Box::new(error))
    }

    /// A vault that was not unlocked.
    pub(crate) fn of_still_locked(path: &Path, still: StillLocked) -> Self {
        let slots = still.vault.slots().iter();
        let slots = slots.map(|slot| (slot.label.as_str().to_owned(), slot.kind.name().to_owned()));
        Self::Unlock { path: path.to_owned(), reason: still.reason, slots: slots.collect() }
    }
}

/// The label that `--slot` names.
///
/// # Errors
/// [`SessionError::Label`].
pub(crate) fn label(text: &str) -> Result<Label, SessionError> {
    Label::parse(text).map_err(|_| SessionError::Label(text.to_owned()))
}
