//! The lock on a vault, and replacing the vault under it.
//!
//! The vault itself is locked (`flock`), so no lock file litters a repository. As a save replaces the file, whoever waited
//! for the lock may get it on a file that has no name any more: so the lock counts only if the path still leads to it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fstat};

use super::MAX_FILE;
use super::error::{ReplaceError, StoreError};
use super::folder::{Place, hidden_name};
use super::snapshot::{Identity, Snapshot, permissions};
use super::temp::Temp;
use crate::source::Text;

/// Locks the file that the path leads to, and waits for it as long as it takes.
///
/// # Errors
/// A [`StoreError`] other than `Busy`.
pub fn lock(path: &Path) -> Result<Lock, StoreError> {
    acquire(path, |file| Ok(file.lock()?))
}

/// As [`lock`], and gives up after `patience`.
///
/// # Errors
/// `Busy` if the lock was held by others all that time; else as [`lock`].
pub fn lock_within(path: &Path, patience: Duration) -> Result<Lock, StoreError> {
    let deadline = Instant::now() + patience;
    acquire(path, |file| {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Busy);
            }
            std::thread::sleep(left.min(POLL));
        }
    })
}

/// The right to replace a file; released when dropped.
pub struct Lock {
    file: File,
    path: PathBuf,
    place: Place,
    identity: Identity,
}

impl Lock {
    /// The file as it is under the lock.
    ///
    /// # Errors
    /// `TooLarge`, or `Io`.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::of(self.file.try_clone()?)
    }

    /// Puts a new text in the file's place, durably, or leaves everything as it was. Gives back the new file.
    ///
    /// # Errors
    /// A [`ReplaceError`]. After `FolderNotSynced` the new text is in place, after every other the old one.
    pub fn replace(self, text: &Text) -> Result<Snapshot, ReplaceError> {
        check_length(text)?;
        let old = fstat(&self.file).map_err(std::io::Error::from)?;
        check_links(&old)?;

        let Place { folder, name } = &self.place;
        let mut temp = Temp::fixed(folder, hidden_name(name, NEW))?;
        temp.take_owner(&old)?;
        temp.set_mode(temp.kept_mode(&old, permissions(&old))?)?;
        temp.write_text(text)?;
        temp.sync()?;
        let new = Snapshot::of(temp.file().try_clone()?).map_err(unreadable)?;
        self.check_unchanged()?;
        let file = temp.rename_over(name)?;
        folder.sync().map_err(ReplaceError::FolderNotSynced)?;
        // The temporary file's lock kept other writers away until the new state was durable.
        let _ = file.unlock();
        Ok(new)
    }

    /// Programs that do not follow the lock, such as git, may have been here.
    fn check_unchanged(&self) -> Result<(), ReplaceError> {
        let now = match self.place.folder.stat(&self.place.name) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => return Err(ReplaceError::ChangedMeanwhile),
            Err(error) => return Err(std::io::Error::from(error).into()),
        };
        if Identity::of(&now) != self.identity {
            return Err(ReplaceError::ChangedMeanwhile);
        }
        check_links(&now)
    }

    /// True if the path still leads to the file that is locked.
    fn is_current(&self) -> Result<bool, StoreError> {
        Ok(match rustix::fs::stat(&self.path) {
            Ok(stat) => {
                Identity::of(&stat).is_same_file(&self.identity)
                    && self.place.folder.holds(&self.place.name, &self.identity)?
            }
            Err(rustix::io::Errno::NOENT) => false,
            Err(error) => return Err(error.into()),
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A snapshot shares the open file, and with it the lock: closing alone would not release it.
        let _ = self.file.unlock();
    }
}

/// Refuses a text that nobody could read back.
pub(super) fn check_length(text: &Text) -> Result<(), ReplaceError> {
    match text.len() {
        length if length > MAX_FILE => Err(ReplaceError::TooLarge { length, limit: MAX_FILE }),
        _ => Ok(()),
    }
}

/// The new file, not yet in place, cannot be looked at.
pub(super) fn unreadable(error: StoreError) -> ReplaceError {
    match error {
        StoreError::Io(error) | StoreError::PermissionDenied(error) => error.into(),
        other => ReplaceError::Io(std::io::Error::other(other)),
    }
}

fn acquire(path: &Path, wait: impl Fn(&File) -> Result<(), StoreError>) -> Result<Lock, StoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let place = Place::resolve(path)?;
        let file = match open_for_lock(&place) {
            // Gone between resolving and opening; if it stays away, resolving says so.
            Err(StoreError::NotFound) => continue,
            other => other?,
        };
        wait(&file)?;
        let identity = Identity::of(&fstat(&file)?);
        let lock = Lock { file, path: path.to_owned(), place, identity };
        if lock.is_current()? {
            return Ok(lock);
        }
    }
    Err(StoreError::Unstable)
}

/// For writing if possible: an exclusive lock over NFS wants that, and an overlay file system settles the inode.
fn open_for_lock(place: &Place) -> Result<File, StoreError> {
    match place.folder.open_regular(&place.name, OFlags::RDWR) {
        Ok(file) => Ok(file),
        Err(StoreError::NotFound) => Err(StoreError::NotFound),
        Err(StoreError::PermissionDenied(_) | StoreError::Io(_)) => {
            place.folder.open_regular(&place.name, OFlags::RDONLY)
        }
        Err(error) => Err(error),
    }
}

fn check_links(stat: &rustix::fs::Stat) -> Result<(), ReplaceError> {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    match u64::from(stat.st_nlink) {
        0 | 1 => Ok(()),
        count => Err(ReplaceError::HardLinks(count)),
    }
}

/// What the temporary file beside a vault ends in.
pub(super) const NEW: &str = ".new";
/// How often a held lock is tried again.
const POLL: Duration = Duration::from_millis(10);
/// Every attempt but the last means that somebody else saved; a file system without stable inodes must not loop forever.
const MAX_ATTEMPTS: u32 = 10_000;
