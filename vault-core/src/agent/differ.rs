//! What differs between two states, on its way to a client. docs/agent-protocol.md, "differ".

use std::collections::BTreeMap;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use super::message::VaultPath;
use crate::format::cbor::{self, TextMap};
use crate::format::entry::EntryName;

/// Which states.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Differ {
    /// The file.
    #[n(1)]
    pub vault: VaultPath,
    /// The older state.
    #[n(2)]
    pub older: u64,
    /// The newer state.
    #[n(3)]
    pub newer: u64,
}

/// Some of what differs.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct DifferencesPart {
    /// Sorted by name.
    #[n(1)]
    pub differences: Vec<Difference>,
}

/// How an entry differs.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Difference {
    /// Its name.
    #[n(1)]
    pub name: EntryName,
    /// What became of it.
    #[n(2)]
    pub change: Become,
    /// The name that it had before.
    #[n(3)]
    pub former: Option<EntryName>,
    /// Fields.
    #[n(4)]
    pub fields: Option<Parts>,
    /// Attributes.
    #[n(5)]
    pub attributes: Option<Parts>,
    /// The expiry.
    #[n(6)]
    pub expires: Option<Become>,
    /// That it is in conflict.
    #[n(7)]
    pub conflict: Option<Become>,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Become {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

impl<C> Encode<C> for Become {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let number = match self {
            Self::Added => 0,
            Self::Removed => 1,
            Self::Changed => 2,
        };
        e.u8(number)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Become {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match d.u8()? {
            0 => Ok(Self::Added),
            1 => Ok(Self::Removed),
            2 => Ok(Self::Changed),
            _ => Err(decode::Error::message("nothing that becomes of a thing")),
        }
    }
}

/// What became of the parts that differ; not empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts(pub BTreeMap<String, Become>);

impl Parts {
    /// Nothing, if nothing differs.
    #[must_use]
    pub fn some(parts: BTreeMap<String, Become>) -> Option<Self> {
        (!parts.is_empty()).then_some(Self(parts))
    }
}

impl<C> Encode<C> for Parts {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        cbor::encode_text_map(&self.0, e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Parts {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        d.decode_with::<_, TextMap<Become>>(ctx).map(|map| Self(map.0))
    }
}
