//! `vault pick COMMIT` and `vault revert COMMIT`.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use vault_core::format::entry::EntryName;
use vault_core::store;
use vault_core::vault::merge::Direction;

use super::Run;
use super::merge::{conflicts, shell};
use crate::cli::{Pick, Revert};
use crate::escape::quoted_path;
use crate::failure::{Failure, GitFailure};
use crate::message::{Exit, Status};
use crate::session::{Deed, Rollback, SessionError, Somebody, State, Target, replace_locked};
use crate::sys::git::Git;

pub(super) fn apply(run: &mut Run<'_>, arguments: &Pick) -> Result<Exit, Failure> {
    take(run, &arguments.commit, arguments.mainline, Direction::Apply)
}

pub(super) fn undo(run: &mut Run<'_>, arguments: &Revert) -> Result<Exit, Failure> {
    take(run, &arguments.commit, arguments.mainline, Direction::Undo)
}

fn take(
    run: &mut Run<'_>,
    revision: &str,
    mainline: Option<usize>,
    direction: Direction,
) -> Result<Exit, Failure> {
    let path = run.location()?.path;
    let path = path.canonicalize().unwrap_or(path);
    let (folder, name) = (path.parent().unwrap_or(Path::new(".")), path.file_name().unwrap_or_default());
    let mut target = Target::at(run, &path)?;
    let git = Git::at(folder);
    let (commit, parents) = git.commit(revision)?;
    let parent = match (mainline, &parents[..]) {
        (None, [parent]) => parent,
        (Some(number), _) if (1..=parents.len()).contains(&number) => &parents[number - 1],
        _ => return Err(GitFailure::Parents { commit: revision.to_owned(), parents: parents.len() }.into()),
    };
    let state_of = |commit: &str| -> Result<State, Failure> {
        let missing = || GitFailure::NoVaultAt { commit: commit.to_owned(), path: path.clone() };
        state(&path, git.file_at(commit, name)?.ok_or_else(missing)?)
    };
    let (before, after) = (state_of(parent)?, state_of(&commit)?);
    // In the middle of git's own attempt, our side is in the index; the file has its conflict in it.
    let from_index = git.stages(name)?.object(2).map(|object| git.blob(object)).transpose()?;
    let now = match &from_index {
        Some(bytes) => state(&path, bytes.clone())?,
        None => State::in_file(&path)?,
    };
    let mut open = target.unlock(run, vec![now, before, after], Somebody::Anybody, Rollback::Refused)?;
    target.opened(&open, NOW)?;

    let store = |error| SessionError::Store(path.clone(), error);
    let lock = store::lock(&path).map_err(store)?;
    // Somebody may have saved while a passphrase was typed.
    if from_index.is_none() {
        let now = State::of(Arc::new(lock.snapshot().map_err(store)?));
        open.renew(&path, NOW, now.map_err(|error| SessionError::Format(path.clone(), error))?)?;
    }
    let (verb, past) = match direction {
        Direction::Apply => ("pick", "picked"),
        Direction::Undo => ("revert", "reverted"),
    };
    let short: String = commit.chars().take(SHORT).collect();
    let picked = open.pick(&mut target, Deed { direction, words: &format!("{verb} {short}") })?;
    let durable = replace_locked(&path, lock, &picked.text)?;
    target.became(picked.mark)?;
    durable?;

    let names = |names: &[EntryName]| names.iter().map(|name| name.as_str().to_owned()).collect();
    if run.global.json {
        run.output.json(&Json {
            version: 1,
            commit: &commit,
            changed: names(&picked.changed),
            conflicts: names(&picked.conflicts),
            generation: picked.generation,
        })?;
    }
    let then = match from_index {
        Some(_) => format!("git add {}, and go on as \"git status\" says", shell(name)),
        None => format!("git commit {}", shell(name)),
    };
    let changed: Vec<String> =
        picked.changed.iter().map(|name| crate::escape::quoted(name.as_str())).collect();
    run.voice.status(&Status::Done(format!(
        "{past} {short} in {}: {}",
        quoted_path(&path),
        changed.join(", ")
    )));
    if picked.left_slots {
        run.voice.status(&Status::Done(
            "the commit changed key slots, too: those are left as they are; see: vault slot".to_owned(),
        ));
    }
    if picked.conflicts.is_empty() {
        run.voice.status(&Status::Done(format!("now: {then}")));
    }
    conflicts(picked.conflicts, Some(then))
}

fn state(path: &Path, bytes: Vec<u8>) -> Result<State, Failure> {
    Ok(State::of(Arc::new(bytes)).map_err(|error| SessionError::Format(path.to_owned(), error))?)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    commit: &'a str,
    changed: Vec<String>,
    conflicts: Vec<String>,
    generation: u64,
}

/// The number of the state that it is done to.
const NOW: usize = 0;
/// Digits of a commit's name that are shown.
const SHORT: usize = 12;
