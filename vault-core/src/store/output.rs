//! New files: a vault that must not exist yet, and whatever else the program writes.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, unlinkat};
use rustix::io::Errno;

use super::error::{FileKind, ReplaceError};
use super::folder::{Folder, Place, hidden_name};
use super::lock::{NEW, check_length, unreadable};
use super::snapshot::Snapshot;
use super::temp::Temp;
use crate::source::Text;

/// What to do if the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Replace a regular file; anything else is refused.
    Replace,
    /// Refuse.
    Keep,
}

/// Creates a vault, durably and at once; never replaces anything. Of two at the same time, one wins.
///
/// # Errors
/// `AlreadyExists` whatever it is that has the name; else another [`ReplaceError`].
pub fn create(path: &Path, text: &Text, mode: u32) -> Result<Snapshot, ReplaceError> {
    check_length(text)?;
    let Place { folder, name } = Place::of(path).map_err(ReplaceError::of_rename)?;
    check_existing(&folder, &name, Existing::Keep)?;
    let mut temp = Temp::fixed(&folder, hidden_name(&name, NEW))?;
    temp.set_mode(mode)?;
    temp.write_text(text)?;
    temp.sync()?;
    let new = Snapshot::of(temp.file().try_clone()?).map_err(unreadable)?;
    let file = temp.rename_new(&name)?;
    folder.sync().map_err(ReplaceError::FolderNotSynced)?;
    // The temporary file's lock kept writers away until the new vault was durable.
    let _ = file.unlock();
    Ok(new)
}

/// Writes a file in one step: it appears complete and durable, or not at all. A link in its place is never followed.
///
/// # Errors
/// Whatever `fill` returns, or a [`ReplaceError`].
pub fn write_file<E: From<ReplaceError>>(
    path: &Path,
    mode: u32,
    existing: Existing,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let Place { folder, name } = Place::of(path).map_err(ReplaceError::of_rename)?;
    write_in(&folder, &name, mode, existing, fill)
}

/// Removes a regular file; a link in its place is refused.
///
/// # Errors
/// A [`ReplaceError`].
pub fn remove_file(path: &Path) -> Result<(), ReplaceError> {
    let Place { folder, name } = Place::of(path).map_err(ReplaceError::of_rename)?;
    check_existing(&folder, &name, Existing::Replace)?;
    unlinkat(folder.file(), &name, AtFlags::empty()).map_err(ReplaceError::of_folder)?;
    folder.sync().map_err(ReplaceError::FolderNotSynced)
}

/// As [`write_file`], in a folder that is open.
pub(super) fn write_in<E: From<ReplaceError>>(
    folder: &Folder,
    name: &OsStr,
    mode: u32,
    existing: Existing,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    check_existing(folder, name, existing)?;
    let mut temp = Temp::free(folder, free_names(name))?;
    temp.fill(fill)?;
    // Nobody else reads it before it is complete.
    temp.set_mode(mode)?;
    temp.sync()?;
    match existing {
        Existing::Replace => temp.rename_over(name)?,
        Existing::Keep => temp.rename_new(name)?,
    };
    Ok(folder.sync().map_err(ReplaceError::FolderNotSynced)?)
}

/// Hidden names beside the file, different in every process and every call. Creating one must still be exclusive.
pub(super) fn free_names(name: &OsStr) -> impl Iterator<Item = OsString> + '_ {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    std::iter::repeat_with(move || {
        hidden_name(name, &format!(".{process}-{}{NEW}", COUNTER.fetch_add(1, Ordering::Relaxed)))
    })
}

fn check_existing(folder: &Folder, name: &OsStr, existing: Existing) -> Result<(), ReplaceError> {
    let stat = match folder.stat(name) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(ReplaceError::of_folder)?,
    };
    match (existing, FileType::from_raw_mode(stat.st_mode)) {
        (Existing::Keep, _) => Err(ReplaceError::AlreadyExists),
        (Existing::Replace, FileType::RegularFile) => Ok(()),
        (Existing::Replace, FileType::Directory) => Err(ReplaceError::IsDirectory),
        (Existing::Replace, kind) => Err(ReplaceError::NotRegular(FileKind::of(kind))),
    }
}
