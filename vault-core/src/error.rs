//! What can go wrong with a vault, one type per operation. Never a secret, never plaintext inside.

use std::fmt;
use std::io;

use crate::format::entry::EntryName;
use crate::format::id::{BlobId, EntryId, SealId};
use crate::format::lines::FormatError;
use crate::format::seal::Place;
use crate::format::slot::Label;

/// The file is not a real state of the vault, nor a merge of real states. docs/format.md, "When a file verifies".
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// The text as such is wrong.
    Format(FormatError),
    /// A seal does not open, is not the one that its line says, or stands in the wrong section.
    Seal(SealId),
    /// A seal's parent is not in the log: what a cherry-pick or a revert leaves.
    MissingParent {
        /// The seal.
        seal: SealId,
        /// What it names.
        parent: SealId,
    },
    /// The log does not begin with exactly one seal.
    Roots,
    /// A seal's generation does not follow from its parents'.
    Generation(SealId),
    /// A place's history is broken, or two branches of it were put together without a key.
    History(Place),
    /// A place's head is missing, or names another seal or another tag than the log.
    Head(Place),
    /// A place's content is not what its tag covers.
    Tag(Place),
    /// The roster does not open, or is not that of these slots.
    Roster,
    /// An entry does not open, or its parts contradict each other.
    Entry(EntryId),
    /// An attachment does not open.
    Attachment(BlobId),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |place: &Place| match place.page_number() {
            Some(number) => format!("page {number:x}"),
            None => "the slot table".to_owned(),
        };
        match self {
            Self::Format(error) => error.fmt(f),
            Self::Seal(id) => write!(f, "seal {id} does not open in its place"),
            Self::MissingParent { seal, parent } => {
                write!(f, "seal {seal} follows seal {parent}, which is not in the log")
            }
            Self::Roots => f.write_str("the log does not begin with exactly one seal"),
            Self::Generation(id) => {
                write!(f, "the generation of seal {id} does not follow from its parents'")
            }
            Self::History(at) => {
                write!(f, "the history of {} is broken or was merged without a key", place(at))
            }
            Self::Head(at) => write!(f, "the head of {} is not the one in the log", place(at)),
            Self::Tag(at) => write!(f, "the content of {} is not what was sealed", place(at)),
            Self::Roster => f.write_str("the roster does not open, or is not that of these slots"),
            Self::Entry(id) => write!(f, "entry {id} does not open, or its parts contradict each other"),
            Self::Attachment(id) => write!(f, "attachment {id} does not open"),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Format(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FormatError> for VerifyError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl From<io::Error> for VerifyError {
    fn from(error: io::Error) -> Self {
        Self::Format(FormatError::Io(error))
    }
}

/// A change cannot be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum EditError {
    /// What is there does not verify.
    Verify(VerifyError),
    /// There is no such entry.
    NoEntry(EntryName),
    /// There is an entry of that name.
    Exists(EntryName),
    /// There is no such field.
    NoField {
        /// Of this entry.
        entry: EntryName,
        /// The field that was named.
        field: String,
    },
    /// The entry is in conflict; settle that first.
    InConflict(EntryName),
    /// The entry is not in conflict.
    NotInConflict(EntryName),
    /// Beyond one of the limits of docs/format.md.
    TooLarge {
        /// Of this entry.
        entry: EntryName,
        /// Which limit.
        what: &'static str,
    },
    /// A slot has this label.
    LabelTaken(Label),
    /// It is the only slot.
    LastSlot,
    /// Too many changes for one seal.
    TooManyChanges,
    /// The vault has as many entries or seals as it can have.
    Full,
    /// Nothing would change.
    NothingChanged,
    /// A value could not be read, or not be put aside.
    Io(io::Error),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify(error) => error.fmt(f),
            Self::NoEntry(name) => write!(f, "no entry named {:?}", name.as_str()),
            Self::Exists(name) => write!(f, "an entry named {:?} exists", name.as_str()),
            Self::NoField { entry, field } => write!(f, "entry {:?} has no field {field:?}", entry.as_str()),
            Self::InConflict(name) => write!(f, "entry {:?} is in conflict", name.as_str()),
            Self::NotInConflict(name) => write!(f, "entry {:?} is not in conflict", name.as_str()),
            Self::TooLarge { entry, what } => {
                write!(f, "entry {:?} would be too large: {what}", entry.as_str())
            }
            Self::LabelTaken(label) => write!(f, "a key slot has the label \"{}\"", label.as_str()),
            Self::LastSlot => f.write_str("it is the only key slot"),
            Self::TooManyChanges => f.write_str("too many changes for one save"),
            Self::Full => f.write_str("the vault has no room for more"),
            Self::NothingChanged => f.write_str("nothing would change"),
            Self::Io(error) => write!(f, "a value cannot be read or put aside: {error}"),
        }
    }
}

impl std::error::Error for EditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Verify(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<VerifyError> for EditError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(error)
    }
}

impl From<io::Error> for EditError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
