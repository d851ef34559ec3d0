//! `vault check`.

mod salvage;
mod staged;

use clap::CommandFactory;
use clap::error::ErrorKind;
use serde::Serialize;
use vault_core::item;
use vault_core::vault::Counts;

use super::states::can_unlock;
use super::{Run, warn_of_line_ends};
use crate::cli::{Check, Cli};
use crate::failure::Failure;
use crate::message::{Exit, Warning};
use crate::policy::Policy;
use crate::session::{Session, SessionError, obey, open_locked};
use crate::size::shown;

pub(super) fn run(run: &mut Run<'_>, arguments: &Check) -> Result<Exit, Failure> {
    if arguments.staged {
        return staged::run(run, arguments.no_key);
    }
    let path = run.location()?.path;
    match &arguments.salvage {
        Some(to) => {
            let to = run.folder.join(to);
            return salvage::run(run, arguments, &path, &to);
        }
        None if arguments.slots.is_named() => return Err(Failure::Usage(needs_salvage())),
        None => {}
    }
    let locked = open_locked(&path)?;
    // Also without a key: another vault, or another commitment, at a path that is known is never well.
    run.pins(&path)?.check_id(locked.id()).map_err(|error| SessionError::pin(&path, error))?;
    let held = if arguments.no_key { None } else { run.of_agent(&path)? };
    let rules = Policy::beside(&path).map_err(SessionError::Policy)?;
    let mut broken = rules.of_vault(locked.header().uuid, locked.slots());
    if arguments.no_key || (held.is_none() && !can_unlock(run, &locked)) {
        let counts = locked.check().map_err(|error| SessionError::Format(path.clone(), error))?;
        obey(&path, &rules, broken)?;
        report(run, counts, Depth::Form)?;
        warn_of_line_ends(run, &path)?;
        return Ok(Exit::Ok);
    }
    let pages = locked.header().pages.count();
    let mut session: Box<dyn Session> = match held {
        Some(session) => Box::new(session),
        None => Box::new(run.unlock(&path)?),
    };
    let voice = run.voice;
    let counts = session.check(&|done| {
        if done.is_multiple_of(PROGRESS_STEP) {
            voice.transient(&format!("checked {done} of {pages} pages"));
        }
    });
    voice.transient("");
    let counts = counts?;
    if rules.concern_entries() {
        broken.extend(session.list()?.iter().flat_map(|meta| rules.of_entry(meta, run.now)));
    }
    obey(&path, &rules, broken)?;
    report(run, counts, Depth::Everything)?;
    warn_of_line_ends(run, &path)?;
    for (item, entries) in item::duplicates(&session.list()?) {
        let entries = entries.iter().map(|name| name.as_str().to_owned()).collect();
        run.voice.warn(Warning::SameItem { service: item.service().to_owned(), entries })?;
    }
    Ok(Exit::Ok)
}

/// Options for a new vault that is not to be made.
fn needs_salvage() -> clap::Error {
    let text = "options for a new vault are of use only with --salvage";
    Cli::command().error(ErrorKind::MissingRequiredArgument, text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Form,
    Everything,
}

fn report(run: &mut Run<'_>, counts: Counts, depth: Depth) -> Result<(), Failure> {
    let Counts { entries, attachments, seals, bytes } = counts;
    if run.global.json {
        let verified = depth == Depth::Everything;
        run.output.json(&Json { version: 1, ok: true, verified, entries, attachments, seals, bytes })?;
        return Ok(());
    }
    if run.global.quiet {
        return Ok(());
    }
    let what = match depth {
        Depth::Form => "the form is right; nothing was unlocked, so tags and values were not checked",
        Depth::Everything => "everything verifies: form, tags, log and every value",
    };
    let size = shown(bytes);
    run.output.lines([
        what.to_owned(),
        format!("entries: {entries}, attachments: {attachments}, seals: {seals}, size: {size}"),
    ])?;
    Ok(())
}

#[derive(Serialize)]
struct Json {
    version: u32,
    ok: bool,
    verified: bool,
    entries: u64,
    attachments: u64,
    seals: u64,
    bytes: u64,
}

const PROGRESS_STEP: u16 = 16;
