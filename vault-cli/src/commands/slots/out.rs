//! Where a machine key goes: to standard output, into a file, or through systemd-creds.

use std::path::{Path, PathBuf};

use vault_core::secret::Secret;
use vault_core::store::{self, Existing, ReplaceError};

use crate::cli::NewSlots;
use crate::commands::Run;
use crate::escape::quoted_path;
use crate::failure::{Failure, SlotFailure};
use crate::message::{Status, Voice};
use crate::sys::creds;

/// Where a machine key goes.
pub(in crate::commands) struct Out {
    file: Option<PathBuf>,
    credential: Option<String>,
}

impl Out {
    /// As the options say.
    ///
    /// # Errors
    /// [`SlotFailure::OneOut`], [`SlotFailure::NothingForOut`].
    pub(super) fn of(slots: &NewSlots) -> Result<Self, SlotFailure> {
        match (slots.machine, slots.recovery) {
            (true, true) if slots.out.is_some() => Err(SlotFailure::OneOut),
            (false, false) if slots.out.is_some() => Err(SlotFailure::NothingForOut),
            (machine, _) => Ok(Self {
                file: slots.out.clone().filter(|_| machine),
                credential: slots.systemd_creds.clone(),
            }),
        }
    }

    /// Writes the key where it goes, before the slot is stored: a key without a slot opens nothing, a slot without its key is
    /// lost. Gives back what is to be printed, or the file.
    ///
    /// # Errors
    /// [`SlotFailure::SystemdCreds`], [`Failure::NotStored`]. An existing file is never replaced.
    pub(in crate::commands) fn write(
        &self,
        run: &Run<'_>,
        key: Option<Secret>,
    ) -> Result<(Option<Secret>, Option<KeyFile>), Failure> {
        let Some(key) = key else { return Ok((None, None)) };
        let key = match &self.credential {
            Some(name) => creds::encrypt(name, &key).map_err(SlotFailure::SystemdCreds)?,
            None => key,
        };
        let Some(file) = &self.file else { return Ok((Some(key), None)) };
        Ok((None, Some(KeyFile::write("the machine key", run.folder.join(file), &key)?)))
    }
}

/// A new file with what opens a slot that is not stored yet. Dropped, it goes with the slot that was not to be.
#[must_use]
pub(in crate::commands) struct KeyFile {
    what: &'static str,
    /// Nothing once the slot is stored.
    path: Option<PathBuf>,
}

impl KeyFile {
    /// Writes it. An existing file is never replaced.
    ///
    /// # Errors
    /// [`Failure::NotStored`].
    pub(in crate::commands) fn write(
        what: &'static str,
        path: PathBuf,
        key: &Secret,
    ) -> Result<Self, Failure> {
        write_file(&path, key)?;
        Ok(Self { what, path: Some(path) })
    }

    /// The slot is stored, and the file stays and is told.
    pub(in crate::commands) fn stay(mut self, voice: Voice) {
        if let Some(path) = self.path.take() {
            voice.status(&Status::Done(format!("wrote {} into {}", self.what, quoted_path(&path))));
        }
    }

    /// The slot is stored, and the file stays.
    pub(in crate::commands) fn stay_silently(mut self) {
        self.path = None;
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // Why it is taken back is about to be said; a file that cannot be removed opens nothing.
            let _ = store::remove_file(&path);
        }
    }
}

/// A new file with one line, which only its owner can read.
///
/// # Errors
/// [`Failure::NotStored`].
fn write_file(path: &Path, line: &Secret) -> Result<(), Failure> {
    store::write_file(path, PRIVATE, Existing::Keep, |out| -> Result<(), ReplaceError> {
        out.write_all(line.expose())?;
        if !line.expose().ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        Ok(())
    })
    .map_err(|error| Failure::NotStored { path: path.to_owned(), error })
}

const PRIVATE: u32 = 0o600;
