//! `vault slot test LABEL`.

use serde::Serialize;

use super::super::Run;
use super::{find, label};
use crate::cli::SlotTest;
use crate::escape::quoted;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::{Session, SessionError, open_locked};

pub(super) fn run(run: &mut Run<'_>, arguments: &SlotTest) -> Result<Exit, Failure> {
    let label = label(&arguments.label)?;
    let path = run.location()?.path;
    let slot = find(open_locked(&path)?.slots(), label.as_str())?;
    let session = run.unlock_with(&path, Some(label))?.0;
    // Not one that took its label meanwhile.
    if session.opened_by() != Some(slot.id) {
        return Err(SessionError::SlotChanged(arguments.label.clone()).into());
    }
    let facts = session.facts();
    let kind = slot.kind.name();
    if run.global.json {
        let sources = facts.sources;
        run.output.json(&Json { version: 1, slot: &arguments.label, kind, opens: true, sources })?;
        return Ok(Exit::Ok);
    }
    run.voice.status(&Status::Done(format!(
        "slot {} ({kind}) opens the vault, with {}",
        quoted(&arguments.label),
        facts.sources.join(", ")
    )));
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    slot: &'a str,
    kind: &'a str,
    opens: bool,
    sources: Vec<&'static str>,
}
