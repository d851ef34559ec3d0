//! The agent: a process that holds unlocked vaults, and the way to it. docs/agent-protocol.md.
//!
//! `socket` finds and checks places, `link` moves frames, `server` accepts, `connection` is what it knows of each, `held` keeps vaults, `answer` does what is asked for
//! through the same session that works without an agent.

mod answer;
mod clock;
mod connection;
mod held;
mod kept;
mod link;
mod server;
mod socket;
mod start;
mod workers;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use vault_core::agent::FrameError;
use vault_core::agent::message;

pub(crate) use held::Memory;
pub(crate) use link::{Link, ask_all, find, first};
pub(crate) use server::{Readiness, serve};
pub(crate) use socket::Places;
pub(crate) use start::{Started, start};

/// What went wrong between a client and the agent.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum AgentError {
    /// The agent says so.
    Told(Box<Told>),
    /// The connection ended before there was an answer.
    Lost(io::Error),
    /// It did not answer for so long.
    Silent(Duration),
    /// What came is not of this protocol, or what was to be sent is too large for it.
    Frame(FrameError),
    /// This is not to be trusted, or cannot be used.
    Place {
        /// The socket or its folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The system refuses something about this path.
    System(PathBuf, io::Error),
    /// No folder passes the checks.
    NoFolder(Vec<(PathBuf, &'static str)>),
    /// There is an agent already.
    Running(PathBuf),
    /// It ended before it was ready.
    NotStarted,
    /// None runs.
    NotRunning,
}

/// What the agent said, for people and programs.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) exit: u8,
    pub(crate) text: String,
    pub(crate) hints: Vec<String>,
    pub(crate) causes: Vec<String>,
    pub(crate) parts: Vec<String>,
}

impl From<message::Error> for Told {
    fn from(error: message::Error) -> Self {
        let message::Error { id, exit, text, hints, causes, parts } = error;
        let [hints, causes, parts] = [hints, causes, parts].map(Option::unwrap_or_default);
        Self { id, exit, text, hints, causes, parts }
    }
}

impl From<Told> for message::Error {
    fn from(told: Told) -> Self {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let Told { id, exit, mut text, hints, causes, parts } = told;
        // It has to fit a frame. Half a list would be taken for the whole.
        let parts = some(parts).filter(|parts| parts.iter().map(String::len).sum::<usize>() <= LONG);
        if text.len() > LONG {
            let end = (0..=LONG).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
            text.push('…');
        }
        Self { id, exit, text, hints: some(hints), causes: some(causes), parts }
    }
}

impl AgentError {
    /// Whether the agent says that it does not hold the vault, or not this one.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, Self::Told(told) if ["agent-locked", "agent-replaced"].contains(&told.id.as_str()))
    }

    /// Whether the two speak different versions.
    pub(crate) fn is_version(&self) -> bool {
        matches!(self, Self::Told(told) if told.id == "agent-version")
    }
}

/// Bytes of an error's text, and of its parts.
const LONG: usize = 256 << 10;
/// Name and version of this program.
const PROGRAM: &str = concat!("vault ", env!("CARGO_PKG_VERSION"));
