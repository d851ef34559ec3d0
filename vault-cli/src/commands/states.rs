//! Other states of the vault than the file as it is now: commits, and git's index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::vault::LockedVault;
use vault_core::vault::diff::Difference;

use super::Run;
use crate::failure::Failure;
use crate::session::{
    self, Credentials, Local, Remote, Session, SessionError, State, has_passphrase, is_named,
};
use crate::sys::revisions::Repository;

/// Opens one state of a vault after another: in the agent, as long as its key is their key; else here, with the same master key
/// where that is possible.
pub(super) struct States {
    path: PathBuf,
    agent: Option<Remote>,
    /// Read when the agent does not do.
    credentials: Option<Credentials>,
    known: Vec<Known>,
    may_ask: bool,
}

/// A state that is open.
enum Known {
    Here(Local),
    /// With its text, should another state have to be opened here.
    There(Remote, Box<State>),
}

impl States {
    /// Looks for an agent that holds the vault. Without one, reads what unlocks; asks, if nothing was named and `first` has a
    /// slot for a passphrase.
    ///
    /// # Errors
    /// As [`session::credentials`].
    pub(super) fn new(run: &mut Run<'_>, path: &Path, first: &LockedVault) -> Result<Self, Failure> {
        let agent = run.of_agent(path)?;
        Self::begin(run, path, first, agent, true)
    }

    /// The same, and nobody is asked, whatever is found. `path` is for errors; an agent holds the vault at `place`.
    ///
    /// # Errors
    /// As [`session::credentials`].
    pub(super) fn without_asking(
        run: &mut Run<'_>,
        path: &Path,
        place: &Path,
        first: &LockedVault,
    ) -> Result<Option<Self>, Failure> {
        let agent = run.of_agent(place)?;
        if agent.is_none() && !is_named(run) {
            return Ok(None);
        }
        Self::begin(run, path, first, agent, false).map(Some)
    }

    /// The same, but none if no agent holds the vault, nothing was named, and nobody can be asked.
    ///
    /// # Errors
    /// As [`session::credentials`].
    pub(super) fn if_possible(
        run: &mut Run<'_>,
        path: &Path,
        first: &LockedVault,
    ) -> Result<Option<Self>, Failure> {
        let agent = run.of_agent(path)?;
        if agent.is_none() && !can_unlock(run, first) {
            return Ok(None);
        }
        Self::begin(run, path, first, agent, true).map(Some)
    }

    fn begin(
        run: &mut Run<'_>,
        path: &Path,
        first: &LockedVault,
        agent: Option<Remote>,
        may_ask: bool,
    ) -> Result<Self, Failure> {
        let mut states = Self { path: path.to_owned(), agent, credentials: None, known: Vec::new(), may_ask };
        if states.agent.is_none() {
            states.read_credentials(run, first)?;
        }
        Ok(states)
    }

    /// Opens a state, and gives its number.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(super) fn unlock(&mut self, run: &mut Run<'_>, state: State) -> Result<usize, Failure> {
        if let Some(agent) = &self.agent {
            if let Some(session) = agent.in_state(&*state.source)? {
                self.known.push(Known::There(session, Box::new(state)));
                return Ok(self.known.len() - 1);
            }
            // Only states that are open in one place can be compared.
            self.agent = None;
            if !self.may_ask && !is_named(run) {
                let (path, passphrase) = (self.path.clone(), has_passphrase(&state.vault));
                return Err(SessionError::Locked { path, passphrase, empty: run.empty_variable }.into());
            }
            self.read_credentials(run, &state.vault)?;
            for known in std::mem::take(&mut self.known) {
                match known {
                    Known::There(_, state) => drop(self.unlock_here(run, *state)?),
                    here => self.known.push(here),
                }
            }
        }
        self.unlock_here(run, state)
    }

    fn read_credentials(&mut self, run: &mut Run<'_>, first: &LockedVault) -> Result<(), Failure> {
        self.credentials = Some(session::credentials(run, &self.path, Some(first))?);
        Ok(())
    }

    fn unlock_here(&mut self, run: &Run<'_>, state: State) -> Result<usize, Failure> {
        let mut locked = state.vault;
        for known in &self.known {
            let Known::Here(known) = known else { continue };
            match known.same_key(&self.path, locked)? {
                Ok(session) => {
                    self.known.push(Known::Here(session));
                    return Ok(self.known.len() - 1);
                }
                Err(still) => locked = still,
            }
        }
        let (all, sources) =
            self.credentials.as_ref().map_or((&[][..], &[][..]), |given| (&given.all, &given.sources));
        let session = Local::unlock(&self.path, locked, all, &session::policy(run)?);
        // The slots of another master key may be others: say so.
        let session =
            session.map_err(|error| if self.known.is_empty() { error } else { other_key(error) })?;
        let session = session.by(run.environment.author(), run.now).with_sources(sources.to_vec());
        self.known.push(Known::Here(session));
        Ok(self.known.len() - 1)
    }

    /// A state that was opened.
    pub(super) fn state(&mut self, number: usize) -> &mut dyn Session {
        match &mut self.known[number] {
            Known::Here(session) => session,
            Known::There(session, _) => session,
        }
    }

    /// How one differs from an older one.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(super) fn differences(&self, older: usize, newer: usize) -> Result<Vec<Difference>, Failure> {
        match (&self.known[older], &self.known[newer]) {
            (Known::Here(older), Known::Here(newer)) => Ok(newer.differences(older)?),
            (Known::There(older, _), Known::There(newer, _)) => Ok(newer
                .differences(older)?
                .ok_or_else(|| Failure::Bug("these are no states of the agent's".to_owned()))?),
            _ => Err(Failure::Bug("one state is here and the other one in the agent".to_owned())),
        }
    }

    /// The one that was opened last.
    pub(super) fn into_last(self) -> Option<Box<dyn Session>> {
        Some(match self.known.into_iter().next_back()? {
            Known::Here(session) => Box::new(session),
            Known::There(session, _) => Box::new(session),
        })
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
    let state = parse(&path, repository.content(Some(&commit))?)?;
    let mut states = States::new(run, &path, &state.vault)?;
    states.unlock(run, state).map_err(|error| match error {
        Failure::Session(error) => other_key(*error).into(),
        error => error,
    })?;
    let session = states.into_last().ok_or(Failure::Bug("no state".to_owned()))?;
    Ok((path, session))
}

/// A state's text, as far as it can be read without a key.
///
/// # Errors
/// [`SessionError::Format`].
pub(super) fn parse(path: &Path, text: Vec<u8>) -> Result<State, SessionError> {
    State::of(Arc::new(text)).map_err(|error| SessionError::Format(path.to_owned(), error))
}

/// Whether there is something to unlock with, or somebody to ask for what a slot wants.
pub(super) fn can_unlock(run: &mut Run<'_>, locked: &LockedVault) -> bool {
    is_named(run) || (has_passphrase(locked) && run.prompt.can_ask())
}

/// An older state that no slot opens may have been written before a rotation, with slots of its own.
fn other_key(error: SessionError) -> SessionError {
    match error {
        SessionError::Unlock { path, reason, slots } => SessionError::OtherState { path, reason, slots },
        error => error,
    }
}
