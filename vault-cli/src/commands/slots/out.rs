//! Where a machine key goes: to standard output, into a file, or through systemd-creds.

use std::path::{Path, PathBuf};

use vault_core::secret::Secret;
use vault_core::store::{self, Existing, ReplaceError};

use crate::cli::NewSlots;
use crate::commands::Run;
use crate::escape::quoted_path;
use crate::failure::{Failure, SlotFailure};
use crate::message::Status;
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
    /// lost. Gives back what is to be printed.
    ///
    /// # Errors
    /// [`SlotFailure::SystemdCreds`], [`Failure::NotStored`]. An existing file is never replaced.
    pub(in crate::commands) fn write(
        &self,
        run: &Run<'_>,
        key: Option<Secret>,
    ) -> Result<Option<Secret>, Failure> {
        let Some(key) = key else { return Ok(None) };
        let key = match &self.credential {
            Some(name) => creds::encrypt(name, &key).map_err(SlotFailure::SystemdCreds)?,
            None => key,
        };
        let Some(file) = &self.file else { return Ok(Some(key)) };
        let path = run.folder.join(file);
        write_file(&path, &key)?;
        run.voice.status(&Status::Done(format!("wrote the machine key into {}", quoted_path(&path))));
        Ok(None)
    }
}

/// A new file with one line, which only its owner can read.
///
/// # Errors
/// [`Failure::NotStored`].
pub(in crate::commands) fn write_file(path: &Path, line: &Secret) -> Result<(), Failure> {
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
