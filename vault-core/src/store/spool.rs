//! A nameless file for ciphertext that is too large for memory and whose vault is not locked yet.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::ReplaceError;
use super::folder::{Folder, Place};
use super::output::free_names;
use super::temp::Temp;
use crate::source::Source;

/// Opens a nameless file in the folder of the vault, where there is room for the vault too. It is gone when dropped.
///
/// # Errors
/// A [`ReplaceError`] about the folder.
pub fn spool(vault: &Path) -> Result<Spool, ReplaceError> {
    let place = Place::resolve_or_new(vault).map_err(ReplaceError::of_folder)?;
    let file = match nameless(&place.folder) {
        Some(file) => file?,
        None => unlinked(&place)?,
    };
    Ok(Spool { file, length: 0 })
}

/// Written first, from the start to the end and in large pieces, since it is not buffered; then a source.
pub struct Spool {
    file: File,
    length: u64,
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Spool {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// A file that never has a name. Nothing if the file system cannot do that.
#[cfg(target_os = "linux")]
fn nameless(folder: &Folder) -> Option<Result<File, ReplaceError>> {
    use rustix::fs::{Mode, OFlags, openat};
    use rustix::io::Errno;

    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    match openat(folder.file(), ".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Some(Ok(file.into())),
        Err(Errno::NOTSUP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => None,
        Err(error) => Some(Err(ReplaceError::of_folder(error))),
    }
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Folder) -> Option<Result<File, ReplaceError>> {
    None
}

/// A file whose name is taken away at once.
pub(super) fn unlinked(place: &Place) -> Result<File, ReplaceError> {
    // Dropping it removes the name.
    let temp = Temp::free(&place.folder, free_names(&place.name))?;
    Ok(temp.file().try_clone()?)
}
