//! The slot tables of two sides become one: the union, and a removal wins.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::EditError;
use crate::format::id::{SealId, SlotId};
use crate::format::limits;
use crate::format::roster::Roster;
use crate::format::seal::SlotOp;
use crate::format::slot::{Label, SlotLine};
use crate::keys::{VaultHeaderParts, rewrap_slot};
use crate::vault::UnlockedVault;
use crate::vault::merge::{MergeError, News, Side};

/// What one side did to its slots.
struct SlotNews {
    removed: BTreeSet<SlotId>,
    /// The last seal that wrapped the master key in the slot anew, with its generation.
    wrapped: BTreeMap<SlotId, (u64, SealId)>,
    /// The last seal that gave the slot its label, with its generation.
    labelled: BTreeMap<SlotId, (u64, SealId)>,
}

impl SlotNews {
    fn of(news: &News) -> Self {
        let mut all = Self { removed: BTreeSet::new(), wrapped: BTreeMap::new(), labelled: BTreeMap::new() };
        for (generation, seal, changes) in &news.changes {
            for change in &changes.slots {
                match change.op {
                    SlotOp::Remove => drop(all.removed.insert(change.slot)),
                    SlotOp::Rewrap => drop(all.wrapped.insert(change.slot, (*generation, *seal))),
                    SlotOp::Relabel => drop(all.labelled.insert(change.slot, (*generation, *seal))),
                    // An added slot is in one side's table only.
                    SlotOp::Add => {}
                }
            }
        }
        all
    }
}

/// The slots and the roster, for a vault with the keys of `into`, which is one of the sides.
pub(super) fn unite(
    ours: (&Side, &News),
    theirs: (&Side, &News),
    into: &UnlockedVault,
) -> Result<(Vec<SlotLine>, Roster), MergeError> {
    let (a, b) = (SlotNews::of(ours.1), SlotNews::of(theirs.1));
    let (ours, theirs) = (ours.0.vault, theirs.0.vault);
    let find = |vault: &UnlockedVault, id| vault.slots().iter().find(|slot| slot.id == id).cloned();
    let ids: BTreeSet<SlotId> = ours.slots().iter().chain(theirs.slots()).map(|slot| slot.id).collect();
    let mut slots: Vec<SlotLine> = Vec::new();
    for id in ids {
        if a.removed.contains(&id) || b.removed.contains(&id) {
            continue;
        }
        let (slot, from) = match (find(ours, id), find(theirs, id)) {
            (Some(mut here), Some(mut there)) => {
                // The label is bound to nothing else, so what opens the slot and what it is called merge apart.
                let label =
                    if a.labelled.get(&id) >= b.labelled.get(&id) { &here.label } else { &there.label }
                        .clone();
                (here.label, there.label) = (label.clone(), label);
                match (a.wrapped.get(&id), b.wrapped.get(&id)) {
                    // Wrapped by neither: across a rotation the lines differ all the same, and only one is right.
                    (None, None) if std::ptr::eq(into, theirs) => (there, theirs),
                    (when_here, when_there) if when_there > when_here => (there, theirs),
                    _ => (here, ours),
                }
            }
            (Some(here), None) => (here, ours),
            (None, Some(there)) => (there, theirs),
            (None, None) => continue,
        };
        slots.push(for_keys_of(into, from, slot)?);
    }
    if slots.is_empty() {
        return Err(MergeError::NoSlotLeft);
    }
    if slots.len() > limits::SLOTS {
        return Err(MergeError::Edit(EditError::Full));
    }
    make_labels_unique(&mut slots);
    let roster = unite_rosters(ours, theirs, into, &slots);
    Ok((slots, roster))
}

/// The slot with the master key of `into` in it.
fn for_keys_of(into: &UnlockedVault, from: &UnlockedVault, slot: SlotLine) -> Result<SlotLine, MergeError> {
    let header = &into.front.header;
    if header.commitment == from.front.header.commitment {
        return Ok(slot);
    }
    let parts = VaultHeaderParts { uuid: header.uuid, salt: header.salt, commitment: header.commitment };
    rewrap_slot(&parts, &slot, &into.master).map_err(|_| MergeError::Slot(slot.id))
}

/// Two sides may have chosen the same label for two slots: the one with the larger id gets a longer one.
fn make_labels_unique(slots: &mut [SlotLine]) {
    const KEPT: usize = 55;
    const DIGITS: usize = 8;
    let mut taken = BTreeSet::new();
    for slot in slots {
        let kept: String = slot.label.as_str().chars().take(KEPT).collect();
        let id = slot.id.to_string();
        // Ids differ, so one of their parts gives a label that nobody has.
        let mut parts = (0..id.len() / DIGITS).map(|part| &id[part * DIGITS..(part + 1) * DIGITS]);
        while !taken.insert(slot.label.clone()) {
            let Some(part) = parts.next() else { break };
            slot.label = Label::parse(&format!("{kept}-{part}"))
                .expect("55 characters, a dash and 8 digits of a label's alphabet");
        }
    }
}

fn unite_rosters(
    ours: &UnlockedVault,
    theirs: &UnlockedVault,
    into: &UnlockedVault,
    slots: &[SlotLine],
) -> Roster {
    let added = slots.iter().filter_map(|slot| {
        let added = ours.roster.slots.get(&slot.id).or_else(|| theirs.roster.slots.get(&slot.id))?;
        Some((slot.id, added.clone()))
    });
    let mut removed = ours.roster.removed.clone();
    for slot in &theirs.roster.removed {
        if !removed.iter().any(|known| known.id == slot.id) {
            removed.push(slot.clone());
        }
    }
    removed.sort_by_key(|slot| (slot.time, slot.id));
    Roster { epoch: into.roster.epoch, slots: added.collect(), removed }
}
