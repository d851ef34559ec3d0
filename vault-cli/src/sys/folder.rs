//! Private folders and nameless files in memory, for secrets that a program can only take from a file.
//!
//! Whatever is in a folder is overwritten and removed when it is dropped.

#![expect(clippy::disallowed_methods, reason = "a private folder in memory is made, filled and removed")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vault_core::crypto::random::{SystemRandom, array};

/// A folder that only its owner can enter, on storage that is memory unless the caller named the place.
/// Everything in it is wiped when it is dropped.
pub(crate) struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    /// Makes one in the user's runtime folder or in `/dev/shm`; none if neither is in memory.
    pub(crate) fn make(runtime_folder: Option<&Path>) -> Option<Self> {
        let places = runtime_folder.into_iter().chain([Path::new("/dev/shm")]);
        places.filter(|place| is_memory(place)).find_map(|place| Self::within(place).ok())
    }

    /// Makes one in `parent`, whatever storage that is.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn within(parent: &Path) -> io::Result<Self> {
        let number = u128::from_be_bytes(array(&mut SystemRandom));
        let path = parent.join(format!("vault-{number:032x}"));
        // Fails if the name is taken, even by a link.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file in it with what `fill` writes.
    ///
    /// # Errors
    /// What the system or `fill` said.
    pub(crate) fn write(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fill(&mut OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?)?;
        Ok(path)
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Backups and swap files of an editor, too.
        wipe(&self.path);
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A file in memory that has no name and is gone with the last process that holds it. A program started by this one inherits it.
#[cfg(target_os = "linux")]
pub(crate) struct NamelessFile(File);

#[cfg(target_os = "linux")]
impl NamelessFile {
    /// Makes one with what `fill` writes; nobody can change it afterwards.
    ///
    /// # Errors
    /// What the system or `fill` said.
    pub(crate) fn make(name: &str, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        use std::io::{Seek, SeekFrom};
        use std::os::fd::OwnedFd;

        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

        let file: OwnedFd = memfd_create(name, MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(file);
        fill(&mut file)?;
        file.seek(SeekFrom::Start(0))?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(file))
    }

    /// Its path, for this process and those that inherit it.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.0)).into()
    }
}

#[cfg(target_os = "linux")]
impl AsFd for NamelessFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// No other system is known to have them.
#[cfg(not(target_os = "linux"))]
pub(crate) enum NamelessFile {}

#[cfg(not(target_os = "linux"))]
impl AsFd for NamelessFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

#[cfg(not(target_os = "linux"))]
impl NamelessFile {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn make(_: &str, _: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// There is none.
    pub(crate) fn path(&self) -> PathBuf {
        match *self {}
    }
}

/// Overwrites all files of a folder, as far as that goes: their memory is given back to the system afterwards.
fn wipe(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => wipe(&path),
            Ok(kind) if kind.is_file() => drop(overwrite(&path)),
            _ => {}
        }
    }
}

fn overwrite(path: &Path) -> io::Result<()> {
    let mut left = fs::symlink_metadata(path)?.len();
    let mut file: File = OpenOptions::new().write(true).open(path)?;
    while left > 0 {
        let count = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..usize::try_from(count).unwrap_or(ZEROS.len())])?;
        left -= count;
    }
    Ok(())
}

const ZEROS: [u8; 4096] = [0; 4096];

/// Whether what is written there is kept in memory (or in swap) only.
#[cfg(target_os = "linux")]
pub(crate) fn is_memory(folder: &Path) -> bool {
    /// From `linux/magic.h`.
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    rustix::fs::statfs(folder).is_ok_and(|stat| [TMPFS, RAMFS].contains(&(stat.f_type as i64)))
}

/// Not known how to tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_memory(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_on_disk_is_no_memory() {
        assert!(!is_memory(Path::new("/proc")));
        assert!(!is_memory(Path::new("/nonexistent")));
    }

    #[test]
    fn files_are_overwritten_before_they_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let path = folder.path().join("inner/backup");
        fs::write(&path, [7; 10_000]).unwrap();
        wipe(folder.path());
        assert_eq!(fs::read(&path).unwrap(), [0; 10_000]);
    }

    #[test]
    fn a_private_folder_is_its_owner_s_alone_and_goes_with_its_files() {
        use std::os::unix::fs::PermissionsExt;
        let outside = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::within(outside.path()).unwrap();
        let path = folder.write("key", |out| out.write_all(b"secret")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&path)), (0o700, 0o600));
        assert!(folder.write("key", |_| Ok(())).is_err(), "a file is never replaced");
        drop(folder);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_nameless_file_can_be_read_and_not_changed() {
        let file = NamelessFile::make("key", |out| out.write_all(b"secret")).unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), b"secret");
        assert!(fs::write(file.path(), b"x").is_err());
        assert_eq!(fs::read(file.path()).unwrap(), b"secret");
    }
}
