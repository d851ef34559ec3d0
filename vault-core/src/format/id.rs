//! Random and derived identifiers: 16 bytes, written in lower-case hex.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::format::text;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl $name {
            /// From 32 lower-case hex digits.
            ///
            /// # Errors
            /// Any other spelling.
            pub fn from_hex(digits: &[u8]) -> Result<Self, text::NotCanonical> {
                text::hex(digits).map(Self)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                d.bytes()?.try_into().map(Self).map_err(|_| decode::Error::message("an id has 16 bytes"))
            }
        }
    )* };
}

ids! {
    /// Names a seal: random.
    SealId,
    /// Names an entry: derived from its name.
    EntryId,
    /// Names an attachment's ciphertext: random.
    BlobId,
    /// Names a key slot: random, never reused.
    SlotId,
}
