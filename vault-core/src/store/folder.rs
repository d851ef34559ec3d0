//! An open folder: names in it stay names in it, whatever happens to the path that led here.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, openat, statat};

use super::error::{FileKind, StoreError};
use super::snapshot::Identity;

/// A folder, held open.
pub(super) struct Folder {
    file: File,
}

/// A name in a folder.
pub(super) struct Place {
    pub(super) folder: Folder,
    pub(super) name: OsString,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self { file: openat(CWD, path, FOLDER, Mode::empty())?.into() })
    }

    /// Opens a folder in this one, never through a symbolic link.
    pub(super) fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self { file: openat(&self.file, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?.into() })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What the name stands for; a symbolic link is not followed.
    pub(super) fn stat(&self, name: &OsStr) -> rustix::io::Result<Stat> {
        statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// True if the name stands for this very file.
    pub(super) fn holds(&self, name: &OsStr, identity: &Identity) -> io::Result<bool> {
        match self.stat(name) {
            Ok(stat) => Ok(Identity::of(&stat).is_same_file(identity)),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file in this folder. What is anything else is not even opened: opening alone can act on a device.
    pub(super) fn open_regular(&self, name: &OsStr, access: OFlags) -> Result<File, StoreError> {
        check_regular(&self.stat(name)?)?;
        // The name may have changed hands since: still neither wait for a FIFO nor follow a link, and look again.
        let file = File::from(openat(&self.file, name, access | OFlags::NOFOLLOW | OPEN, Mode::empty())?);
        check_regular(&rustix::fs::fstat(&file)?)?;
        Ok(file)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Place {
    /// Where a path leads after all symbolic links, and that path.
    pub(super) fn resolve(path: &Path) -> io::Result<Self> {
        Self::of(&std::fs::canonicalize(path)?)
    }

    /// The path's last component in its folder, not following it if it is a link.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let name = last_name(path).ok_or(io::ErrorKind::IsADirectory)?.to_owned();
        Ok(Self { folder: Folder::open(path.parent().unwrap_or(Path::new("")))?, name })
    }

    /// As [`Place::resolve`]; a path to nothing stands for itself.
    pub(super) fn resolve_or_new(path: &Path) -> io::Result<Self> {
        match std::fs::canonicalize(path) {
            Ok(target) => Self::of(&target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::of(path),
            Err(error) => Err(error),
        }
    }
}

/// Refuses all but regular files.
pub(super) fn check_regular(stat: &Stat) -> Result<(), StoreError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(StoreError::IsDirectory),
        kind => Err(StoreError::NotRegular(FileKind::of(kind))),
    }
}

/// The last component, unless the path ends in something that can only be a folder.
fn last_name(path: &Path) -> Option<&OsStr> {
    let name = path.file_name()?;
    // `file_name` ignores a trailing slash or `/.`.
    path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes()).then_some(name)
}

/// `.name.suffix`: hidden, beside the file, and recognisably the file's.
pub(super) fn hidden_name(name: &OsStr, suffix: &str) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(suffix);
    hidden
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Neither wait for whoever holds the other end, nor get a terminal.
pub(super) const OPEN: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
