//! A root folder, and files below it: no symbolic link below the root is ever followed.

use std::io::Write;
use std::path::{Component, Path};

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::error::ReplaceError;
use super::folder::Folder;
use super::output::{Existing, write_in};

/// A folder that files are written below.
pub struct Dir {
    root: Folder,
}

impl Dir {
    /// Opens a folder. The path to it is the user's, and links on it are followed.
    ///
    /// # Errors
    /// `NoFolder` or `NotAFolder`; else what the system says.
    pub fn open(path: &Path) -> Result<Self, ReplaceError> {
        Folder::open(path).map(|root| Self { root }).map_err(not_a_folder)
    }

    /// As [`Dir::open`]; a missing folder is made, mode 0700. Its parent must exist.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn open_or_create(path: &Path) -> Result<Self, ReplaceError> {
        match mkdirat(rustix::fs::CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Self::open(path),
            Err(error) => Err(ReplaceError::of_folder(error)),
        }
    }

    /// Writes a file below the root as [`write_file`](super::write_file) does; missing folders are made, mode 0700.
    ///
    /// # Errors
    /// `Outside` for a path that is absolute, empty, or has `.` or `..` in it, `NotAFolder` if a part of it is a link or
    /// a file; else as [`write_file`](super::write_file).
    pub fn write_file<E: From<ReplaceError>>(
        &self,
        relative: &Path,
        mode: u32,
        existing: Existing,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut parts = Vec::new();
        for part in relative.as_os_str().as_encoded_bytes().split(|&byte| byte == b'/') {
            // `Path::components` would forgive `a/./b`, `a//b` and `a/`.
            if part.is_empty() || part == b"." {
                return Err(ReplaceError::Outside.into());
            }
        }
        for part in relative.components() {
            let Component::Normal(name) = part else { return Err(ReplaceError::Outside.into()) };
            parts.push(name);
        }
        let Some((name, folders)) = parts.split_last() else { return Err(ReplaceError::Outside.into()) };

        let mut inner: Option<Folder> = None;
        for part in folders {
            let outer = inner.as_ref().unwrap_or(&self.root);
            match mkdirat(outer.file(), *part, Mode::RWXU) {
                Ok(()) => outer.sync().map_err(ReplaceError::of_sync)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(ReplaceError::of_folder(error).into()),
            }
            inner = Some(outer.enter(part).map_err(not_a_folder)?);
        }
        write_in(inner.as_ref().unwrap_or(&self.root), name, mode, existing, fill)
    }
}

/// A link refused by `O_NOFOLLOW`, or a file.
fn not_a_folder(error: std::io::Error) -> ReplaceError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => ReplaceError::NotAFolder,
        _ => ReplaceError::of_folder(error),
    }
}
