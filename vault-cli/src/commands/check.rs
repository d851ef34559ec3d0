//! `vault check`.

mod salvage;

use clap::CommandFactory;
use clap::error::ErrorKind;
use serde::Serialize;
use vault_core::vault::{Counts, LockedVault};

use super::{Run, warn_of_line_ends};
use crate::cli::{Check, Cli};
use crate::context::{Unlocker, unlock_sources};
use crate::failure::Failure;
use crate::message::Exit;
use crate::session::{Session, SessionError, has_passphrase, open_locked};
use crate::size::shown;

pub(super) fn run(run: &mut Run<'_>, arguments: &Check) -> Result<Exit, Failure> {
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
    let held = if arguments.no_key { None } else { run.of_agent(&path)? };
    if arguments.no_key || (held.is_none() && !can_unlock(run, &locked)) {
        let counts = locked.check().map_err(|error| SessionError::Format(path.clone(), error))?;
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
    report(run, counts?, Depth::Everything)?;
    warn_of_line_ends(run, &path)?;
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

/// Whether there is something to unlock with, or somebody to ask for what a slot wants.
fn can_unlock(run: &mut Run<'_>, locked: &LockedVault) -> bool {
    let options = run.global.unlock.options();
    let named = unlock_sources(&options, &run.environment)
        .iter()
        .any(|source| !matches!(source.what, Unlocker::Terminal));
    named || (has_passphrase(locked) && run.prompt.can_ask())
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
