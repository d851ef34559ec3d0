//! `vault trust`.

use std::path::Path;

use serde::Serialize;
use vault_core::keys::VaultId;
use vault_core::vault::pin::{Sighting, Standing};

use super::Run;
use crate::cli::Trust;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::{Local, PathPins, PinError, SessionError, open_locked};

pub(super) fn run(run: &mut Run<'_>, arguments: &Trust) -> Result<Exit, Failure> {
    let path = run.location()?.path;
    let mut pins = run.pins(&path)?;
    let locked = open_locked(&path)?;
    let id = locked.id();
    let before = match pins.check_id(id) {
        Ok(()) => None,
        Err(PinError::OtherVault { pinned, .. }) => Some(pinned),
        // What names a vault is not overruled by a command.
        Err(error) => return Err(SessionError::pin(&path, error).into()),
    };
    // Who cannot open it has no reason to trust it. Which vault a machine key names does not matter: that may be old, too.
    let (session, _) = run.unlock_any(&path, locked, true, None)?;
    let seen = pins.opened(session.vault()).map_err(|error| SessionError::Verify(path.clone(), error))?;
    let seen = seen.map_err(|error| SessionError::pin(&path, error))?;
    let done = if before.is_some() || seen.older.is_some() {
        run.voice.report_lines(&comparison(&session, before, seen.older));
        if !arguments.yes && !run.prompt.confirm("trust it?").map_err(Failure::asking("a yes (--yes)"))? {
            return Err(Failure::Declined);
        }
        "trusted from now on"
    } else if let Some(Standing::FirstSeen) = pins.facts(&id).standing {
        "seen for the first time, and trusted from now on"
    } else {
        "trusted already"
    };
    accept(&mut pins, &session, &path)?;
    run.voice.status(&Status::Done(format!("{done}: {id}")));
    if run.global.json {
        let before = before.map(|id| id.to_string());
        run.output.json(&Json { version: 1, vault_id: id.to_string(), before })?;
    }
    Ok(Exit::Ok)
}

/// What was there and what is there, and who can open it.
fn comparison(session: &Local, before: Option<VaultId>, older: Option<(u64, u64)>) -> Vec<String> {
    let vault = session.vault();
    let mut lines = Vec::new();
    if let Some(before) = before {
        lines.push(format!("it was {before}"));
        lines.push(format!("it is  {}", vault.id()));
    }
    if let Some((generation, seen)) = older {
        lines.push(format!("it is at generation {generation}, and generation {seen} was seen here"));
    }
    lines.extend(vault.slots().iter().map(|slot| format!("slot {} ({})", slot.label, slot.kind.name())));
    lines
}

/// Trusting is remembering: here it has to work.
fn accept(pins: &mut PathPins, session: &Local, path: &Path) -> Result<(), Failure> {
    pins.accept(&Sighting::of(session.vault()));
    match pins.unpinned() {
        Some(why) => Err(SessionError::pin(path, PinError::Unpinned(why)).into()),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Json {
    version: u32,
    vault_id: String,
    before: Option<String>,
}
