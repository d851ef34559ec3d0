//! The user's editor on a secret: in a private folder in memory, which is wiped and removed afterwards.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use vault_core::secret::Secret;
use vault_sys::Signals;

use super::child;
use super::folder::PrivateFolder;
use crate::context::SECRET_VARIABLES;
use crate::failure::{EditorError, Failure};
use crate::input;

/// Where a secret is edited. Dropped, it leaves nothing.
pub(crate) struct Desk {
    folder: PrivateFolder,
    /// Kept since before there was a folder: whoever ends this process must not leave the file behind.
    signals: Signals,
}

impl Desk {
    /// Makes one.
    ///
    /// # Errors
    /// [`Failure::NoMemoryFolder`], [`Failure::Editor`].
    pub(crate) fn make(runtime_folder: Option<&Path>) -> Result<Self, Failure> {
        let signals = child::keep_signals().map_err(EditorError::NotStarted)?;
        let folder = PrivateFolder::make(runtime_folder).ok_or(Failure::NoMemoryFolder)?;
        Ok(Self { folder, signals })
    }

    /// Lets the user edit a secret, of at most `limit` bytes. Ctrl-C is for the editor.
    ///
    /// # Errors
    /// [`Failure::Editor`], [`Failure::Input`], [`Failure::FileNotWritten`], [`Failure::Ended`].
    pub(crate) fn edit(self, editor: &OsStr, secret: &Secret, limit: usize) -> Result<Secret, Failure> {
        let folder = &self.folder;
        let file = folder
            .write("secret", |out| out.write_all(secret.expose()))
            .map_err(|error| Failure::FileNotWritten { path: folder.path().to_owned(), error })?;
        if let Some(number) = child::ended_by(&self.signals) {
            return Err(Failure::Ended(number));
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
        // Nobody ends this process while the editor runs: it has the last word, and what it wrote has to be wiped.
        let status = command.status().map_err(EditorError::NotStarted)?;
        if !status.success() {
            return Err(EditorError::Failed.into());
        }
        Ok(input::file(&file, limit)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: signals are kept by one at a time.
    #[test]
    fn the_editor_changes_the_secret_or_fails_and_nothing_stays() {
        let Ok(desk) = Desk::make(None) else { return };
        let path = desk.folder.path().to_owned();
        let script = format!(
            "f() {{ printf ' and more\\n' >> \"$1\"; cp \"$1\" \"$1~\"; ls -d {}/secret~; }}; f",
            path.display()
        );
        let edited = desk.edit(OsStr::new(&script), &Secret::new(b"before".to_vec()), 100).ok().unwrap();
        assert_eq!(edited.expose(), b"before and more\n");
        assert!(!path.exists());

        let Ok(desk) = Desk::make(None) else { return };
        let path = desk.folder.path().to_owned();
        let result = desk.edit(OsStr::new("false"), &Secret::new(b"x".to_vec()), 100);
        assert!(matches!(result, Err(Failure::Editor(EditorError::Failed))));
        assert!(!path.exists());
    }
}
