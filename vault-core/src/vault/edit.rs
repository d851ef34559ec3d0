//! Changes to a vault, made in memory and committed by one seal. docs/format.md, "Saving".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::crypto::random::{self, Random};
use crate::error::EditError;
use crate::format::entry::{EntryName, FieldInfo, FieldKind, Meta, Secrets, Stored, check_field_name};
use crate::format::front::{Head, Table};
use crate::format::id::{EntryId, SealId, SlotId};
use crate::format::limits;
use crate::format::map::SmallMap;
use crate::format::page::Look;
use crate::format::roster::{Added, Removed, Roster};
use crate::format::seal::{
    Changes, EntryChange, EntryOp, Links, Place, PlaceLink, Record, SlotChange, SlotOp,
};
use crate::format::slot::SlotLine;
use crate::secret::Secret;
use crate::source::Text;
use crate::vault::UnlockedVault;
use crate::vault::blob::{BlobWriter, SealedBlob};
use crate::vault::entry::{OpenEntry, SealedEntry};
use crate::vault::write::{covered, push_page, seal_line};

pub use crate::vault::write::Saved;

/// A value to be stored.
pub enum NewValue {
    /// In memory. It becomes an attachment if it does not fit the entry's line.
    Inline(Secret),
    /// Its lines are written already: for values too large for memory.
    Attachment(SealedBlob),
    /// The process that will store it has it already, under this number. An [`Edit`] refuses it: only that process can
    /// say what it is.
    Held(u64),
}

impl NewValue {
    /// Whether a value of this length is kept in the entry's line.
    #[must_use]
    pub fn fits_inline(length: usize) -> bool {
        length <= limits::INLINE
    }
}

/// What is to become of one entry. What is not named stays as it is.
#[derive(Default)]
pub struct Update {
    /// Fields to set, or (`None`) to remove.
    pub fields: BTreeMap<String, Option<NewValue>>,
    /// Attributes to set, or (`None`) to remove.
    pub attributes: BTreeMap<String, Option<String>>,
    /// Expiry to set, or (`Some(None)`) to remove.
    pub expires: Option<Option<u64>>,
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was no such entry.
    Created,
    /// There was one.
    Changed,
}

/// Which side of a conflict is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// What stands in the entry.
    Ours,
    /// The alternative with this number, from 0.
    Theirs(usize),
}

/// How much of an entry's line its inline values may take together.
const INLINE_TOTAL: usize = 40 << 10;

/// A page while it is changed.
struct WorkingPage {
    head: Option<Head>,
    before: Vec<u8>,
    at: std::ops::Range<u64>,
    entries: BTreeMap<EntryId, SealedEntry>,
}

/// The slot table while it is changed.
struct WorkingTable {
    slots: Vec<SlotLine>,
    roster: Roster,
    changes: Vec<SlotChange>,
}

/// Changes that are not saved yet. Dropping it changes nothing.
pub struct Edit<'v> {
    vault: &'v UnlockedVault,
    now: u64,
    pages: BTreeMap<u16, WorkingPage>,
    table: Option<WorkingTable>,
    changes: Vec<EntryChange>,
    entries: usize,
}

impl UnlockedVault {
    /// Begins to change the vault. Verifies the whole file first: a save never builds on one that does not.
    ///
    /// # Errors
    /// [`EditError::Verify`]; [`EditError::Full`] if the log has as many seals as it can.
    pub fn edit(&self, now: u64) -> Result<Edit<'_>, EditError> {
        if self.seals() >= limits::SEALS || self.generation() >= limits::GENERATION {
            return Err(EditError::Full);
        }
        super::read::check_seal_text(&*self.source, &self.front).map_err(crate::error::VerifyError::from)?;
        let entries =
            self.each_verified_page(Look::Canonical, |page| Ok(page.entries.len()))?.into_iter().sum();
        Ok(Edit { vault: self, now, pages: BTreeMap::new(), table: None, changes: Vec::new(), entries })
    }
}

impl Edit<'_> {
    /// An entry's metadata as it is now.
    ///
    /// # Errors
    /// [`EditError::Verify`].
    pub fn meta(&mut self, name: &EntryName) -> Result<Option<Meta>, EditError> {
        let id = self.vault.sealers.entry_id(name);
        let entry = self.page(id)?.entries.get(&id).cloned();
        Ok(entry.map(|entry| entry.open_meta(&self.vault.sealers)).transpose()?)
    }

    /// Creates an entry, or changes some of it.
    ///
    /// # Errors
    /// [`EditError`]; the edit is as it was then.
    pub fn set(
        &mut self,
        name: &EntryName,
        update: Update,
        random: &mut dyn Random,
    ) -> Result<Outcome, EditError> {
        let existing = self.open(name)?;
        let outcome = if existing.is_some() { Outcome::Changed } else { Outcome::Created };
        let mut entry = existing.unwrap_or_else(|| new_entry(name.clone(), self.now));
        if entry.meta.in_conflict() {
            return Err(EditError::InConflict(name.clone()));
        }
        let op = if outcome == Outcome::Created { EntryOp::Create } else { EntryOp::Set };
        let mut change = change(op, name);
        let epoch = self.vault.roster.epoch;
        for (field, value) in update.fields {
            check_field_name(&field).map_err(|_| too_large(name, "a field's name has 1 to 128 bytes"))?;
            match value {
                Some(value) => put(&mut entry, &field, value, epoch)?,
                None if entry.secrets.values.remove(&field).is_some() => {
                    entry.meta.fields.remove(&field);
                }
                None => return Err(EditError::NoField { entry: name.clone(), field }),
            }
            change.fields.insert(field);
        }
        for (attribute, value) in update.attributes {
            check_field_name(&attribute)
                .map_err(|_| too_large(name, "an attribute's name has 1 to 128 bytes"))?;
            match value {
                Some(value) => drop(entry.meta.attributes.insert(attribute.clone(), value)),
                None => drop(entry.meta.attributes.remove(&attribute)),
            }
            change.attributes.insert(attribute);
        }
        if let Some(expires) = update.expires {
            entry.meta.expires = expires;
            change.expiry = true;
        }
        if outcome == Outcome::Created && self.entries >= limits::ENTRIES {
            return Err(EditError::Full);
        }
        entry.meta.modified = self.now;
        self.insert(entry, random)?;
        self.entries += usize::from(outcome == Outcome::Created);
        self.changes.push(change);
        Ok(outcome)
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// [`EditError::NoEntry`], [`EditError::Verify`].
    pub fn remove(&mut self, name: &EntryName) -> Result<(), EditError> {
        let id = self.vault.sealers.entry_id(name);
        if self.page(id)?.entries.remove(&id).is_none() {
            return Err(EditError::NoEntry(name.clone()));
        }
        self.entries -= 1;
        self.changes.push(change(EntryOp::Remove, name));
        Ok(())
    }

    /// Gives an entry another name. Its values, attributes and times stay.
    ///
    /// # Errors
    /// [`EditError::NoEntry`], [`EditError::Exists`], [`EditError::InConflict`], [`EditError::Verify`].
    pub fn rename(
        &mut self,
        from: &EntryName,
        to: &EntryName,
        random: &mut dyn Random,
    ) -> Result<(), EditError> {
        let mut entry = self.open(from)?.ok_or_else(|| EditError::NoEntry(from.clone()))?;
        if entry.meta.in_conflict() {
            return Err(EditError::InConflict(from.clone()));
        }
        let target = self.vault.sealers.entry_id(to);
        if self.page(target)?.entries.contains_key(&target) {
            return Err(EditError::Exists(to.clone()));
        }
        entry.meta.name = to.clone();
        self.insert(entry, random)?;
        let old = self.vault.sealers.entry_id(from);
        self.page(old)?.entries.remove(&old);
        self.changes.push(EntryChange { new_name: Some(to.clone()), ..change(EntryOp::Rename, from) });
        Ok(())
    }

    /// Settles a conflict: one side's version stays, the others go.
    ///
    /// # Errors
    /// [`EditError::NoEntry`], [`EditError::NotInConflict`], [`EditError::Exists`] if the other side's name is taken by
    /// now, [`EditError::Verify`].
    pub fn resolve(
        &mut self,
        name: &EntryName,
        pick: Pick,
        random: &mut dyn Random,
    ) -> Result<(), EditError> {
        let mut entry = self.open(name)?.ok_or_else(|| EditError::NoEntry(name.clone()))?;
        if !entry.meta.in_conflict() {
            return Err(EditError::NotInConflict(name.clone()));
        }
        let mut record = change(EntryOp::Resolve, name);
        for alternative in &entry.meta.alternatives {
            record.attributes.extend(alternative.attributes.keys().cloned());
            record.fields.extend(alternative.fields.keys().cloned());
            record.expiry |= alternative.expires.is_some();
        }
        let alternatives = std::mem::take(&mut entry.meta.alternatives);
        let mut values = std::mem::take(&mut entry.secrets.alternatives);
        let old = self.vault.sealers.entry_id(name);
        if let Pick::Theirs(number) = pick {
            let chosen =
                alternatives.into_iter().nth(number).ok_or_else(|| EditError::NotInConflict(name.clone()))?;
            if chosen.removed {
                self.page(old)?.entries.remove(&old);
                self.entries -= 1;
                self.changes.push(change(EntryOp::Remove, name));
                return Ok(());
            }
            for (attribute, value) in chosen.attributes {
                match value {
                    Some(value) => drop(entry.meta.attributes.insert(attribute, value)),
                    None => drop(entry.meta.attributes.remove(&attribute)),
                }
            }
            let mut values = values.swap_remove(number);
            for (field, info) in chosen.fields {
                match (info, values.remove(&field)) {
                    (Some(info), Some(value)) => {
                        entry.meta.fields.insert(field.clone(), info);
                        entry.secrets.values.insert(field, value);
                    }
                    _ => {
                        entry.meta.fields.remove(&field);
                        entry.secrets.values.remove(&field);
                    }
                }
            }
            if let Some(expires) = chosen.expires {
                entry.meta.expires = expires;
            }
            if let Some(new_name) = chosen.name.filter(|new_name| new_name != name) {
                let target = self.vault.sealers.entry_id(&new_name);
                if self.page(target)?.entries.contains_key(&target) {
                    return Err(EditError::Exists(new_name));
                }
                record.name = new_name.clone();
                entry.meta.name = new_name;
            }
        }
        entry.meta.modified = self.now;
        // First what can fail; nothing is taken out before its successor is in.
        self.insert(entry, random)?;
        if record.name != *name {
            self.page(old)?.entries.remove(&old);
            let new_name = Some(record.name.clone());
            self.changes.push(EntryChange { new_name, ..change(EntryOp::Rename, name) });
        }
        self.changes.push(record);
        Ok(())
    }

    /// The slots as they are now.
    #[must_use]
    pub fn slots(&self) -> &[SlotLine] {
        self.table.as_ref().map_or(self.vault.slots(), |table| &table.slots)
    }

    /// Adds a slot.
    ///
    /// # Errors
    /// [`EditError::Full`] at 64 slots, [`EditError::LabelTaken`].
    pub fn add_slot(&mut self, slot: SlotLine, by: &str) -> Result<(), EditError> {
        let now = self.now;
        let table = self.table();
        if table.slots.len() >= limits::SLOTS {
            return Err(EditError::Full);
        }
        if table.slots.iter().any(|other| other.label == slot.label) {
            return Err(EditError::LabelTaken(slot.label));
        }
        let epoch = table.roster.epoch;
        table.roster.slots.insert(slot.id, Added { time: now, by: author_of(by), epoch });
        table.changes.push(SlotChange { op: SlotOp::Add, slot: slot.id });
        table.slots.push(slot);
        Ok(())
    }

    /// Removes a slot, and remembers that it was there. Whoever held it may have kept the master key: see rotation.
    /// True if there was such a slot.
    ///
    /// # Errors
    /// [`EditError::LastSlot`]: nobody could open the vault.
    pub fn remove_slot(&mut self, id: SlotId, by: &str) -> Result<bool, EditError> {
        let now = self.now;
        let Some(at) = self.slots().iter().position(|slot| slot.id == id) else { return Ok(false) };
        if self.slots().len() == 1 {
            return Err(EditError::LastSlot);
        }
        let table = self.table();
        let slot = table.slots.remove(at);
        table.roster.slots.remove(&id);
        table.roster.removed.push(Removed {
            id,
            kind: slot.kind.name().to_owned(),
            label: slot.label.as_str().to_owned(),
            recipient: slot.recipient.as_str().to_owned(),
            time: now,
            by: author_of(by),
            epoch: table.roster.epoch,
        });
        table.changes.push(SlotChange { op: SlotOp::Remove, slot: id });
        Ok(true)
    }

    /// Puts another line in the place of the slot with the same id. True if there was such a slot.
    ///
    /// # Errors
    /// [`EditError::LabelTaken`] if another slot has the new label.
    pub fn replace_slot(&mut self, slot: SlotLine, op: SlotOp) -> Result<bool, EditError> {
        if self.slots().iter().any(|other| other.label == slot.label && other.id != slot.id) {
            return Err(EditError::LabelTaken(slot.label));
        }
        let Some(at) = self.slots().iter().position(|other| other.id == slot.id) else { return Ok(false) };
        let table = self.table();
        table.changes.push(SlotChange { op, slot: slot.id });
        table.slots[at] = slot;
        Ok(true)
    }

    /// Seals the changes: the text to be stored.
    ///
    /// # Errors
    /// [`EditError::NothingChanged`]; [`EditError::TooManyChanges`] if one seal cannot name them all.
    pub fn finish(
        mut self,
        author: &str,
        reason: Option<&str>,
        random: &mut dyn Random,
    ) -> Result<Saved, EditError> {
        let changes = Changes {
            time: self.now,
            author: author_of(author),
            reason: reason_of(reason),
            entries: std::mem::take(&mut self.changes),
            slots: self.table.as_ref().map(|table| table.changes.clone()).unwrap_or_default(),
            ..Changes::default()
        };
        self.commit(SealId(random::array(random)), &changes, random)
    }

    /// Seals what was put in and taken out as these changes: for picks, whose values come from elsewhere.
    pub(crate) fn finish_as(
        self,
        id: SealId,
        entries: Vec<EntryChange>,
        author: &str,
        reason: Option<&str>,
        random: &mut dyn Random,
    ) -> Result<Saved, EditError> {
        let (author, reason) = (author_of(author), reason_of(reason));
        let changes = Changes { time: self.now, author, reason, entries, ..Changes::default() };
        self.commit(id, &changes, random)
    }

    /// Seals what a merge across a restart brings in. Such a seal is written even when no line changes, since it says what
    /// it stands for.
    pub(crate) fn graft(
        mut self,
        id: SealId,
        entries: Vec<EntryChange>,
        replaces: BTreeSet<SealId>,
        records: Vec<Record>,
        author: &str,
        random: &mut dyn Random,
    ) -> Result<Saved, EditError> {
        let author = author_of(author);
        let changes = Changes { time: self.now, author, entries, replaces, records, ..Changes::default() };
        if self.pages.values().all(|page| page.before == covered(page.entries.values())) {
            self.table();
        }
        self.commit(id, &changes, random)
    }

    fn commit(self, id: SealId, changes: &Changes, random: &mut dyn Random) -> Result<Saved, EditError> {
        let vault = self.vault;
        let mut places = Vec::new();
        let table = self.table.map(|table| {
            let mut table = seal_roster(vault, table.slots, table.roster, random);
            let tag = vault.sealers.tag(Place::SLOTS, id, &table.lines);
            places.push(PlaceLink { place: Place::SLOTS, previous: vec![vault.front.table.head.seal], tag });
            table.head = Head { seal: id, tag };
            table
        });
        let mut pages = Vec::new();
        for (number, page) in self.pages {
            let after = covered(page.entries.values());
            if page.before == after {
                continue;
            }
            let place = Place::page(number);
            let tag = vault.sealers.tag(place, id, &after);
            places.push(PlaceLink { place, previous: page.head.iter().map(|head| head.seal).collect(), tag });
            pages.push((number, page, Head { seal: id, tag }));
        }
        if places.is_empty() {
            return Err(EditError::NothingChanged);
        }
        let generation = vault.generation() + 1;
        let links = Links { id, parents: vault.log.tips().to_vec(), generation, places, restart: false };
        if links.parents.len() > limits::PARENTS {
            return Err(EditError::TooManyChanges);
        }
        let line = seal_line(&links, changes, vault.log_bytes(), &vault.sealers, random)
            .ok_or(EditError::TooManyChanges)?;

        let mut text = Text::new();
        push_front(&mut text, vault, table.as_ref(), &links, line);
        let mut at = vault.front.pages_at;
        for (number, page, head) in &pages {
            text.copy(&vault.source, at..page.at.start);
            push_page(&mut text, vault.front.header.pages, *number, Some(*head), page.entries.values());
            at = page.at.end;
        }
        text.copy(&vault.source, at..vault.source.len());
        if text.len() > limits::FILE {
            return Err(EditError::Full);
        }
        Ok(Saved { text, seal: id, generation })
    }

    /// Takes an entry out as it is, without a word in the log: for merges, whose log says it already.
    pub(crate) fn take_out(&mut self, id: EntryId) -> Result<(), EditError> {
        self.page(id)?.entries.remove(&id);
        Ok(())
    }

    /// Puts an entry in as it is sealed, without a word in the log.
    pub(crate) fn put_in(&mut self, entry: SealedEntry) -> Result<(), EditError> {
        self.page(entry.id)?.entries.insert(entry.id, entry);
        Ok(())
    }

    /// Puts other slots in the place of all, without a word in the log.
    pub(crate) fn put_table(&mut self, slots: Vec<SlotLine>, roster: Roster) {
        self.table = Some(WorkingTable { slots, roster, changes: Vec::new() });
    }

    fn open(&mut self, name: &EntryName) -> Result<Option<OpenEntry>, EditError> {
        let id = self.vault.sealers.entry_id(name);
        let entry = self.page(id)?.entries.get(&id).cloned();
        Ok(entry.map(|entry| entry.open(&self.vault.sealers)).transpose()?)
    }

    fn insert(&mut self, mut entry: OpenEntry, random: &mut dyn Random) -> Result<(), EditError> {
        let name = entry.meta.name.clone();
        if !entry.meta.within_limits() {
            return Err(too_large(&name, "256 attributes of 8,192 bytes, 64 fields"));
        }
        move_out(&mut entry, random)?;
        let sealed = entry
            .seal(&self.vault.sealers, random)
            .ok_or_else(|| too_large(&name, "96 KiB for all attributes and short values together"))?;
        self.page(sealed.id)?.entries.insert(sealed.id, sealed);
        Ok(())
    }

    fn page(&mut self, id: EntryId) -> Result<&mut WorkingPage, EditError> {
        let number = self.vault.front.header.pages.of(id.0);
        if !self.pages.contains_key(&number) {
            let page = self.vault.page(number)?;
            let entries = page
                .entries
                .iter()
                .map(|entry| (entry.id, SealedEntry::from_page(&page, entry, &self.vault.source)))
                .collect();
            self.pages
                .insert(number, WorkingPage { head: page.head, before: page.lines, at: page.at, entries });
        }
        Ok(self.pages.get_mut(&number).expect("inserted above"))
    }

    fn table(&mut self) -> &mut WorkingTable {
        self.table.get_or_insert_with(|| WorkingTable {
            slots: self.vault.slots().to_vec(),
            roster: self.vault.roster.clone(),
            changes: Vec::new(),
        })
    }
}

/// Header, slot table and log, with the new seal in its section.
fn push_front(text: &mut Text, vault: &UnlockedVault, table: Option<&Table>, links: &Links, line: Vec<u8>) {
    let front = &vault.front;
    text.copy(&vault.source, 0..front.table_at.start);
    match table {
        Some(table) => text.push(table.write()),
        None => text.copy(&vault.source, front.table_at.clone()),
    }
    let section = links.section();
    let end = front.section_ends[section.map_or(0, |number| usize::from(number) + 1)];
    let after = front.seals.iter().find(|seal| seal.section == section && seal.id > links.id);
    let at = after.map_or(end, |seal| seal.line.start);
    text.copy(&vault.source, front.table_at.end..at);
    text.push(line);
    text.copy(&vault.source, at..front.pages_at);
}

/// The slot table with its roster sealed. The oldest removed slots are forgotten when the line would be too long.
pub(crate) fn seal_roster(
    vault: &UnlockedVault,
    slots: Vec<SlotLine>,
    roster: Roster,
    random: &mut dyn Random,
) -> Table {
    let roster = roster_within_limits(roster);
    let sealed = vault.sealers.roster.seal(b"", &roster.encode(), random);
    Table::new(vault.front.header.pages, slots, sealed)
}

/// The roster, without the oldest removed slots that its line has no room for.
pub(crate) fn roster_within_limits(mut roster: Roster) -> Roster {
    let surplus = roster.removed.len().saturating_sub(limits::REMOVED_SLOTS);
    roster.removed.drain(..surplus);
    while roster.encode().len() > ROSTER && !roster.removed.is_empty() {
        roster.removed.remove(0);
    }
    roster
}

/// Bytes of CBOR that fit a roster line after padding, sealing and base64.
const ROSTER: usize = 64 << 10;

/// An author as the format takes it: cut to 256 bytes.
pub(crate) fn author_of(author: &str) -> String {
    cut(author, limits::AUTHOR)
}

/// A reason as the format takes it: cut to 1,024 bytes, and absent rather than empty.
pub(crate) fn reason_of(reason: Option<&str>) -> Option<String> {
    reason.filter(|reason| !reason.is_empty()).map(|reason| cut(reason, limits::REASON))
}

fn cut(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text[..end.unwrap_or_default()].to_owned()
}

fn change(op: EntryOp, name: &EntryName) -> EntryChange {
    EntryChange {
        op,
        name: name.clone(),
        attributes: BTreeSet::new(),
        fields: BTreeSet::new(),
        new_name: None,
        expiry: false,
    }
}

fn too_large(entry: &EntryName, what: &'static str) -> EditError {
    EditError::TooLarge { entry: entry.clone(), what }
}

fn new_entry(name: EntryName, now: u64) -> OpenEntry {
    let meta = Meta {
        name,
        attributes: SmallMap::new(),
        fields: SmallMap::new(),
        created: now,
        modified: now,
        expires: None,
        alternatives: Vec::new(),
    };
    OpenEntry { meta, secrets: Secrets::default(), files: Vec::new() }
}

fn put(entry: &mut OpenEntry, field: &str, value: NewValue, epoch: u64) -> Result<(), EditError> {
    let stored = match value {
        NewValue::Inline(secret) => Stored::Inline(secret),
        NewValue::Attachment(blob) => {
            entry.files.push(blob.lines);
            Stored::Attachment(blob.attachment)
        }
        NewValue::Held(_) => {
            return Err(std::io::Error::other("the value is not in this process").into());
        }
    };
    entry.meta.fields.insert(field.to_owned(), FieldInfo { kind: stored.kind(), epoch });
    entry.secrets.values.insert(field.to_owned(), stored);
    Ok(())
}

/// Moves inline values into attachments, largest first: those over 16,384 bytes, and until the rest fits the entry's line.
pub(crate) fn move_out(entry: &mut OpenEntry, random: &mut dyn Random) -> Result<(), EditError> {
    let size = |value: &Stored| match value {
        Stored::Inline(secret) => secret.expose().len(),
        Stored::Attachment(_) => 0,
    };
    let fits = |secrets: &Secrets| {
        secrets.all().all(|(_, value)| size(value) <= limits::INLINE)
            && secrets.all().map(|(_, value)| size(value)).sum::<usize>() <= INLINE_TOTAL
    };
    while !fits(&entry.secrets) {
        let Secrets { values, alternatives } = &mut entry.secrets;
        let mut all: Vec<(Option<usize>, &String, &mut Stored)> =
            values.iter_mut().map(|(field, value)| (None, field, value)).collect();
        for (number, values) in alternatives.iter_mut().enumerate() {
            all.extend(values.iter_mut().map(|(field, value)| (Some(number), field, value)));
        }
        let (number, field, stored) = all
            .into_iter()
            .max_by_key(|(_, _, value)| size(value))
            .expect("a sum over nothing is not too large");
        let Stored::Inline(secret) = &*stored else { break };
        let mut lines = Vec::new();
        let blob = BlobWriter::write(&mut secret.expose(), limits::ATTACHMENT, &mut lines, random)
            .map_err(|_| too_large(&entry.meta.name, "an attachment"))?;
        let blob = blob.finish(Arc::new(lines), 0);
        *stored = Stored::Attachment(blob.attachment);
        entry.files.push(blob.lines);
        let info = match number {
            None => entry.meta.fields.get_mut(field),
            Some(number) => entry.meta.alternatives[number].fields.get_mut(field).and_then(Option::as_mut),
        };
        if let Some(info) = info {
            info.kind = FieldKind::Attachment;
        }
    }
    Ok(())
}
