//! `vault rename FROM TO`.

use serde::Serialize;

use super::{Run, entry_name, no_entry};
use crate::cli::Rename;
use crate::escape::quoted;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::{Change, Session};

pub(super) fn run(run: &mut Run<'_>, arguments: &Rename) -> Result<Exit, Failure> {
    let (from, to) = (entry_name(&arguments.from)?, entry_name(&arguments.to)?);
    let (path, mut session) = run.open()?;
    if session.meta(&from)?.is_none() {
        return Err(no_entry(&mut session, &path, from));
    }
    let change = Change::Rename { from: from.clone(), to: to.clone() };
    let committed = session.commit(vec![change], &mut |_| {})?;
    if run.global.json {
        let (from, to) = (from.as_str(), to.as_str());
        run.output.json(&Json { version: 1, from, to, generation: committed.generation })?;
    }
    run.voice.status(&Status::Done(format!("renamed {} to {}", quoted(from.as_str()), quoted(to.as_str()))));
    Ok(Exit::Ok)
}

/// What a rename or a copy reports.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    pub(super) version: u32,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) generation: u64,
}
