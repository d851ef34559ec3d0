//! Opaque bytes on disk: lock, read, atomic replace. The only writer of files.
//!
//! Knows nothing of keys or of the format. A vault is read without a lock, because it is only ever replaced by renaming;
//! it is changed under a lock on the vault itself, so that no lock file is ever made.

mod dir;
mod error;
mod folder;
mod lock;
mod output;
mod snapshot;
mod spool;
mod temp;

pub use dir::Dir;
pub use error::{FileKind, ReplaceError, StoreError};
pub use lock::{Lock, lock, lock_within};
pub use output::{Existing, create, remove_file, write_file};
pub use snapshot::{Snapshot, read, read_small};
pub use spool::{Spool, spool};

/// The largest file that is read or written. docs/format.md, "Limits".
pub const MAX_FILE: u64 = 4 << 30;

#[cfg(test)]
mod tests;
