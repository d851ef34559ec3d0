//! `vault unlock`.

use std::time::{Duration, Instant};

use serde::Serialize;
use vault_core::agent::link::{LinkError, first};
use vault_core::agent::message::{self, Flag, VaultPath};
use vault_core::agent::place::Places;
use vault_core::agent::{Request, message::Facts};

use super::Run;
use crate::agent::{AgentError, places, start};
use crate::cli::Unlock;
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::{SessionError, open_locked, to_be_sent};
use crate::time::shown_span;

pub(super) fn run(run: &mut Run<'_>, arguments: &Unlock) -> Result<Exit, Failure> {
    let path = run.location()?.path;
    // Whether it is one, and what opens it, before anybody is asked.
    let locked = open_locked(&path)?;
    run.pins(&path)?.check_id(locked.id()).map_err(|error| SessionError::pin(&path, error))?;
    let credentials = to_be_sent(run, &path, &locked, arguments.stdin)?;
    let places = places(&run.environment);
    let vault = VaultPath::new(&path)
        .ok_or(LinkError::Place { path: path.clone(), why: "the path is too long for the agent" })
        .map_err(SessionError::from)?;
    let unlock = &run.global.unlock;
    let kib = unlock.max_kdf_memory.map(|bytes| u32::try_from(bytes / 1024).unwrap_or(u32::MAX));
    let request = Request::Unlock(message::Unlock {
        vault,
        credentials,
        lease: arguments.lease,
        idle: arguments.idle,
        slot: unlock.slot.clone(),
        max_kdf_memory: kib,
        allow_rollback: unlock.allow_rollback.then_some(Flag),
    });
    run.voice.transient("trying what unlocks, which may take a while on purpose");
    let mut answer = asked(&places, &request);
    if answer.as_ref().is_err_and(is_about_to_end) {
        wait_for_the_end(&places);
        answer = asked(&places, &request);
    }
    run.voice.transient("");
    let facts = answer.map_err(SessionError::Agent)?;
    if run.global.json {
        let slot = facts.slot.as_deref();
        let file = path.to_string_lossy().into_owned();
        let (lease, idle) = (arguments.lease, arguments.idle);
        run.output.json(&Json {
            version: 1,
            file,
            generation: facts.generation,
            slot,
            lease_seconds: lease,
            idle_seconds: idle,
        })?;
    }
    let mut text = format!("unlocked {}", quoted_path(&path));
    if let Some(seconds) = arguments.lease {
        text += &format!(" for {}", shown_span(seconds));
    }
    run.voice.status(&Status::Done(text));
    Ok(Exit::Ok)
}

/// What the agent says to it, which is started if none runs.
fn asked(places: &Places, request: &Request) -> Result<Facts, AgentError> {
    start(places)?;
    let mut link = first(places)?.ok_or(AgentError::NotRunning)?;
    Ok(link.call(request)?)
}

/// Whether the agent was met in its last moments: it ends when the requests that it has are done.
fn is_about_to_end(error: &AgentError) -> bool {
    match error {
        AgentError::NotRunning | AgentError::Link(LinkError::Lost(_)) => true,
        AgentError::Link(LinkError::Told(told)) => told.id == "agent-lost",
        _ => false,
    }
}

fn wait_for_the_end(places: &Places) {
    let deadline = Instant::now() + ENDING;
    while Instant::now() < deadline && first(places).is_ok_and(|link| link.is_some()) {
        std::thread::sleep(LOOK);
    }
}

/// Longer than an agent takes to end.
const ENDING: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    file: String,
    generation: u64,
    slot: Option<&'a str>,
    lease_seconds: Option<u64>,
    idle_seconds: Option<u64>,
}
