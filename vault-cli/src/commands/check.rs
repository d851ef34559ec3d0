//! `vault check`.

mod salvage;
mod staged;

use clap::CommandFactory;
use clap::error::ErrorKind;
use serde::Serialize;
use vault_core::format::entry::Meta;
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
        return staged::run(run, Key::of(arguments));
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
    let mut broken = rules.of_vault(locked.id(), locked.slots());
    let key = Key::of(arguments);
    if key == Key::Unwanted || (held.is_none() && !can_unlock(run, &locked)) {
        let counts = locked.check().map_err(|error| SessionError::Format(path.clone(), error))?;
        obey(&path, &rules, broken.clone())?;
        // Whoever insists on a key hears first what is wrong without one, and then that it is locked.
        if key != Key::Needed {
            report(run, counts, None)?;
            warn_of_line_ends(run, &path)?;
            return Ok(Exit::Ok);
        }
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
    let entries = session.list()?;
    if rules.concern_entries() {
        broken.extend(entries.iter().flat_map(|meta| rules.of_entry(meta, run.now)));
    }
    obey(&path, &rules, broken)?;
    let conflicts = in_conflict(&entries);
    report(run, counts, Some(&conflicts))?;
    if !conflicts.is_empty() {
        run.voice.warn(Warning::InConflict { path: path.clone(), names: conflicts })?;
    }
    warn_of_line_ends(run, &path)?;
    for (item, entries) in item::duplicates(&entries) {
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

/// What the options say of the key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// It is used where there is one.
    Welcome,
    /// It is not used.
    Unwanted,
    /// Without one the check fails.
    Needed,
}

impl Key {
    fn of(arguments: &Check) -> Self {
        match (arguments.no_key, arguments.need_key) {
            (true, _) => Self::Unwanted,
            (false, true) => Self::Needed,
            (false, false) => Self::Welcome,
        }
    }
}

/// The names of the entries that a merge left with several versions.
fn in_conflict(entries: &[Meta]) -> Vec<String> {
    entries.iter().filter(|meta| meta.in_conflict()).map(|meta| meta.name.as_str().to_owned()).collect()
}

/// Without a key it is not known which entries are in conflict.
fn report(run: &mut Run<'_>, counts: Counts, conflicts: Option<&[String]>) -> Result<(), Failure> {
    let Counts { entries, attachments, seals, bytes } = counts;
    let verified = conflicts.is_some();
    if run.global.json {
        let json = Json { version: 1, ok: true, verified, entries, attachments, seals, bytes, conflicts };
        return Ok(run.output.json(&json)?);
    }
    if run.global.quiet {
        return Ok(());
    }
    let what = if verified {
        "everything verifies: form, tags, log and every value"
    } else {
        "the form is right; nothing was unlocked, so tags and values were not checked, nor whether entries are in conflict"
    };
    let size = shown(bytes);
    run.output.lines([
        what.to_owned(),
        format!("entries: {entries}, attachments: {attachments}, seals: {seals}, size: {size}"),
    ])?;
    Ok(())
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    ok: bool,
    verified: bool,
    entries: u64,
    attachments: u64,
    seals: u64,
    bytes: u64,
    /// Names; `null` if nothing was unlocked.
    conflicts: Option<&'a [String]>,
}

const PROGRESS_STEP: u16 = 16;
