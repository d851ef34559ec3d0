//! An open file and what it was when it was opened.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, openat};

use super::MAX_FILE;
use super::error::StoreError;
use super::folder::{OPEN, Place, check_regular};
use crate::source::Source;

/// Opens the file that the path leads to, without a lock.
///
/// # Errors
/// A [`StoreError`] other than `Busy`. Only regular files are opened, so nothing can hang.
pub fn read(path: &Path) -> Result<Snapshot, StoreError> {
    let place = Place::resolve(path)?;
    Snapshot::of(place.folder.open_regular(&place.name, OFlags::RDONLY)?)
}

/// The bytes of a small regular file that a path leads to. A FIFO is not waited for, and a device not read.
///
/// # Errors
/// The system's; `InvalidInput` for what is no regular file, `FileTooLarge` for one of more bytes than that.
pub fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::from(openat(CWD, path, OFlags::RDONLY | OPEN, Mode::empty())?);
    let stat = fstat(&file)?;
    check_regular(&stat).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    let room = usize::try_from(length.min(limit)).unwrap_or(0) + 1;
    let mut bytes = Vec::with_capacity(room);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// An open regular file. If it is only ever replaced by renaming, its bytes do not change.
pub struct Snapshot {
    file: File,
    identity: Identity,
    touched: (i64, i64),
    mode: u32,
}

impl Snapshot {
    /// A file that somebody else opened, and passed on.
    ///
    /// # Errors
    /// [`StoreError::NotRegular`], [`StoreError::TooLarge`].
    pub fn of_open(file: File) -> Result<Self, StoreError> {
        Self::of(file)
    }

    pub(super) fn of(file: File) -> Result<Self, StoreError> {
        let stat = fstat(&file)?;
        check_regular(&stat)?;
        let identity = Identity::of(&stat);
        if identity.length > MAX_FILE {
            return Err(StoreError::TooLarge { length: identity.length, limit: MAX_FILE });
        }
        Ok(Self { file, identity, touched: touched(&stat), mode: permissions(&stat) })
    }

    /// The permission bits, such as `0o600`.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// True if somebody wrote into this very file since it was opened: what was read cannot be relied on.
    ///
    /// # Errors
    /// The system's, if the file cannot be looked at any more.
    pub fn has_changed(&self) -> io::Result<bool> {
        Ok(Identity::of(&fstat(&self.file)?) != self.identity)
    }

    /// True if this path leads to this very file, untouched since it was opened. The last part of the path is not followed if it
    /// is a link.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        rustix::fs::lstat(path)
            .is_ok_and(|stat| Identity::of(&stat) == self.identity && touched(&stat) == self.touched)
    }

    /// True if both are the same file, and nobody did anything to it between the two, not even set its times back.
    #[must_use]
    pub fn is_untouched_since(&self, other: &Self) -> bool {
        self.is_same(other) && self.touched == other.touched
    }

    /// True if both are the same file, unchanged between the two.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Source for Snapshot {
    fn len(&self) -> u64 {
        self.identity.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Which file, and in what state.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Identity {
    // The fields' types differ between platforms.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap, clippy::useless_conversion)]
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            length: u64::try_from(stat.st_size).unwrap_or(0),
            // Not the time of the last change of status: being replaced is one.
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        }
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// When anything of the file was last changed: nobody can set that.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap, clippy::useless_conversion)]
fn touched(stat: &Stat) -> (i64, i64) {
    (stat.st_ctime as i64, stat.st_ctime_nsec as i64)
}

/// The permission bits of a mode.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
pub(super) fn permissions(stat: &Stat) -> u32 {
    u32::from(stat.st_mode) & 0o7777
}
