//! What is sealed in a seal line: links and changes. docs/format.md, "Log".

use std::collections::BTreeSet;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::format::cbor::{self, NotDeterministic, True};
use crate::format::entry::{EntryName, check_field_name};
use crate::format::id::{SealId, SlotId};
use crate::format::limits;

/// A place: the slot table (0) or a page (1 + its number).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u16);

impl Place {
    /// The slot table.
    pub const SLOTS: Self = Self(0);

    /// The page with this number.
    #[must_use]
    pub const fn page(number: u16) -> Self {
        Self(number + 1)
    }

    /// The number of the page, or `None` for the slot table.
    #[must_use]
    pub const fn page_number(self) -> Option<u16> {
        self.0.checked_sub(1)
    }

    /// 0 for the slot table, 1 + n for page n.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A place as a seal lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceLink {
    /// Which place.
    pub place: Place,
    /// The last seals of the place before this one.
    pub previous: Vec<SealId>,
    /// The place's tag as of this seal.
    pub tag: [u8; 32],
}

impl<C> Encode<C> for PlaceLink {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.u16(self.place.0)?.encode_with(&self.previous, ctx)?.bytes(&self.tag)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PlaceLink {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(3) {
            return Err(decode::Error::message("not a place"));
        }
        let place = Place(d.u16()?);
        let previous = d.decode_with(ctx)?;
        let tag = d.bytes()?.try_into().map_err(|_| decode::Error::message("a tag has 32 bytes"))?;
        Ok(Self { place, previous, tag })
    }
}

/// How a seal hangs together with the others: all that reading needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// The same as the line's.
    pub id: SealId,
    /// Ascending.
    pub parents: Vec<SealId>,
    /// 1 + the largest of the parents'.
    pub generation: u64,
    /// Ascending by place, at least one.
    pub places: Vec<PlaceLink>,
    /// A new root, which replaces what came before.
    pub restart: bool,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct LinksCbor {
    #[n(1)]
    id: SealId,
    #[n(2)]
    parents: Vec<SealId>,
    #[n(3)]
    generation: u64,
    #[n(4)]
    places: Vec<PlaceLink>,
    #[n(5)]
    restart: Option<True>,
}

fn ascending<T: Ord>(items: &[T]) -> bool {
    items.is_sorted_by(|a, b| a < b)
}

impl Links {
    /// The CBOR of docs/format.md.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::to_vec(&LinksCbor {
            id: self.id,
            parents: self.parents.clone(),
            generation: self.generation,
            places: self.places.clone(),
            restart: self.restart.then_some(True),
        })
    }

    /// From CBOR.
    ///
    /// # Errors
    /// Anything but what [`Links::encode`] writes for sorted, distinct members within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotDeterministic> {
        let raw: LinksCbor = cbor::from_slice(bytes)?;
        let orderly = (1..=limits::GENERATION).contains(&raw.generation)
            && ascending(&raw.parents)
            && raw.parents.len() <= limits::PARENTS
            && !raw.places.is_empty()
            && raw.places.is_sorted_by(|a, b| a.place < b.place)
            && raw
                .places
                .iter()
                .all(|place| ascending(&place.previous) && place.previous.len() <= limits::PARENTS);
        if !orderly {
            return Err(NotDeterministic);
        }
        Ok(Self {
            id: raw.id,
            parents: raw.parents,
            generation: raw.generation,
            places: raw.places,
            restart: raw.restart.is_some(),
        })
    }

    /// The link of a place, if this seal lists it.
    #[must_use]
    pub fn place(&self, place: Place) -> Option<&PlaceLink> {
        self.places.binary_search_by_key(&place, |link| link.place).ok().map(|at| &self.places[at])
    }

    /// The log section in which the seal stands: its first page, or `None` for `log slots`.
    #[must_use]
    pub fn section(&self) -> Option<u16> {
        self.places.iter().find_map(|link| link.place.page_number())
    }
}

/// What was done to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryOp {
    /// Some of its fields or attributes changed.
    Set,
    /// Removed.
    Remove,
    /// Given another name.
    Rename,
    /// A conflict was settled.
    Resolve,
    /// There was no entry of this name before.
    Create,
}

impl<C> Encode<C> for EntryOp {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let code = match self {
            Self::Set => 0,
            Self::Remove => 1,
            Self::Rename => 2,
            Self::Resolve => 3,
            Self::Create => 4,
        };
        e.u8(code)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for EntryOp {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match d.u8()? {
            0 => Ok(Self::Set),
            1 => Ok(Self::Remove),
            2 => Ok(Self::Rename),
            3 => Ok(Self::Resolve),
            4 => Ok(Self::Create),
            _ => Err(decode::Error::message("not an operation on entries")),
        }
    }
}

/// One change of one entry, as the log remembers it: never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryChange {
    /// What was done.
    pub op: EntryOp,
    /// To which entry.
    pub name: EntryName,
    /// Attributes set or removed.
    pub attributes: BTreeSet<String>,
    /// Fields set or removed.
    pub fields: BTreeSet<String>,
    /// The new name of a renamed entry.
    pub new_name: Option<EntryName>,
    /// The expiry was set or removed.
    pub expiry: bool,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct EntryChangeCbor {
    #[n(1)]
    op: EntryOp,
    #[n(2)]
    name: EntryName,
    #[n(3)]
    attributes: Option<Vec<String>>,
    #[n(4)]
    fields: Option<Vec<String>>,
    #[n(5)]
    new_name: Option<EntryName>,
    #[n(6)]
    expiry: Option<True>,
}

fn non_empty<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

impl<C> Encode<C> for EntryChange {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        EntryChangeCbor {
            op: self.op,
            name: self.name.clone(),
            attributes: non_empty(self.attributes.iter().cloned().collect()),
            fields: non_empty(self.fields.iter().cloned().collect()),
            new_name: self.new_name.clone(),
            expiry: self.expiry.then_some(True),
        }
        .encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for EntryChange {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let raw = EntryChangeCbor::decode(d, ctx)?;
        let named = raw.attributes.iter().chain(&raw.fields).flatten();
        if named.into_iter().any(|name| check_field_name(name).is_err()) {
            return Err(decode::Error::message("an attribute's or field's name has 1 to 128 bytes, no NUL"));
        }
        if raw.new_name.is_some() != (raw.op == EntryOp::Rename) {
            return Err(decode::Error::message("a new name belongs to a rename"));
        }
        Ok(Self {
            op: raw.op,
            name: raw.name,
            attributes: raw.attributes.unwrap_or_default().into_iter().collect(),
            fields: raw.fields.unwrap_or_default().into_iter().collect(),
            new_name: raw.new_name,
            expiry: raw.expiry.is_some(),
        })
    }
}

/// What was done to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotOp {
    /// Added.
    Add,
    /// Removed.
    Remove,
    /// Opened in another way, or at another cost, by the same id.
    Rewrap,
    /// Given another label.
    Relabel,
}

/// One change of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotChange {
    /// What was done.
    pub op: SlotOp,
    /// To which slot.
    pub slot: SlotId,
}

impl<C> Encode<C> for SlotChange {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let code = match self.op {
            SlotOp::Add => 0,
            SlotOp::Remove => 1,
            SlotOp::Rewrap => 2,
            SlotOp::Relabel => 3,
        };
        e.array(2)?.u8(code)?.bytes(&self.slot.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SlotChange {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(2) {
            return Err(decode::Error::message("not a change of a slot"));
        }
        let op = match d.u8()? {
            0 => SlotOp::Add,
            1 => SlotOp::Remove,
            2 => SlotOp::Rewrap,
            3 => SlotOp::Relabel,
            _ => return Err(decode::Error::message("not an operation on slots")),
        };
        Ok(Self { op, slot: SlotId::decode(d, ctx)? })
    }
}

/// What a save changed, by whom, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Seconds since 1970.
    pub time: u64,
    /// A claim.
    pub author: String,
    /// Why, if it was said.
    pub reason: Option<String>,
    /// In the order in which they were made.
    pub entries: Vec<EntryChange>,
    /// In the order in which they were made.
    pub slots: Vec<SlotChange>,
    /// Seals that this one stands for.
    pub replaces: BTreeSet<SealId>,
    /// What those seals said, ascending by generation, then id; the oldest may be missing.
    pub records: Vec<Record>,
}

/// The changes of a seal that is no longer in the log. Its own `records` are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which seal it was.
    pub seal: SealId,
    /// Its generation.
    pub generation: u64,
    /// What it said.
    pub changes: Changes,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct ChangesCbor {
    #[n(1)]
    time: u64,
    #[n(2)]
    author: String,
    #[n(3)]
    reason: Option<String>,
    #[n(4)]
    entries: Option<Vec<EntryChange>>,
    #[n(5)]
    slots: Option<Vec<SlotChange>>,
    #[n(6)]
    replaces: Option<Vec<SealId>>,
    #[n(7)]
    records: Option<Vec<Record>>,
}

impl<C> Encode<C> for Record {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.bytes(&self.seal.0)?.u64(self.generation)?;
        ChangesCbor::from(&self.changes).encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Record {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(3) {
            return Err(decode::Error::message("not a record"));
        }
        let seal = SealId::decode(d, ctx)?;
        let generation = d.u64()?;
        let raw: ChangesCbor = d.decode_with(ctx)?;
        // A record of a record would nest without end.
        if raw.records.is_some() {
            return Err(decode::Error::message("a record carries no records"));
        }
        let changes = raw.checked().map_err(|_| decode::Error::message("not the changes of a seal"))?;
        Ok(Self { seal, generation, changes })
    }
}

impl From<&Changes> for ChangesCbor {
    fn from(changes: &Changes) -> Self {
        Self {
            time: changes.time,
            author: changes.author.clone(),
            reason: changes.reason.clone(),
            entries: non_empty(changes.entries.clone()),
            slots: non_empty(changes.slots.clone()),
            replaces: non_empty(changes.replaces.iter().copied().collect()),
            records: non_empty(changes.records.clone()),
        }
    }
}

impl ChangesCbor {
    fn checked(self) -> Result<Changes, NotDeterministic> {
        let empty = self.reason.as_ref().is_some_and(String::is_empty)
            || self.entries.as_ref().is_some_and(Vec::is_empty)
            || self.slots.as_ref().is_some_and(Vec::is_empty)
            || self.replaces.as_ref().is_some_and(Vec::is_empty)
            || self.records.as_ref().is_some_and(Vec::is_empty);
        let records = self.records.unwrap_or_default();
        let fits = self.author.len() <= limits::AUTHOR
            && self.reason.as_ref().is_none_or(|reason| reason.len() <= limits::REASON)
            && self.replaces.as_ref().is_none_or(|ids| ids.len() <= limits::REPLACES && ascending(ids))
            && records.len() <= limits::RECORDS
            && records.is_sorted_by(|a, b| (a.generation, a.seal) < (b.generation, b.seal));
        if empty || !fits {
            return Err(NotDeterministic);
        }
        Ok(Changes {
            time: self.time,
            author: self.author,
            reason: self.reason,
            entries: self.entries.unwrap_or_default(),
            slots: self.slots.unwrap_or_default(),
            replaces: self.replaces.unwrap_or_default().into_iter().collect(),
            records,
        })
    }
}

impl Changes {
    /// The CBOR of docs/format.md.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::to_vec(&ChangesCbor::from(self))
    }

    /// From CBOR.
    ///
    /// # Errors
    /// Anything but what [`Changes::encode`] writes within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotDeterministic> {
        cbor::from_slice::<ChangesCbor>(bytes)?.checked()
    }
}
