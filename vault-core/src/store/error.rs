//! What can go wrong between a path and its bytes. One enum for getting at a file, one for placing a new one.

use std::error::Error;
use std::fmt;
use std::io;

use rustix::fs::FileType;
use rustix::io::Errno;

/// What a path that is not a regular file leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// A symbolic link, where none is followed.
    Symlink,
    /// Something else.
    Other,
}

impl FileKind {
    /// The kind of what is neither a regular file nor a folder.
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Symlink => "a symbolic link",
            Self::Other => "not a file",
        })
    }
}

/// Why a file cannot be read or locked.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing is there.
    NotFound,
    /// A folder is there.
    IsDirectory,
    /// Something is there that is neither a file nor a folder. It was not opened.
    NotRegular(FileKind),
    /// The file or a folder on the way to it may not be read.
    PermissionDenied(io::Error),
    /// The file is larger than [`MAX_FILE`](super::MAX_FILE).
    TooLarge {
        /// Its length.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// Another process holds the lock.
    Busy,
    /// The path leads to another file every time it is looked at.
    Unstable,
    /// Anything else the system says.
    Io(io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file"),
            Self::IsDirectory => f.write_str("it is a folder"),
            Self::NotRegular(kind) => write!(f, "it is {kind}"),
            Self::PermissionDenied(_) => f.write_str("permission denied"),
            Self::TooLarge { length, limit } => {
                write!(f, "the file is too large ({length} bytes; the limit is {limit})")
            }
            Self::Busy => f.write_str("another process is changing it"),
            Self::Unstable => f.write_str("the path leads to another file every time it is looked at"),
            Self::Io(cause) => write!(f, "{cause}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::PermissionDenied(cause) | Self::Io(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied(error),
            io::ErrorKind::IsADirectory => Self::IsDirectory,
            _ => Self::Io(error),
        }
    }
}

impl From<Errno> for StoreError {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// Why a file cannot be placed. Unless the variant says otherwise, what was there before is there still.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplaceError {
    /// Something of that name exists, and only a new file was asked for.
    AlreadyExists,
    /// The folder does not exist.
    NoFolder(io::Error),
    /// A folder has that name.
    IsDirectory,
    /// Something else that is not a file has that name; it is left alone.
    NotRegular(FileKind),
    /// A part of the path below the root folder is a symbolic link or a file.
    NotAFolder,
    /// The path leads out of the root folder, or names nothing in it.
    Outside,
    /// The file has other names, which would keep the old content.
    HardLinks(u64),
    /// Something that does not follow the lock changed or replaced the file meanwhile.
    ChangedMeanwhile,
    /// The file is a mount point: its folder has to be mounted instead.
    MountPoint(io::Error),
    /// The file system is read-only.
    ReadOnly(io::Error),
    /// The folder may not be written to.
    FolderDenied(io::Error),
    /// The disk or the quota is full.
    NoSpace(io::Error),
    /// The name of the temporary file is taken by a folder.
    TempBlocked,
    /// The new text is larger than [`MAX_FILE`](super::MAX_FILE).
    TooLarge {
        /// Its length.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// The temporary file does not have the length that the text promised.
    WrongLength {
        /// What the text promised.
        promised: u64,
        /// What arrived.
        written: u64,
    },
    /// The new file's bytes could not be made durable. The old file is in place.
    NotSynced(io::Error),
    /// The new file **is in place**, but may not survive a power cut.
    FolderNotSynced(io::Error),
    /// Anything else the system says.
    Io(io::Error),
}

impl ReplaceError {
    /// For an operation that changes the folder: its permissions are meant.
    pub(super) fn of_folder(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::FolderDenied(error),
            io::ErrorKind::NotFound => Self::NoFolder(error),
            _ => error.into(),
        }
    }

    /// For syncing the new file.
    pub(super) fn of_sync(error: io::Error) -> Self {
        match error.into() {
            Self::Io(error) => Self::NotSynced(error),
            known => known,
        }
    }

    /// For moving the new file to its name.
    pub(super) fn of_rename(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        match error.kind() {
            io::ErrorKind::ResourceBusy => Self::MountPoint(error),
            io::ErrorKind::AlreadyExists => Self::AlreadyExists,
            io::ErrorKind::IsADirectory => Self::IsDirectory,
            _ => Self::of_folder(error),
        }
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyExists => f.write_str("it exists already"),
            Self::NoFolder(_) => f.write_str("the folder does not exist"),
            Self::IsDirectory => f.write_str("it is a folder"),
            Self::NotRegular(kind) => write!(f, "it is {kind}"),
            Self::NotAFolder => f.write_str("a part of the path is a symbolic link or a file"),
            Self::Outside => f.write_str("the path leads out of the folder"),
            Self::HardLinks(count) => write!(f, "the file has {count} names (hard links)"),
            Self::ChangedMeanwhile => f.write_str("another program changed the file meanwhile"),
            Self::MountPoint(_) => f.write_str("the file is a mount point"),
            Self::ReadOnly(_) => f.write_str("the file system is read-only"),
            Self::FolderDenied(_) => f.write_str("the folder may not be written to"),
            Self::NoSpace(_) => f.write_str("no space is left"),
            Self::TempBlocked => f.write_str("a folder has the name of the temporary file"),
            Self::TooLarge { length, limit } => {
                write!(f, "the new text is too large ({length} bytes; the limit is {limit})")
            }
            Self::WrongLength { promised, written } => {
                write!(f, "{written} bytes arrived instead of {promised}")
            }
            Self::NotSynced(cause) => write!(f, "the new file cannot be synced: {cause}"),
            Self::FolderNotSynced(cause) => {
                write!(f, "the new state is in place but may not survive a power cut: {cause}")
            }
            Self::Io(cause) => write!(f, "{cause}"),
        }
    }
}

impl Error for ReplaceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoFolder(cause)
            | Self::MountPoint(cause)
            | Self::ReadOnly(cause)
            | Self::FolderDenied(cause)
            | Self::NoSpace(cause)
            | Self::NotSynced(cause)
            | Self::FolderNotSynced(cause)
            | Self::Io(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<io::Error> for ReplaceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(error),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(error),
            _ => Self::Io(error),
        }
    }
}
