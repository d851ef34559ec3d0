//! Other states of the vault than the file as it is now: commits, and git's index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::source::Source;
use vault_core::vault::LockedVault;

use super::Run;
use crate::context::unlock_sources;
use crate::failure::Failure;
use crate::session::{self, Credentials, Local, Session, SessionError, has_passphrase};
use crate::sys::revisions::Repository;

/// Unlocks one state of a vault after another, with the same master key where that is possible.
pub(super) struct States {
    path: PathBuf,
    credentials: Credentials,
    known: Vec<Local>,
}

impl States {
    /// Reads what unlocks; asks, if nothing was named and `first` has a slot for a passphrase.
    ///
    /// # Errors
    /// As [`session::credentials`].
    pub(super) fn new(run: &mut Run<'_>, path: &Path, first: &LockedVault) -> Result<Self, Failure> {
        let credentials = session::credentials(run, path, Some(first))?;
        Ok(Self { path: path.to_owned(), credentials, known: Vec::new() })
    }

    /// Unlocks a state, and gives its number.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(super) fn unlock(&mut self, run: &Run<'_>, mut locked: LockedVault) -> Result<usize, Failure> {
        for known in &self.known {
            match known.same_key(&self.path, locked)? {
                Ok(session) => {
                    self.known.push(session);
                    return Ok(self.known.len() - 1);
                }
                Err(still) => locked = still,
            }
        }
        let session = Local::unlock(&self.path, locked, &self.credentials.all, &session::policy(run)?);
        // The slots of another master key may be others: say so.
        let session =
            session.map_err(|error| if self.known.is_empty() { error } else { other_key(error) })?;
        self.known.push(
            session.by(run.environment.author(), run.now).with_sources(self.credentials.sources.clone()),
        );
        Ok(self.known.len() - 1)
    }

    /// A state that was unlocked.
    pub(super) fn state(&mut self, number: usize) -> &mut Local {
        &mut self.known[number]
    }

    /// Two of them.
    pub(super) fn both(&self, older: usize, newer: usize) -> (&Local, &Local) {
        (&self.known[older], &self.known[newer])
    }

    /// The one that was unlocked last.
    pub(super) fn into_last(self) -> Option<Local> {
        self.known.into_iter().next_back()
    }
}

/// The vault as it was in a commit, unlocked.
///
/// # Errors
/// [`Failure::Revision`], and as for any unlock.
pub(super) fn open_at(run: &mut Run<'_>, revision: &str) -> Result<(PathBuf, Box<dyn Session>), Failure> {
    let path = run.location()?.path;
    let repository = Repository::of(&run.folder, &path)?;
    let commit = repository.commit(revision)?;
    let locked = parse(&path, repository.content(Some(&commit))?)?;
    let mut states = States::new(run, &path, &locked)?;
    states.unlock(run, locked).map_err(|error| match error {
        Failure::Session(error) => other_key(*error).into(),
        error => error,
    })?;
    let session = states.into_last().ok_or(Failure::Bug("no state".to_owned()))?;
    Ok((path, Box::new(session)))
}

/// A state's text, as far as it can be read without a key.
///
/// # Errors
/// [`SessionError::Format`].
pub(super) fn parse(path: &Path, text: Vec<u8>) -> Result<LockedVault, SessionError> {
    let text: Arc<dyn Source> = Arc::new(text);
    LockedVault::open(text).map_err(|error| SessionError::Format(path.to_owned(), error))
}

/// Whether there is something to unlock with, or somebody to ask for what a slot wants.
pub(super) fn can_unlock(run: &mut Run<'_>, locked: &LockedVault) -> bool {
    is_named(run) || (has_passphrase(locked) && run.prompt.can_ask())
}

/// Whether something to unlock with was named, so that nobody has to be asked.
pub(super) fn is_named(run: &Run<'_>) -> bool {
    let options = run.global.unlock.options();
    unlock_sources(&options, &run.environment, &run.config).iter().any(|source| !source.what.asks())
}

/// An older state that no slot opens may have been written before a rotation, with slots of its own.
fn other_key(error: SessionError) -> SessionError {
    match error {
        SessionError::Unlock { path, reason, slots } => SessionError::OtherState { path, reason, slots },
        error => error,
    }
}
