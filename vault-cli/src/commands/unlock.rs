//! `vault unlock`.

use serde::Serialize;
use vault_core::agent::link::{LinkError, first};
use vault_core::agent::message::{self, Flag, VaultPath};
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
    start(&places).map_err(SessionError::Agent)?;
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
    let link = first(&places).map_err(SessionError::from)?;
    let mut link = link.ok_or(SessionError::Agent(AgentError::NotRunning))?;
    run.voice.transient("trying what unlocks, which may take a while on purpose");
    let answer: Result<Facts, LinkError> = link.call(&request);
    run.voice.transient("");
    let facts = answer.map_err(SessionError::from)?;
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

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    file: String,
    generation: u64,
    slot: Option<&'a str>,
    lease_seconds: Option<u64>,
    idle_seconds: Option<u64>,
}
