//! The agent: a process that holds unlocked vaults, and the way to it. docs/agent-protocol.md.
//!
//! `socket` is what it listens on, `server` accepts, `connection` is what it knows of each, `held` keeps vaults, `answer` does what
//! is asked for through the same session that works without an agent. Places, frames and the client's end are in
//! `vault_core::agent`.

mod answer;
mod clock;
mod connection;
mod held;
mod kept;
mod server;
mod socket;
mod start;
mod workers;

use std::path::PathBuf;

use vault_core::agent::link::LinkError;
use vault_core::agent::place::Places;

use crate::context::Environment;

pub(crate) use held::Memory;
pub(crate) use server::{Readiness, serve};
pub(crate) use start::{Started, start};

/// What went wrong with the agent.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum AgentError {
    /// On the way to it, or it says so.
    Link(LinkError),
    /// No folder passes the checks.
    NoFolder(Vec<(PathBuf, &'static str)>),
    /// There is an agent already.
    Running(PathBuf),
    /// It ended before it was ready.
    NotStarted,
    /// None runs.
    NotRunning,
}

impl From<LinkError> for AgentError {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// Where an agent may be, as the environment says.
pub(crate) fn places(environment: &Environment) -> Places {
    Places::new(PROGRAM, environment.agent_socket(), environment.runtime_folder())
}

/// Name and version of this program.
const PROGRAM: &str = concat!("vault ", env!("CARGO_PKG_VERSION"));
