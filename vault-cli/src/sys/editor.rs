//! The user's editor on a secret: in a private folder in memory, which is wiped and removed afterwards.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use vault_core::secret::Secret;

use super::folder::PrivateFolder;
use crate::context::SECRET_VARIABLES;
use crate::failure::{EditorError, Failure};
use crate::input;

/// Lets the user edit a secret of at most `limit` bytes.
///
/// # Errors
/// [`Failure::Editor`], [`Failure::Input`], [`Failure::FileNotWritten`].
pub(crate) fn edit(
    folder: &PrivateFolder,
    editor: &OsStr,
    secret: &Secret,
    limit: usize,
) -> Result<Secret, Failure> {
    let file = folder
        .write("secret", |out| out.write_all(secret.expose()))
        .map_err(|error| Failure::FileNotWritten { path: folder.path().to_owned(), error })?;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editor_changes_the_secret_and_nothing_stays() {
        let Some(folder) = PrivateFolder::make(None) else { return };
        let path = folder.path().to_owned();
        let script = "f() { printf ' and more\\n' >> \"$1\"; cp \"$1\" \"$1~\"; }; f";
        let edited = edit(&folder, OsStr::new(script), &Secret::new(b"before".to_vec()), 100).ok().unwrap();
        assert_eq!(edited.expose(), b"before and more\n");
        assert!(path.join("secret~").exists());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn an_editor_that_fails_changes_nothing() {
        let Some(folder) = PrivateFolder::make(None) else { return };
        let result = edit(&folder, OsStr::new("false"), &Secret::new(b"x".to_vec()), 100);
        assert!(matches!(result, Err(Failure::Editor(EditorError::Failed))));
    }
}
