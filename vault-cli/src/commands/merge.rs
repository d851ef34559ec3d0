//! `vault merge`: by hand on what git left in conflict, on files, and as git's merge driver.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use vault_core::crypto::random::SystemRandom;
use vault_core::format::entry::EntryName;
use vault_core::source::{Source, Text};
use vault_core::store::{self, Existing, ReplaceError};
use vault_core::vault::merge::{MergeContext, Merged, merge};
use vault_core::vault::{LockedVault, UnlockFailure, UnlockedVault};

use super::Run;
use crate::cli::Merge;
use crate::context::unlock_sources;
use crate::escape::quoted_path;
use crate::failure::{Failure, GitFailure};
use crate::message::{Exit, Status};
use crate::session::{SessionError, State, open_locked, unlock_states};
use crate::sys::git::Git;

pub(super) fn run(run: &mut Run<'_>, arguments: &Merge) -> Result<Exit, Failure> {
    let path = |typed: &PathBuf| run.folder.join(typed);
    match (&arguments.sides[..], &arguments.driver) {
        ([base, ours, theirs], Some(name)) => {
            let files = Files { base: Some(path(base)), ours: path(ours), theirs: path(theirs) };
            driver(run, &files, name)
        }
        ([base, ours, theirs], None) => {
            let files = Files { base: Some(path(base)), ours: path(ours), theirs: path(theirs) };
            of_files(run, &files, arguments.output.as_deref())
        }
        ([ours, theirs], _) => {
            let files = Files { base: None, ours: path(ours), theirs: path(theirs) };
            of_files(run, &files, arguments.output.as_deref())
        }
        _ => by_hand(run, arguments.output.as_deref()),
    }
}

/// What the merge is of.
struct Files {
    base: Option<PathBuf>,
    ours: PathBuf,
    theirs: PathBuf,
}

/// Two states, and what they have in common if that is known.
struct Sides {
    base: Option<State>,
    ours: State,
    theirs: State,
}

/// What came out.
pub(super) struct Outcome {
    text: Text,
    result: &'static str,
    conflicts: Vec<EntryName>,
}

impl Files {
    fn read(&self) -> Result<Sides, Failure> {
        // Where both sides added the file, or a base was made up of several, git gives what is no vault.
        let base = self.base.as_deref().and_then(|base| State::in_file(base).ok());
        Ok(Sides { base, ours: State::in_file(&self.ours)?, theirs: State::in_file(&self.theirs)? })
    }
}

/// Opens both sides, and merges them.
fn keyed(run: &mut Run<'_>, name: &Path, sides: Sides) -> Result<Outcome, Failure> {
    let (our_text, their_text) = (Arc::clone(&sides.ours.source), Arc::clone(&sides.theirs.source));
    let mut open = unlock_states(run, name, vec![sides.ours.vault, sides.theirs.vault])?.into_iter();
    let (Some(ours), Some(theirs)) = (open.next(), open.next()) else {
        unreachable!("as many as were given");
    };
    // A base with another master key than both sides can tell nothing of them.
    let base = sides.base.and_then(|base| {
        let same = [&ours, &theirs].into_iter().find(|side| side.id() == base.vault.id())?;
        base.vault.unlock_as(same).ok()
    });
    united(run, name, [(ours, our_text), (theirs, their_text)], base.as_ref())
}

/// The seam: two unlocked states of one vault, wherever they were opened.
fn united(
    run: &Run<'_>,
    name: &Path,
    [(ours, our_text), (theirs, their_text)]: [(UnlockedVault, Arc<dyn Source>); 2],
    base: Option<&UnlockedVault>,
) -> Result<Outcome, Failure> {
    let author = run.environment.author();
    let mut context = MergeContext { now: run.now, author: &author, random: &mut SystemRandom };
    let merged = merge(&ours, &theirs, base, &mut context)
        .map_err(|error| GitFailure::Merge { path: name.to_owned(), error })?;
    Ok(match merged {
        // What an earlier merge left in conflict there is no news of this one.
        Merged::Ours => Outcome { text: whole(&our_text), result: "ours", conflicts: Vec::new() },
        Merged::Theirs => Outcome { text: whole(&their_text), result: "theirs", conflicts: Vec::new() },
        Merged::New(new) => {
            let conflicts = new.conflicts;
            Outcome { text: new.text, result: "merged", conflicts }
        }
    })
}

fn whole(source: &Arc<dyn Source>) -> Text {
    let mut text = Text::new();
    text.copy(source, 0..source.len());
    text
}

fn of_files(run: &mut Run<'_>, files: &Files, output: Option<&Path>) -> Result<Exit, Failure> {
    let merged = keyed(run, &files.ours, files.read()?)?;
    match output {
        Some(to) if to.as_os_str() == "-" => {
            let text = merged
                .text
                .to_vec()
                .map_err(|error| SessionError::Format(files.ours.clone(), error.into()))?;
            run.output.text(&String::from_utf8_lossy(&text))?;
            return conflicts(merged.conflicts, None);
        }
        Some(to) => write(&run.folder.join(to), &merged.text, PRIVATE)?,
        None => replace(&files.ours, &merged.text)?,
    }
    report(run, output.unwrap_or(&files.ours), merged, None)
}

/// What git left in conflict: both sides are in the index.
fn by_hand(run: &mut Run<'_>, output: Option<&Path>) -> Result<Exit, Failure> {
    let path = run.location()?.path;
    let path = path.canonicalize().unwrap_or(path);
    let (folder, name) = (path.parent().unwrap_or(Path::new(".")), path.file_name().unwrap_or_default());
    let git = Git::at(folder);
    let stages = git.stages(name)?;
    if stages.are_none() {
        return Err(GitFailure::NotInConflict(path).into());
    }
    let (Some(ours), Some(theirs)) = (stages.object(2), stages.object(3)) else {
        return Err(GitFailure::SideRemoved(path).into());
    };
    let of = |object: &str| -> Result<State, Failure> {
        let bytes = git.blob(object)?;
        Ok(State::of(Arc::new(bytes)).map_err(|error| SessionError::Format(path.clone(), error))?)
    };
    let base = stages.object(1).and_then(|object| of(object).ok());
    let sides = Sides { base, ours: of(ours)?, theirs: of(theirs)? };
    let then = format!("git add {}, and go on as \"git status\" says", shell(name));
    // What was merged before and changed since must not be merged anew: that would undo it.
    // Git may have left its marks in a page alone, which opening the log does not see.
    let merged = match open_locked(&path).ok().filter(|present| present.check().is_ok()) {
        Some(present) => match beyond(run, &path, present, sides)? {
            Beyond::Both(conflicts) => {
                let conflicted = !conflicts.is_empty();
                if !conflicted {
                    let text = format!("{} is merged already; now: {then}", quoted_path(&path));
                    run.voice.status(&Status::Done(text));
                }
                return self::conflicts(conflicts, Some(then));
            }
            Beyond::Merged(merged) => merged,
        },
        None => keyed(run, &path, sides)?,
    };
    match output {
        Some(to) => write(&run.folder.join(to), &merged.text, PRIVATE)?,
        None if path.symlink_metadata().is_ok() => replace(&path, &merged.text)?,
        None => write(&path, &merged.text, PRIVATE)?,
    }
    report(run, output.unwrap_or(&path), merged, Some(then))
}

enum Beyond {
    /// The file has all that both sides have; these entries are in conflict.
    Both(Vec<EntryName>),
    /// It had not.
    Merged(Outcome),
}

/// Merges unless the file in the work tree, which opens, has what both sides have. What it has beyond ours is kept.
fn beyond(run: &mut Run<'_>, path: &Path, present: LockedVault, sides: Sides) -> Result<Beyond, Failure> {
    let snapshot = State::in_file(path)?;
    let texts = [&snapshot.source, &sides.ours.source, &sides.theirs.source].map(Arc::clone);
    let mut open = unlock_states(run, path, vec![present, sides.ours.vault, sides.theirs.vault])?.into_iter();
    let (Some(now), Some(ours), Some(theirs)) = (open.next(), open.next(), open.next()) else {
        unreachable!("as many as were given");
    };
    let known = |vault: &UnlockedVault| {
        vault.known_seals().map_err(|error| SessionError::Verify(path.to_owned(), error))
    };
    let (of_now, of_ours, of_theirs) = (known(&now)?, known(&ours)?, known(&theirs)?);
    if of_ours.is_subset(&of_now) && of_theirs.is_subset(&of_now) {
        let all = now.list().map_err(|error| SessionError::Verify(path.to_owned(), error))?;
        let in_conflict = all.into_iter().filter(|meta| meta.in_conflict());
        return Ok(Beyond::Both(in_conflict.map(|meta| meta.name).collect()));
    }
    let base = sides.base.and_then(|base| base.vault.unlock_as(&ours).ok());
    let [now_text, our_text, their_text] = texts;
    let ours = if of_ours.is_subset(&of_now) { (now, now_text) } else { (ours, our_text) };
    united(run, path, [ours, (theirs, their_text)], base.as_ref()).map(Beyond::Merged)
}

/// Git's merge driver. The result replaces the file of our side, whatever it is; git reads it from there.
fn driver(run: &mut Run<'_>, files: &Files, name: &Path) -> Result<Exit, Failure> {
    let has_key = has_key(run);
    let attempt = |run: &mut Run<'_>| {
        let sides = files.read()?;
        keyed(run, name, sides)
    };
    let result = match has_key {
        true => attempt(run),
        false => Err(GitFailure::NeedsKey(name.to_owned()).into()),
    };
    let failure = match result {
        Ok(merged) => return driven(run, files, name, merged),
        Err(failure) => failure,
    };
    if !is_locked(&failure) {
        leave_both(files)?;
        return Err(failure);
    }
    let base = files.base.as_deref().unwrap_or(Path::new("/dev/null"));
    let text = Git::at(&run.folder).merge_file(&files.ours, base, &files.theirs)?;
    if text.clean && is_canonical(&text.text) {
        write_bytes(&files.ours, &text.text)?;
        let name = quoted_path(name);
        run.voice.status(&Status::Done(format!("merged {name} as text, without the key")));
        return Ok(Exit::Ok);
    }
    if !has_key && run.prompt.can_ask() {
        match attempt(run) {
            Ok(merged) => return driven(run, files, name, merged),
            Err(failure) if !is_locked(&failure) => {
                leave_both(files)?;
                return Err(failure);
            }
            Err(_) => {}
        }
    }
    if text.clean {
        leave_both(files)?
    } else {
        write_bytes(&files.ours, &text.text)?
    }
    // Who gave a key that does not open wants to know that rather.
    if has_key { Err(failure) } else { Err(GitFailure::NeedsKey(name.to_owned()).into()) }
}

fn driven(run: &Run<'_>, files: &Files, name: &Path, merged: Outcome) -> Result<Exit, Failure> {
    write(&files.ours, &merged.text, PRIVATE)?;
    let then = format!("git add {}, and go on as \"git status\" says", shell(name.as_os_str()));
    if merged.conflicts.is_empty() {
        run.voice.status(&Status::Done(format!("merged {} with the key", quoted_path(name))));
    }
    conflicts(merged.conflicts, Some(then))
}

/// Whether something was named that may open the vault, so that nobody has to be asked.
fn has_key(run: &Run<'_>) -> bool {
    let options = run.global.unlock.options();
    let sources = unlock_sources(&options, &run.environment, &run.config);
    sources.iter().any(|source| !source.what.asks())
}

/// Whether it failed for want of the right key, and for nothing else.
fn is_locked(failure: &Failure) -> bool {
    match failure {
        Failure::Git(GitFailure::NeedsKey(_)) => true,
        Failure::Session(error) => matches!(
            **error,
            SessionError::Locked { .. } | SessionError::Unlock { reason: UnlockFailure::Denied(_), .. }
        ),
        _ => false,
    }
}

fn is_canonical(text: &[u8]) -> bool {
    LockedVault::open(Arc::new(text.to_vec())).is_ok_and(|vault| vault.check().is_ok())
}

/// Both sides one after another, so that nobody takes one of them for the merge.
fn leave_both(files: &Files) -> Result<(), Failure> {
    let read = |path: &PathBuf| -> Result<Arc<dyn Source>, Failure> {
        let snapshot = store::read(path).map_err(|error| SessionError::Store(path.clone(), error))?;
        Ok(Arc::new(snapshot))
    };
    let (ours, theirs) = (read(&files.ours)?, read(&files.theirs)?);
    let mut text = Text::new();
    text.push("<<<<<<< ours\n");
    text.copy(&ours, 0..ours.len());
    text.push("=======\n");
    text.copy(&theirs, 0..theirs.len());
    text.push(">>>>>>> theirs\n");
    write(&files.ours, &text, PRIVATE)
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut text = Text::new();
    text.push(bytes);
    write(path, &text, PRIVATE)
}

/// Writes a file that is no vault that anybody else writes: a temporary one of git's, or one that was named.
fn write(path: &Path, text: &Text, mode: u32) -> Result<(), Failure> {
    let mode = path
        .metadata()
        .map_or(mode, |metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777);
    store::write_file(path, mode, Existing::Replace, |out| -> Result<(), ReplaceError> {
        Ok(text.write_to(out)?)
    })
    .map_err(|error| Failure::NotStored { path: path.to_owned(), error })
}

/// Replaces a vault, as every save does.
fn replace(path: &Path, text: &Text) -> Result<(), Failure> {
    let lock = store::lock(path).map_err(|error| SessionError::Store(path.to_owned(), error))?;
    lock.replace(text).map_err(|error| SessionError::Save(path.to_owned(), error))?;
    Ok(())
}

fn report(run: &mut Run<'_>, path: &Path, merged: Outcome, then: Option<String>) -> Result<Exit, Failure> {
    if run.global.json {
        let conflicts = merged.conflicts.iter().map(EntryName::as_str).collect();
        let file = &path.to_string_lossy();
        run.output.json(&Json { version: 1, file, result: merged.result, conflicts })?;
    }
    if merged.conflicts.is_empty() {
        let then = then.as_ref().map(|then| format!("; now: {then}")).unwrap_or_default();
        run.voice.status(&Status::Done(format!("merged {}{then}", quoted_path(path))));
    }
    conflicts(merged.conflicts, then)
}

/// A merge that left entries in conflict is done, and says so by its exit code.
pub(super) fn conflicts(names: Vec<EntryName>, then: Option<String>) -> Result<Exit, Failure> {
    if names.is_empty() { Ok(Exit::Ok) } else { Err(GitFailure::Conflicts { names, then }.into()) }
}

/// A path as one types it.
pub(super) fn shell(path: &OsStr) -> String {
    let text = path.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&byte);
    if text.bytes().all(plain) { text.into_owned() } else { crate::escape::quoted(&text) }
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    file: &'a str,
    /// "ours" or "theirs" where the other side had nothing new, "merged" otherwise.
    result: &'a str,
    conflicts: Vec<&'a str>,
}

const PRIVATE: u32 = 0o600;
