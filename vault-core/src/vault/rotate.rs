//! Rotation: a new master key, everything sealed again, the new key wrapped for every slot. docs/format.md, "Restart".
//!
//! Nobody is asked for anything: slots are wrapped for the recipients of the verified table. Attachments are read and
//! sealed chunk by chunk into a spool, so that memory stays bounded; entries are opened one by one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::crypto::derive::Keys;
use crate::crypto::random::{self, Random};
use crate::error::{EditError, VerifyError};
use crate::format::entry::Stored;
use crate::format::front::{Header, Table};
use crate::format::id::{BlobId, SealId, SlotId};
use crate::format::limits;
use crate::format::roster::Roster;
use crate::format::slot::{Label, SlotKind, SlotLine};
use crate::keys::{RewrapError, VaultHeaderParts, VaultId, rewrap_slot};
use crate::secret::{Key, Master};
use crate::source::Source;
use crate::vault::blob::{BlobError, BlobWriter, SealedBlob};
use crate::vault::edit::roster_within_limits;
use crate::vault::entry::{BlobLines, OpenEntry, SealedEntry, Sealers};
use crate::vault::write::{Saved, Whole};
use crate::vault::{LockedVault, StillLocked, UnlockedVault};

/// A vault under a new master key, to be stored.
pub struct Rotated {
    /// What is to be stored.
    pub saved: Saved,
    /// What identifies the vault now: pins of the old commitment have to be renewed.
    pub vault: VaultId,
    /// Slots whose machine keys pin the old commitment: each has to be renewed by who holds it, or given out again.
    pub machines: Vec<Label>,
    master: Key<Master>,
}

impl Rotated {
    /// Opens what was stored, without any credential: to look at it before it replaces the old file.
    ///
    /// # Errors
    /// [`StillLocked`]
    pub fn unlock(&self, stored: LockedVault) -> Result<UnlockedVault, Box<StillLocked>> {
        stored.unlock_with_master(&self.master)
    }
}

/// Why a vault was not rotated. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RotateError {
    /// What is there does not verify, or the result does not fit a limit.
    Edit(EditError),
    /// The new key cannot be wrapped for a slot: remove it first.
    Slot {
        /// Which slot.
        slot: SlotId,
        /// What it is called.
        label: Label,
        /// Why.
        error: RewrapError,
    },
    /// The spool cannot be written or read.
    Spool(io::Error),
}

impl fmt::Display for RotateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edit(error) => error.fmt(f),
            Self::Slot { label, error, .. } => {
                write!(f, "the new key cannot be wrapped for slot \"{label}\": {error}")
            }
            Self::Spool(error) => write!(f, "attachments cannot be put aside: {error}"),
        }
    }
}

impl std::error::Error for RotateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Edit(error) => Some(error),
            Self::Slot { error, .. } => Some(error),
            Self::Spool(error) => Some(error),
        }
    }
}

impl From<EditError> for RotateError {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

impl From<VerifyError> for RotateError {
    fn from(error: VerifyError) -> Self {
        Self::Edit(error.into())
    }
}

/// An attachment that was sealed again: where it begins in the spool.
struct Again {
    old: BlobId,
    writer: BlobWriter,
    offset: u64,
}

impl UnlockedVault {
    /// The vault under a new master key and salt: every slot wrapped again, every entry and attachment sealed again, a log
    /// of one seal, the roster's epoch one higher. Fields keep their epoch, since their values are the same. Verifies the
    /// whole file first.
    ///
    /// `spool` takes the attachments: `store::spool`, or a vector in tests.
    ///
    /// # Errors
    /// [`RotateError`]
    pub fn rotate<S: Write + Source + 'static>(
        &self,
        mut spool: S,
        author: &str,
        reason: Option<&str>,
        now: u64,
        random: &mut dyn Random,
    ) -> Result<Rotated, RotateError> {
        if self.generation() >= limits::GENERATION {
            return Err(EditError::Full.into());
        }
        let master = Key::init_with(|key| random.fill(key));
        let parts = VaultHeaderParts::of(self.front.header.uuid, random::array(random), &master);
        let slots =
            self.slots().iter().map(|slot| wrapped(&parts, slot, &master)).collect::<Result<_, _>>()?;

        let entries = self.all_sealed()?;
        let mut offset = 0;
        let again = entries
            .iter()
            .map(|entry| self.attachments_again(entry, &mut spool, &mut offset, random))
            .collect::<Result<Vec<_>, _>>()?;
        let spool: Arc<dyn Source> = Arc::new(spool);

        let header = Header { salt: parts.salt, commitment: parts.commitment, ..self.front.header.clone() };
        let sealers = Sealers::new(&Keys::derive(&header.uuid, &header.salt, &master));
        let mut pages: Vec<Vec<SealedEntry>> = vec![Vec::new(); usize::from(header.pages.count())];
        for (entry, again) in entries.iter().zip(again) {
            let entry = sealed_again(entry.open(&self.sealers)?, again, &spool, &sealers, random)?;
            pages[usize::from(header.pages.of(entry.id.0))].push(entry);
        }
        for page in &mut pages {
            page.sort_by_key(|entry| entry.id);
        }

        let changes = self.restarting(author, reason, now)?;
        let roster = Roster { epoch: self.roster.epoch + 1, ..self.roster.clone() };
        let sealed = sealers.roster.seal(b"", &roster_within_limits(roster).encode(), random);
        let saved = Whole {
            table: Table::new(header.pages, slots, sealed),
            header,
            pages,
            generation: self.generation() + 1,
            restart: true,
            changes,
            sealers: &sealers,
        }
        .write(SealId(random::array(random)), random)
        .ok_or(EditError::TooManyChanges)?;
        if saved.text.len() > limits::FILE {
            return Err(EditError::Full.into());
        }
        let machines = self.slots().iter().filter(|slot| slot.kind == SlotKind::Machine);
        let machines = machines.map(|slot| slot.label.clone()).collect();
        Ok(Rotated { saved, vault: parts.vault_id(), machines, master })
    }

    /// Each attachment of an entry under a new id and key, in the spool.
    fn attachments_again(
        &self,
        entry: &SealedEntry,
        spool: &mut dyn Write,
        offset: &mut u64,
        random: &mut dyn Random,
    ) -> Result<Vec<Again>, RotateError> {
        if entry.files.is_empty() {
            return Ok(Vec::new());
        }
        let open = entry.open(&self.sealers)?;
        let mut all: Vec<Again> = Vec::with_capacity(entry.files.len());
        for (_, value) in open.secrets.all() {
            let Stored::Attachment(attachment) = value else { continue };
            if all.iter().any(|again| again.old == attachment.id) {
                continue;
            }
            let damaged = || VerifyError::Attachment(attachment.id);
            let mut reader = open.reader(attachment).ok_or_else(damaged)?;
            let writer =
                BlobWriter::write(&mut reader, limits::ATTACHMENT, spool, random).map_err(|error| {
                    match error {
                        // What the reader says of a chunk that does not open.
                        BlobError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                            damaged().into()
                        }
                        BlobError::Io(error) => RotateError::Spool(error),
                        BlobError::TooLarge { .. } => damaged().into(),
                    }
                })?;
            let start = *offset;
            *offset += writer.text_len();
            all.push(Again { old: attachment.id, writer, offset: start });
        }
        Ok(all)
    }
}

fn wrapped(parts: &VaultHeaderParts, slot: &SlotLine, master: &Key<Master>) -> Result<SlotLine, RotateError> {
    rewrap_slot(parts, slot, master).map_err(|error| RotateError::Slot {
        slot: slot.id,
        label: slot.label.clone(),
        error,
    })
}

/// The entry under other keys, with the attachments that were sealed again in the place of its own.
fn sealed_again(
    mut entry: OpenEntry,
    again: Vec<Again>,
    spool: &Arc<dyn Source>,
    sealers: &Sealers,
    random: &mut dyn Random,
) -> Result<SealedEntry, RotateError> {
    let mut new: BTreeMap<BlobId, Stored> = BTreeMap::new();
    let mut files: Vec<BlobLines> = Vec::with_capacity(again.len());
    for Again { old, writer, offset } in again {
        let SealedBlob { attachment, lines } = writer.finish(Arc::clone(spool), offset);
        new.insert(old, Stored::Attachment(attachment));
        files.push(lines);
    }
    let all = entry.secrets.alternatives.iter_mut().flat_map(BTreeMap::values_mut);
    for value in entry.secrets.values.values_mut().chain(all) {
        if let Stored::Attachment(attachment) = &*value
            && let Some(again) = new.get(&attachment.id)
        {
            *value = again.duplicate();
        }
    }
    entry.files = files;
    let name = entry.meta.name.clone();
    let too_large = EditError::TooLarge { entry: name, what: "its line" };
    entry.seal(sealers, random).ok_or(RotateError::Edit(too_large))
}

#[cfg(test)]
mod tests;
