//! Changes on their way to the agent. docs/agent-protocol.md, "commit".

use std::collections::BTreeMap;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use super::SHORT;
use crate::format::cbor::{self, Member, OrNull, TextMap};
use crate::format::entry::EntryName;
use crate::secret::Secret;

/// A change to be made.
pub enum Change {
    /// Some of an entry.
    Set(Box<Set>),
    /// An entry goes.
    Remove(EntryName),
    /// An entry gets another name: from, to.
    Rename(EntryName, EntryName),
    /// An entry is there twice: from, to.
    Copy(EntryName, EntryName),
    /// One version of an entry in conflict stays: what stands in it, or the alternative with this number, from 0.
    Resolve(EntryName, Option<u64>),
}

/// Some of an entry. What is not named stays as it is; `None` removes.
pub struct Set {
    /// The entry.
    pub name: EntryName,
    /// Fields.
    pub fields: BTreeMap<String, Option<Incoming>>,
    /// Attributes.
    pub attributes: BTreeMap<String, Option<String>>,
    /// The expiry.
    pub expires: Option<Option<u64>>,
    /// What has to be so.
    pub expect: Option<Expect>,
}

/// A value to be stored.
pub enum Incoming {
    /// Here it is.
    Short(Secret),
    /// The agent has it: the handle of `attach`.
    Attached(u64),
}

/// What has to be so, under the lock, for a change to be made.
pub enum Expect {
    /// The entry is there.
    Entry,
    /// The entry or this field of it is not there.
    NoField(String),
    /// This field still has this value.
    Value(String, Secret),
}

impl<C> Encode<C> for Change {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Set(set) => e.array(2)?.u8(0)?.encode_with(&**set, ctx)?.ok(),
            Self::Remove(name) => e.array(2)?.u8(1)?.encode_with(name, ctx)?.ok(),
            Self::Rename(from, to) => e.array(3)?.u8(2)?.encode_with(from, ctx)?.encode_with(to, ctx)?.ok(),
            Self::Copy(from, to) => e.array(3)?.u8(3)?.encode_with(from, ctx)?.encode_with(to, ctx)?.ok(),
            Self::Resolve(name, pick) => {
                e.array(3)?.u8(4)?.encode_with(name, ctx)?.encode_with(pick, ctx)?.ok()
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Change {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        match (d.array()?, d.u8()?) {
            (Some(2), 0) => d.decode_with(ctx).map(|set| Self::Set(Box::new(set))),
            (Some(2), 1) => d.decode_with(ctx).map(Self::Remove),
            (Some(3), 2) => Ok(Self::Rename(d.decode_with(ctx)?, d.decode_with(ctx)?)),
            (Some(3), 3) => Ok(Self::Copy(d.decode_with(ctx)?, d.decode_with(ctx)?)),
            (Some(3), 4) => Ok(Self::Resolve(d.decode_with(ctx)?, d.decode_with(ctx)?)),
            _ => Err(decode::Error::message("not a change")),
        }
    }
}

impl<C> Encode<C> for Set {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let optional = [
            !self.fields.is_empty(),
            !self.attributes.is_empty(),
            self.expires.is_some(),
            self.expect.is_some(),
        ];
        e.map(1 + optional.into_iter().filter(|is_there| *is_there).count() as u64)?;
        e.u8(1)?.encode_with(&self.name, ctx)?;
        if !self.fields.is_empty() {
            cbor::encode_text_map(&self.fields, e.u8(2)?, ctx)?;
        }
        if !self.attributes.is_empty() {
            cbor::encode_text_map(&self.attributes, e.u8(3)?, ctx)?;
        }
        if let Some(expires) = self.expires {
            e.u8(4)?.encode_with(expires, ctx)?;
        }
        if let Some(expect) = &self.expect {
            e.u8(5)?.encode_with(expect, ctx)?;
        }
        Ok(())
    }
}

#[derive(Decode)]
#[cbor(map)]
struct SetCbor {
    #[n(1)]
    name: EntryName,
    #[n(2)]
    fields: Option<TextMap<OrNull<Incoming>>>,
    #[n(3)]
    attributes: Option<TextMap<OrNull<String>>>,
    #[n(4)]
    expires: Member<OrNull<u64>>,
    #[n(5)]
    expect: Option<Expect>,
}

impl<'b, C> Decode<'b, C> for Set {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        fn values<V>(map: Option<TextMap<OrNull<V>>>) -> BTreeMap<String, Option<V>> {
            map.map(|map| map.0.into_iter().map(|(key, value)| (key, value.into())).collect())
                .unwrap_or_default()
        }
        let raw: SetCbor = d.decode_with(ctx)?;
        Ok(Self {
            name: raw.name,
            fields: values(raw.fields),
            attributes: values(raw.attributes),
            expires: raw.expires.0.map(Option::from),
            expect: raw.expect,
        })
    }
}

impl<C> Encode<C> for Incoming {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Short(secret) => e.bytes(secret.expose())?.ok(),
            Self::Attached(handle) => e.u64(*handle)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Incoming {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        if d.datatype()? != minicbor::data::Type::Bytes {
            return d.u64().map(Self::Attached);
        }
        match d.bytes()? {
            bytes if bytes.len() <= SHORT => Ok(Self::Short(Secret::new(bytes.to_vec()))),
            _ => Err(decode::Error::message("a value that is too long for a change")),
        }
    }
}

impl<C> Encode<C> for Expect {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Entry => e.array(1)?.u8(0)?.ok(),
            Self::NoField(field) => e.array(2)?.u8(1)?.str(field)?.ok(),
            Self::Value(field, value) => e.array(3)?.u8(2)?.str(field)?.bytes(value.expose())?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Expect {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match (d.array()?, d.u8()?) {
            (Some(1), 0) => Ok(Self::Entry),
            (Some(2), 1) => Ok(Self::NoField(d.str()?.to_owned())),
            (Some(3), 2) => Ok(Self::Value(d.str()?.to_owned(), Secret::new(d.bytes()?.to_vec()))),
            _ => Err(decode::Error::message("not an expectation")),
        }
    }
}
