//! The slot line: how one way of unlocking is written down. docs/format.md, "Key slots".
//!
//! What is in a line is public, or sealed; what it opens is the business of `keys`.

use std::fmt;

pub use crate::format::id::SlotId;
use crate::format::text::{self, NotCanonical};

/// Most bytes of a slot line, with its `\n`.
pub const MAX_LINE: usize = 16 * 1024;
/// Most bytes of the age file of a slot.
pub const MAX_AGE_FILE: usize = 8_192;
/// Bytes of Argon2's salt.
pub const KDF_SALT: usize = 16;
/// Most characters of a label.
const MAX_LABEL: usize = 64;
/// Most characters of the name of a kind.
const MAX_KIND: usize = 32;

/// What people call a slot: `[A-Za-z0-9._@-]{1,64}`, public.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// A label, if this is one.
    ///
    /// # Errors
    /// [`NotCanonical`]
    pub fn parse(text: &str) -> Result<Self, NotCanonical> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        let valid = (1..=MAX_LABEL).contains(&text.len()) && text.bytes().all(allowed);
        if valid { Ok(Self(text.to_owned())) } else { Err(NotCanonical) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public text of an age recipient, as it stands in a line: the space of an ssh recipient is a `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientText(String);

impl RecipientText {
    /// Printable ASCII without a space. Which recipient this is, if any, is found out in `keys`.
    ///
    /// # Errors
    /// [`NotCanonical`]
    pub fn parse(text: &str) -> Result<Self, NotCanonical> {
        let valid = (1..MAX_LINE).contains(&text.len()) && is_printable(text.as_bytes());
        if valid { Ok(Self(text.to_owned())) } else { Err(NotCanonical) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecipientText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the identity of a slot is kept, with the fields of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotKind {
    /// With the user.
    Age,
    /// Given out once, as a machine key.
    Machine,
    /// In the line, sealed under a passphrase.
    Passphrase(SealedIdentity),
    /// In the line, sealed under a recovery code.
    Recovery(SealedIdentity),
    /// In the line, sealed under a key that an operating system's keyring holds.
    Keyring(KeyringIdentity),
    /// This version does not know; it keeps and skips such slots.
    Other(OtherKind),
}

impl SlotKind {
    /// The kind as it stands in the line.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Age => "age",
            Self::Machine => "machine",
            Self::Passphrase(_) => "passphrase",
            Self::Recovery(_) => "recovery",
            Self::Keyring(_) => "keyring",
            Self::Other(other) => &other.name,
        }
    }
}

/// An identity sealed under a key from Argon2id, with what that key is made from.
///
/// The numbers are those of the line; whether such a cost is ever spent is decided in `keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedIdentity {
    /// `m=`: memory, in KiB.
    pub memory_kib: u32,
    /// `t=`: passes.
    pub passes: u32,
    /// `p=`: lanes.
    pub lanes: u32,
    /// `salt=`
    pub salt: [u8; KDF_SALT],
    /// `identity=`: nonce, ciphertext and tag.
    pub sealed: Vec<u8>,
}

/// An identity sealed under a random key that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringIdentity {
    /// `store=`: which keyring holds the key.
    pub store: StoreName,
    /// `identity=`: nonce, ciphertext and tag.
    pub sealed: Vec<u8>,
}

/// What a keyring of an operating system is called: `[a-z][a-z0-9-]{0,31}`, public.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreName(String);

impl StoreName {
    /// A name, if this is one.
    ///
    /// # Errors
    /// [`NotCanonical`]
    pub fn parse(text: &str) -> Result<Self, NotCanonical> {
        let valid = text.len() <= MAX_KIND && is_name(text);
        if valid { Ok(Self(text.to_owned())) } else { Err(NotCanonical) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A kind that this version does not know, verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherKind {
    name: String,
    /// Everything after `key=…`, with its leading space, or empty.
    fields: String,
}

/// One slot line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotLine {
    /// Its id.
    pub id: SlotId,
    /// Its kind, with that kind's fields.
    pub kind: SlotKind,
    /// Its label.
    pub label: Label,
    /// Whom the master key is wrapped for.
    pub recipient: RecipientText,
    /// The master key, wrapped: a binary age file.
    pub key: Vec<u8>,
}

/// Why a line is no slot line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotLineError {
    /// Longer than [`MAX_LINE`].
    TooLong,
    /// The age file is longer than [`MAX_AGE_FILE`].
    KeyTooLong,
    /// A field is missing, is not the one that belongs here, or there is more than belongs here.
    Fields,
    /// A field's value is not spelled as it must be.
    Value,
}

impl fmt::Display for SlotLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the slot line is longer than 16 KiB",
            Self::KeyTooLong => "the slot's age file is longer than 8,192 bytes",
            Self::Fields => "the slot line lacks a field, or has another than belongs there",
            Self::Value => "a value in the slot line is not spelled as the format demands",
        })
    }
}

impl std::error::Error for SlotLineError {}

impl From<NotCanonical> for SlotLineError {
    fn from(_: NotCanonical) -> Self {
        Self::Value
    }
}

impl SlotLine {
    /// The slot in this line, which comes without its `\n`.
    ///
    /// # Errors
    /// [`SlotLineError`]; sizes are checked before anything is decoded.
    pub fn parse(line: &[u8]) -> Result<Self, SlotLineError> {
        if line.len() >= MAX_LINE {
            return Err(SlotLineError::TooLong);
        }
        let line = std::str::from_utf8(line).map_err(|_| SlotLineError::Value)?;
        let mut fields = Fields(Some(line));
        if fields.next()? != "slot" {
            return Err(SlotLineError::Fields);
        }
        let id = SlotId(text::hex(fields.next()?.as_bytes())?);
        let kind = fields.next()?;
        let label = Label::parse(fields.named("label=")?)?;
        let recipient = RecipientText::parse(fields.named("recipient=")?)?;
        let key = fields.named("key=")?.as_bytes();
        if text::decoded_len(key.len()).is_some_and(|length| length > MAX_AGE_FILE) {
            return Err(SlotLineError::KeyTooLong);
        }
        let key = not_empty(text::base64(key, MAX_AGE_FILE)?)?;
        let kind = match kind {
            "age" => SlotKind::Age,
            "machine" => SlotKind::Machine,
            "passphrase" => SlotKind::Passphrase(SealedIdentity::parse(&mut fields)?),
            "recovery" => SlotKind::Recovery(SealedIdentity::parse(&mut fields)?),
            "keyring" => SlotKind::Keyring(KeyringIdentity::parse(&mut fields)?),
            name => SlotKind::Other(OtherKind::parse(name, &mut fields)?),
        };
        fields.end()?;
        Ok(Self { id, kind, label, recipient, key })
    }

    /// The line, without its `\n`.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + 2 * self.key.len());
        out.extend_from_slice(b"slot ");
        text::push_hex(&mut out, &self.id.0);
        for part in
            [" ", self.kind.name(), " label=", &self.label.0, " recipient=", &self.recipient.0, " key="]
        {
            out.extend_from_slice(part.as_bytes());
        }
        text::push_base64(&mut out, &self.key);
        match &self.kind {
            SlotKind::Age | SlotKind::Machine => {}
            SlotKind::Passphrase(sealed) | SlotKind::Recovery(sealed) => sealed.write(&mut out),
            SlotKind::Keyring(sealed) => sealed.write(&mut out),
            SlotKind::Other(other) => out.extend_from_slice(other.fields.as_bytes()),
        }
        out
    }
}

impl SealedIdentity {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, SlotLineError> {
        Ok(Self {
            memory_kib: number(fields.named("m=")?)?,
            passes: number(fields.named("t=")?)?,
            lanes: number(fields.named("p=")?)?,
            salt: text::base64_array(fields.named("salt=")?.as_bytes())?,
            sealed: not_empty(text::base64(fields.named("identity=")?.as_bytes(), MAX_LINE)?)?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in [(" m=", self.memory_kib), (" t=", self.passes), (" p=", self.lanes)] {
            out.extend_from_slice(name.as_bytes());
            text::push_decimal(out, value.into());
        }
        out.extend_from_slice(b" salt=");
        text::push_base64(out, &self.salt);
        out.extend_from_slice(b" identity=");
        text::push_base64(out, &self.sealed);
    }
}

impl KeyringIdentity {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, SlotLineError> {
        Ok(Self {
            store: StoreName::parse(fields.named("store=")?)?,
            sealed: not_empty(text::base64(fields.named("identity=")?.as_bytes(), MAX_LINE)?)?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b" store=");
        out.extend_from_slice(self.store.0.as_bytes());
        out.extend_from_slice(b" identity=");
        text::push_base64(out, &self.sealed);
    }
}

impl OtherKind {
    fn parse(name: &str, fields: &mut Fields<'_>) -> Result<Self, SlotLineError> {
        if name.len() > MAX_KIND || !is_name(name) {
            return Err(SlotLineError::Value);
        }
        let mut kept = String::new();
        while let Some(field) = fields.take() {
            let (field_name, value) = field.split_once('=').ok_or(SlotLineError::Fields)?;
            if !is_name(field_name) || value.is_empty() || !is_printable(value.as_bytes()) {
                return Err(SlotLineError::Value);
            }
            kept.push(' ');
            kept.push_str(field);
        }
        Ok(Self { name: name.to_owned(), fields: kept })
    }
}

/// What is left of a line, taken piece by piece: pieces are separated by one space.
struct Fields<'a>(Option<&'a str>);

impl<'a> Fields<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        let (piece, rest) = match rest.split_once(' ') {
            Some((piece, rest)) => (piece, Some(rest)),
            None => (rest, None),
        };
        self.0 = rest;
        Some(piece)
    }

    fn next(&mut self) -> Result<&'a str, SlotLineError> {
        self.take().ok_or(SlotLineError::Fields)
    }

    fn named(&mut self, name: &str) -> Result<&'a str, SlotLineError> {
        self.next()?.strip_prefix(name).ok_or(SlotLineError::Fields)
    }

    fn end(&self) -> Result<(), SlotLineError> {
        if self.0.is_none() { Ok(()) } else { Err(SlotLineError::Fields) }
    }
}

fn number(text: &str) -> Result<u32, SlotLineError> {
    let value = text::decimal(text.as_bytes(), u32::MAX.into())?;
    u32::try_from(value).map_err(|_| SlotLineError::Value)
}

/// `[a-z][a-z0-9-]*`
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(allowed)
}

fn not_empty(bytes: Vec<u8>) -> Result<Vec<u8>, SlotLineError> {
    if bytes.is_empty() { Err(SlotLineError::Value) } else { Ok(bytes) }
}

fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed() -> impl Strategy<Value = SealedIdentity> {
        let bytes = proptest::collection::vec(any::<u8>(), 1..200);
        (any::<(u32, u32, u32)>(), any::<[u8; 16]>(), bytes).prop_map(|((m, t, p), salt, sealed)| {
            SealedIdentity { memory_kib: m, passes: t, lanes: p, salt, sealed }
        })
    }

    fn kind() -> impl Strategy<Value = SlotKind> {
        prop_oneof![
            Just(SlotKind::Age),
            Just(SlotKind::Machine),
            sealed().prop_map(SlotKind::Passphrase),
            sealed().prop_map(SlotKind::Recovery),
            ("[a-z][a-z0-9-]{0,31}", proptest::collection::vec(any::<u8>(), 1..200)).prop_map(
                |(store, sealed)| SlotKind::Keyring(KeyringIdentity { store: StoreName(store), sealed })
            ),
            ("x[a-z0-9-]{0,31}", "( [a-z][a-z0-9-]{0,5}=[!-~]{1,9}){0,4}")
                .prop_map(|(name, fields)| SlotKind::Other(OtherKind { name, fields })),
        ]
    }

    fn line() -> impl Strategy<Value = SlotLine> {
        let key = proptest::collection::vec(any::<u8>(), 1..500);
        (any::<[u8; 16]>(), kind(), "[A-Za-z0-9._@-]{1,64}", "[!-~]{1,80}", key).prop_map(
            |(id, kind, label, recipient, key)| SlotLine {
                id: SlotId(id),
                kind,
                label: Label(label),
                recipient: RecipientText(recipient),
                key,
            },
        )
    }

    proptest! {
        #[test]
        fn a_line_is_read_back(slot in line()) {
            prop_assert_eq!(SlotLine::parse(&slot.write()), Ok(slot));
        }

        #[test]
        fn there_is_one_spelling_of_every_slot(
            slot in line(), at: prop::sample::Index, byte in 0x20_u8..0x7f, how in 0..3
        ) {
            let mut text = slot.write();
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => { text.remove(at); }
            }
            if let Ok(other) = SlotLine::parse(&text) {
                prop_assert_eq!(other.write(), text);
            }
        }

        #[test]
        fn no_line_makes_the_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SlotLine::parse(&text);
        }
    }

    const ID: &str = "000102030405060708090a0b0c0d0e0f";

    fn parse(rest: &str) -> Result<SlotLine, SlotLineError> {
        SlotLine::parse(format!("slot {ID} {rest}").as_bytes())
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = "passphrase label=me recipient=age1x key=AAAA m=1 t=2 p=3 salt=AAAAAAAAAAAAAAAAAAAAAA identity=AA";
        assert!(parse(good).is_ok());
        for (from, to, error) in [
            ("m=1", "m=01", SlotLineError::Value),
            ("m=1", "m=4294967296", SlotLineError::Value),
            ("m=1", "m=", SlotLineError::Value),
            ("m=1 t=2", "t=2 m=1", SlotLineError::Fields),
            ("m=1 ", "m=1  ", SlotLineError::Fields),
            ("identity=AA", "identity=AB", SlotLineError::Value),
            ("identity=AA", "identity=", SlotLineError::Value),
            ("identity=AA", "identity=AA==", SlotLineError::Value),
            ("identity=AA", "identity=AA ", SlotLineError::Fields),
            ("identity=AA", "identity=AA x=y", SlotLineError::Fields),
            ("salt=A", "salt=", SlotLineError::Value),
            ("key=AAAA", "key=", SlotLineError::Value),
            ("label=me", "label=", SlotLineError::Value),
            ("label=me", "label=m/e", SlotLineError::Value),
            ("recipient=age1x", "recipient=", SlotLineError::Value),
            ("recipient=age1x", "recipient=é", SlotLineError::Value),
            ("passphrase", "Passphrase", SlotLineError::Value),
            ("passphrase", "", SlotLineError::Value),
        ] {
            assert_eq!(parse(&good.replacen(from, to, 1)), Err(error), "{to}");
        }
        let keyring = "keyring label=a recipient=r key=AAAA store=keyutils identity=AA";
        assert!(parse(keyring).is_ok());
        for (from, to, error) in [
            ("store=keyutils", "store=Keyutils", SlotLineError::Value),
            ("store=keyutils", "store=", SlotLineError::Value),
            ("store=keyutils", "store=9", SlotLineError::Value),
            ("store=keyutils ", "", SlotLineError::Fields),
            ("store=keyutils identity=AA", "identity=AA store=keyutils", SlotLineError::Fields),
            ("identity=AA", "identity=", SlotLineError::Value),
            ("identity=AA", "identity=AA m=1", SlotLineError::Fields),
        ] {
            assert_eq!(parse(&keyring.replacen(from, to, 1)), Err(error), "{to}");
        }
        assert_eq!(parse("age label=a recipient=r key=AAAA x=y"), Err(SlotLineError::Fields));
        assert!(parse("later label=a recipient=r key=AAAA x=y z=1").is_ok());
        for wrong in ["x", "x=", "X=1", "=1", "x=1  z=1", "x=1 "] {
            assert!(parse(&format!("later label=a recipient=r key=AAAA {wrong}")).is_err(), "{wrong}");
        }
        assert!(
            SlotLine::parse(
                format!("slot {} age label=a recipient=r key=AAAA", ID.to_uppercase()).as_bytes()
            )
            .is_err()
        );
    }

    #[test]
    fn the_parser_stops_at_its_limits() {
        let slot = |key: usize| SlotLine {
            id: SlotId([0; 16]),
            kind: SlotKind::Age,
            label: Label("a".to_owned()),
            recipient: RecipientText("r".to_owned()),
            key: vec![0; key],
        };
        assert!(SlotLine::parse(&slot(MAX_AGE_FILE).write()).is_ok());
        assert_eq!(SlotLine::parse(&slot(MAX_AGE_FILE + 1).write()), Err(SlotLineError::KeyTooLong));
        let mut long = slot(1);
        let room = MAX_LINE - 1 - long.write().len();
        long.recipient = RecipientText("r".repeat(room + 1));
        assert!(SlotLine::parse(&long.write()).is_ok());
        long.recipient = RecipientText("r".repeat(room + 2));
        assert_eq!(SlotLine::parse(&long.write()), Err(SlotLineError::TooLong));
        assert!(Label::parse(&"a".repeat(64)).is_ok() && Label::parse(&"a".repeat(65)).is_err());
        assert!(parse(&format!("x{} label=a recipient=r key=AAAA", "y".repeat(31))).is_ok());
        assert!(parse(&format!("x{} label=a recipient=r key=AAAA", "y".repeat(32))).is_err());
    }
}
