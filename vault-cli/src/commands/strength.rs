//! Passphrases of new slots: what is easy to guess is not taken for a vault that others have copies of.

use std::path::Path;

use vault_core::secret::Passphrase;

use super::Run;
use crate::context;
use crate::failure::Failure;
use crate::message::Warning;
use crate::password::is_weak;

/// Whether the user said that a weak passphrase is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weak {
    /// `--weak-passphrase`
    Allowed,
    /// It is refused inside a git work tree, and a warning elsewhere.
    Refused,
}

/// Looks at the passphrase of a new slot of the vault at `path`.
///
/// # Errors
/// [`Failure::WeakPassphrase`]
pub(super) fn check(run: &Run<'_>, passphrase: &Passphrase, path: &Path, weak: Weak) -> Result<(), Failure> {
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let (folder, author) = (folder.unwrap_or_default(), run.environment.author());
    if weak == Weak::Allowed || !is_weak(passphrase.expose(), &["vault", &name, &folder, &author]) {
        return Ok(());
    }
    // A repository is copied: to colleagues, forges, laptops, backups.
    if context::in_work_tree(path) {
        return Err(Failure::WeakPassphrase);
    }
    run.voice.warn(Warning::WeakPassphrase)
}
