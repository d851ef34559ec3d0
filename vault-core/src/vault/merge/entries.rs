//! Two versions of one entry become one: field by field, attribute by attribute. Nothing is lost: what both sides changed
//! differently is kept twice, and the entry is in conflict.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::hash::equal;
use crate::error::VerifyError;
use crate::format::entry::{Alternative, FieldInfo, Stored};
use crate::format::id::SealId;
use crate::vault::blob::BlobReader;
use crate::vault::entry::{BlobLines, OpenEntry};
use crate::vault::merge::lineage::Lineage;

/// One side's version of an entry that both sides changed.
pub(super) struct Version<'a> {
    /// `None`: removed.
    pub(super) entry: Option<OpenEntry>,
    pub(super) lineage: &'a Lineage,
    /// The seals that this side knows.
    pub(super) known: &'a BTreeSet<SealId>,
}

/// The entry that comes out, if any. `strangers`: no entry had this name where the sides parted, so that neither side knew what
/// the other has under it, and no value gives way to one of the other side.
pub(super) fn unite(
    ours: Version,
    theirs: Version,
    strangers: bool,
) -> Result<Option<OpenEntry>, VerifyError> {
    match (ours.entry, theirs.entry) {
        (None, None) => Ok(None),
        // Who removed it knew all that is in it.
        (Some(_), None) if !strangers && !ours.lineage.has_substance() => Ok(None),
        (None, Some(_)) if !strangers && !theirs.lineage.has_substance() => Ok(None),
        (Some(kept), None) => Ok(Some(with_removal(kept, theirs.lineage.seal))),
        (None, Some(kept)) => Ok(Some(with_removal(kept, ours.lineage.seal))),
        (Some(a), Some(b)) => {
            let a = Version { entry: None, ..ours }.of(a);
            let b = Version { entry: None, ..theirs }.of(b);
            both(a, b, strangers).map(Some)
        }
    }
}

/// Two different entries that came to have the same name: everything in them counts as changed by both.
pub(super) fn collide(ours: OpenEntry, theirs: OpenEntry, seal: SealId) -> Result<OpenEntry, VerifyError> {
    let mut united = Union::new(ours, theirs, seal);
    united.fields(|_| (true, true))?;
    united.attributes(|_| (true, true));
    united.expiry((true, true));
    Ok(united.finish())
}

struct Present<'a> {
    entry: OpenEntry,
    lineage: &'a Lineage,
    known: &'a BTreeSet<SealId>,
}

impl<'a> Version<'a> {
    fn of(self, entry: OpenEntry) -> Present<'a> {
        Present { entry, lineage: self.lineage, known: self.known }
    }
}

fn with_removal(mut kept: OpenEntry, seal: SealId) -> OpenEntry {
    kept.meta.alternatives.push(Alternative {
        seal,
        name: None,
        attributes: BTreeMap::new(),
        fields: BTreeMap::new(),
        expires: None,
        removed: true,
    });
    kept.secrets.alternatives.push(BTreeMap::new());
    kept
}

fn both(ours: Present, theirs: Present, strangers: bool) -> Result<OpenEntry, VerifyError> {
    let (a, b) = (ours.lineage, theirs.lineage);
    // A conflict that one side has settled does not come back from the other; one that it has never seen does.
    let (our_seals, their_seals) = (ours.known, theirs.known);
    let mut united = Union::new(ours.entry, theirs.entry, b.seal);
    united.drop_settled(
        |alternative| our_seals.contains(&alternative.seal) && a.has_settled(alternative),
        |alternative| their_seals.contains(&alternative.seal) && b.has_settled(alternative),
    );
    united.strangers = strangers;
    united.fields(|field| (a.changed_field(field), b.changed_field(field)))?;
    united.attributes(|attribute| (a.changed_attribute(attribute), b.changed_attribute(attribute)));
    united.expiry((a.changed_expiry(), b.changed_expiry()));
    match (a.renamed, b.renamed) {
        (false, true) => united.ours.meta.name = united.theirs.meta.name.clone(),
        (true, true) if united.ours.meta.name != united.theirs.meta.name => {
            united.alternative.name = Some(united.theirs.meta.name.clone());
        }
        _ => {}
    }
    Ok(united.finish())
}

/// `ours` as it becomes the result, `theirs` as it is used up, and what they disagree on.
struct Union {
    ours: OpenEntry,
    theirs: OpenEntry,
    alternative: Alternative,
    values: BTreeMap<String, Stored>,
    strangers: bool,
}

impl Union {
    fn new(ours: OpenEntry, theirs: OpenEntry, seal: SealId) -> Self {
        let alternative = Alternative {
            seal,
            name: None,
            attributes: BTreeMap::new(),
            fields: BTreeMap::new(),
            expires: None,
            removed: false,
        };
        Self { ours, theirs, alternative, values: BTreeMap::new(), strangers: false }
    }

    fn drop_settled(&mut self, here: impl Fn(&Alternative) -> bool, there: impl Fn(&Alternative) -> bool) {
        fn retain(entry: &mut OpenEntry, settled: impl Fn(&Alternative) -> bool) {
            let alternatives = std::mem::take(&mut entry.meta.alternatives);
            let values = std::mem::take(&mut entry.secrets.alternatives);
            for (alternative, values) in alternatives.into_iter().zip(values) {
                if !settled(&alternative) {
                    entry.meta.alternatives.push(alternative);
                    entry.secrets.alternatives.push(values);
                }
            }
        }
        retain(&mut self.theirs, here);
        retain(&mut self.ours, there);
    }

    /// Who changed what the sides have differently, and whether each has it at all.
    fn decide(&self, (here, there): (bool, bool), present: (bool, bool)) -> (bool, bool) {
        // Of strangers, what one has stays: the other side's change was no change of it.
        match self.strangers {
            true => (here || present.0, there || present.1),
            false => (here, there),
        }
    }

    fn fields(&mut self, changed: impl Fn(&str) -> (bool, bool)) -> Result<(), VerifyError> {
        let names: BTreeSet<String> =
            self.ours.meta.fields.keys().chain(self.theirs.meta.fields.keys()).cloned().collect();
        for field in names {
            let infos =
                (self.ours.meta.fields.get(&field).copied(), self.theirs.meta.fields.get(&field).copied());
            let here = self.ours.secrets.values.get(&field);
            let there = self.theirs.secrets.values.get(&field);
            let same = match (here, there) {
                (Some(here), Some(there)) => same_value(here, &self.ours.files, there, &self.theirs.files)?,
                (None, None) => true,
                _ => false,
            };
            if same {
                // The value is as old as the older of the two.
                if let (Some(here), Some(there)) = infos {
                    let epoch = here.epoch.min(there.epoch);
                    self.ours.meta.fields.insert(field, FieldInfo { epoch, ..here });
                }
                continue;
            }
            match self.decide(changed(&field), (infos.0.is_some(), infos.1.is_some())) {
                (true, false) => {}
                (false, true) => self.take_field(&field, infos.1),
                // Changed by neither and yet different cannot be; if it were, nothing would be lost.
                (true, true) | (false, false) => {
                    self.alternative.fields.insert(field.clone(), infos.1);
                    if let Some(value) = self.theirs.secrets.values.remove(&field) {
                        self.values.insert(field, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn take_field(&mut self, field: &str, info: Option<FieldInfo>) {
        match (info, self.theirs.secrets.values.remove(field)) {
            (Some(info), Some(value)) => {
                self.ours.meta.fields.insert(field.to_owned(), info);
                self.ours.secrets.values.insert(field.to_owned(), value);
            }
            _ => {
                self.ours.meta.fields.remove(field);
                self.ours.secrets.values.remove(field);
            }
        }
    }

    fn attributes(&mut self, changed: impl Fn(&str) -> (bool, bool)) {
        let (ours, theirs) = (&self.ours.meta.attributes, &self.theirs.meta.attributes);
        let names: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
        for attribute in names {
            let there = self.theirs.meta.attributes.get(&attribute);
            let here = self.ours.meta.attributes.get(&attribute);
            if here == there {
                continue;
            }
            let who = self.decide(changed(&attribute), (here.is_some(), there.is_some()));
            let ours = &mut self.ours.meta.attributes;
            match (who, there) {
                ((true, false), _) => {}
                ((false, true), Some(value)) => drop(ours.insert(attribute, value.clone())),
                ((false, true), None) => drop(ours.remove(&attribute)),
                (_, value) => drop(self.alternative.attributes.insert(attribute, value.cloned())),
            }
        }
    }

    fn expiry(&mut self, changed: (bool, bool)) {
        let there = self.theirs.meta.expires;
        if self.ours.meta.expires == there {
            return;
        }
        match self.decide(changed, (self.ours.meta.expires.is_some(), there.is_some())) {
            (true, false) => {}
            (false, true) => self.ours.meta.expires = there,
            _ => self.alternative.expires = Some(there),
        }
    }

    /// The alternatives of both sides, and what they disagree on now.
    fn finish(mut self) -> OpenEntry {
        let mut entry = self.ours;
        entry.meta.created = entry.meta.created.min(self.theirs.meta.created);
        entry.meta.modified = entry.meta.modified.max(self.theirs.meta.modified);
        entry.files.append(&mut self.theirs.files);
        let new = &self.alternative;
        let says_something = new.name.is_some()
            || new.expires.is_some()
            || !new.attributes.is_empty()
            || !new.fields.is_empty();
        let theirs = self.theirs.meta.alternatives.into_iter().zip(self.theirs.secrets.alternatives);
        let all = theirs.chain(says_something.then_some((self.alternative, self.values)));
        for (alternative, values) in all {
            let known = entry
                .meta
                .alternatives
                .iter()
                .zip(&entry.secrets.alternatives)
                .any(|known| same_alternative(known, (&alternative, &values)));
            if !known && differs(&entry, &alternative, &values) {
                entry.meta.alternatives.push(alternative);
                entry.secrets.alternatives.push(values);
            }
        }
        entry
    }
}

/// The same content, whichever seal it came from.
pub(super) fn same_alternative(
    (a, a_values): (&Alternative, &BTreeMap<String, Stored>),
    (b, b_values): (&Alternative, &BTreeMap<String, Stored>),
) -> bool {
    let names = |alternative: &Alternative| -> Vec<(String, bool)> {
        alternative.fields.iter().map(|(name, info)| (name.clone(), info.is_some())).collect()
    };
    a.name == b.name
        && a.attributes == b.attributes
        && a.expires == b.expires
        && a.removed == b.removed
        && names(a) == names(b)
        && a_values.iter().zip(b_values).all(|((_, a), (_, b))| same_stored(a, b))
}

/// Whether an alternative says anything else than the entry itself.
pub(super) fn differs(
    entry: &OpenEntry,
    alternative: &Alternative,
    values: &BTreeMap<String, Stored>,
) -> bool {
    alternative.removed
        || alternative.name.as_ref().is_some_and(|name| *name != entry.meta.name)
        || alternative.expires.is_some_and(|expires| expires != entry.meta.expires)
        || alternative.attributes.iter().any(|(key, value)| entry.meta.attributes.get(key) != value.as_ref())
        || alternative.fields.keys().any(|field| match (entry.secrets.values.get(field), values.get(field)) {
            (Some(here), Some(there)) => !same_stored(here, there),
            (None, None) => false,
            _ => true,
        })
}

/// The same bytes inline, or the same attachment.
fn same_stored(a: &Stored, b: &Stored) -> bool {
    match (a, b) {
        (Stored::Inline(a), Stored::Inline(b)) => equal(a.expose(), b.expose()),
        (Stored::Attachment(a), Stored::Attachment(b)) => a.id == b.id,
        _ => false,
    }
}

/// The same bytes, also when each side wrote an attachment of its own.
pub(super) fn same_value(
    a: &Stored,
    a_files: &[BlobLines],
    b: &Stored,
    b_files: &[BlobLines],
) -> Result<bool, VerifyError> {
    let (Stored::Attachment(left), Stored::Attachment(right)) = (a, b) else { return Ok(same_stored(a, b)) };
    if left.id == right.id || left.length != right.length {
        return Ok(left.id == right.id);
    }
    let lines = |files: &[BlobLines], id| files.iter().find(|file| file.blob == id).cloned();
    let (Some(left_lines), Some(right_lines)) = (lines(a_files, left.id), lines(b_files, right.id)) else {
        return Ok(false);
    };
    let (mut left, mut right) = (BlobReader::new(left, left_lines), BlobReader::new(right, right_lines));
    loop {
        // Chunks of equal lengths begin at the same places.
        let (a, b) = (left.next_chunk()?, right.next_chunk()?);
        if !equal(a, b) {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
    }
}
