//! `vault slot rename FROM TO`.

use serde::Serialize;
use vault_core::format::seal::SlotOp;
use vault_core::format::slot::SlotLine;

use super::super::Run;
use super::{find, label, open};
use crate::cli::SlotRename;
use crate::escape::quoted;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::SlotEdit;

pub(super) fn run(run: &mut Run<'_>, arguments: &SlotRename) -> Result<Exit, Failure> {
    let to = label(&arguments.to)?;
    let (_, mut session) = open(run)?;
    let old = find(session.slots(), &arguments.from)?;
    let new = SlotLine { label: to, ..old.clone() };
    let committed = session.change_slots(vec![SlotEdit::Replace { old, new, how: SlotOp::Relabel }])?;
    if run.global.json {
        let generation = committed.generation;
        run.output.json(&Json { version: 1, from: &arguments.from, to: &arguments.to, generation })?;
    }
    run.voice.status(&Status::Done(format!(
        "renamed slot {} to {}",
        quoted(&arguments.from),
        quoted(&arguments.to)
    )));
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    from: &'a str,
    to: &'a str,
    generation: u64,
}
