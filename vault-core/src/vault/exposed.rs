//! What somebody who was removed could read and that was not changed since. docs/decisions/0006.

use std::collections::BTreeSet;

use crate::error::VerifyError;
use crate::format::entry::{EntryName, Meta};
use crate::format::id::SlotId;
use crate::vault::UnlockedVault;

/// An entry with values that a removed holder knows, or may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// Its name.
    pub entry: EntryName,
    /// The fields, ascending; of alternatives too.
    pub fields: Vec<String>,
    /// The removed slots, oldest removal first; [`Roster::removed`](crate::format::roster::Roster::removed) says more.
    pub to: Vec<SlotId>,
}

impl UnlockedVault {
    /// The entries with fields that the holder of a removed slot could read and that were not changed since, by name. Of
    /// one removed slot, or of all that the roster still remembers.
    ///
    /// A field counts as readable when its epoch is not higher than the one in which the slot was removed: until the master
    /// key is rotated, whoever was removed can read what is new, too.
    ///
    /// # Errors
    /// [`VerifyError`]
    pub fn exposed(&self, slot: Option<SlotId>) -> Result<Vec<Exposed>, VerifyError> {
        let removed: Vec<(SlotId, u64)> = self
            .roster
            .removed
            .iter()
            .filter(|removed| slot.is_none_or(|slot| slot == removed.id))
            .map(|removed| (removed.id, removed.epoch))
            .collect();
        let Some(last) = removed.iter().map(|(_, epoch)| *epoch).max() else { return Ok(Vec::new()) };
        let exposed = self.list()?.into_iter().filter_map(|meta| {
            let readable: Vec<(&String, u64)> = fields(&meta).filter(|(_, epoch)| *epoch <= last).collect();
            let oldest = readable.iter().map(|(_, epoch)| *epoch).min()?;
            let names: BTreeSet<&String> = readable.iter().map(|(name, _)| *name).collect();
            Some(Exposed {
                fields: names.into_iter().cloned().collect(),
                to: removed.iter().filter(|(_, epoch)| *epoch >= oldest).map(|(id, _)| *id).collect(),
                entry: meta.name,
            })
        });
        Ok(exposed.collect())
    }
}

fn fields(meta: &Meta) -> impl Iterator<Item = (&String, u64)> {
    let own = meta.fields.iter().map(|(name, info)| (name, info.epoch));
    let others = meta.alternatives.iter().flat_map(|alternative| &alternative.fields);
    own.chain(others.filter_map(|(name, info)| Some((name, info.as_ref()?.epoch))))
}
