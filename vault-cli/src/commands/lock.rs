//! `vault lock`.

use serde::Serialize;
use vault_core::agent::Request;
use vault_core::agent::link::ask_all;
use vault_core::agent::message::{self, Locked, VaultPath};

use super::Run;
use crate::agent::places;
use crate::cli::Lock;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::SessionError;

pub(super) fn run(run: &mut Run<'_>, arguments: &Lock) -> Result<Exit, Failure> {
    let vault = match arguments.all {
        true => None,
        false => VaultPath::new(&run.location()?.path),
    };
    let request = Request::Lock(message::Lock { vault });
    let mut count = 0;
    // No agent holds nothing.
    for locked in ask_all::<Locked>(&places(&run.environment), &request) {
        count += locked.map_err(SessionError::from)?.count;
    }
    if run.global.json {
        run.output.json(&Json { version: 1, locked: count })?;
    }
    let text = match count {
        0 => "nothing was unlocked".to_owned(),
        1 => "locked 1 vault".to_owned(),
        _ => format!("locked {count} vaults"),
    };
    run.voice.status(&Status::Done(text));
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json {
    version: u32,
    locked: u64,
}
