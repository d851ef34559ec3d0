//! The roster: who added or removed which slot, when, in which epoch. docs/format.md, "Roster".

use std::collections::BTreeMap;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::format::cbor::{self, NotDeterministic};
use crate::format::id::SlotId;
use crate::format::limits;

/// What the vault remembers about its slots, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// How many rotations of the master key there have been.
    pub epoch: u64,
    /// One for each slot.
    pub slots: BTreeMap<SlotId, Added>,
    /// Oldest first.
    pub removed: Vec<Removed>,
}

/// Who added a slot, and when.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Added {
    /// Seconds since 1970.
    #[n(0)]
    pub time: u64,
    /// A claim.
    #[n(1)]
    pub by: String,
    /// In which epoch.
    #[n(2)]
    pub epoch: u64,
}

/// A slot that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Removed {
    /// Its id.
    #[n(0)]
    pub id: SlotId,
    /// Its kind.
    #[n(1)]
    pub kind: String,
    /// Its label.
    #[n(2)]
    pub label: String,
    /// Its recipient.
    #[n(3)]
    pub recipient: String,
    /// When it was removed, in seconds since 1970.
    #[n(4)]
    pub time: u64,
    /// By whom: a claim.
    #[n(5)]
    pub by: String,
    /// The epoch in which it was removed: its holder could read what was last changed in it or before.
    #[n(6)]
    pub epoch: u64,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RosterCbor {
    #[n(1)]
    epoch: u64,
    #[n(2)]
    slots: SlotMap,
    #[n(3)]
    removed: Option<Vec<Removed>>,
}

struct SlotMap(BTreeMap<SlotId, Added>);

impl<C> Encode<C> for SlotMap {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.map(self.0.len() as u64)?;
        for (id, added) in &self.0 {
            e.bytes(&id.0)?.encode_with(added, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for SlotMap {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let count = d.map()?.ok_or_else(|| decode::Error::message("a map of unknown length"))?;
        let mut map = BTreeMap::new();
        for _ in 0..count {
            map.insert(SlotId::decode(d, ctx)?, Added::decode(d, ctx)?);
        }
        Ok(Self(map))
    }
}

impl Roster {
    /// The CBOR of docs/format.md.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::to_vec(&RosterCbor {
            epoch: self.epoch,
            slots: SlotMap(self.slots.clone()),
            removed: (!self.removed.is_empty()).then(|| self.removed.clone()),
        })
    }

    /// From CBOR.
    ///
    /// # Errors
    /// Anything but what [`Roster::encode`] writes within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotDeterministic> {
        let raw: RosterCbor = cbor::from_slice(bytes)?;
        let removed = raw.removed.unwrap_or_default();
        let fits = !raw.slots.0.is_empty()
            && raw.slots.0.len() <= limits::SLOTS
            && raw.slots.0.values().all(|added| added.by.len() <= limits::AUTHOR)
            && removed.len() <= limits::REMOVED_SLOTS
            && removed.iter().all(|removed| removed.by.len() <= limits::AUTHOR);
        // An empty list would have been left out.
        let roster = Self { epoch: raw.epoch, slots: raw.slots.0, removed };
        if fits && roster.encode() == bytes { Ok(roster) } else { Err(NotDeterministic) }
    }
}
