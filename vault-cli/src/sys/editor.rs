//! The user's editor on a secret: in a private folder in memory, which is wiped and removed afterwards.

#![expect(clippy::disallowed_methods, reason = "a private folder in memory is made, filled and removed")]

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use vault_core::crypto::random::{SystemRandom, array};
use vault_core::secret::Secret;

use crate::context::SECRET_VARIABLES;
use crate::failure::{EditorError, Failure};
use crate::input;

/// A folder that only its owner can enter, on storage that is memory. Everything in it is wiped when it is dropped.
pub(crate) struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    /// Makes one in the user's runtime folder or in `/dev/shm`; none if neither is in memory.
    pub(crate) fn make(runtime_folder: Option<&Path>) -> Option<Self> {
        let places = runtime_folder.into_iter().chain([Path::new("/dev/shm")]);
        places.filter(|place| is_memory(place)).find_map(Self::in_folder)
    }

    fn in_folder(parent: &Path) -> Option<Self> {
        let number = u128::from_be_bytes(array(&mut SystemRandom));
        let path = parent.join(format!("vault-{number:032x}"));
        // Fails if the name is taken, even by a link.
        DirBuilder::new().mode(0o700).create(&path).ok()?;
        Some(Self { path })
    }

    /// Lets the user edit a secret of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Failure::Editor`], [`Failure::Input`], [`Failure::FileNotWritten`].
    pub(crate) fn edit(&self, editor: &OsStr, secret: &Secret, limit: usize) -> Result<Secret, Failure> {
        let file = self.path.join("secret");
        let write = || -> std::io::Result<()> {
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
            out.write_all(secret.expose())
        };
        write().map_err(|error| Failure::FileNotWritten { path: file.clone(), error })?;

        // Ctrl-C is for the editor. Whoever ends this process while it waits must not leave the file behind.
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
                .map_err(EditorError::NotStarted)?;
        }
        let mut command = Command::new("/bin/sh");
        // As git does it: the variable may hold options, too.
        command
            .arg("-c")
            .arg([editor, OsStr::new(" \"$@\"")].join(OsStr::new("")))
            .arg("vault-editor")
            .arg(&file);
        for name in SECRET_VARIABLES {
            command.env_remove(name);
        }
        let status = command.status().map_err(EditorError::NotStarted)?;
        if !status.success() {
            return Err(EditorError::Failed.into());
        }
        Ok(input::file(&file, limit)?)
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Backups and swap files of the editor, too.
        wipe(&self.path);
        let _ = fs::remove_dir_all(&self.path);
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

fn overwrite(path: &Path) -> std::io::Result<()> {
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

#[cfg(target_os = "linux")]
fn is_memory(folder: &Path) -> bool {
    /// From `linux/magic.h`.
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    rustix::fs::statfs(folder).is_ok_and(|stat| [TMPFS, RAMFS].contains(&(stat.f_type as i64)))
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: &Path) -> bool {
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
    fn the_editor_changes_the_secret_and_nothing_stays() {
        let Some(folder) = PrivateFolder::make(None) else { return };
        let path = folder.path.clone();
        let script = "f() { printf ' and more\\n' >> \"$1\"; cp \"$1\" \"$1~\"; }; f";
        let edited = folder.edit(OsStr::new(script), &Secret::new(b"before".to_vec()), 100).ok().unwrap();
        assert_eq!(edited.expose(), b"before and more\n");
        assert!(path.join("secret~").exists());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn an_editor_that_fails_changes_nothing() {
        let Some(folder) = PrivateFolder::make(None) else { return };
        let result = folder.edit(OsStr::new("false"), &Secret::new(b"x".to_vec()), 100);
        assert!(matches!(result, Err(Failure::Editor(EditorError::Failed))));
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
}
