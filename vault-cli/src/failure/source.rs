//! What can go wrong when passwords are moved from a keyring.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use vault_core::format::entry::EntryName;
use vault_core::keys::keyring::KeyringError;

/// Why passwords were not moved, or not all of them.
#[derive(Debug)]
pub(crate) enum SourceFailure {
    /// The Secret Service.
    Desktop {
        /// The collection that was named.
        collection: Option<String>,
        /// Why.
        error: KeyringError,
    },
    /// Python cannot be started, or not be spoken to.
    Python {
        /// The program.
        program: OsString,
        /// Why.
        error: io::Error,
    },
    /// Python says nothing any more.
    Silent(&'static str),
    /// Python ended, or says what cannot be understood.
    Ended(&'static str),
    /// It is locked.
    Locked {
        /// The keyring.
        name: &'static str,
        /// Its words.
        why: String,
    },
    /// Its passphrase is another.
    Denied {
        /// The keyring.
        name: &'static str,
        /// Its file.
        file: String,
    },
    /// It cannot list what it holds.
    Unlisted {
        /// The keyring.
        name: &'static str,
        /// What it is made of.
        backends: String,
    },
    /// Python's keyring is this program.
    Ours,
    /// Python's keyring has no backend that keeps anything.
    NoBackend(String),
    /// There is no such keyring.
    Absent {
        /// The keyring.
        name: &'static str,
        /// Where it would be.
        place: String,
    },
    /// This Python does not have the keyring's library.
    NoModule {
        /// The Python.
        program: OsString,
        /// The library.
        module: String,
    },
    /// Anything else that the library says.
    Failed {
        /// The keyring.
        name: &'static str,
        /// Its words.
        why: String,
    },
    /// A line of a list of items is not a service and a user.
    Pairs {
        /// The list.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// What was stored is not what is read back.
    NotKept(EntryName),
    /// It was done, but not for everything.
    Incomplete {
        /// How many were not brought in.
        left: usize,
        /// How many are still in the keyring, and should not be.
        remaining: usize,
    },
}
