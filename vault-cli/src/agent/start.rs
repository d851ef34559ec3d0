//! Starting an agent that lives on when this process ends.

use std::path::PathBuf;

use vault_core::agent::link::LinkError;
use vault_core::agent::place::Places;

use super::AgentError;
use super::socket::Bound;
use crate::sys::detach;

/// What became of a start.
pub(crate) enum Started {
    /// It listens.
    New,
    /// There was one.
    Running,
}

/// Starts an agent, and waits until it listens.
///
/// # Errors
/// [`AgentError::NoFolder`]; [`AgentError::NotStarted`], [`LinkError::System`]: the agent says why on standard error, which it
/// shares until then.
pub(crate) fn start(places: &Places) -> Result<Started, AgentError> {
    for place in places.all() {
        if place.connect()?.is_some() {
            return Ok(Started::Running);
        }
    }
    // Said here, once.
    Bound::check(places)?;
    let line = detach::start().map_err(|error| LinkError::System(PathBuf::from("vault agent"), error))?;
    match line.as_str() {
        READY => Ok(Started::New),
        RUNNING => Ok(Started::Running),
        _ => Err(AgentError::NotStarted),
    }
}

/// What an agent says when it listens.
pub(super) const READY: &str = "ready";
/// What it says when another one does.
pub(super) const RUNNING: &str = "running";
