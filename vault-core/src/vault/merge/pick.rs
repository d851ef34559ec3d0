//! Picking: what one commit did to the entries is done again on another state, as a new seal; and reverting: done backwards.
//! For what git can only do as text, losing parents.
//!
//! Which entries the commit changed is read from its seals; what became of them, from the two states that it lies between.
//! Whoever asks names the commit, so here, unlike in a merge, the state before it counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::EditError;
use crate::format::entry::{Alternative, EntryName, Meta, Secrets};
use crate::format::id::SealId;
use crate::format::map::SmallMap;
use crate::format::seal::{EntryChange, EntryOp};
use crate::vault::UnlockedVault;
use crate::vault::edit::{Edit, Saved};
use crate::vault::entry::OpenEntry;
use crate::vault::merge::entries::{differs, same_alternative, same_value};
use crate::vault::merge::lineage::{Key, Lineages};
use crate::vault::merge::{MergeContext, MergeError, Side, new_seal_id, seal_entry};

#[cfg(test)]
mod tests;

/// Which way a commit's changes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// As the commit made them.
    Apply,
    /// Back to what was before.
    Undo,
}

/// What was picked.
pub struct Picked {
    /// The new text, with one seal more.
    pub saved: Saved,
    /// Entries that were changed, by the names that they have now; of removed ones, the name that they had.
    pub changed: Vec<EntryName>,
    /// Those of them that are there.
    pub given: Vec<EntryName>,
    /// Those of them that are in conflict: here is another value than where the commit was made.
    pub conflicts: Vec<EntryName>,
    /// The commit changed key slots, too. Nobody gets in or out by a pick: they are left as they are.
    pub left_slots: bool,
}

/// Does what was done between `before` and `after` to `present`.
///
/// # Errors
/// [`MergeError::NotAhead`] if `after` lacks what `before` has; [`MergeError::Edit`] with `NothingChanged` if all is so
/// already, with `InConflict` if an entry that would change is in conflict; else as [`merge`](super::merge), where `Base` is
/// the state before and `Theirs` the one after.
pub fn pick(
    present: &UnlockedVault,
    before: &UnlockedVault,
    after: &UnlockedVault,
    direction: Direction,
    reason: Option<&str>,
    context: &mut MergeContext,
) -> Result<Picked, MergeError> {
    let uuid = present.front.header.uuid;
    if before.front.header.uuid != uuid || after.front.header.uuid != uuid {
        return Err(MergeError::OtherVault);
    }
    let before = Side::read(before).map_err(MergeError::Base)?;
    let after = Side::read(after).map_err(MergeError::Theirs)?;
    if !before.known.is_subset(&after.known) {
        return Err(MergeError::NotAhead);
    }
    let news = after.news(&before)?;
    let left_slots = news.changes.iter().any(|(_, _, changes)| !changes.slots.is_empty());
    let mut pairs = pairs(&news.lineages(), &before, &after)?;
    let (from, to) = match direction {
        Direction::Apply => (&before, &after),
        Direction::Undo => {
            pairs.iter_mut().for_each(|pair| std::mem::swap(&mut pair.from, &mut pair.to));
            (&after, &before)
        }
    };
    let moved = Moved::since(present, from)?;
    let id = new_seal_id(context);
    let mut edit = present.edit(context.now).map_err(MergeError::Edit)?;
    let mut work = Work { present, from, to, moved, seal: id, now: context.now, claimed: BTreeSet::new() };
    let mut outcome = Outcome::default();
    // What has an entry here comes first, so that a new entry of a freed name is not taken for it.
    pairs.sort_by_key(|pair| pair.from.is_none());
    let mut steps = Vec::new();
    for pair in pairs {
        steps.extend(work.step(pair)?);
    }
    outcome.make(steps, &mut edit, &work, context)?;
    if outcome.listed.is_empty() {
        return Err(MergeError::Edit(EditError::NothingChanged));
    }
    let saved = edit
        .finish_as(id, outcome.listed, context.author, reason, context.random)
        .map_err(MergeError::Edit)?;
    let Outcome { changed, given, conflicts, .. } = outcome;
    Ok(Picked { saved, changed, given, conflicts, left_slots })
}

/// One entry, by its names in the two states; none where there is no such entry.
struct Pair {
    from: Option<EntryName>,
    to: Option<EntryName>,
}

/// The entries that the commit changed. `from` is before it, `to` after.
fn pairs(lineages: &Lineages, before: &Side, after: &Side) -> Result<Vec<Pair>, MergeError> {
    let there = |side: &Side, name: &EntryName| side.vault.sealed(name).map(|entry| entry.is_some());
    let (mut used_before, mut used_after) = (BTreeSet::new(), BTreeSet::new());
    let mut pairs = Vec::new();
    for (key, lineage) in &lineages.by_key {
        let mut pair = Pair { from: None, to: None };
        if let Key::Origin(name) = key
            && there(before, name).map_err(MergeError::Base)?
        {
            used_before.insert(name.clone());
            pair.from = Some(name.clone());
        }
        if let Some(name) = &lineage.current
            && there(after, name).map_err(MergeError::Theirs)?
            && used_after.insert(name.clone())
        {
            pair.to = Some(name.clone());
        }
        pairs.push(pair);
    }
    // Where the log of a merge leaves it open whose a name is, it is taken for the same entry's.
    for name in &lineages.names {
        let from = !used_before.contains(name) && there(before, name).map_err(MergeError::Base)?;
        let to = !used_after.contains(name) && there(after, name).map_err(MergeError::Theirs)?;
        if from || to {
            pairs.push(Pair { from: from.then(|| name.clone()), to: to.then(|| name.clone()) });
        }
    }
    Ok(pairs)
}

/// Where entries of another state are in the present one: what each did since they parted. None where a log no longer tells;
/// then an entry is looked for by the name that it had.
struct Moved(Option<[Lineages; 2]>);

impl Moved {
    fn since(present: &UnlockedVault, from: &Side) -> Result<Self, MergeError> {
        let present = Side::read(present).map_err(MergeError::Ours)?;
        Ok(Self(match (from.news(&present), present.news(from)) {
            (Ok(there), Ok(here)) => Some([there.lineages(), here.lineages()]),
            _ => None,
        }))
    }

    /// The present name of the entry that has this name in the other state; none if it was removed here.
    fn of(&self, name: &EntryName) -> Option<EntryName> {
        let Some([there, here]) = &self.0 else { return Some(name.clone()) };
        let known = there.by_key.iter().find(|(_, lineage)| lineage.current.as_ref() == Some(name));
        let key = known.map_or_else(|| Key::Origin(name.clone()), |(key, _)| key.clone());
        match (here.by_key.get(&key), key) {
            (Some(lineage), _) => lineage.current.clone(),
            (None, Key::Origin(name) | Key::Recreated(name)) => Some(name),
        }
    }
}

/// What is to become of one entry of the present state.
struct Step {
    /// Its name now; none if it is new.
    old: Option<EntryName>,
    /// As it is to be, under the name that it is to have; none to remove it.
    entry: Option<OpenEntry>,
    attributes: BTreeSet<String>,
    fields: BTreeSet<String>,
    expiry: bool,
}

struct Work<'w> {
    present: &'w UnlockedVault,
    from: &'w Side<'w>,
    to: &'w Side<'w>,
    moved: Moved,
    seal: SealId,
    now: u64,
    /// Entries of the present state that a step is about.
    claimed: BTreeSet<EntryName>,
}

impl Work<'_> {
    fn here(&mut self, name: &EntryName) -> Result<Option<OpenEntry>, MergeError> {
        if self.claimed.contains(name) {
            return Ok(None);
        }
        let entry = open(self.present, name).map_err(MergeError::Ours)?;
        if entry.is_some() {
            self.claimed.insert(name.clone());
        }
        Ok(entry)
    }

    fn step(&mut self, pair: Pair) -> Result<Option<Step>, MergeError> {
        let entry = |side: &Side, name: &Option<EntryName>| {
            name.as_ref().map_or(Ok(None), |name| open(side.vault, name))
        };
        let from = entry(self.from, &pair.from).map_err(MergeError::Base)?;
        let to = entry(self.to, &pair.to).map_err(MergeError::Theirs)?;
        let now = pair.from.as_ref().and_then(|name| self.moved.of(name));
        let mut here = match &now {
            Some(name) => self.here(name)?,
            None => None,
        };
        if here.is_none()
            && let Some(name) = &pair.to
        {
            here = self.here(name)?;
        }
        let seal = self.seal;
        let step = match (from, to, here) {
            (_, None, None) => None,
            (from, Some(to), Some(here)) => {
                let conflicted = here.meta.in_conflict();
                let name = here.meta.name.clone();
                let step = change(here, from.as_ref(), to, pair.from.as_ref(), seal)?;
                match step {
                    Some(_) if conflicted => return Err(MergeError::Edit(EditError::InConflict(name))),
                    step => step,
                }
            }
            (from, Some(mut to), None) => {
                if from.is_some() {
                    // Removed here, and changed there.
                    with_alternative(&mut to, removal(seal));
                }
                Some(Step::new(to))
            }
            (from, None, Some(mut here)) => {
                let name = here.meta.name.clone();
                let same = match &from {
                    Some(from) => same_content(&here, from)?,
                    None => false,
                };
                if same {
                    Some(Step { old: Some(name), ..Step::nothing() })
                } else if here.meta.in_conflict() {
                    return Err(MergeError::Edit(EditError::InConflict(name)));
                } else {
                    with_alternative(&mut here, removal(seal));
                    Some(Step { old: Some(name), entry: Some(here), ..Step::nothing() })
                }
            }
        };
        Ok(step.map(|mut step| {
            if let Some(entry) = &mut step.entry {
                entry.meta.modified = self.now;
            }
            step
        }))
    }
}

impl Step {
    fn nothing() -> Self {
        Self { old: None, entry: None, attributes: BTreeSet::new(), fields: BTreeSet::new(), expiry: false }
    }

    /// An entry that is not there.
    fn new(entry: OpenEntry) -> Self {
        Self {
            old: None,
            attributes: entry.meta.attributes.keys().cloned().collect(),
            fields: entry.meta.fields.keys().cloned().collect(),
            expiry: entry.meta.expires.is_some(),
            entry: Some(entry),
        }
    }

    fn listed(&self, op: EntryOp, name: &EntryName) -> EntryChange {
        EntryChange {
            op,
            name: name.clone(),
            attributes: self.attributes.clone(),
            fields: self.fields.clone(),
            new_name: None,
            expiry: self.expiry,
        }
    }
}

#[derive(Default)]
struct Outcome {
    listed: Vec<EntryChange>,
    changed: Vec<EntryName>,
    given: Vec<EntryName>,
    conflicts: Vec<EntryName>,
}

impl Outcome {
    /// Makes the steps in an order in which every name is free when it is given.
    fn make(
        &mut self,
        steps: Vec<Step>,
        edit: &mut Edit<'_>,
        work: &Work<'_>,
        context: &mut MergeContext,
    ) -> Result<(), MergeError> {
        let (removals, rest): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.entry.is_none());
        for step in removals {
            let Some(old) = &step.old else { continue };
            edit.take_out(work.present.sealers.entry_id(old)).map_err(MergeError::Edit)?;
            self.listed.push(Step::nothing().listed(EntryOp::Remove, old));
            self.changed.push(old.clone());
        }
        let mut waiting = rest;
        while !waiting.is_empty() {
            let mut blocked = Vec::new();
            let count = waiting.len();
            for step in waiting {
                let Some(entry) = &step.entry else { continue };
                let name = &entry.meta.name;
                let stays = step.old.as_ref() == Some(name);
                if stays || edit.meta(name).map_err(MergeError::Edit)?.is_none() {
                    self.put(step, edit, work, context)?;
                } else {
                    blocked.push(step);
                }
            }
            if blocked.len() == count {
                // Another entry has the name, for good: whoever settles the conflict finds another.
                for step in &mut blocked {
                    step.give_up_name(work.seal)?;
                }
            }
            waiting = blocked;
        }
        Ok(())
    }

    fn put(
        &mut self,
        mut step: Step,
        edit: &mut Edit<'_>,
        work: &Work<'_>,
        context: &mut MergeContext,
    ) -> Result<(), MergeError> {
        let Some(entry) = step.entry.take() else { return Ok(()) };
        let name = entry.meta.name.clone();
        let in_conflict = entry.meta.in_conflict();
        if step.fields.is_empty() && step.attributes.is_empty() && !step.expiry {
            // What is only beside the entry counts as changed, too: a later merge must not take it for nothing.
            for alternative in entry.meta.alternatives.iter().filter(|other| other.seal == work.seal) {
                step.fields.extend(alternative.fields.keys().cloned());
                step.attributes.extend(alternative.attributes.keys().cloned());
                step.expiry |= alternative.expires.is_some();
            }
        }
        let sealed = seal_entry(work.present, entry, context.random)?;
        match &step.old {
            None => self.listed.push(step.listed(EntryOp::Create, &name)),
            Some(old) => {
                if *old != name {
                    edit.take_out(work.present.sealers.entry_id(old)).map_err(MergeError::Edit)?;
                    let rename = Step::nothing().listed(EntryOp::Rename, old);
                    self.listed.push(EntryChange { new_name: Some(name.clone()), ..rename });
                }
                self.listed.push(step.listed(EntryOp::Set, &name));
            }
        }
        edit.put_in(sealed).map_err(MergeError::Edit)?;
        if in_conflict {
            self.conflicts.push(name.clone());
        }
        self.given.push(name.clone());
        self.changed.push(name);
        Ok(())
    }
}

impl Step {
    /// Keeps the name that the entry has, and the wanted one as the other side of a conflict.
    fn give_up_name(&mut self, seal: SealId) -> Result<(), MergeError> {
        let Some(entry) = &mut self.entry else { return Ok(()) };
        let wanted = entry.meta.name.clone();
        // A new entry has no other name to go by.
        let Some(old) = &self.old else { return Err(MergeError::Edit(EditError::Exists(wanted))) };
        entry.meta.name = old.clone();
        with_alternative(entry, Alternative { name: Some(wanted), ..empty(seal) });
        Ok(())
    }
}

/// The entry as it is here, with what was changed from `from` to `to`; none if all of it is so already.
fn change(
    mut here: OpenEntry,
    from: Option<&OpenEntry>,
    mut to: OpenEntry,
    old_name: Option<&EntryName>,
    seal: SealId,
) -> Result<Option<Step>, MergeError> {
    let nothing = blank(&to.meta);
    let from = from.unwrap_or(&nothing);
    let mut step = Step { old: Some(here.meta.name.clone()), ..Step::nothing() };
    let mut other = empty(seal);
    let mut values = BTreeMap::new();

    let names: BTreeSet<String> = from.meta.fields.keys().chain(to.meta.fields.keys()).cloned().collect();
    for field in names {
        let same = |a: &OpenEntry, b: &OpenEntry| same_field(a, b, &field).map_err(MergeError::Theirs);
        if same(from, &to)? || same(&here, &to)? {
            continue;
        }
        let info = to.meta.fields.get(&field).copied();
        if !same(&here, from)? {
            other.fields.insert(field.clone(), info);
            if let Some(value) = to.secrets.values.remove(&field) {
                values.insert(field, value);
            }
            continue;
        }
        match (info, to.secrets.values.remove(&field)) {
            (Some(info), Some(value)) => {
                here.meta.fields.insert(field.clone(), info);
                here.secrets.values.insert(field.clone(), value);
            }
            _ => {
                here.meta.fields.remove(&field);
                here.secrets.values.remove(&field);
            }
        }
        step.fields.insert(field);
    }
    let names: BTreeSet<&String> = from.meta.attributes.keys().chain(to.meta.attributes.keys()).collect();
    for attribute in names {
        let [was, is, now] = [&from.meta, &to.meta, &here.meta].map(|meta| meta.attributes.get(attribute));
        if was == is || now == is {
            continue;
        }
        if now != was {
            other.attributes.insert(attribute.clone(), is.cloned());
            continue;
        }
        match is {
            Some(value) => drop(here.meta.attributes.insert(attribute.clone(), value.clone())),
            None => drop(here.meta.attributes.remove(attribute)),
        }
        step.attributes.insert(attribute.clone());
    }
    let [was, is, now] = [from.meta.expires, to.meta.expires, here.meta.expires];
    if was != is && now != is {
        if now == was {
            here.meta.expires = is;
            step.expiry = true;
        } else {
            other.expires = Some(is);
        }
    }
    if let Some(old_name) = old_name
        && *old_name != to.meta.name
        && here.meta.name != to.meta.name
    {
        if here.meta.name == *old_name {
            here.meta.name = to.meta.name.clone();
        } else {
            other.name = Some(to.meta.name.clone());
        }
    }
    here.files.append(&mut to.files);
    let mut added = false;
    if other != empty(seal) {
        here.meta.alternatives.push(other);
        here.secrets.alternatives.push(values);
        added = true;
    }
    // A conflict that the commit made, or that undoing it brings back.
    let theirs = to.meta.alternatives.into_iter().zip(to.secrets.alternatives);
    for (alternative, values) in theirs {
        let known = |entry: &OpenEntry| {
            let all = entry.meta.alternatives.iter().zip(&entry.secrets.alternatives);
            all.into_iter().any(|known| same_alternative(known, (&alternative, &values)))
        };
        if !known(from) && !known(&here) && differs(&here, &alternative, &values) {
            here.meta.alternatives.push(Alternative { seal, ..alternative });
            here.secrets.alternatives.push(values);
            added = true;
        }
    }
    let changed = added
        || !step.fields.is_empty()
        || !step.attributes.is_empty()
        || step.expiry
        || step.old.as_ref() != Some(&here.meta.name);
    step.entry = Some(here);
    Ok(changed.then_some(step))
}

fn open(vault: &UnlockedVault, name: &EntryName) -> Result<Option<OpenEntry>, crate::error::VerifyError> {
    vault.sealed(name)?.map(|entry| entry.open(&vault.sealers)).transpose()
}

fn same_field(a: &OpenEntry, b: &OpenEntry, field: &str) -> Result<bool, crate::error::VerifyError> {
    match (a.secrets.values.get(field), b.secrets.values.get(field)) {
        (Some(here), Some(there)) => same_value(here, &a.files, there, &b.files),
        (None, None) => Ok(true),
        _ => Ok(false),
    }
}

/// Whether nobody changed anything in an entry, wherever it is now.
fn same_content(a: &OpenEntry, b: &OpenEntry) -> Result<bool, MergeError> {
    if a.meta.attributes != b.meta.attributes
        || a.meta.expires != b.meta.expires
        || a.meta.alternatives.len() != b.meta.alternatives.len()
        || !a.meta.fields.keys().eq(b.meta.fields.keys())
    {
        return Ok(false);
    }
    for field in a.meta.fields.keys() {
        if !same_field(a, b, field).map_err(MergeError::Ours)? {
            return Ok(false);
        }
    }
    let pairs = |entry: &OpenEntry| entry.meta.alternatives.len();
    let same = (0..pairs(a)).all(|at| {
        same_alternative(
            (&a.meta.alternatives[at], &a.secrets.alternatives[at]),
            (&b.meta.alternatives[at], &b.secrets.alternatives[at]),
        )
    });
    Ok(same)
}

fn blank(meta: &Meta) -> OpenEntry {
    let meta = Meta {
        name: meta.name.clone(),
        attributes: SmallMap::new(),
        fields: SmallMap::new(),
        created: meta.created,
        modified: meta.modified,
        expires: None,
        alternatives: Vec::new(),
    };
    OpenEntry { meta, secrets: Secrets::default(), files: Vec::new() }
}

fn empty(seal: SealId) -> Alternative {
    Alternative {
        seal,
        name: None,
        attributes: BTreeMap::new(),
        fields: BTreeMap::new(),
        expires: None,
        removed: false,
    }
}

fn removal(seal: SealId) -> Alternative {
    Alternative { removed: true, ..empty(seal) }
}

fn with_alternative(entry: &mut OpenEntry, alternative: Alternative) {
    entry.meta.alternatives.push(alternative);
    entry.secrets.alternatives.push(BTreeMap::new());
}
