//! What is made of several states, on its way to a client: merges, and what one commit did done again. docs/agent-protocol.md,
//! "merge".

use minicbor::{Decode, Encode};

use super::message::{Bytes, Facts, Flag, VaultPath};
use crate::format::entry::EntryName;

/// Which states, and for which place.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Merge {
    /// Where the result will stand.
    #[n(1)]
    pub vault: VaultPath,
    /// For the log.
    #[n(2)]
    pub author: String,
    /// Our side.
    #[n(3)]
    pub ours: u64,
    /// The other side.
    #[n(4)]
    pub theirs: u64,
    /// What they have in common.
    #[n(5)]
    pub base: Option<u64>,
}

/// What is done again, and for which place.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Pick {
    /// Where the result will stand.
    #[n(1)]
    pub vault: VaultPath,
    /// For the log.
    #[n(2)]
    pub author: String,
    /// What it is done to.
    #[n(3)]
    pub present: u64,
    /// The state before the commit.
    #[n(4)]
    pub before: u64,
    /// The state after it.
    #[n(5)]
    pub after: u64,
    /// For the log.
    #[n(6)]
    pub reason: String,
    /// It is done backwards.
    #[n(7)]
    pub undo: Option<Flag>,
}

/// Some of what was made.
#[derive(Default, Encode, Decode)]
#[cbor(map)]
pub struct MadePart {
    /// The next piece of the new text.
    #[n(1)]
    pub text: Option<Bytes>,
    /// Entries that it left in conflict.
    #[n(2)]
    pub conflicts: Option<Vec<EntryName>>,
    /// Entries that a pick changed.
    #[n(3)]
    pub changed: Option<Vec<EntryName>>,
}

/// What was made.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Made {
    /// It, open on this connection: one of the states that were named, or a new one.
    #[n(1)]
    pub state: u64,
    /// What there is to say of it.
    #[n(2)]
    pub facts: Facts,
    /// Nothing is in it of what was seen at its place.
    #[n(3)]
    pub apart: Option<Flag>,
    /// The commit changed key slots, too: those are left as they are.
    #[n(4)]
    pub left_slots: Option<Flag>,
}

/// Which states.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Covers {
    /// The file.
    #[n(1)]
    pub vault: VaultPath,
    /// The one that may have all that the other has.
    #[n(2)]
    pub state: u64,
    /// The other one.
    #[n(3)]
    pub other: u64,
}

/// Whether it has.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Covered {
    /// The answer.
    #[n(1)]
    pub covers: bool,
}

/// What stands at a place.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Written {
    /// The file.
    #[n(1)]
    pub vault: VaultPath,
    /// The state that stands there.
    #[n(2)]
    pub state: u64,
}
