//! Deterministic CBOR: encoded in one way, and refused when it was encoded in another.

use std::collections::BTreeMap;

use minicbor::decode::{self, Decode, Decoder};
use minicbor::encode::{self, Encode, Encoder};
use zeroize::Zeroizing;

use crate::format::map::SmallMap;
use crate::secret::Secret;

/// Not the deterministic CBOR of the structure that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotDeterministic;

/// The one encoding of a structure.
pub(crate) fn to_vec<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory cannot fail")
}

/// The one encoding of a structure with secrets in it.
pub(crate) fn to_secret<T: Encode<()>>(value: &T, capacity: usize) -> Secret {
    // Allocated once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    minicbor::encode(value, &mut *bytes).expect("writing to memory cannot fail");
    Secret::from(bytes)
}

/// The structure, if `bytes` are exactly its one encoding. Unknown keys, other orders, longer integers, duplicate keys
/// and bytes after the end all show as a difference.
pub(crate) fn from_slice<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, NotDeterministic> {
    let value: T = minicbor::decode(bytes).map_err(|_| NotDeterministic)?;
    let mut rest = Unchanged(bytes);
    minicbor::encode(&value, &mut rest).map_err(|_| NotDeterministic)?;
    if rest.0.is_empty() { Ok(value) } else { Err(NotDeterministic) }
}

/// A writer that compares instead of storing, so that no second copy of a secret is made.
struct Unchanged<'a>(&'a [u8]);

impl encode::Write for Unchanged<'_> {
    type Error = NotDeterministic;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 = self.0.strip_prefix(bytes).ok_or(NotDeterministic)?;
        Ok(())
    }
}

/// A map with text keys, which CBOR orders by length first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextMap<V>(pub(crate) BTreeMap<String, V>);

impl<V> TextMap<V> {
    /// `None` rather than an empty map: optional members are absent rather than empty.
    pub(crate) fn non_empty(map: BTreeMap<String, V>) -> Option<Self> {
        (!map.is_empty()).then_some(Self(map))
    }
}

impl<V> Default for TextMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C, V: Encode<C>> Encode<C> for TextMap<V> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encode_text_map(&self.0, e, ctx)
    }
}

impl<C, V: Encode<C>> Encode<C> for SmallMap<V> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        // The usual one has one field: nothing to be sorted.
        if self.len() > 1 {
            return encode_pairs(self.iter().collect(), e, ctx);
        }
        e.map(self.len() as u64)?;
        for (key, value) in self {
            e.str(key)?.encode_with(value, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C, V: Decode<'b, C>> Decode<'b, C> for SmallMap<V> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let count = d.map()?.ok_or_else(|| decode::Error::message("a map of unknown length"))?;
        let mut pairs = Vec::with_capacity(usize::try_from(count).unwrap_or(usize::MAX).min(SMALL));
        for _ in 0..count {
            pairs.push((d.str()?.to_owned(), d.decode_with(ctx)?));
        }
        Self::of_different(pairs).ok_or_else(|| decode::Error::message("a key twice"))
    }
}

/// How many entries of a map are believed in before they were seen.
const SMALL: usize = 16;

/// The map, with its keys in CBOR's order.
pub(crate) fn encode_text_map<C, V: Encode<C>, W: encode::Write>(
    map: &BTreeMap<String, V>,
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), encode::Error<W::Error>> {
    encode_pairs(map.iter().collect(), e, ctx)
}

fn encode_pairs<C, V: Encode<C>, W: encode::Write>(
    mut pairs: Vec<(&String, &V)>,
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), encode::Error<W::Error>> {
    pairs.sort_by_key(|(key, _)| (key.len(), *key));
    e.map(pairs.len() as u64)?;
    for (key, value) in pairs {
        e.str(key)?.encode_with(value, ctx)?;
    }
    Ok(())
}

impl<'b, C, V: Decode<'b, C>> Decode<'b, C> for TextMap<V> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let count = d.map()?.ok_or_else(|| decode::Error::message("a map of unknown length"))?;
        let mut map = BTreeMap::new();
        for _ in 0..count {
            let key = d.str()?.to_owned();
            if map.insert(key, d.decode_with(ctx)?).is_some() {
                return Err(decode::Error::message("a key twice"));
            }
        }
        Ok(Self(map))
    }
}

/// A value or null, where a missing member says something else again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrNull<T> {
    Null,
    Value(T),
}

impl<T> From<Option<T>> for OrNull<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Value)
    }
}

impl<T> From<OrNull<T>> for Option<T> {
    fn from(value: OrNull<T>) -> Self {
        match value {
            OrNull::Null => None,
            OrNull::Value(value) => Some(value),
        }
    }
}

impl<C, T: Encode<C>> Encode<C> for OrNull<T> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Null => e.null()?.ok(),
            Self::Value(value) => value.encode(e, ctx),
        }
    }
}

impl<'b, C, T: Decode<'b, C>> Decode<'b, C> for OrNull<T> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.datatype()? == minicbor::data::Type::Null {
            d.null()?;
            return Ok(Self::Null);
        }
        T::decode(d, ctx).map(Self::Value)
    }
}

/// A member of a map that may be absent, and whose value may be null: `Option` would take null for absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member<T>(pub(crate) Option<T>);

impl<C, T: Encode<C>> Encode<C> for Member<T> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }

    fn is_nil(&self) -> bool {
        self.0.is_none()
    }
}

impl<'b, C, T: Decode<'b, C>> Decode<'b, C> for Member<T> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        T::decode(d, ctx).map(|value| Self(Some(value)))
    }

    fn nil() -> Option<Self> {
        Some(Self(None))
    }
}

/// `true`, for members that are absent otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct True;

impl<C> Encode<C> for True {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bool(true)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for True {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        if d.bool()? { Ok(Self) } else { Err(decode::Error::message("only true is written")) }
    }
}
