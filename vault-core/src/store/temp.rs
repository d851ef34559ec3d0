//! A temporary file on its way to a name.
//!
//! It is locked as long as it lives. Whoever finds one without that lock finds the leftover of a killed process.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Write};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, linkat, openat, unlinkat,
};
use rustix::io::Errno;

use super::error::{ReplaceError, StoreError};
use super::folder::Folder;
use super::snapshot::Identity;
use crate::source::Text;

/// A new, empty, private file in a folder; removed when dropped, unless it was given its name.
pub(super) struct Temp<'a> {
    folder: &'a Folder,
    name: OsString,
    file: Option<File>,
}

impl<'a> Temp<'a> {
    /// Under a fixed name: waits while another process is using it, and removes what a killed one left.
    pub(super) fn fixed(folder: &'a Folder, name: OsString) -> Result<Self, ReplaceError> {
        for _ in 0..MAX_ATTEMPTS {
            match create_new(folder, &name) {
                Ok(file) => {
                    if let Some(temp) = Self::claim(folder, &name, file)? {
                        return Ok(temp);
                    }
                }
                Err(Errno::EXIST) => remove_leftover(folder, &name)?,
                Err(error) => return Err(ReplaceError::of_folder(error)),
            }
        }
        Err(ReplaceError::Io(io::ErrorKind::ResourceBusy.into()))
    }

    /// Under the first free of many names.
    pub(super) fn free(
        folder: &'a Folder,
        names: impl Iterator<Item = OsString>,
    ) -> Result<Self, ReplaceError> {
        for name in names.take(MAX_ATTEMPTS as usize) {
            match create_new(folder, &name) {
                Ok(file) => return Ok(Self { folder, name, file: Some(file) }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(ReplaceError::of_folder(error)),
            }
        }
        Err(ReplaceError::Io(io::ErrorKind::AlreadyExists.into()))
    }

    /// Between creating and locking, another process may have taken the file for a leftover: then it is not ours.
    fn claim(folder: &'a Folder, name: &OsStr, file: File) -> Result<Option<Self>, ReplaceError> {
        let temp = Self { folder, name: name.to_owned(), file: Some(file) };
        temp.file().lock().map_err(ReplaceError::from)?;
        let identity = Identity::of(&fstat(temp.file()).map_err(io::Error::from)?);
        if folder.holds(name, &identity)? {
            return Ok(Some(temp));
        }
        temp.disown();
        Ok(None)
    }

    pub(super) fn file(&self) -> &File {
        self.file.as_ref().expect("taken only by the functions that consume self")
    }

    /// Owner and group of the old file, as far as the system lets us.
    pub(super) fn take_owner(&mut self, old: &Stat) -> Result<(), ReplaceError> {
        let new = fstat(self.file()).map_err(io::Error::from)?;
        if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid) {
            return Ok(());
        }
        let (user, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
        for user in [Some(user), None] {
            match fchown(self.file(), user, Some(group)) {
                Err(Errno::PERM | Errno::INVAL) => {}
                other => return other.map_err(|error| io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    /// The wanted mode; if the group could not be kept, the new group gets no more than everybody.
    pub(super) fn kept_mode(&self, old: &Stat, mode: u32) -> Result<u32, ReplaceError> {
        let new = fstat(self.file()).map_err(io::Error::from)?;
        Ok(if new.st_gid == old.st_gid { mode } else { mode & (0o707 | (mode & 0o007) << 3) })
    }

    pub(super) fn set_mode(&mut self, mode: u32) -> Result<(), ReplaceError> {
        fchmod(self.file(), Mode::from_raw_mode(mode)).map_err(|error| io::Error::from(error).into())
    }

    /// Writes the text, and makes sure that it arrived in full.
    pub(super) fn write_text(&mut self, text: &Text) -> Result<(), ReplaceError> {
        self.fill(|out| Ok::<_, ReplaceError>(text.write_to(out)?))?;
        let (promised, written) = (text.len(), self.file().metadata()?.len());
        if promised != written {
            return Err(ReplaceError::WrongLength { promised, written });
        }
        Ok(())
    }

    /// Writes whatever `fill` writes.
    pub(super) fn fill<E: From<ReplaceError>>(
        &mut self,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = BufWriter::with_capacity(WRITE_BUFFER, self.file());
        fill(&mut out)?;
        out.flush().map_err(|error| ReplaceError::from(error).into())
    }

    /// Makes the bytes durable. A failure is final: the kernel may already have dropped what it could not write.
    pub(super) fn sync(&mut self) -> Result<(), ReplaceError> {
        self.file().sync_all().map_err(ReplaceError::of_sync)
    }

    /// Gives the file its name; what had that name is replaced.
    pub(super) fn rename_over(mut self, name: &OsStr) -> Result<File, ReplaceError> {
        let folder = self.folder.file();
        rustix::fs::renameat(folder, &self.name, folder, name).map_err(ReplaceError::of_rename)?;
        Ok(self.take())
    }

    /// Gives the file its name, which must be free.
    pub(super) fn rename_new(mut self, name: &OsStr) -> Result<File, ReplaceError> {
        match rename_no_replace(self.folder.file(), &self.name, name) {
            Ok(()) => Ok(self.take()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link_new(name),
            Err(error) => Err(ReplaceError::of_rename(error)),
        }
    }

    /// The old way: a second name fails if it exists. Dropping `self` takes the first one away.
    pub(super) fn link_new(self, name: &OsStr) -> Result<File, ReplaceError> {
        let folder = self.folder.file();
        // First what can still fail.
        let file = self.file().try_clone()?;
        linkat(folder, &self.name, folder, name, AtFlags::empty()).map_err(ReplaceError::of_rename)?;
        Ok(file)
    }

    fn take(&mut self) -> File {
        self.file.take().expect("only the functions that consume self come here")
    }

    /// Forgets a file that another process removed.
    fn disown(mut self) {
        self.file = None;
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Nothing more can be done if this fails; the next save removes it.
            let _ = unlinkat(self.folder.file(), &self.name, AtFlags::empty());
            let _ = file.unlock();
        }
    }
}

fn create_new(folder: &Folder, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder.file(), name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Removes what has the temporary file's name, once no living process has it locked. Never follows it.
fn remove_leftover(folder: &Folder, name: &OsStr) -> Result<(), ReplaceError> {
    let stat = match folder.stat(name) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(io::Error::from)?,
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Err(ReplaceError::TempBlocked),
        FileType::RegularFile => match folder.open_regular(name, OFlags::RDONLY) {
            Ok(file) => {
                file.lock()?;
                let identity = Identity::of(&fstat(&file).map_err(io::Error::from)?);
                if !folder.holds(name, &identity)? {
                    return Ok(());
                }
                return unlink(folder, name);
            }
            Err(StoreError::NotFound) => return Ok(()),
            // Not one that this user's processes could have made.
            Err(_) => {}
        },
        // Planted: links, pipes and devices are no leftovers of ours.
        _ => {}
    }
    unlink(folder, name)
}

fn unlink(folder: &Folder, name: &OsStr) -> Result<(), ReplaceError> {
    match unlinkat(folder.file(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(ReplaceError::of_folder(error)),
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_no_replace(folder: &File, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    rustix::fs::renameat_with(folder, from, folder, to, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_no_replace(_: &File, _: &OsStr, _: &OsStr) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Lines are short and pages are a few KiB; system calls should not be.
const WRITE_BUFFER: usize = 256 * 1024;
/// Each attempt but the last means that another process was here meanwhile.
const MAX_ATTEMPTS: u32 = 10_000;
