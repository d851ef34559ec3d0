//! The members of requests, and what replies hold. docs/agent-protocol.md, "Requests".

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use super::change::Change;
pub use super::differ::{Differ, DifferencesPart};
pub use super::merge::{Covered, Covers, Made, MadePart, Merge, Pick, Written};
use crate::agent;
use crate::format::cbor::{self, TextMap, True};
use crate::format::entry::{self, EntryName};
use crate::format::id::{SealId, SlotId};
use crate::format::seal::Changes;
use crate::secret::Secret;

/// Secret bytes of a message.
pub struct Bytes(pub Secret);

impl<C> Encode<C> for Bytes {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.0.expose())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Bytes {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Ok(Self(Secret::new(d.bytes()?.to_vec())))
    }
}

/// An absolute path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultPath(PathBuf);

impl VaultPath {
    /// Nothing if the path is not absolute, or too long.
    #[must_use]
    pub fn new(path: &Path) -> Option<Self> {
        let fits = path.is_absolute() && path.as_os_str().len() <= agent::PATH;
        let has_nul = path.as_os_str().as_bytes().contains(&0);
        (fits && !has_nul).then(|| Self(path.to_owned()))
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl<C> Encode<C> for VaultPath {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.0.as_os_str().as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for VaultPath {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let path = Path::new(OsStr::from_bytes(d.bytes()?));
        Self::new(path).ok_or_else(|| decode::Error::message("not an absolute path"))
    }
}

/// An entry's metadata, as a byte string with the CBOR of docs/format.md.
pub struct MetaBytes(pub entry::Meta);

impl<C> Encode<C> for MetaBytes {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0.encode())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for MetaBytes {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let meta = entry::Meta::decode(d.bytes()?);
        meta.map(Self).map_err(|_| decode::Error::message("not metadata"))
    }
}

/// A value in a reply.
pub enum Found {
    /// Here it is.
    Short(Secret),
    /// To be read.
    Long {
        /// For `read`.
        handle: u64,
        /// In bytes.
        length: u64,
    },
}

impl<C> Encode<C> for Found {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Short(secret) => e.bytes(secret.expose())?.ok(),
            Self::Long { handle, length } => e.array(2)?.u64(*handle)?.u64(*length)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Found {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        if d.datatype()? == minicbor::data::Type::Bytes {
            return Ok(Self::Short(Secret::new(d.bytes()?.to_vec())));
        }
        match d.array()? {
            Some(2) => Ok(Self::Long { handle: d.u64()?, length: d.u64()? }),
            _ => Err(decode::Error::message("not a value")),
        }
    }
}

/// A value of `entries`.
pub enum Listed {
    /// Here it is.
    Short(Secret),
    /// To be had with `get`: its length.
    Long(u64),
}

impl<C> Encode<C> for Listed {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Short(secret) => e.bytes(secret.expose())?.ok(),
            Self::Long(length) => e.array(1)?.u64(*length)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Listed {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        if d.datatype()? == minicbor::data::Type::Bytes {
            return Ok(Self::Short(Secret::new(d.bytes()?.to_vec())));
        }
        match d.array()? {
            Some(1) => d.u64().map(Self::Long),
            _ => Err(decode::Error::message("not a value")),
        }
    }
}

/// An entry with its values.
pub struct Entry {
    /// Its metadata.
    pub meta: entry::Meta,
    /// By field.
    pub values: BTreeMap<String, Listed>,
}

impl<C> Encode<C> for Entry {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.bytes(&self.meta.encode())?;
        cbor::encode_text_map(&self.values, e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Entry {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(2) {
            return Err(decode::Error::message("not an entry"));
        }
        let MetaBytes(meta) = d.decode_with(ctx)?;
        Ok(Self { meta, values: d.decode_with::<_, TextMap<Listed>>(ctx)?.0 })
    }
}

/// What may open a slot.
pub enum Credential {
    /// A passphrase.
    Passphrase(Secret),
    /// The text of a file of identities.
    Identities(Secret),
    /// The text of a machine key.
    MachineKey(Secret),
    /// A recovery code, as its slot's passphrase: docs/format.md.
    RecoveryCode(Secret),
}

impl<C> Encode<C> for Credential {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let (kind, secret) = match self {
            Self::Passphrase(secret) => (0, secret),
            Self::Identities(secret) => (1, secret),
            Self::MachineKey(secret) => (2, secret),
            Self::RecoveryCode(secret) => (3, secret),
        };
        e.array(2)?.u8(kind)?.bytes(secret.expose())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Credential {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let wrong = || decode::Error::message("not a credential");
        if d.array()? != Some(2) {
            return Err(wrong());
        }
        let (kind, bytes) = (d.u8()?, d.bytes()?);
        let secret = |limit| match bytes.len() {
            0 => Err(wrong()),
            length if length > limit => Err(wrong()),
            _ => Ok(Secret::new(bytes.to_vec())),
        };
        match kind {
            0 => secret(agent::CREDENTIAL).map(Self::Passphrase),
            1 => secret(agent::IDENTITIES).map(Self::Identities),
            2 => secret(agent::CREDENTIAL).map(Self::MachineKey),
            3 => secret(agent::CREDENTIAL).map(Self::RecoveryCode),
            _ => Err(wrong()),
        }
    }
}

macro_rules! members {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $n:literal $field:ident: $type:ty,)* })*) => {
        $($(#[$doc])* #[derive(Encode, Decode)] #[cbor(map)] pub struct $name {
            $($(#[$fdoc])* #[n($n)] pub $field: $type,)*
        })*
    };
}

members! {
    /// Which versions a client speaks, and which program it is.
    Hello {
        /// Versions.
        1 versions: Vec<u64>,
        /// Name and version of the program.
        2 program: String,
    }
    /// The version that is spoken, and by whom.
    Welcome {
        /// The version.
        1 version: u64,
        /// Name and version of the program.
        2 program: String,
        /// The agent's process.
        3 pid: u32,
    }
    /// Nothing.
    Status {}
    /// Nothing.
    Stop {}
    /// Nothing: an empty result.
    Done {}
    /// What the agent is, and holds.
    AgentStatus {
        /// Name and version of the program.
        1 program: String,
        /// The process.
        2 pid: u32,
        /// Open connections, with this one.
        3 connections: u64,
        /// Vaults.
        4 held: Vec<Held>,
        /// 0: the keys' memory can be swapped out; 1: it cannot; 2: no memory can.
        5 locked_memory: u8,
    }
    /// A vault that the agent holds.
    Held {
        /// Its real path.
        1 vault: VaultPath,
        /// The state read last.
        2 facts: Facts,
        /// Seconds until the lease ends.
        3 lease: Option<u64>,
        /// Seconds until it is idle for too long.
        4 idle: Option<u64>,
    }
    /// How to unlock, and for how long.
    Unlock {
        /// The file.
        1 vault: VaultPath,
        /// To be tried in order.
        2 credentials: Vec<Credential>,
        /// Seconds until it is locked whatever happens.
        3 lease: Option<u64>,
        /// Seconds without a request after which it is locked.
        4 idle: Option<u64>,
        /// Only this slot.
        5 slot: Option<String>,
        /// KiB that Argon2id may take.
        6 max_kdf_memory: Option<u32>,
        /// Accept a vault that is older than the machine key says.
        7 allow_rollback: Option<Flag>,
    }
    /// What there is to say about a state.
    #[derive(Clone)]
    Facts {
        /// How deep its log is.
        1 generation: u64,
        /// Seals in the log.
        2 seals: u64,
        /// Rotations.
        3 epoch: u64,
        /// The label of the slot that opened it.
        4 slot: Option<String>,
        /// It is older than what this machine has seen: the generation of that.
        5 older: Option<u64>,
        /// The epoch in which a slot was last removed whose holder has no other.
        6 removal: Option<u64>,
    }
    /// Which vault; all without.
    Lock {
        /// The file.
        1 vault: Option<VaultPath>,
    }
    /// How many vaults were locked.
    Locked {
        /// The number.
        1 count: u64,
    }
    /// Which vault.
    Use {
        /// The file.
        1 vault: VaultPath,
    }
    /// Which field of which entry.
    Get {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
        /// The entry.
        3 name: EntryName,
        /// The field.
        4 field: String,
    }
    /// Which field of which other version of an entry in conflict.
    Alternative {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
        /// The entry.
        3 name: EntryName,
        /// The version, counted from 0.
        4 number: u64,
        /// The field.
        5 field: String,
    }
    /// An entry that is there, or not.
    Got {
        /// Its metadata.
        1 meta: Option<MetaBytes>,
        /// The field's value.
        2 value: Option<Found>,
    }
    /// Which entry.
    Meta {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
        /// The entry.
        3 name: EntryName,
    }
    /// Which vault, in which state.
    List {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
    }
    /// Some metadata.
    Metas {
        /// Sorted by name.
        1 metas: Vec<MetaBytes>,
    }
    /// Which entries.
    Find {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
        /// Attributes with these values.
        3 with: Option<Texts>,
        /// Attributes with any value.
        4 having: Option<Vec<String>>,
    }
    /// Which entries, in which state.
    Entries {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
        /// Only these.
        3 names: Option<Vec<EntryName>>,
    }
    /// Some entries.
    EntriesPart {
        /// Sorted by name.
        1 entries: Vec<Entry>,
    }
    /// What to change, by whom.
    Commit {
        /// The file.
        1 vault: VaultPath,
        /// For the log.
        2 author: String,
        /// After those that were staged.
        3 changes: Option<Vec<Change>>,
    }
    /// What became of it.
    Committed {
        /// For each `set`: 0 made, 1 changed.
        1 outcomes: Vec<u8>,
        /// The vault's generation now.
        2 generation: u64,
    }
    /// How far it is.
    Progress {
        /// Changes, or pages.
        1 done: u64,
    }
    /// Changes for the next commit.
    Stage {
        /// In order.
        1 changes: Vec<Change>,
    }
    /// A value for this vault follows.
    Attach {
        /// The file.
        1 vault: VaultPath,
        /// Bytes that it may have.
        2 limit: u64,
    }
    /// A part of it; empty at its end.
    Write {
        /// The part.
        1 bytes: Bytes,
    }
    /// A value that is held ready.
    Attached {
        /// Its number.
        1 handle: u64,
        /// In bytes.
        2 length: u64,
    }
    /// Which value.
    Read {
        /// Its number.
        1 handle: u64,
    }
    /// Its next part.
    Chunk {
        /// Empty at the end.
        1 bytes: Bytes,
    }
    /// What to forget.
    Close {
        /// A value.
        1 handle: Option<u64>,
        /// A state.
        2 state: Option<u64>,
    }
    /// Which vault, in which state.
    Check {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
    }
    /// What was counted.
    Checked {
        /// Entries.
        1 entries: u64,
        /// Attachments.
        2 attachments: u64,
        /// Seals.
        3 seals: u64,
        /// Bytes.
        4 bytes: u64,
    }
    /// Which state.
    Open {
        /// The file.
        1 vault: VaultPath,
        /// Another file of the same vault.
        2 other: Option<VaultPath>,
    }
    /// A state that is kept.
    Opened {
        /// Its number.
        1 state: u64,
        /// What there is to say of it.
        2 facts: Facts,
    }
    /// Restart the log.
    Compact {
        /// The file.
        1 vault: VaultPath,
        /// For the log.
        2 author: String,
        /// How many pages from now on.
        3 pages: Option<u16>,
    }
    /// Which vault, in which state.
    Log {
        /// The file.
        1 vault: VaultPath,
        /// The state.
        2 state: Option<u64>,
    }
    /// A piece of the records: all pieces together are one record after the other.
    LogPiece {
        /// The piece.
        1 bytes: Bytes,
    }
    /// What slots are or were called.
    LogLabels {
        /// Slots and labels.
        1 labels: Vec<(SlotId, String)>,
    }
    /// What went wrong.
    Error {
        /// One of docs/messages.md.
        1 id: String,
        /// One of docs/exit-codes.md.
        2 exit: u8,
        /// For people.
        3 text: String,
        /// What to do.
        4 hints: Option<Vec<String>>,
        /// Why.
        5 causes: Option<Vec<String>>,
        /// What the text says, piece by piece.
        6 parts: Option<Vec<String>>,
    }
}

/// One seal's changes.
#[derive(Encode, Decode)]
pub struct LogEntry {
    /// Which seal.
    #[n(0)]
    pub seal: SealId,
    /// Its generation.
    #[n(1)]
    pub generation: u64,
    /// The seals that it follows.
    #[n(2)]
    pub parents: Vec<SealId>,
    /// It is a restart.
    #[n(3)]
    pub restart: bool,
    /// A restart carries it.
    #[n(4)]
    pub carried: bool,
    /// What was changed.
    #[n(5)]
    pub changes: ChangesBytes,
}

/// A seal's changes, as a byte string with the CBOR of docs/format.md.
pub struct ChangesBytes(pub Changes);

impl<C> Encode<C> for ChangesBytes {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0.encode())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ChangesBytes {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let changes = Changes::decode(d.bytes()?);
        changes.map(Self).map_err(|_| decode::Error::message("not changes"))
    }
}

impl LogEntry {
    /// The bytes of some records, one after the other.
    #[must_use]
    pub fn encode_all(entries: &[Self]) -> Vec<u8> {
        entries.iter().flat_map(cbor::to_vec).collect()
    }

    /// The records that these bytes are.
    ///
    /// # Errors
    /// [`FrameError::Malformed`](agent::FrameError::Malformed).
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, agent::FrameError> {
        let mut d = Decoder::new(bytes);
        let mut all = Vec::new();
        while d.position() < bytes.len() {
            all.push(d.decode().map_err(|_| agent::FrameError::Malformed)?);
        }
        Ok(all)
    }
}

/// `true`; absent otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag;

impl<C> Encode<C> for Flag {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        True.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Flag {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        True::decode(d, ctx).map(|_| Self)
    }
}

/// Texts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(pub BTreeMap<String, String>);

impl<C> Encode<C> for Texts {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        cbor::encode_text_map(&self.0, e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Texts {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        d.decode_with::<_, TextMap<String>>(ctx).map(|map| Self(map.0))
    }
}
