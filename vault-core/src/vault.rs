//! A vault, locked or unlocked: what the other modules are put together to.
//!
//! ```text
//! source --LockedVault::open--> LockedVault --unlock--> UnlockedVault --edit--> Edit --finish--> Text to be stored
//! ```
//!
//! Reading one entry reads the front of the file and one page; [`UnlockedVault::edit`] verifies the whole file first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::crypto::derive::Keys;
use crate::error::VerifyError;
use crate::format::entry::{EntryName, FieldInfo, Meta, Stored};
use crate::format::front::{Front, Header};
use crate::format::id::{SealId, SlotId};
use crate::format::lines::FormatError;
use crate::format::page::Look;
use crate::format::pages::PageIndex;
use crate::format::roster::Roster;
use crate::format::seal::{Changes, Place};
use crate::format::slot::SlotLine;
use crate::keys::{
    Credential, Refused, Skipped, UnlockError, UnlockPolicy, VaultHeaderParts, VaultId, open_master,
};
use crate::secret::{Key, Master, Secret};
use crate::source::Source;
use crate::vault::blob::BlobReader;
use crate::vault::entry::{OpenEntry, SealedEntry, Sealers, open_meta};
use crate::vault::log::Log;
use crate::vault::read::{Recent, check_seal_text, each_page, parse_page};

pub mod blob;
pub mod catalogue;
pub mod create;
pub mod diff;
pub mod edit;
mod entry;
pub mod exposed;
mod log;
pub mod merge;

pub mod pin;
mod read;
pub mod restart;
pub mod rotate;
pub mod salvage;
pub mod slots;

#[cfg(test)]
pub(crate) mod tests;
mod write;

/// A file that was read as far as that goes without a key.
pub struct LockedVault {
    source: Arc<dyn Source>,
    front: Front,
}

/// A file whose master key is known, and whose slot table and log verify.
pub struct UnlockedVault {
    source: Arc<dyn Source>,
    front: Front,
    master: Key<Master>,
    /// In a place of its own, which does not move.
    sealers: Box<Sealers>,
    log: Log,
    roster: Roster,
    index: OnceLock<PageIndex>,
    recent: Mutex<Recent>,
    opened_by: Option<SlotId>,
    skipped: Vec<Skipped>,
}

/// Why a vault was not unlocked.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnlockFailure {
    /// No credential opened a slot, or none may be tried.
    Denied(UnlockError),
    /// The master key was found, but the slot table or the log do not verify.
    Verify(VerifyError),
    /// The vault is older than the machine key that opened it says.
    RolledBack {
        /// The vault's generation.
        generation: u64,
        /// The machine key's.
        pinned: u64,
    },
}

impl std::fmt::Display for UnlockFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(error) => error.fmt(f),
            Self::Verify(error) => error.fmt(f),
            Self::RolledBack { generation, pinned } => {
                write!(f, "the vault's generation is {generation}, the machine key was made at {pinned}")
            }
        }
    }
}

impl std::error::Error for UnlockFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Denied(error) => Some(error),
            Self::Verify(error) => Some(error),
            Self::RolledBack { .. } => None,
        }
    }
}

/// A failed unlock: the locked vault comes back with the reason.
pub struct StillLocked {
    /// As it was.
    pub vault: LockedVault,
    /// Why.
    pub reason: UnlockFailure,
    /// Slots that could not even be tried.
    pub skipped: Vec<Skipped>,
}

/// What [`LockedVault::check`] counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries.
    pub entries: u64,
    /// Attachments.
    pub attachments: u64,
    /// Seals of the log.
    pub seals: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl LockedVault {
    /// Reads header, slot table and log. The pages are read when they are needed.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn open(source: Arc<dyn Source>) -> Result<Self, FormatError> {
        let front = Front::parse(&*source)?;
        Ok(Self { source, front })
    }

    /// The first two lines.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.front.header
    }

    /// What identifies the vault and its master key.
    #[must_use]
    pub fn id(&self) -> VaultId {
        VaultId { uuid: self.front.header.uuid, commitment: self.front.header.commitment }
    }

    /// The key slots, as they stand in the file: not yet known to be authentic.
    #[must_use]
    pub fn slots(&self) -> &[SlotLine] {
        &self.front.table.slots
    }

    /// The ids of the log's seals, as they stand in the file.
    #[must_use]
    pub fn seals(&self) -> BTreeSet<SealId> {
        self.front.seals.iter().map(line_id).collect()
    }

    /// Checks all that can be checked without a key: the text of the whole file.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn check(&self) -> Result<Counts, FormatError> {
        let index = PageIndex::build(&*self.source, &self.front)?;
        check_seal_text(&*self.source, &self.front)?;
        let pages = self.front.header.pages;
        let counts = each_page(pages.count(), self.source.len(), |number| {
            let page = parse_page(&*self.source, &self.front, &index, number)?;
            Ok::<_, FormatError>(Counts {
                entries: page.entries.len() as u64,
                attachments: page.entries.iter().map(|entry| entry.files.len() as u64).sum(),
                ..Counts::default()
            })
        })?;
        Ok(counts.into_iter().fold(
            Counts { seals: self.front.seals.len() as u64, bytes: self.source.len(), ..Counts::default() },
            |sum, page| Counts {
                entries: sum.entries + page.entries,
                attachments: sum.attachments + page.attachments,
                ..sum
            },
        ))
    }

    /// Unlocks with the first of the credentials that opens a slot, and verifies the slot table and the log.
    ///
    /// # Errors
    /// [`StillLocked`], which gives the locked vault back.
    pub fn unlock(
        self,
        credentials: &[Credential],
        policy: &UnlockPolicy,
    ) -> Result<UnlockedVault, Box<StillLocked>> {
        let header = &self.front.header;
        let parts = VaultHeaderParts { uuid: header.uuid, salt: header.salt, commitment: header.commitment };
        let opened = match open_master(&parts, &self.front.table.slots, credentials, policy) {
            Ok(opened) => opened,
            Err(Refused { error, skipped }) => {
                return Err(Box::new(StillLocked {
                    vault: self,
                    reason: UnlockFailure::Denied(error),
                    skipped,
                }));
            }
        };
        let mut vault = self.unlock_with(opened.master, Some(opened.slot))?;
        vault.skipped = opened.skipped;
        match opened.pinned {
            Some(pinned) if pinned > vault.generation() && !policy.allow_rollback => {
                let reason = UnlockFailure::RolledBack { generation: vault.generation(), pinned };
                Err(Box::new(StillLocked { vault: vault.lock(), reason, skipped: Vec::new() }))
            }
            _ => Ok(vault),
        }
    }

    /// Unlocks with the master key of an unlocked vault: the same vault, read again.
    ///
    /// # Errors
    /// [`StillLocked`] with [`UnlockError::NoSlotMatches`] if this is another vault or its master key was rotated.
    pub fn unlock_as(self, other: &UnlockedVault) -> Result<UnlockedVault, Box<StillLocked>> {
        let (ours, theirs) = (&self.front.header, &other.front.header);
        if (ours.uuid, ours.salt, ours.commitment) != (theirs.uuid, theirs.salt, theirs.commitment) {
            let reason = UnlockFailure::Denied(UnlockError::NoSlotMatches { tried: 0 });
            return Err(Box::new(StillLocked { vault: self, reason, skipped: Vec::new() }));
        }
        let master = Key::init_with(|key| key.copy_from_slice(other.master.expose()));
        self.unlock_with(master, other.opened_by)
    }

    /// Unlocks with a master key itself: a vault that was just made.
    ///
    /// # Errors
    /// [`StillLocked`] with [`UnlockError::NoSlotMatches`] if the header does not commit to this key.
    pub fn unlock_with_master(self, master: &Key<Master>) -> Result<UnlockedVault, Box<StillLocked>> {
        let header = &self.front.header;
        if VaultHeaderParts::of(header.uuid, header.salt, master).commitment != header.commitment {
            let reason = UnlockFailure::Denied(UnlockError::NoSlotMatches { tried: 0 });
            return Err(Box::new(StillLocked { vault: self, reason, skipped: Vec::new() }));
        }
        let master = Key::init_with(|key| key.copy_from_slice(master.expose()));
        self.unlock_with(master, None)
    }

    fn unlock_with(
        self,
        master: Key<Master>,
        opened_by: Option<SlotId>,
    ) -> Result<UnlockedVault, Box<StillLocked>> {
        let header = &self.front.header;
        let sealers = Box::new(Sealers::new(&Keys::derive(&header.uuid, &header.salt, &master)));
        match verify_front(&self.front, &sealers) {
            Ok((log, roster)) => Ok(UnlockedVault {
                source: self.source,
                front: self.front,
                master,
                sealers,
                log,
                roster,
                index: OnceLock::new(),
                recent: Mutex::default(),
                opened_by,
                skipped: Vec::new(),
            }),
            Err(error) => {
                let reason = UnlockFailure::Verify(error);
                Err(Box::new(StillLocked { vault: self, reason, skipped: Vec::new() }))
            }
        }
    }
}

/// The slot table's tag, the roster, and the log.
fn verify_front(front: &Front, sealers: &Sealers) -> Result<(Log, Roster), VerifyError> {
    let table = &front.table;
    if sealers.tag(Place::SLOTS, table.head.seal, &table.lines) != table.head.tag {
        return Err(VerifyError::Tag(Place::SLOTS));
    }
    let log = Log::verify(front, &sealers.seal)?;
    log.check_head(Place::SLOTS, Some(&table.head))?;
    let plain = sealers.roster.open(b"", &table.roster).map_err(|_| VerifyError::Roster)?;
    let roster = Roster::decode(plain.expose()).map_err(|_| VerifyError::Roster)?;
    if !roster.slots.keys().eq(table.slots.iter().map(|slot| &slot.id)) {
        return Err(VerifyError::Roster);
    }
    Ok((log, roster))
}

/// A field's value.
pub enum Value {
    /// In memory.
    Inline(Secret),
    /// To be read chunk by chunk.
    Attachment(Box<dyn LongValue>),
}

/// A value that is read chunk by chunk: from the file, or from whoever opens it there.
pub trait LongValue: std::io::Read + Send {
    /// Bytes of the whole value.
    fn length(&self) -> u64;
}

impl LongValue for BlobReader {
    fn length(&self) -> u64 {
        Self::length(self)
    }
}

/// One seal's changes, as `log` shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Which seal.
    pub seal: SealId,
    /// Its generation.
    pub generation: u64,
    /// The seals that it follows; not known of a carried one.
    pub parents: Vec<SealId>,
    /// It is a restart.
    pub restart: bool,
    /// It is no longer in the log itself: a restart carries it.
    pub carried: bool,
    /// What was changed.
    pub changes: Changes,
}

impl UnlockedVault {
    /// Forgets the keys.
    #[must_use]
    pub fn lock(self) -> LockedVault {
        LockedVault { source: self.source, front: self.front }
    }

    /// The first two lines.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.front.header
    }

    /// What identifies the vault and its master key.
    #[must_use]
    pub fn id(&self) -> VaultId {
        VaultId { uuid: self.front.header.uuid, commitment: self.front.header.commitment }
    }

    /// The key slots, verified.
    #[must_use]
    pub fn slots(&self) -> &[SlotLine] {
        &self.front.table.slots
    }

    /// Who added which slot, and who was removed.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The slot that opened this vault.
    #[must_use]
    pub fn opened_by(&self) -> Option<SlotId> {
        self.opened_by
    }

    /// Slots that would have been tried before the one that opened this vault, but could not be.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How deep the log is: for people, not for checks.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.log.generation()
    }

    /// The seals that no other names as parent, ascending.
    #[must_use]
    pub fn tips(&self) -> &[SealId] {
        self.log.tips()
    }

    /// How many seals the log has.
    #[must_use]
    pub fn seals(&self) -> usize {
        self.log.seals().len()
    }

    /// How much memory reading the log takes: the sealed bytes of all links. A seal over all of 4,096 pages has 230 KB.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.front.seals.iter().map(|seal| seal.links.len()).sum()
    }

    /// An entry's metadata; `None` if there is no such entry.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn meta(&self, name: &EntryName) -> Result<Option<Meta>, VerifyError> {
        self.sealed(name)?.map(|entry| entry.open_meta(&self.sealers)).transpose()
    }

    /// A field's value; `None` if there is no such entry or field.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn value(&self, name: &EntryName, field: &str) -> Result<Option<Value>, VerifyError> {
        Ok(self.entry(name)?.and_then(|entry| entry.into_value(field)))
    }

    /// An entry with all its values; `None` if there is no such entry.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn entry(&self, name: &EntryName) -> Result<Option<Entry>, VerifyError> {
        self.sealed(name)?.map(|entry| entry.open(&self.sealers).map(Entry)).transpose()
    }

    /// Where the keys are in memory, for whoever can keep it from being swapped out: start and length of each piece.
    #[must_use]
    pub fn key_memory(&self) -> [(*const u8, usize); 2] {
        let sealers = std::ptr::from_ref(&*self.sealers).cast::<u8>();
        [(self.master.expose().as_ptr(), 32), (sealers, size_of::<Sealers>())]
    }

    fn sealed(&self, name: &EntryName) -> Result<Option<SealedEntry>, VerifyError> {
        let id = self.sealers.entry_id(name);
        let page = self.recent_page(self.front.header.pages.of(id.0))?;
        Ok(page.entry(id).map(|entry| SealedEntry::from_page(&page, entry, &self.source)))
    }

    /// All metadata, sorted by name. Reads and verifies every page.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn list(&self) -> Result<Vec<Meta>, VerifyError> {
        let mut all: Vec<Meta> = self
            .each_verified_page(Look::Outline, |page| {
                page.entries
                    .iter()
                    .map(|entry| open_meta(entry.id, &page.lines[entry.meta.clone()], &self.sealers))
                    .collect::<Result<Vec<_>, _>>()
            })?
            .into_iter()
            .flatten()
            .collect();
        sort_by_name(&mut all);
        Ok(all)
    }

    /// Opens every entry, page by page; `visit` is called from several threads.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn each_entry(&self, visit: &(dyn Fn(Entry) + Sync)) -> Result<(), VerifyError> {
        self.each_verified_page(Look::Outline, |page| {
            for entry in &page.entries {
                visit(Entry(SealedEntry::from_page(&page, entry, &self.source).open(&self.sealers)?));
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Verifies the whole file: the text, every tag, every chain, every entry, every attachment. `progress` is told how
    /// many pages are done; it is called from several threads.
    ///
    /// # Errors
    /// The first [`VerifyError`] of the lowest page.
    pub fn verify(&self, progress: &(dyn Fn(u16) + Sync)) -> Result<Counts, VerifyError> {
        check_seal_text(&*self.source, &self.front)?;
        self.all_changes()?;
        let done = AtomicU16::new(0);
        let counts = self.each_verified_page(Look::Canonical, |page| {
            let mut counts = Counts::default();
            for entry in &page.entries {
                let open = SealedEntry::from_page(&page, entry, &self.source).open(&self.sealers)?;
                counts.entries += 1;
                for (_, value) in open.secrets.all() {
                    if let Stored::Attachment(attachment) = value {
                        let mut reader =
                            open.reader(attachment).ok_or(VerifyError::Attachment(attachment.id))?;
                        while !reader.next_chunk()?.is_empty() {}
                        counts.attachments += 1;
                    }
                }
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(counts)
        })?;
        Ok(counts.into_iter().fold(
            Counts { seals: self.front.seals.len() as u64, bytes: self.source.len(), ..Counts::default() },
            |sum, page| Counts {
                entries: sum.entries + page.entries,
                attachments: sum.attachments + page.attachments,
                ..sum
            },
        ))
    }

    /// What was changed, oldest first, with what restarts carried.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn log(&self) -> Result<Vec<LogRecord>, VerifyError> {
        let mut all = Vec::new();
        for (seal, changes) in self.all_changes()? {
            let links = &self.log.seals()[&seal];
            all.extend(changes.records.iter().map(|record| LogRecord {
                seal: record.seal,
                generation: record.generation,
                parents: Vec::new(),
                restart: false,
                carried: true,
                changes: record.changes.clone(),
            }));
            all.push(LogRecord {
                seal,
                generation: links.generation,
                parents: links.parents.clone(),
                restart: links.restart,
                carried: false,
                changes: Changes { records: Vec::new(), ..changes },
            });
        }
        all.sort_by_key(|record| (record.generation, record.seal));
        Ok(all)
    }

    /// `T`: the ids of all seals and of those that they replace.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn known_seals(&self) -> Result<BTreeSet<SealId>, VerifyError> {
        Ok(log::known(&self.log, &self.all_changes()?))
    }

    fn all_changes(&self) -> Result<BTreeMap<SealId, Changes>, VerifyError> {
        let open = |line| Ok((line_id(line), log::open_changes(&*self.source, line, &self.sealers.seal)?));
        self.front.seals.iter().map(open).collect()
    }
}

fn line_id(line: &crate::format::front::SealLine) -> SealId {
    line.id
}

/// By name. Sixteen bytes of it decide nearly always, and are compared where they are instead of all over memory.
fn sort_by_name(all: &mut [Meta]) {
    let start = |meta: &Meta| {
        let name = meta.name.as_str().as_bytes();
        let mut start = [0; 16];
        let length = name.len().min(16);
        start[..length].copy_from_slice(&name[..length]);
        u128::from_be_bytes(start)
    };
    all.sort_by_cached_key(start);
    for same in all.chunk_by_mut(|a, b| start(a) == start(b)) {
        same.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// An opened entry: metadata and values.
pub struct Entry(OpenEntry);

impl Entry {
    /// Everything but the values.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// A field's value.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<Value> {
        self.0.secrets.values.get(field).and_then(|stored| self.of_stored(stored.duplicate()))
    }

    /// The value that the other side of a merge has for a field in conflict.
    #[must_use]
    pub fn alternative(&self, number: usize, field: &str) -> Option<Value> {
        let stored = self.0.secrets.alternatives.get(number)?.get(field)?;
        self.of_stored(stored.duplicate())
    }

    /// What the metadata says of a field.
    #[must_use]
    pub fn field(&self, field: &str) -> Option<FieldInfo> {
        self.0.meta.fields.get(field).copied()
    }

    fn into_value(mut self, field: &str) -> Option<Value> {
        let stored = self.0.secrets.values.remove(field)?;
        self.of_stored(stored)
    }

    fn of_stored(&self, stored: Stored) -> Option<Value> {
        match stored {
            Stored::Inline(secret) => Some(Value::Inline(secret)),
            Stored::Attachment(attachment) => Some(Value::Attachment(Box::new(self.0.reader(&attachment)?))),
        }
    }
}
