//! What is sealed in an entry line: metadata and secrets. docs/format.md, "Pages and entries".

use std::collections::BTreeMap;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::crypto::aead::CHUNK;
use crate::crypto::pad::pad;
use crate::format::cbor::{self, Member, NotDeterministic, OrNull, TextMap, True};
use crate::format::id::{BlobId, SealId};
use crate::format::limits;
use crate::format::map::SmallMap;
use crate::secret::{Blob, Key, Secret};

/// The name of the field that is meant when none is named.
pub const DEFAULT_FIELD: &str = "secret";

/// An entry's name: text of 1 to 1,024 bytes without NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(String);

/// Why a text cannot be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing at all.
    Empty,
    /// More than 1,024 bytes (128 for attributes and fields).
    TooLong,
    /// U+0000.
    Nul,
}

impl EntryName {
    /// A name as a person gave it, normalised to NFC.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let name = if is_nfc(name) { name.to_owned() } else { name.nfc().collect() };
        Self::from_stored(name)
    }

    /// A name as it stands in a vault: its bytes are bound by the entry id, so they are not normalised again.
    pub(crate) fn from_stored(name: String) -> Result<Self, NameError> {
        match name.len() {
            0 => Err(NameError::Empty),
            1..=limits::NAME if name.contains('\0') => Err(NameError::Nul),
            1..=limits::NAME => Ok(Self(name)),
            _ => Err(NameError::TooLong),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<C> Encode<C> for EntryName {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for EntryName {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::from_stored(d.str()?.to_owned())
            .map_err(|_| decode::Error::message("a name has 1 to 1,024 bytes, no NUL"))
    }
}

/// Checks the name of an attribute or a field: 1 to 128 bytes without NUL.
///
/// # Errors
/// [`NameError`].
pub fn check_field_name(name: &str) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        1..=limits::FIELD_NAME if name.contains('\0') => Err(NameError::Nul),
        1..=limits::FIELD_NAME => Ok(()),
        _ => Err(NameError::TooLong),
    }
}

/// Where a field's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// In the entry's line.
    Inline,
    /// In blob lines of its own.
    Attachment,
}

/// What the metadata says of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// Where the value is.
    pub kind: FieldKind,
    /// How many rotations of the master key there had been when the value was last changed.
    pub epoch: u64,
}

impl<C> Encode<C> for FieldInfo {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.u8(u8::from(self.kind == FieldKind::Attachment))?.u64(self.epoch)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for FieldInfo {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let wrong = || decode::Error::message("not a field-info");
        if d.array()? != Some(2) {
            return Err(wrong());
        }
        let kind = match d.u8()? {
            0 => FieldKind::Inline,
            1 => FieldKind::Attachment,
            _ => return Err(wrong()),
        };
        Ok(Self { kind, epoch: d.u64()? })
    }
}

/// What the other side of a merge has, where both sides changed the same thing differently. `None` means absent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The last seal of the other side that changed the entry.
    pub seal: SealId,
    /// The other side's name, if it differs.
    pub name: Option<EntryName>,
    /// Attributes in conflict.
    pub attributes: BTreeMap<String, Option<String>>,
    /// Fields in conflict.
    pub fields: BTreeMap<String, Option<FieldInfo>>,
    /// The expiry, if it is in conflict.
    pub expires: Option<Option<u64>>,
    /// The other side removed the entry.
    pub removed: bool,
}

/// An entry's metadata: everything but its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The name.
    pub name: EntryName,
    /// Searchable text.
    pub attributes: SmallMap<String>,
    /// The fields that hold secrets.
    pub fields: SmallMap<FieldInfo>,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub modified: u64,
    /// Seconds since 1970. Advisory.
    pub expires: Option<u64>,
    /// Not empty: the entry is in conflict.
    pub alternatives: Vec<Alternative>,
}

impl Meta {
    /// True if a merge kept more than one version of something.
    #[must_use]
    pub fn in_conflict(&self) -> bool {
        !self.alternatives.is_empty()
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct MetaCbor {
    #[n(1)]
    name: EntryName,
    #[n(2)]
    attributes: Option<SmallMap<String>>,
    #[n(3)]
    fields: Option<SmallMap<FieldInfo>>,
    #[n(4)]
    created: u64,
    #[n(5)]
    modified: u64,
    #[n(6)]
    expires: Option<u64>,
    #[n(7)]
    alternatives: Option<Vec<AlternativeCbor>>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct AlternativeCbor {
    #[n(1)]
    seal: SealId,
    #[n(2)]
    name: Option<EntryName>,
    #[n(3)]
    attributes: Option<TextMap<OrNull<String>>>,
    #[n(4)]
    fields: Option<TextMap<OrNull<FieldInfo>>>,
    #[n(5)]
    expires: Member<OrNull<u64>>,
    #[n(6)]
    removed: Option<True>,
}

fn nullable<V>(map: BTreeMap<String, Option<V>>) -> Option<TextMap<OrNull<V>>> {
    TextMap::non_empty(map.into_iter().map(|(key, value)| (key, value.into())).collect())
}

fn from_nullable<V>(map: Option<TextMap<OrNull<V>>>) -> BTreeMap<String, Option<V>> {
    map.map(|map| map.0.into_iter().map(|(key, value)| (key, value.into())).collect()).unwrap_or_default()
}

impl From<Alternative> for AlternativeCbor {
    fn from(a: Alternative) -> Self {
        Self {
            seal: a.seal,
            name: a.name,
            attributes: nullable(a.attributes),
            fields: nullable(a.fields),
            expires: Member(a.expires.map(OrNull::from)),
            removed: a.removed.then_some(True),
        }
    }
}

impl From<AlternativeCbor> for Alternative {
    fn from(a: AlternativeCbor) -> Self {
        Self {
            seal: a.seal,
            name: a.name,
            attributes: from_nullable(a.attributes),
            fields: from_nullable(a.fields),
            expires: a.expires.0.map(Option::from),
            removed: a.removed.is_some(),
        }
    }
}

impl Meta {
    /// The CBOR of docs/format.md.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let alternatives: Vec<AlternativeCbor> = self.alternatives.iter().cloned().map(Into::into).collect();
        cbor::to_vec(&MetaCbor {
            name: self.name.clone(),
            attributes: (!self.attributes.is_empty()).then(|| self.attributes.clone()),
            fields: (!self.fields.is_empty()).then(|| self.fields.clone()),
            created: self.created,
            modified: self.modified,
            expires: self.expires,
            alternatives: (!alternatives.is_empty()).then_some(alternatives),
        })
    }

    /// From CBOR.
    ///
    /// # Errors
    /// Anything but what [`Meta::encode`] writes, or beyond the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotDeterministic> {
        let raw: MetaCbor = cbor::from_slice(bytes)?;
        let empty = raw.attributes.as_ref().is_some_and(SmallMap::is_empty)
            || raw.fields.as_ref().is_some_and(SmallMap::is_empty)
            || raw.alternatives.as_ref().is_some_and(Vec::is_empty)
            || raw.alternatives.iter().flatten().any(|alternative| {
                alternative.attributes.as_ref().is_some_and(|map| map.0.is_empty())
                    || alternative.fields.as_ref().is_some_and(|map| map.0.is_empty())
            });
        let meta = Self {
            name: raw.name,
            attributes: raw.attributes.unwrap_or_default(),
            fields: raw.fields.unwrap_or_default(),
            created: raw.created,
            modified: raw.modified,
            expires: raw.expires,
            alternatives: raw.alternatives.unwrap_or_default().into_iter().map(Into::into).collect(),
        };
        if empty || !meta.within_limits() { Err(NotDeterministic) } else { Ok(meta) }
    }

    /// Whether counts and lengths are those that docs/format.md allows.
    #[must_use]
    pub fn within_limits(&self) -> bool {
        let attributes = self.attributes.iter().all(|(key, value)| attribute_fits(key, value));
        let alternatives = self.alternatives.iter().all(|a| {
            a.attributes.len() <= limits::ATTRIBUTES
                && a.fields.len() <= limits::FIELDS
                && a.fields.keys().all(|key| check_field_name(key).is_ok())
                && a.attributes
                    .iter()
                    .all(|(key, value)| attribute_fits(key, value.as_deref().unwrap_or_default()))
        });
        attributes
            && alternatives
            && self.attributes.len() <= limits::ATTRIBUTES
            && self.fields.len() <= limits::FIELDS
            && self.alternatives.len() <= limits::ALTERNATIVES
            && self.fields.keys().all(|key| check_field_name(key).is_ok())
    }
}

fn attribute_fits(key: &str, value: &str) -> bool {
    check_field_name(key).is_ok() && value.len() <= limits::ATTRIBUTE
}

/// Where an attachment's bytes are and the key that opens them.
pub struct Attachment {
    /// Names its lines.
    pub id: BlobId,
    /// For this value only.
    pub key: Key<Blob>,
    /// Bytes of the value.
    pub length: u64,
}

impl Attachment {
    /// `chunks = ceil(pad(length) / 49152)`
    #[must_use]
    pub fn chunks(length: u64) -> u64 {
        pad(length.max(1)).div_ceil(CHUNK as u64)
    }

    fn duplicate(&self) -> Self {
        Self {
            id: self.id,
            key: Key::init_with(|key| key.copy_from_slice(self.key.expose())),
            length: self.length,
        }
    }
}

/// A field's value as it is sealed.
pub enum Stored {
    /// The bytes.
    Inline(Secret),
    /// Where the bytes are.
    Attachment(Attachment),
}

impl Stored {
    /// Where the value is.
    #[must_use]
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Inline(_) => FieldKind::Inline,
            Self::Attachment(_) => FieldKind::Attachment,
        }
    }

    /// A second copy, for an entry that is sealed again with some of its fields unchanged.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Inline(secret) => Self::Inline(secret.duplicate()),
            Self::Attachment(attachment) => Self::Attachment(attachment.duplicate()),
        }
    }
}

impl<C> Encode<C> for Stored {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Inline(secret) => e.bytes(secret.expose())?.ok(),
            Self::Attachment(Attachment { id, key, length }) => {
                e.array(3)?.bytes(&id.0)?.bytes(key.expose())?.u64(*length)?.ok()
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Stored {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let wrong = || decode::Error::message("not a value");
        if d.datatype()? == minicbor::data::Type::Bytes {
            let bytes = d.bytes()?;
            return if bytes.len() <= limits::INLINE {
                Ok(Self::Inline(Secret::new(bytes.to_vec())))
            } else {
                Err(wrong())
            };
        }
        if d.array()? != Some(3) {
            return Err(wrong());
        }
        let id = BlobId::decode(d, ctx)?;
        let key: &[u8; 32] = d.bytes()?.try_into().map_err(|_| wrong())?;
        let key = Key::init_with(|out| out.copy_from_slice(key));
        let length = d.u64()?;
        if length > limits::ATTACHMENT {
            return Err(wrong());
        }
        Ok(Self::Attachment(Attachment { id, key, length }))
    }
}

/// An entry's values, and those of its alternatives.
#[derive(Default)]
pub struct Secrets {
    /// By field.
    pub values: BTreeMap<String, Stored>,
    /// For each alternative, in order, by field.
    pub alternatives: Vec<BTreeMap<String, Stored>>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct SecretsCbor {
    #[n(1)]
    values: Option<TextMap<Stored>>,
    #[n(2)]
    alternatives: Option<Vec<TextMap<Stored>>>,
}

impl Secrets {
    /// The CBOR of docs/format.md.
    #[must_use]
    pub fn encode(self) -> Secret {
        // Room for all: 16 bytes a value cover the heads of its name and bytes, and an attachment's fixed parts are added.
        let capacity = self
            .all()
            .map(|(name, value)| {
                32 + name.len()
                    + match value {
                        Stored::Inline(secret) => secret.expose().len(),
                        Stored::Attachment(_) => 64,
                    }
            })
            .sum::<usize>()
            + 16 * (1 + self.alternatives.len());
        let alternatives: Vec<_> = self.alternatives.into_iter().map(TextMap).collect();
        cbor::to_secret(
            &SecretsCbor {
                values: TextMap::non_empty(self.values),
                alternatives: (!alternatives.is_empty()).then_some(alternatives),
            },
            capacity,
        )
    }

    /// From CBOR.
    ///
    /// # Errors
    /// Anything but what [`Secrets::encode`] writes.
    pub fn decode(bytes: &Secret) -> Result<Self, NotDeterministic> {
        let raw: SecretsCbor = cbor::from_slice(bytes.expose())?;
        if raw.values.as_ref().is_some_and(|map| map.0.is_empty())
            || raw.alternatives.as_ref().is_some_and(Vec::is_empty)
        {
            return Err(NotDeterministic);
        }
        Ok(Self {
            values: raw.values.map(|map| map.0).unwrap_or_default(),
            alternatives: raw.alternatives.unwrap_or_default().into_iter().map(|map| map.0).collect(),
        })
    }

    /// Every value, with its field's name.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Stored)> {
        self.values.iter().chain(self.alternatives.iter().flatten())
    }

    /// Whether these are the secrets of that metadata: the same fields with the same kinds, in the entry and in each of
    /// its alternatives.
    #[must_use]
    pub fn belong_to(&self, meta: &Meta) -> bool {
        fn same<'a>(
            fields: impl Iterator<Item = (&'a String, FieldInfo)>,
            values: &BTreeMap<String, Stored>,
        ) -> bool {
            let kinds = values.iter().map(|(name, value)| (name, value.kind()));
            // Both are in the order of the names.
            fields.map(|(name, info)| (name, info.kind)).eq(kinds)
        }
        same(meta.fields.iter().map(|(name, info)| (name, *info)), &self.values)
            && meta.alternatives.len() == self.alternatives.len()
            && meta.alternatives.iter().zip(&self.alternatives).all(|(alternative, values)| {
                let present =
                    alternative.fields.iter().filter_map(|(name, info)| info.map(|info| (name, info)));
                same(present, values)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternative_tells_no_expiry_from_an_absent_one() {
        for expires in [None, Some(None), Some(Some(7))] {
            let alternative = Alternative {
                seal: SealId([1; 16]),
                name: None,
                attributes: BTreeMap::from([("url".to_owned(), None)]),
                fields: BTreeMap::new(),
                expires,
                removed: false,
            };
            let meta = Meta {
                name: EntryName::parse("a").unwrap(),
                attributes: SmallMap::new(),
                fields: SmallMap::new(),
                created: 1,
                modified: 2,
                expires: None,
                alternatives: vec![alternative],
            };
            assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
        }
    }
}
