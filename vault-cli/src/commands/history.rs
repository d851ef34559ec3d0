//! `vault history NAME`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use vault_core::format::id::SealId;
use vault_core::vault::LogRecord;

use super::log::{OfEntry, newest_first, short, words};
use super::{Run, entry_name, no_entry, states};
use crate::cli::History;
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::Session;
use crate::sys::revisions::{GitError, Repository};
use crate::time::shown;

pub(super) fn run(run: &mut Run<'_>, arguments: &History) -> Result<Exit, Failure> {
    let name = entry_name(&arguments.name)?;
    let (path, mut session) = run.open()?;
    let records = newest_first(session.log()?.records, Some(&name));
    if records.is_empty() && session.meta(&name)?.is_none() {
        return Err(no_entry(&mut session, &path, name));
    }
    let commits = match Repository::of(&run.folder, &path) {
        Ok(repository) => {
            let all = repository.commits()?;
            if all.is_empty() {
                let text = format!("no commit of git has {} yet", quoted_path(&path));
                run.voice.status(&Status::Done(text));
            }
            commits(&repository, &path, &records, all)?
        }
        // Outside of git, the log says what there is to say.
        Err(GitError::NoRepository(_) | GitError::NotRun(_)) => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    if run.global.json {
        let changes = records.iter().map(|record| Change::of(record, &commits)).collect();
        run.output.json(&Json { version: 1, name: name.as_str(), changes })?;
    } else {
        run.output.lines(records.iter().map(|record| line(record, &commits)))?;
    }
    Ok(Exit::Ok)
}

/// For each seal of these records, the first commit that has it. Ids of seals are public, so no state has to be unlocked.
fn commits(
    repository: &Repository,
    path: &Path,
    records: &[LogRecord],
    all: Vec<String>,
) -> Result<BTreeMap<SealId, String>, Failure> {
    let mut found = BTreeMap::new();
    let mut objects = repository.objects()?;
    for commit in all {
        if found.len() == records.len() {
            break;
        }
        let mut object = std::ffi::OsString::from(&commit);
        object.push(":");
        object.push(repository.path());
        let text = objects.content(&object, |content, size| {
            let mut text = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            content.read_to_end(&mut text).map(|_| text)
        })?;
        let Some(text) = text else { continue };
        let text = text.map_err(GitError::NotRun)?;
        // A commit with a file that is no vault, as after a merge that went wrong, has no seals.
        let Ok(state) = states::parse(path, text) else { continue };
        let seals = state.vault.seals();
        for record in records {
            if seals.contains(&record.seal) {
                found.entry(record.seal).or_insert_with(|| commit.clone());
            }
        }
    }
    Ok(found)
}

fn line(record: &LogRecord, commits: &BTreeMap<SealId, String>) -> String {
    let what: Vec<String> = record.changes.entries.iter().map(words).collect();
    let commit = commits.get(&record.seal).map_or("not committed", |commit| &commit[..commit.len().min(12)]);
    format!(
        "{}  {commit}  {}  {}  (seal {})",
        shown(record.changes.time),
        record.changes.author,
        what.join("; "),
        short(&record.seal)
    )
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    name: &'a str,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    time: String,
    author: &'a str,
    seal: String,
    generation: u64,
    carried: bool,
    commit: Option<&'a str>,
    entries: Vec<OfEntry<'a>>,
}

impl<'a> Change<'a> {
    fn of(record: &'a LogRecord, commits: &'a BTreeMap<SealId, String>) -> Self {
        Self {
            time: shown(record.changes.time),
            author: &record.changes.author,
            seal: record.seal.to_string(),
            generation: record.generation,
            carried: record.carried,
            commit: commits.get(&record.seal).map(String::as_str),
            entries: record.changes.entries.iter().map(OfEntry::of).collect(),
        }
    }
}
