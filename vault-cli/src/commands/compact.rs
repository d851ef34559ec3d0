//! `vault compact`.

use serde::Serialize;

use super::{Run, init};
use crate::cli::Compact;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::Session;
use crate::size::shown;

pub(super) fn run(run: &mut Run<'_>, arguments: &Compact) -> Result<Exit, Failure> {
    let (path, mut session) = run.open()?;
    let size = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let before = size();
    let committed = session.compact(arguments.pages.as_deref().map(init::pages))?;
    let after = size();
    if run.global.json {
        run.output.json(&Json { version: 1, before, after, generation: committed.generation })?;
    }
    run.voice.status(&Status::Done(format!("compacted from {} to {}", shown(before), shown(after))));
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json {
    version: u32,
    before: u64,
    after: u64,
    generation: u64,
}
