//! What one side of a merge did to each entry, read from its log and followed through renames.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::entry::{Alternative, EntryName};
use crate::format::id::SealId;
use crate::format::seal::{Changes, EntryChange, EntryOp};

/// An entry as both sides know it: by the name it had where they parted, or by the name under which a side created it
/// after that name had become free.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Origin(EntryName),
    Recreated(EntryName),
}

impl Key {
    pub(super) fn name(&self) -> &EntryName {
        let (Self::Origin(name) | Self::Recreated(name)) = self;
        name
    }
}

/// What one side did to one entry.
#[derive(Debug, Clone)]
pub(super) struct Lineage {
    /// The entry's name on this side now; `None` if it was removed.
    pub(super) current: Option<EntryName>,
    pub(super) renamed: bool,
    /// This side made it.
    pub(super) born: bool,
    /// What this side settled of the entry's conflicts.
    settled: Option<Settled>,
    pub(super) expiry: bool,
    /// Removed and made again: everything in it is new.
    whole: bool,
    attributes: BTreeSet<String>,
    fields: BTreeSet<String>,
    /// The last seal that changed it.
    pub(super) seal: SealId,
}

/// What the resolutions of one side were about.
#[derive(Debug, Clone, Default)]
struct Settled {
    attributes: BTreeSet<String>,
    fields: BTreeSet<String>,
    expiry: bool,
}

impl Lineage {
    /// Whether this side has settled all that an alternative, which it knew, disagrees on.
    pub(super) fn has_settled(&self, alternative: &Alternative) -> bool {
        self.settled.as_ref().is_some_and(|settled| {
            alternative.attributes.keys().all(|name| settled.attributes.contains(name))
                && alternative.fields.keys().all(|name| settled.fields.contains(name))
                && (settled.expiry || alternative.expires.is_none())
        })
    }

    /// Whether this side changed anything in the entry that the other does not know. A merge lists entries that it sealed
    /// anew without a change of its own.
    pub(super) fn has_substance(&self) -> bool {
        self.whole
            || self.renamed
            || self.expiry
            || self.settled.is_some()
            || !self.attributes.is_empty()
            || !self.fields.is_empty()
    }

    pub(super) fn changed_field(&self, field: &str) -> bool {
        self.whole || self.fields.contains(field)
    }

    pub(super) fn changed_attribute(&self, attribute: &str) -> bool {
        self.whole || self.attributes.contains(attribute)
    }

    pub(super) fn changed_expiry(&self) -> bool {
        self.whole || self.expiry
    }

    /// As the merge's own seal lists it, under the name that came out. What either side changed is in their own seals; it is
    /// repeated only where the name is another than theirs, so that a later merge takes nothing for changed that was not.
    pub(super) fn listed(&self, other: &Self, name: &EntryName) -> EntryChange {
        let mut listed = EntryChange {
            op: EntryOp::Set,
            name: name.clone(),
            attributes: BTreeSet::new(),
            fields: BTreeSet::new(),
            new_name: None,
            expiry: false,
        };
        if self.renamed || other.renamed {
            listed.attributes = self.attributes.union(&other.attributes).cloned().collect();
            listed.fields = self.fields.union(&other.fields).cloned().collect();
            listed.expiry = self.expiry || other.expiry;
        }
        listed
    }
}

/// All that one side did, and every name that occurs in it.
#[derive(Default)]
pub(super) struct Lineages {
    pub(super) by_key: BTreeMap<Key, Lineage>,
    pub(super) names: BTreeSet<EntryName>,
    by_name: BTreeMap<EntryName, Key>,
    /// Whose entry was removed under a name.
    removed: BTreeMap<EntryName, Key>,
}

impl Lineages {
    /// Takes the changes in the order given: by generation, then id.
    pub(super) fn follow<'a>(changes: impl Iterator<Item = (SealId, &'a Changes)>) -> Self {
        let mut all = Self::default();
        for (seal, changes) in changes {
            for change in &changes.entries {
                all.apply(seal, change);
            }
        }
        all
    }

    /// Names under which this side may have an entry that its log does not account for. Changes of two branches are taken in
    /// one order, and a name that one of them made and freed again can hide that the other gave it to an entry.
    ///
    /// Only names that this side's own changes mention: any other entry the other side has known as it stands here, and what
    /// became of it there is right, also where its name was given again.
    pub(super) fn unclaimed(&self) -> Vec<EntryName> {
        let claimed: BTreeSet<&EntryName> =
            self.by_key.values().filter_map(|lineage| lineage.current.as_ref()).collect();
        self.names.iter().filter(|name| !claimed.contains(name)).cloned().collect()
    }

    /// Whether an entry has this name in the end.
    pub(super) fn has(&self, name: &EntryName) -> bool {
        self.by_key.values().any(|lineage| lineage.current.as_ref() == Some(name))
    }

    /// Names of entries that this side made and removed again.
    pub(super) fn fleeting(&self) -> Vec<EntryName> {
        let unclaimed = self.unclaimed().into_iter();
        let is_fleeting = |name: &EntryName| {
            let lineage = self.by_key.get(&Key::Origin(name.clone()));
            lineage.is_some_and(|lineage| lineage.born && lineage.current.is_none())
        };
        unclaimed.filter(is_fleeting).collect()
    }

    /// This side has an entry of a fleeting one's name: one branch made the name and freed it, while another one has used it all
    /// the time. What is there is what both sides knew, changed by this side at most as the fleeting one was.
    pub(super) fn outlives(&mut self, name: &EntryName) {
        if let Some(lineage) = self.by_key.get_mut(&Key::Origin(name.clone())) {
            lineage.current = Some(name.clone());
        }
    }

    fn apply(&mut self, seal: SealId, change: &EntryChange) {
        let name = &change.name;
        self.names.insert(name.clone());
        let key = self.key_of(name, change.op);
        let lineage = self.by_key.entry(key.clone()).or_insert_with(|| Lineage {
            current: Some(name.clone()),
            renamed: false,
            born: change.op == EntryOp::Create,
            settled: None,
            expiry: false,
            whole: false,
            attributes: BTreeSet::new(),
            fields: BTreeSet::new(),
            seal,
        });
        lineage.seal = seal;
        // On a side that is itself a merge, a branch may go on using the name that another one has changed.
        let elsewhere =
            !self.by_name.contains_key(name) && lineage.current.as_ref().is_some_and(|now| now != name);
        match change.op {
            EntryOp::Remove => {
                if !elsewhere {
                    lineage.current = None;
                    self.removed.insert(name.clone(), key);
                }
                self.by_name.remove(name);
                return;
            }
            EntryOp::Rename => {
                let Some(new_name) = &change.new_name else { return };
                self.names.insert(new_name.clone());
                lineage.current = Some(new_name.clone());
                lineage.renamed = true;
                self.by_name.remove(name);
                self.by_name.insert(new_name.clone(), key);
                return;
            }
            EntryOp::Create => lineage.whole |= lineage.current.is_none(),
            EntryOp::Resolve => {
                let settled = lineage.settled.get_or_insert_default();
                settled.attributes.extend(change.attributes.iter().cloned());
                settled.fields.extend(change.fields.iter().cloned());
                settled.expiry |= change.expiry;
            }
            EntryOp::Set => {}
        }
        lineage.attributes.extend(change.attributes.iter().cloned());
        lineage.fields.extend(change.fields.iter().cloned());
        lineage.expiry |= change.expiry;
        if !elsewhere {
            lineage.current = Some(name.clone());
            self.by_name.insert(name.clone(), key);
        }
    }

    /// Whose entry has this name now; whose it was, if nobody's.
    fn key_of(&self, name: &EntryName, op: EntryOp) -> Key {
        if let Some(key) = self.by_name.get(name) {
            // A name that a branch gave, and that another branch's name has won over, is free to be created.
            let is_here = self.by_key.get(key).is_none_or(|lineage| lineage.current.as_ref() == Some(name));
            if is_here || op != EntryOp::Create {
                return key.clone();
            }
        }
        let origin = Key::Origin(name.clone());
        let at = |key: &Key| self.by_key.get(key).and_then(|lineage| lineage.current.as_ref());
        // Removed on one branch and kept by a merge, or still used by another branch: it is the one that was removed.
        if op != EntryOp::Create
            && at(&origin) != Some(name)
            && let Some(removed) = self.removed.get(name)
            && at(removed).is_none()
        {
            return removed.clone();
        }
        let moved = self.by_key.get(&origin).is_some_and(|lineage| lineage.current.is_some());
        if op == EntryOp::Create && moved { Key::Recreated(name.clone()) } else { origin }
    }
}
