//! `vault check --staged`: what the next commit takes, before it is taken. Runs in hooks, and so never asks.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::Serialize;
use vault_core::format::lines::FormatError;
use vault_core::vault::{Counts, UnlockFailure};

use super::super::Run;
use super::super::states::{self, States};
use super::{Key, in_conflict};
use crate::context::Reason;
use crate::failure::Failure;
use crate::message::Exit;
use crate::policy::{self, Policy};
use crate::session::{SessionError, State, has_passphrase, obey};
use crate::sys::revisions::{GitError, Objects, Repository};

pub(super) fn run(run: &mut Run<'_>, key: Key) -> Result<Exit, Failure> {
    let location = run.location()?;
    let (repository, files) = if matches!(location.reason, Reason::Option | Reason::Variable) {
        let repository = Repository::of(&run.folder, &location.path)?;
        let file = repository.path().to_owned();
        (repository, vec![file])
    } else {
        let repository = Repository::here(&run.folder)?;
        let files = vaults(&repository)?;
        (repository, files)
    };
    let unmerged = repository.unmerged()?;
    let mut checked = Vec::new();
    for path in files {
        if unmerged.contains(&path) {
            let error = FormatError::ConflictMarkers { offset: 0 };
            return Err(SessionError::Format(path, error).into());
        }
        let of_file = repository.with(&path);
        // A vault that was named, and that the commit does not have, is not taken for right.
        let text = of_file.content(None)?;
        let rules = policy(&of_file, &path)?;
        checked.push(check(run, &of_file, text, &rules, key)?);
    }
    report(run, &checked)?;
    Ok(Exit::Ok)
}

/// What the next commit changes and what is a vault, or is called one. Where the rules change, the vaults beside them, too.
fn vaults(repository: &Repository) -> Result<Vec<PathBuf>, Failure> {
    let mut objects = repository.objects()?;
    let mut all = Vec::new();
    for file in repository.staged()? {
        if is_called_vault(&file.path) || begins_as_vault(&mut objects, file.blob.as_ref())? {
            all.push(file.path);
        } else if file.path.file_name().is_some_and(|name| name == policy::FILE_NAME) {
            for beside in repository.files_in(file.path.parent().unwrap_or(Path::new("")))? {
                let mut object = OsString::from(":0:");
                object.push(&beside);
                if is_called_vault(&beside) || begins_as_vault(&mut objects, &object)? {
                    all.push(beside);
                }
            }
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

fn is_called_vault(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "vault")
}

fn begins_as_vault(objects: &mut Objects, object: &OsStr) -> Result<bool, GitError> {
    let mut first = [0; VAULT.len()];
    let begins = objects.content(object, |content, _| content.read_exact(&mut first).is_ok())?;
    Ok(begins == Some(true) && first == *VAULT)
}

/// The rules that the commit has beside a vault.
fn policy(vault: &Repository, path: &Path) -> Result<Policy, Failure> {
    let file = path.with_file_name(policy::FILE_NAME);
    match vault.with(&file).content(None) {
        Ok(text) => Ok(Policy::parse(&file, &text).map_err(SessionError::Policy)?),
        Err(GitError::NoFile { .. }) => Ok(Policy::default()),
        Err(error) => Err(error.into()),
    }
}

/// A file that is as it should be.
#[derive(Serialize)]
struct Checked {
    file: String,
    verified: bool,
    entries: u64,
    seals: u64,
}

fn check(
    run: &mut Run<'_>,
    file: &Repository,
    text: Vec<u8>,
    rules: &Policy,
    key: Key,
) -> Result<Checked, Failure> {
    let path = file.path();
    let state = states::parse(path, text)?;
    let counts = state.vault.check().map_err(|error| SessionError::Format(path.to_owned(), error))?;
    let broken = rules.of_vault(state.vault.id(), state.vault.slots());
    obey(path, rules, broken)?;
    let passphrase = has_passphrase(&state.vault);
    let verified = key != Key::Unwanted && verify(run, file, state, rules, key)?;
    if key == Key::Needed && !verified {
        let (path, empty) = (path.to_owned(), run.empty_variable);
        return Err(SessionError::Locked { path, passphrase, empty }.into());
    }
    let Counts { entries, seals, .. } = counts;
    Ok(Checked { file: path.to_string_lossy().into_owned(), verified, entries, seals })
}

/// Whether the key that is there opens the vault; if so, everything has to verify.
fn verify(
    run: &mut Run<'_>,
    file: &Repository,
    state: State,
    rules: &Policy,
    key: Key,
) -> Result<bool, Failure> {
    let path = file.path();
    let Some(mut states) = States::without_asking(run, path, &file.file(), &state.vault)? else {
        return Ok(false);
    };
    let number = match states.unlock(run, state) {
        Ok(number) => number,
        // Of several vaults, not all need to be this person's.
        Err(Failure::Session(error))
            if key != Key::Needed
                && matches!(
                    *error,
                    SessionError::Unlock { reason: UnlockFailure::Denied(_), .. }
                        | SessionError::Locked { .. }
                ) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let session = states.state(number);
    session.check(&|_| ())?;
    let entries = session.list()?;
    let in_conflict = in_conflict(&entries);
    if !in_conflict.is_empty() {
        return Err(Failure::ConflictsLeft { path: path.to_owned(), names: in_conflict });
    }
    obey(path, rules, entries.iter().flat_map(|meta| rules.of_entry(meta, run.now)).collect())?;
    Ok(true)
}

fn report(run: &mut Run<'_>, files: &[Checked]) -> Result<(), Failure> {
    if run.global.json {
        return Ok(run.output.json(&Json { version: 1, ok: true, files })?);
    }
    if run.global.quiet {
        return Ok(());
    }
    Ok(run.output.lines(files.iter().map(|file| {
        let what = if file.verified {
            "verifies"
        } else {
            "has the right form; it was not unlocked, so a conflict in it would not be seen"
        };
        format!("{}: {what} (entries: {}, seals: {})", file.file, file.entries, file.seals)
    }))?)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    ok: bool,
    files: &'a [Checked],
}

/// How every version of the format begins.
const VAULT: &[u8; 6] = b"vault/";
