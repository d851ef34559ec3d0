//! `vault pick COMMIT` and `vault revert COMMIT`.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use vault_core::crypto::random::SystemRandom;
use vault_core::format::entry::EntryName;
use vault_core::store;
use vault_core::vault::LockedVault;
use vault_core::vault::merge::{Direction, MergeContext, pick};

use super::Run;
use super::merge::{conflicts, shell};
use crate::cli::{Pick, Revert};
use crate::escape::quoted_path;
use crate::failure::{Failure, GitFailure};
use crate::message::{Exit, Status};
use crate::session::{Rollback, SessionError, Somebody, State, Target};
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
    let states = vec![now.vault, before.vault, after.vault];
    let mut open = target.unlock(run, states, Somebody::Anybody, Rollback::Refused)?.into_iter();
    let (Some(now), Some(before), Some(after)) = (open.next(), open.next(), open.next()) else {
        unreachable!("as many as were given");
    };
    target.opened(&now)?;

    let lock = store::lock(&path).map_err(|error| SessionError::Store(path.clone(), error))?;
    // Somebody may have saved while a passphrase was typed.
    let now = if from_index.is_some() {
        now
    } else {
        let snapshot = lock.snapshot().map_err(|error| SessionError::Store(path.clone(), error))?;
        let locked = LockedVault::open(Arc::new(snapshot))
            .map_err(|error| SessionError::Format(path.clone(), error))?;
        locked.unlock_as(&now).map_err(|_| SessionError::Replaced(path.clone()))?
    };
    let (verb, past) = match direction {
        Direction::Apply => ("pick", "picked"),
        Direction::Undo => ("revert", "reverted"),
    };
    let short: String = commit.chars().take(SHORT).collect();
    let author = run.environment.author();
    let mut context = MergeContext { now: run.now, author: &author, random: &mut SystemRandom };
    let reason = format!("{verb} {short}");
    let picked = pick(&now, &before, &after, direction, Some(&reason), &mut context)
        .map_err(|error| GitFailure::Pick { path: path.clone(), commit: revision.to_owned(), error })?;
    target.may_change(&now, &picked.given)?;
    let stored = lock.replace(&picked.saved.text);
    target.saved(&now, stored.map_err(|error| SessionError::Save(path.clone(), error))?, &picked.saved);

    let names = |names: &[EntryName]| names.iter().map(|name| name.as_str().to_owned()).collect();
    if run.global.json {
        run.output.json(&Json {
            version: 1,
            commit: &commit,
            changed: names(&picked.changed),
            conflicts: names(&picked.conflicts),
            generation: picked.saved.generation,
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

/// Digits of a commit's name that are shown.
const SHORT: usize = 12;
