//! Messages between the agent and its clients, and the client's end: where an agent may be, and a connection to it.
//! docs/agent-protocol.md is normative.
//!
//! ```
//! use vault_core::agent::{self, Request, message::Lock};
//!
//! let frame = agent::request(&Request::Lock(Lock { vault: None })).unwrap();
//! let (length, body) = frame.expose().split_first_chunk().unwrap();
//! assert_eq!(agent::body_length(*length), Ok(body.len()));
//! assert!(matches!(Request::decode(body), Ok(Request::Lock(_))));
//! ```

pub mod change;
pub mod differ;
pub mod link;
pub mod merge;
pub mod message;
pub mod place;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use zeroize::Zeroizing;

use crate::format::cbor;
use crate::secret::Secret;

/// The versions that are spoken here.
pub const VERSIONS: [u64; 1] = [1];
/// Bytes of a frame's body.
pub const FRAME: usize = 1 << 20;
/// Bytes of a value that one `write` or one result of `read` carries.
pub const PART: usize = 256 << 10;
/// Bytes of a value that stands in a change itself.
pub const SHORT: usize = 64 << 10;
/// Bytes of a path.
pub const PATH: usize = 4_096;
/// Bytes of a passphrase or a machine key.
pub const CREDENTIAL: usize = 4_096;
/// Bytes of a file of identities.
pub const IDENTITIES: usize = 65_536;

/// Why a frame cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Its length is 0, or more than [`FRAME`].
    Length(u64),
    /// Its kind of request is not known here.
    Unknown(u64),
    /// It is not what docs/agent-protocol.md describes.
    Malformed,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a frame of {length} bytes (1 to {FRAME} are allowed)"),
            Self::Unknown(kind) => write!(f, "a request of the unknown kind {kind}"),
            Self::Malformed => f.write_str("a message that is not as the protocol describes it"),
        }
    }
}

impl std::error::Error for FrameError {}

/// The length of the body that follows.
///
/// # Errors
/// [`FrameError::Length`].
pub fn body_length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(length @ 1..=FRAME) => Ok(length),
        _ => Err(FrameError::Length(length.into())),
    }
}

macro_rules! requests {
    ($($(#[$doc:meta])* $kind:literal $name:ident,)*) => {
        /// What a client asks for. The kinds' numbers never change.
        pub enum Request {
            $($(#[$doc])* $name(message::$name),)*
        }

        impl<C> Encode<C> for Request {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                ctx: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.array(2)?;
                match self {
                    $(Self::$name(members) => e.u64($kind)?.encode_with(members, ctx)?.ok(),)*
                }
            }
        }

        impl<'b, C> Decode<'b, C> for Request {
            fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
                if d.array()? != Some(2) {
                    return Err(decode::Error::message("not a request"));
                }
                match d.u64()? {
                    $($kind => d.decode_with(ctx).map(Self::$name),)*
                    _ => Err(decode::Error::message("an unknown request")),
                }
            }
        }

        const KINDS: &[u64] = &[$($kind),*];
    };
}

requests! {
    /// The first one of a connection.
    0 Hello,
    /// What the agent holds.
    1 Status,
    /// Hold a vault.
    2 Unlock,
    /// Forget one vault, or all.
    3 Lock,
    /// End.
    4 Stop,
    /// Whether a vault is held.
    5 Use,
    /// An entry's metadata and a field's value.
    6 Get,
    /// An entry's metadata.
    7 Meta,
    /// All metadata.
    8 List,
    /// Metadata of entries with these attributes.
    9 Find,
    /// Entries with all values.
    10 Entries,
    /// Changes, in one save.
    11 Commit,
    /// Changes for the next commit of this connection.
    12 Stage,
    /// A long value follows.
    13 Attach,
    /// A part of it.
    14 Write,
    /// The next part of a value.
    15 Read,
    /// Forget a value or a state.
    16 Close,
    /// Verify everything.
    17 Check,
    /// Keep a state readable.
    18 Open,
    /// Restart the log.
    19 Compact,
    /// Who changed what.
    20 Log,
    /// A field's value in another version of an entry in conflict.
    21 Alternative,
    /// What differs between two states.
    22 Differ,
    /// Merge two states.
    23 Merge,
    /// Do again what one commit did, or undo it.
    24 Pick,
    /// Whether one state has all that another one has.
    25 Covers,
    /// A state was written at its place.
    26 Written,
}

impl Request {
    /// From a frame's body, if it is exactly the one encoding of a request.
    ///
    /// # Errors
    /// [`FrameError::Unknown`], [`FrameError::Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let kind = || {
            let mut d = Decoder::new(body);
            (d.array().ok()? == Some(2)).then(|| d.u64().ok())?
        };
        match kind() {
            Some(kind) if !KINDS.contains(&kind) => Err(FrameError::Unknown(kind)),
            _ => cbor::from_slice(body).map_err(|_| FrameError::Malformed),
        }
    }
}

/// A request's frame.
///
/// # Errors
/// [`FrameError::Length`] if it is too large.
pub fn request(request: &Request) -> Result<Secret, FrameError> {
    frame(request)
}

/// How a reply goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// It ends, with a result.
    Result,
    /// It ends, with an error.
    Error,
    /// More of it follows.
    Part,
}

/// A reply's frame.
///
/// # Errors
/// [`FrameError::Length`] if it is too large.
pub fn reply<T: Encode<()>>(kind: ReplyKind, content: &T) -> Result<Secret, FrameError> {
    struct Reply<'a, T>(u8, &'a T);
    impl<C, T: Encode<C>> Encode<C> for Reply<'_, T> {
        fn encode<W: encode::Write>(
            &self,
            e: &mut Encoder<W>,
            ctx: &mut C,
        ) -> Result<(), encode::Error<W::Error>> {
            e.array(2)?.u8(self.0)?.encode_with(self.1, ctx)?.ok()
        }
    }
    let number = match kind {
        ReplyKind::Result => 0,
        ReplyKind::Error => 1,
        ReplyKind::Part => 2,
    };
    frame(&Reply(number, content))
}

/// The kind of a reply, and its content, to be decoded by [`content`].
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn reply_kind(body: &[u8]) -> Result<(ReplyKind, &[u8]), FrameError> {
    let mut d = Decoder::new(body);
    let kind = match (d.array(), d.u8()) {
        (Ok(Some(2)), Ok(0)) => ReplyKind::Result,
        (Ok(Some(2)), Ok(1)) => ReplyKind::Error,
        (Ok(Some(2)), Ok(2)) => ReplyKind::Part,
        _ => return Err(FrameError::Malformed),
    };
    Ok((kind, &body[d.position()..]))
}

/// The content of a reply. Members that are not known here are left out.
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn content<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, FrameError> {
    let mut d = Decoder::new(bytes);
    let value = d.decode().map_err(|_| FrameError::Malformed)?;
    if d.position() == bytes.len() { Ok(value) } else { Err(FrameError::Malformed) }
}

/// Length and body in one buffer, which is allocated once: growing would leave copies of secrets behind.
fn frame<T: Encode<()>>(content: &T) -> Result<Secret, FrameError> {
    let mut count = Count(0);
    encode(content, &mut count).map_err(|_| FrameError::Malformed)?;
    let length = u32::try_from(count.0).ok().filter(|&length| length as usize <= FRAME);
    let length = length.ok_or(FrameError::Length(count.0 as u64))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + count.0));
    bytes.extend_from_slice(&length.to_be_bytes());
    encode(content, &mut *bytes).map_err(|_| FrameError::Malformed)?;
    Ok(Secret::from(bytes))
}

struct Count(usize);

impl encode::Write for Count {
    type Error = std::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 += bytes.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
