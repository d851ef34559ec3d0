//! The keyed merge: two files of one vault become one, from what their logs say. docs/format.md, "Keyed merge".
//!
//! A common base is never read for its content: whoever pushes commits chooses it, and could make the merge bring back an
//! old value. It serves only to notice that this is no merge but a cherry-pick or a revert.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::crypto::random::{self, Random};
use crate::error::{EditError, VerifyError};
use crate::format::entry::EntryName;
use crate::format::id::{EntryId, SealId, SlotId};
use crate::format::page::Look;
use crate::format::seal::{Changes, EntryChange, EntryOp, Record};
use crate::source::Text;
use crate::vault::UnlockedVault;
use crate::vault::edit::move_out;
use crate::vault::entry::{OpenEntry, SealedEntry};
use crate::vault::log::known;
use crate::vault::merge::entries::{Version, collide, unite};
use crate::vault::merge::lineage::{Key, Lineage, Lineages};

mod across;
mod entries;
mod lineage;
mod pick;
mod slots;
#[cfg(test)]
mod tests;
mod union;

pub use pick::{Direction, Picked, pick};

/// Why two files are not merged.
#[derive(Debug)]
#[non_exhaustive]
pub enum MergeError {
    /// Ours does not verify.
    Ours(VerifyError),
    /// Theirs does not verify.
    Theirs(VerifyError),
    /// The common base does not verify.
    Base(VerifyError),
    /// These are two vaults.
    OtherVault,
    /// The base has seals that a side lacks: this is a cherry-pick or a revert.
    NotAMerge,
    /// What is to be picked is no step forward: the state after it lacks what the one before has.
    NotAhead,
    /// Both sides restarted their log since they parted, or what one replaced is no longer listed.
    BothRestarted,
    /// The restarted side no longer says what it had changed before.
    HistoryCut,
    /// What the sides changed contradicts their logs.
    Contradiction,
    /// No slot would be left.
    NoSlotLeft,
    /// A slot of the other side cannot be wrapped for the new master key.
    Slot(SlotId),
    /// The result cannot be written.
    Edit(EditError),
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(error) => write!(f, "ours does not verify: {error}"),
            Self::Theirs(error) => write!(f, "theirs does not verify: {error}"),
            Self::Base(error) => write!(f, "the common base does not verify: {error}"),
            Self::OtherVault => f.write_str("these are two different vaults"),
            Self::NotAMerge => {
                f.write_str("the base has changes that a side lacks: this is a cherry-pick or a revert")
            }
            Self::NotAhead => f.write_str("the commit takes changes away instead of making some"),
            Self::BothRestarted => f.write_str("both sides restarted their log since they parted"),
            Self::HistoryCut => f.write_str("the restarted side no longer says what it had changed before"),
            Self::Contradiction => f.write_str("what the sides changed contradicts their logs"),
            Self::NoSlotLeft => f.write_str("no key slot would be left"),
            Self::Slot(id) => write!(f, "slot {id} cannot be wrapped for the new master key"),
            Self::Edit(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MergeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ours(error) | Self::Theirs(error) | Self::Base(error) => Some(error),
            Self::Edit(error) => Some(error),
            _ => None,
        }
    }
}

/// What came out.
pub enum Merged {
    /// Theirs has nothing that ours lacks.
    Ours,
    /// Ours has nothing that theirs lacks.
    Theirs,
    /// A new file.
    New(NewMerge),
}

/// A merged file.
pub struct NewMerge {
    /// The whole file.
    pub text: Text,
    /// The merge's seal; `None` where the sides changed different places, which needs none.
    pub seal: Option<SealId>,
    /// Entries that both sides changed differently.
    pub conflicts: Vec<EntryName>,
}

/// When, by whom, and with which randomness a merge is sealed.
pub struct MergeContext<'a> {
    /// Seconds since 1970.
    pub now: u64,
    /// A claim.
    pub author: &'a str,
    /// For ids and nonces.
    pub random: &'a mut dyn Random,
}

/// Merges two files of one vault.
///
/// # Errors
/// [`MergeError`].
pub fn merge(
    ours: &UnlockedVault,
    theirs: &UnlockedVault,
    base: Option<&UnlockedVault>,
    context: &mut MergeContext,
) -> Result<Merged, MergeError> {
    if ours.front.header.uuid != theirs.front.header.uuid {
        return Err(MergeError::OtherVault);
    }
    let ours = Side::read(ours).map_err(MergeError::Ours)?;
    let theirs = Side::read(theirs).map_err(MergeError::Theirs)?;
    if let Some(base) = base {
        let base = base.known_seals().map_err(MergeError::Base)?;
        if !base.is_subset(&ours.known) || !base.is_subset(&theirs.known) {
            return Err(MergeError::NotAMerge);
        }
    }
    if theirs.known.is_subset(&ours.known) {
        return Ok(Merged::Ours);
    }
    if ours.known.is_subset(&theirs.known) {
        return Ok(Merged::Theirs);
    }
    if ours.vault.log.root() == theirs.vault.log.root() {
        union::merge(&ours, &theirs, context)
    } else {
        across::merge(&ours, &theirs, context)
    }
    .map(Merged::New)
}

/// One file of a merge, verified as a whole.
struct Side<'v> {
    vault: &'v UnlockedVault,
    changes: BTreeMap<SealId, Changes>,
    /// `T`.
    known: BTreeSet<SealId>,
}

/// What a side did since the other knew it, oldest first.
struct News<'s> {
    changes: Vec<(u64, SealId, &'s Changes)>,
}

impl<'v> Side<'v> {
    fn read(vault: &'v UnlockedVault) -> Result<Self, VerifyError> {
        super::read::check_seal_text(&*vault.source, &vault.front)?;
        vault.each_verified_page(Look::Canonical, |_| Ok(()))?;
        let changes = vault.all_changes()?;
        let known = known(&vault.log, &changes);
        Ok(Self { vault, changes, known })
    }

    /// The changes of every seal that the other side does not know, whether it is in this log or was replaced.
    fn news(&self, other: &Side) -> Result<News<'_>, MergeError> {
        let mut changes = Vec::new();
        let mut replaced = BTreeSet::new();
        for (id, said) in &self.changes {
            if !other.known.contains(id) {
                changes.push((self.vault.log.seals()[id].generation, *id, said));
            }
            replaced.extend(said.replaces.difference(&other.known).copied());
            for record in said.records.iter().filter(|record| !other.known.contains(&record.seal)) {
                changes.push((record.generation, record.seal, &record.changes));
                replaced.remove(&record.seal);
            }
        }
        let recorded: BTreeSet<SealId> = changes.iter().map(|(_, id, _)| *id).collect();
        if !replaced.is_subset(&recorded) {
            return Err(MergeError::HistoryCut);
        }
        changes.sort_by_key(|(generation, id, _)| (*generation, *id));
        changes.dedup_by_key(|(_, id, _)| *id);
        Ok(News { changes })
    }
}

impl News<'_> {
    fn lineages(&self) -> Lineages {
        Lineages::follow(self.changes.iter().map(|(_, id, changes)| (*id, *changes)))
    }

    fn records(&self) -> Vec<Record> {
        self.changes
            .iter()
            .map(|(generation, seal, changes)| Record {
                seal: *seal,
                generation: *generation,
                changes: Changes { replaces: BTreeSet::new(), records: Vec::new(), ..(*changes).clone() },
            })
            .collect()
    }
}

/// Where a resulting entry comes from.
enum Placed {
    /// Changed by ours alone: as it stands there.
    Ours(SealedEntry),
    /// Changed by theirs alone: as it stands there.
    Theirs(SealedEntry),
    /// Changed by both: to be sealed.
    New(Box<OpenEntry>),
}

/// What becomes of all entries that either side changed.
struct Plan {
    /// The merge's own.
    seal: SealId,
    /// By the name that they have in the end. Whatever is in `names` and not here is gone.
    results: BTreeMap<EntryName, Placed>,
    /// Every name that occurs in what either side did.
    names: BTreeSet<EntryName>,
    /// Names whose pages are composed anew: those of entries that both sides changed.
    both: BTreeSet<EntryName>,
    /// How the merge's seal lists the entries that both sides changed.
    listed: Vec<EntryChange>,
    conflicts: Vec<EntryName>,
}

fn plan(
    ours: &Side,
    theirs: &Side,
    our_news: &News,
    their_news: &News,
    seal: SealId,
) -> Result<Plan, MergeError> {
    let (mut a, mut b) = (our_news.lineages(), their_news.lineages());
    let mut plan = Plan {
        seal,
        results: BTreeMap::new(),
        names: a.names.union(&b.names).cloned().collect(),
        both: BTreeSet::new(),
        listed: Vec::new(),
        conflicts: Vec::new(),
    };
    for name in a.fleeting() {
        if ours.vault.sealed(&name).map_err(MergeError::Ours)?.is_some() {
            a.outlives(&name);
            plan.both.insert(name);
        }
    }
    for name in b.fleeting() {
        if theirs.vault.sealed(&name).map_err(MergeError::Theirs)?.is_some() {
            b.outlives(&name);
            plan.both.insert(name);
        }
    }
    let keys: BTreeSet<&Key> = a.by_key.keys().chain(b.by_key.keys()).collect();
    let parted = OnceCell::new();
    for key in keys {
        match (a.by_key.get(key), b.by_key.get(key)) {
            (Some(lineage), None) => {
                if let Some((name, entry)) = now(ours, lineage).map_err(MergeError::Ours)? {
                    plan.place(name, Placed::Ours(entry), (ours, theirs))?;
                }
            }
            (None, Some(lineage)) => {
                if let Some((name, entry)) = now(theirs, lineage).map_err(MergeError::Theirs)? {
                    plan.place(name, Placed::Theirs(entry), (ours, theirs))?;
                }
            }
            (Some(here), Some(there)) => {
                let at_parting = || parted.get_or_init(|| parting(ours, theirs)).has(key.name());
                let strangers = match (here.born, there.born) {
                    (true, true) => true,
                    (false, false) => false,
                    _ => !at_parting(),
                };
                plan.both_sides(ours, theirs, key, (here, there), strangers)?;
            }
            (None, None) => {}
        }
    }
    for (side, mine) in [(ours, &a), (theirs, &b)] {
        for name in mine.unclaimed() {
            let error = if std::ptr::eq(side, ours) { MergeError::Ours } else { MergeError::Theirs };
            if let Some(entry) = side.vault.sealed(&name).map_err(error)? {
                let placed =
                    if std::ptr::eq(side, ours) { Placed::Ours(entry) } else { Placed::Theirs(entry) };
                plan.both.insert(name.clone());
                plan.place(name, placed, (ours, theirs))?;
            }
        }
    }
    plan.conflicts = plan
        .results
        .iter()
        .filter(|(_, placed)| matches!(placed, Placed::New(entry) if entry.meta.in_conflict()))
        .map(|(name, _)| name.clone())
        .collect();
    Ok(plan)
}

/// What both sides know, followed to where they parted.
fn parting(ours: &Side, theirs: &Side) -> Lineages {
    let mut shared = BTreeMap::new();
    for (side, other) in [(ours, theirs), (theirs, ours)] {
        for (id, said) in &side.changes {
            shared.insert((side.vault.log.seals()[id].generation, *id), said);
            shared.extend(
                said.records.iter().map(|record| ((record.generation, record.seal), &record.changes)),
            );
        }
        shared.retain(|(_, id), _| other.known.contains(id));
    }
    Lineages::follow(shared.into_iter().map(|((_, id), changes)| (id, changes)))
}

impl Plan {
    fn both_sides(
        &mut self,
        ours: &Side,
        theirs: &Side,
        key: &Key,
        (here, there): (&Lineage, &Lineage),
        strangers: bool,
    ) -> Result<(), MergeError> {
        let open = |side: &Side, lineage: &Lineage| {
            now(side, lineage)?.map(|(_, entry)| entry.open(&side.vault.sealers)).transpose()
        };
        let a =
            Version { entry: open(ours, here).map_err(MergeError::Ours)?, lineage: here, known: &ours.known };
        let b = Version {
            entry: open(theirs, there).map_err(MergeError::Theirs)?,
            lineage: there,
            known: &theirs.known,
        };
        let origin = key.name();
        self.both.insert(origin.clone());
        self.both.extend(here.current.iter().chain(&there.current).cloned());
        match unite(a, b, strangers).map_err(MergeError::Theirs)? {
            None => {
                let gone = EntryChange { op: EntryOp::Remove, ..here.listed(there, origin) };
                self.listed.push(EntryChange {
                    attributes: BTreeSet::new(),
                    fields: BTreeSet::new(),
                    expiry: false,
                    ..gone
                });
                Ok(())
            }
            Some(entry) => {
                let name = entry.meta.name.clone();
                self.listed.push(here.listed(there, &name));
                self.place(name, Placed::New(Box::new(entry)), (ours, theirs))
            }
        }
    }

    /// Puts an entry at its name; where another one is already, they become one in conflict.
    fn place(
        &mut self,
        name: EntryName,
        placed: Placed,
        (ours, theirs): (&Side, &Side),
    ) -> Result<(), MergeError> {
        let Some(other) = self.results.remove(&name) else {
            self.results.insert(name, placed);
            return Ok(());
        };
        let open = |placed: Placed| match placed {
            Placed::New(entry) => Ok(*entry),
            Placed::Ours(entry) => entry.open(&ours.vault.sealers).map_err(MergeError::Ours),
            Placed::Theirs(entry) => entry.open(&theirs.vault.sealers).map_err(MergeError::Theirs),
        };
        let (first, second) =
            if matches!(placed, Placed::Ours(_)) { (placed, other) } else { (other, placed) };
        // Either may hold changes of both sides. Only who knows this merge has seen them all.
        let united = collide(open(first)?, open(second)?, self.seal).map_err(MergeError::Theirs)?;
        self.both.insert(name.clone());
        let fields =
            united.meta.fields.keys().chain(united.meta.alternatives.iter().flat_map(|a| a.fields.keys()));
        self.listed.push(EntryChange {
            op: EntryOp::Set,
            name: name.clone(),
            attributes: united.meta.attributes.keys().cloned().collect(),
            fields: fields.cloned().collect(),
            new_name: None,
            expiry: true,
        });
        self.results.insert(name, Placed::New(Box::new(united)));
        Ok(())
    }
}

/// A lineage's entry as it stands on that side; `None` if it was removed, or an earlier merge put it into another entry.
fn now(side: &Side, lineage: &Lineage) -> Result<Option<(EntryName, SealedEntry)>, VerifyError> {
    let Some(name) = &lineage.current else { return Ok(None) };
    Ok(side.vault.sealed(name)?.map(|entry| (name.clone(), entry)))
}

/// Seals an entry of the result.
fn seal_entry(
    vault: &UnlockedVault,
    mut entry: OpenEntry,
    random: &mut dyn Random,
) -> Result<SealedEntry, MergeError> {
    let name = entry.meta.name.clone();
    let too_large = EditError::TooLarge { entry: name, what: "both versions together" };
    if !entry.meta.within_limits() {
        return Err(MergeError::Edit(too_large));
    }
    move_out(&mut entry, random).map_err(MergeError::Edit)?;
    entry.seal(&vault.sealers, random).ok_or(MergeError::Edit(too_large))
}

/// The ids that a vault gives to these names.
fn ids<'a>(vault: &UnlockedVault, names: impl IntoIterator<Item = &'a EntryName>) -> BTreeSet<EntryId> {
    names.into_iter().map(|name| vault.sealers.entry_id(name)).collect()
}

fn new_seal_id(context: &mut MergeContext) -> SealId {
    SealId(random::array(context.random))
}
