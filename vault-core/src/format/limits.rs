//! The limits that a reader enforces before it spends memory or work, each written once. docs/format.md, "Limits".

/// Bytes of a vault.
pub const FILE: u64 = 4 << 30;
/// Bytes of a header, `head` or `slot` line, with its newline.
pub const SHORT_LINE: usize = 16 << 10;
/// Bytes of an entry, `file`, `blob` or `roster` line, with its newline.
pub const ENTRY_LINE: usize = 96 << 10;
/// Bytes of a `seal` line, with its newline.
pub const SEAL_LINE: usize = 16 << 20;
/// Sealed bytes of one seal's links.
pub const LINKS: usize = 1 << 20;
/// Sealed bytes of all links together.
pub const ALL_LINKS: usize = 64 << 20;
/// Slots of a vault.
pub const SLOTS: usize = 64;
/// Seals of a log.
pub const SEALS: usize = 65_536;
/// Parents of a seal, and `previous` seals of a place.
pub const PARENTS: usize = 1_024;
/// Sealed bytes of all links that a writer leaves: half of what a reader takes, so that branches that were written apart can
/// still be read when they are put together.
pub const WRITTEN_LINKS: usize = 32 << 20;
/// Ids in a seal's `replaces`.
pub const REPLACES: usize = 65_536;
/// Entries of a vault.
pub const ENTRIES: usize = 2_000_000;
/// Bytes of an entry's name.
pub const NAME: usize = 1_024;
/// Bytes of an attribute's or field's name.
pub const FIELD_NAME: usize = 128;
/// Bytes of an attribute's value.
pub const ATTRIBUTE: usize = 8_192;
/// Attributes of an entry.
pub const ATTRIBUTES: usize = 256;
/// Fields of an entry.
pub const FIELDS: usize = 64;
/// Alternatives of an entry in conflict.
pub const ALTERNATIVES: usize = 64;
/// Bytes of an inline value.
pub const INLINE: usize = 16_384;
/// Bytes of an attachment, at most.
pub const ATTACHMENT: u64 = 1 << 30;
/// Bytes of an attachment that a writer takes unless told otherwise.
pub const ATTACHMENT_DEFAULT: u64 = 64 << 20;
/// Chunks of an attachment.
pub const CHUNKS: u32 = 21_846;
/// Bytes of an author.
pub const AUTHOR: usize = 256;
/// Bytes of a reason.
pub const REASON: usize = 1_024;
/// Removed slots that the roster remembers.
pub const REMOVED_SLOTS: usize = 256;
/// Log records that a restart carries.
pub const RECORDS: usize = 1_024;
/// Bytes of CBOR of the records that a restart carries.
pub const RECORD_BYTES: usize = 4 << 20;
/// The largest generation: exact in a double, so that no reader rounds it.
pub const GENERATION: u64 = (1 << 53) - 1;
