//! Several states of one vault, unlocked together: for merges and picks. Always in this process.

use std::path::Path;
use std::sync::Arc;

use vault_core::format::lines::FormatError;
use vault_core::source::Source;
use vault_core::store;
use vault_core::vault::{LockedVault, UnlockedVault};

use super::{SessionError, credentials, policy};
use crate::commands::Run;
use crate::failure::Failure;

/// A state of a vault that nobody has unlocked yet.
pub(crate) struct State {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) vault: LockedVault,
}

impl State {
    /// The state in a file.
    ///
    /// # Errors
    /// [`SessionError::Store`], [`SessionError::Format`].
    pub(crate) fn in_file(path: &Path) -> Result<Self, SessionError> {
        let snapshot = store::read(path).map_err(|error| SessionError::Store(path.to_owned(), error))?;
        Self::of(Arc::new(snapshot)).map_err(|error| SessionError::Format(path.to_owned(), error))
    }

    /// The state in these bytes.
    ///
    /// # Errors
    /// [`FormatError`].
    pub(crate) fn of(source: Arc<dyn Source>) -> Result<Self, FormatError> {
        Ok(Self { vault: LockedVault::open(Arc::clone(&source))?, source })
    }
}

/// Unlocks all states, the first with what the user gives, and each other one with the master key of one that is open
/// already, or, where it is another, with the same that the user gave.
///
/// # Errors
/// [`SessionError::Unlock`] for the first that does not open.
pub(crate) fn unlock_states(
    run: &mut Run<'_>,
    path: &Path,
    states: Vec<LockedVault>,
) -> Result<Vec<UnlockedVault>, Failure> {
    let policy = policy(run)?;
    let credentials = credentials(run, path, states.first())?.all;
    let mut open: Vec<UnlockedVault> = Vec::new();
    for locked in states {
        let same = open.iter().find(|other| other.id() == locked.id());
        let unlocked = match same {
            Some(other) => locked.unlock_as(other),
            None => locked.unlock(&credentials, &policy),
        };
        open.push(unlocked.map_err(|still| SessionError::of_still_locked(path, *still))?);
    }
    Ok(open)
}
