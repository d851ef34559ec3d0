//! Files by which other programs find a door: links and configuration, never secrets.

#![expect(
    clippy::disallowed_methods,
    reason = "links and folders of other programs; configuration goes through `store`"
)]

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use vault_core::store::{self, Existing, ReplaceError};

use crate::failure::Failure;

/// What stands where a link to this program belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing.
    Absent,
    /// A link to a program named `vault`.
    Ours(PathBuf),
    /// Anything else.
    Foreign,
}

/// What stands at this path.
pub(crate) fn link(path: &Path) -> Link {
    match (path.symlink_metadata(), fs::read_link(path)) {
        (Err(_), _) => Link::Absent,
        (Ok(_), Ok(target)) if target.file_name().is_some_and(|name| name == "vault") => Link::Ours(target),
        _ => Link::Foreign,
    }
}

/// Makes a link to a program; replaces one of ours.
///
/// # Errors
/// [`Failure::FileNotWritten`], [`Failure::DoorTaken`].
pub(crate) fn make_link(path: &Path, program: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::FileNotWritten { path: path.to_owned(), error };
    match link(path) {
        Link::Foreign => return Err(Failure::DoorTaken(path.to_owned())),
        Link::Ours(_) => fs::remove_file(path).map_err(failed)?,
        Link::Absent => make_folder(path.parent())?,
    }
    symlink(program, path).map_err(failed)
}

/// Removes what [`make_link`] made. False if there is nothing of ours.
///
/// # Errors
/// [`Failure::FileNotWritten`].
pub(crate) fn remove_link(path: &Path) -> Result<bool, Failure> {
    match link(path) {
        Link::Ours(_) => remove(path),
        _ => Ok(false),
    }
}

/// Removes a file. False if there is none.
///
/// # Errors
/// [`Failure::FileNotWritten`].
pub(crate) fn remove(path: &Path) -> Result<bool, Failure> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::FileNotWritten { path: path.to_owned(), error }),
    }
}

/// A file's text; `None` if there is no such file.
///
/// # Errors
/// [`Failure::FileNotWritten`] if it cannot be read, and so not be kept.
pub(crate) fn text(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::FileNotWritten { path: path.to_owned(), error }),
    }
}

/// Writes a file, and the folders above it.
///
/// # Errors
/// [`Failure::FileNotWritten`], [`Failure::NotStored`].
pub(crate) fn write(path: &Path, text: &str, existing: Existing) -> Result<(), Failure> {
    make_folder(path.parent())?;
    store::write_file(path, 0o644, existing, |out| -> Result<(), ReplaceError> {
        Ok(out.write_all(text.as_bytes())?)
    })
    .map_err(|error| Failure::NotStored { path: path.to_owned(), error })
}

fn make_folder(folder: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = folder else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::FileNotWritten { path: folder.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_replaced_and_removed_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/bin/keyring");
        assert!(!remove_link(&path).ok().unwrap());
        for program in ["/a/vault", "/b/vault"] {
            make_link(&path, Path::new(program)).ok().unwrap();
            assert_eq!(link(&path), Link::Ours(program.into()));
        }
        assert!(remove_link(&path).ok().unwrap());
        assert_eq!(link(&path), Link::Absent);

        fs::write(&path, "python's").unwrap();
        assert!(matches!(make_link(&path, Path::new("/a/vault")), Err(Failure::DoorTaken(_))));
        assert!(!remove_link(&path).ok().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"python's");
    }
}
