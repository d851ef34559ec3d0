//! `vault agent`.

use std::path::Path;

use serde::Serialize;
use vault_core::agent::Request;
use vault_core::agent::link::ask_all;
use vault_core::agent::message::{self, AgentStatus, Done, Stop};
use vault_core::agent::place::Places;

use super::Run;
use crate::agent::{AgentError, Memory, Readiness, Started, places, serve, start};
use crate::cli::{Agent, AgentAction};
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::SessionError;
use crate::time::shown_span;

pub(super) fn run(run: &mut Run<'_>, arguments: &Agent) -> Result<Exit, Failure> {
    let places = places(&run.environment);
    let done = match arguments.action {
        Some(AgentAction::Stop) => stop(&places).map(|()| Some("stopped the agent")),
        None if arguments.detached => serve(&places, memory(run), &Readiness::Detached).map(|()| None),
        None if arguments.foreground => {
            let passed = run.environment.passed_sockets();
            let readiness = passed.map_or(Readiness::Foreground, Readiness::Passed);
            serve(&places, memory(run), &readiness).map(|()| None)
        }
        None => start(&places).map(|started| match started {
            Started::New => Some("started the agent"),
            Started::Running => Some("the agent runs already"),
        }),
    };
    if let Some(text) = done.map_err(SessionError::Agent)? {
        if run.global.json {
            run.output.json(&Json { version: 1, running: arguments.action.is_none(), done: text })?;
        }
        run.voice.status(&Status::Done(text.to_owned()));
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json {
    version: u32,
    /// Whether there is an agent now.
    running: bool,
    /// What was done, in words.
    done: &'static str,
}

/// Where the agent compares vaults with what was seen.
fn memory(run: &Run<'_>) -> Memory {
    Memory {
        folder: run.environment.state_folder(),
        required: run.config.require_pin,
        named_by_key: false,
        allow_rollback: false,
    }
}

fn stop(places: &Places) -> Result<(), AgentError> {
    let stop = Request::Stop(Stop {});
    let stopped = ask_all::<Done>(places, &stop).collect::<Result<Vec<_>, _>>()?;
    if stopped.is_empty() { Err(AgentError::NotRunning) } else { Ok(()) }
}

/// The agent, as `status` shows it.
#[derive(Serialize)]
pub(super) struct State {
    pid: u32,
    program: String,
    vaults: usize,
    holds: bool,
    lease_seconds: Option<u64>,
    idle_seconds: Option<u64>,
    locked_memory: &'static str,
}

impl State {
    pub(super) fn line(&self) -> String {
        let mut line = format!("agent: process {}, {} unlocked", self.pid, self.vaults);
        if self.holds {
            line += ", this vault too";
            if let Some(seconds) = self.lease_seconds {
                line += &format!(", for {} more", shown_span(seconds));
            }
            if let Some(seconds) = self.idle_seconds {
                line += &format!(", unless it is idle for {}", shown_span(seconds));
            }
        }
        line + "; memory: " + self.locked_memory
    }
}

/// The agent's state; none if no agent runs, or is to be asked.
///
/// # Errors
/// [`SessionError::Agent`], but not if the agent is of another version.
pub(super) fn state(run: &Run<'_>, vault: &Path) -> Result<Option<State>, Failure> {
    if run.global.no_agent {
        return Ok(None);
    }
    let real = vault.canonicalize();
    let mut state = None;
    for status in ask_all(&places(&run.environment), &Request::Status(message::Status {})) {
        let status: AgentStatus = match status {
            Ok(status) => status,
            Err(error) if error.is_version() => continue,
            Err(error) => return Err(SessionError::from(error).into()),
        };
        let held = status.held.iter().find(|held| real.as_ref().is_ok_and(|real| held.vault.path() == real));
        let found = State {
            pid: status.pid,
            program: status.program.clone(),
            vaults: status.held.len(),
            holds: held.is_some(),
            lease_seconds: held.and_then(|held| held.lease),
            idle_seconds: held.and_then(|held| held.idle),
            locked_memory: match status.locked_memory {
                2 => "all locked",
                1 => "keys locked",
                _ => "may be swapped out",
            },
        };
        if found.holds {
            return Ok(Some(found));
        }
        state.get_or_insert(found);
    }
    Ok(state)
}
