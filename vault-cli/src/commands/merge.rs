//! `vault merge`: by hand on what git left in conflict, on files, and as git's merge driver.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use vault_core::format::entry::EntryName;
use vault_core::source::{Source, Text};
use vault_core::store::{self, Existing, ReplaceError, Snapshot};
use vault_core::vault::{LockedVault, UnlockFailure};

use super::Run;
use crate::agent::AgentError;
use crate::cli::Merge;
use crate::escape::quoted_path;
use crate::failure::{Failure, GitFailure};
use crate::message::{Exit, Status};
use crate::session::{
    Made, Manner, Rollback, SessionError, Somebody, State, Target, Which, is_named, keyring, replace,
};
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

impl Files {
    fn read(&self) -> Result<Sides, Failure> {
        // Where both sides added the file, or a base was made up of several, git gives what is no vault.
        let base = self.base.as_deref().and_then(|base| State::in_file(base).ok());
        Ok(Sides { base, ours: State::in_file(&self.ours)?, theirs: State::in_file(&self.theirs)? })
    }
}

/// By somebody who can say what they mean.
fn by_somebody(path: &Path) -> Manner<'_> {
    Manner { name: path, place: path, rollback: Rollback::Refused }
}

/// Opens both sides, and merges them.
fn keyed(
    run: &mut Run<'_>,
    target: &mut Target,
    manner: Manner<'_>,
    somebody: Somebody,
    sides: Sides,
) -> Result<Made, Failure> {
    let open = target.unlock(run, vec![sides.ours, sides.theirs], somebody, Rollback::Told)?;
    open.merge(target, manner, [0, 1], sides.base)
}

fn of_files(run: &mut Run<'_>, files: &Files, output: Option<&Path>) -> Result<Exit, Failure> {
    let is_printed = output.is_some_and(|to| to.as_os_str() == "-");
    let to = output.filter(|_| !is_printed).map(|to| run.folder.join(to));
    let place = to.as_deref().unwrap_or(&files.ours);
    let mut target = Target::at(run, place)?.or_of(&files.ours);
    let read = store::read(&files.ours).map_err(|error| SessionError::Store(files.ours.clone(), error))?;
    let manner = Manner { name: &files.ours, ..by_somebody(place) };
    let merged = keyed(run, &mut target, manner, Somebody::Anybody, files.read()?)?;
    let durable = match &to {
        _ if is_printed => {
            let text = merged
                .text
                .to_vec()
                .map_err(|error| SessionError::Format(files.ours.clone(), error.into()))?;
            run.output.text(&String::from_utf8_lossy(&text))?;
            return conflicts(merged.conflicts, None);
        }
        Some(to) => write(to, &merged.text)?,
        None => replace(&files.ours, Some(&read), &merged.text)?.map_err(Failure::from),
    };
    target.became(merged.mark)?;
    durable?;
    report(run, output.unwrap_or(&files.ours), merged.which, merged.conflicts, None)
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
    let mut target = Target::at(run, &path)?;
    let sides = Sides { base, ours: of(ours)?, theirs: of(theirs)? };
    let then = format!("git add {}, and go on as \"git status\" says", shell(name));
    // What was merged before and changed since must not be merged anew: that would undo it.
    // Git may have left its marks in a page alone, which opening the log does not see.
    let read = store::read(&path).ok();
    let merged = match State::in_file(&path).ok().filter(|present| present.vault.check().is_ok()) {
        Some(present) => match beyond(run, &mut target, &path, present, sides)? {
            Beyond::Both(conflicts) => {
                let conflicted = !conflicts.is_empty();
                if !conflicted {
                    let text = format!("{} is merged already; now: {then}", quoted_path(&path));
                    run.voice.status(&Status::Done(text));
                }
                return self::conflicts(conflicts, Some(then));
            }
            Beyond::Merged(merged) => *merged,
        },
        None => keyed(run, &mut target, by_somebody(&path), Somebody::Anybody, sides)?,
    };
    match output {
        Some(to) => write(&run.folder.join(to), &merged.text)??,
        None => {
            let durable = put(&path, read.as_ref(), &merged.text)?;
            target.became(merged.mark)?;
            durable?;
        }
    }
    report(run, output.unwrap_or(&path), merged.which, merged.conflicts, Some(then))
}

fn put(path: &Path, read: Option<&Snapshot>, text: &Text) -> Result<Lasting, Failure> {
    match read {
        Some(read) => Ok(replace(path, Some(read), text)?.map_err(Failure::from)),
        None => write(path, text),
    }
}

enum Beyond {
    /// The file has all that both sides have; these entries are in conflict.
    Both(Vec<EntryName>),
    /// It had not.
    Merged(Box<Made>),
}

/// Merges unless the file in the work tree, which opens, has what both sides have. What it has beyond ours is kept.
fn beyond(
    run: &mut Run<'_>,
    target: &mut Target,
    path: &Path,
    present: State,
    sides: Sides,
) -> Result<Beyond, Failure> {
    let states = vec![present, sides.ours, sides.theirs];
    let mut open = target.unlock(run, states, Somebody::Anybody, Rollback::Told)?;
    let has_ours = open.covers(path, NOW, OURS)?;
    if has_ours && open.covers(path, NOW, THEIRS)? {
        return Ok(Beyond::Both(open.in_conflict(path, NOW)?));
    }
    let ours = if has_ours { NOW } else { OURS };
    let merged = open.merge(target, by_somebody(path), [ours, THEIRS], sides.base)?;
    Ok(Beyond::Merged(Box::new(merged)))
}

/// What git's merge driver leaves in the place of our side, whatever that is; git reads it from there.
enum Driven {
    /// What the key made of it.
    Keyed(Box<Made>),
    /// What the text merge made of it.
    Text(Vec<u8>),
    /// What the text merge left in conflict, and why there is nothing better.
    Marked(Vec<u8>, Failure),
}

fn driver(run: &mut Run<'_>, files: &Files, name: &Path) -> Result<Exit, Failure> {
    // Git runs it at the top of the work tree.
    let path = run.folder.join(name);
    let drive = |run: &mut Run<'_>| -> Result<(Target, Driven), Failure> {
        let mut target = Target::at(run, &path)?;
        let driven = drive(run, &mut target, files, name)?;
        Ok((target, driven))
    };
    let (mut target, driven) = match drive(run) {
        Ok(driven) => driven,
        Err(failure) => {
            leave_both(files)?;
            return Err(failure);
        }
    };
    match driven {
        Driven::Keyed(merged) => {
            let durable = write(&files.ours, &merged.text)?;
            target.became(merged.mark)?;
            durable?;
            let then = format!("git add {}, and go on as \"git status\" says", shell(name.as_os_str()));
            if merged.conflicts.is_empty() {
                run.voice.status(&Status::Done(format!("merged {} with the key", quoted_path(name))));
            }
            conflicts(merged.conflicts, Some(then))
        }
        Driven::Text(text) => {
            write_bytes(&files.ours, &text)?;
            let name = quoted_path(name);
            run.voice.status(&Status::Done(format!("merged {name} as text, without the key")));
            Ok(Exit::Ok)
        }
        Driven::Marked(text, failure) => {
            write_bytes(&files.ours, &text)?;
            Err(failure)
        }
    }
}

/// With the key, if there is one without asking; else as text; else with the key that somebody has, who is asked.
fn drive(run: &mut Run<'_>, target: &mut Target, files: &Files, name: &Path) -> Result<Driven, Failure> {
    let attempt = |run: &mut Run<'_>, target: &mut Target, somebody, sides: Result<Sides, Failure>| {
        let manner = Manner { name, place: &files.ours, rollback: Rollback::Told };
        match keyed(run, target, manner, somebody, sides?) {
            Err(failure) if is_locked(&failure) => Ok(Err(failure)),
            other => other.map(|merged| Ok(Driven::Keyed(Box::new(merged)))),
        }
    };
    let is_named = is_named(run);
    let sides = files.read();
    let in_keyring = sides.as_ref().is_ok_and(|sides| {
        [&sides.ours, &sides.theirs].into_iter().any(|side| keyring(run, &side.vault).is_some())
    });
    let mut failure = None;
    if is_named || sides.is_ok() {
        match attempt(run, target, Somebody::Nobody, sides)? {
            Ok(driven) => return Ok(driven),
            // Who gave a key that does not open wants to know that rather.
            Err(locked) => failure = Some(locked).filter(|_| is_named),
        }
    }
    let base = files.base.as_deref().unwrap_or(Path::new("/dev/null"));
    let text = Git::at(&run.folder).merge_file(&files.ours, base, &files.theirs)?;
    if text.clean
        && may_merge_as_text(files)
        && let Some(merged) = canonical(&text.text)
    {
        if let Ok(ours) = State::in_file(&files.ours) {
            target.may_become_text(&ours.vault, &merged)?;
        }
        return Ok(Driven::Text(text.text));
    }
    if !is_named && run.prompt.can_ask() {
        let somebody = if in_keyring { Somebody::Person } else { Somebody::Anybody };
        if let Ok(driven) = attempt(run, target, somebody, files.read())? {
            return Ok(driven);
        }
    }
    let failure = failure.unwrap_or_else(|| GitFailure::NeedsKey(name.to_owned()).into());
    if text.clean { Err(failure) } else { Ok(Driven::Marked(text.text, failure)) }
}

/// Whether it failed for want of the right key, and for nothing else.
fn is_locked(failure: &Failure) -> bool {
    match failure {
        Failure::Git(GitFailure::NeedsKey(_)) => true,
        Failure::Session(error) => match &**error {
            SessionError::Locked { .. } | SessionError::Unlock { reason: UnlockFailure::Denied(_), .. } => {
                true
            }
            SessionError::Agent(AgentError::Link(error)) => error.is_locked(),
            _ => false,
        },
        _ => false,
    }
}

/// Whether lines of both sides can stand in one vault: not across a rotation, nor across a restart of the log. The merged text
/// would be in order as far as that can be seen without a key, and nobody could open it.
fn may_merge_as_text(files: &Files) -> bool {
    let Ok(Sides { base, ours, theirs }) = files.read() else { return true };
    let goes_on_from = |base: &LockedVault, side: &LockedVault| !base.seals().is_disjoint(&side.seals());
    ours.vault.id() == theirs.vault.id()
        && base.is_none_or(|base| [&ours, &theirs].iter().all(|side| goes_on_from(&base.vault, &side.vault)))
}

/// A text that is as a vault has to be, as far as that can be seen without a key.
fn canonical(text: &[u8]) -> Option<LockedVault> {
    LockedVault::open(Arc::new(text.to_vec())).ok().filter(|vault| vault.check().is_ok())
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
    write(&files.ours, &text)?
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut text = Text::new();
    text.push(bytes);
    write(path, &text)?
}

/// Whether what was written outlives a power cut.
type Lasting = Result<(), Failure>;

/// Writes a file that is no vault that anybody else writes: a temporary one of git's, or one that was named.
fn write(path: &Path, text: &Text) -> Result<Lasting, Failure> {
    let mode = path
        .metadata()
        .map_or(PRIVATE, |metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777);
    let written = store::write_file(path, mode, Existing::Replace, |out| -> Result<(), ReplaceError> {
        Ok(text.write_to(out)?)
    });
    let failed = |error| Failure::NotStored { path: path.to_owned(), error };
    match written {
        Err(error @ ReplaceError::FolderNotSynced(_)) => Ok(Err(failed(error))),
        other => other.map(Ok).map_err(failed),
    }
}

fn report(
    run: &mut Run<'_>,
    path: &Path,
    which: Which,
    left: Vec<EntryName>,
    then: Option<String>,
) -> Result<Exit, Failure> {
    if run.global.json {
        let names = left.iter().map(EntryName::as_str).collect();
        let file = &path.to_string_lossy();
        let result = match which {
            Which::Ours => "ours",
            Which::Theirs => "theirs",
            Which::Both => "merged",
        };
        run.output.json(&Json { version: 1, file, result, conflicts: names })?;
    }
    if left.is_empty() {
        let then = then.as_ref().map(|then| format!("; now: {then}")).unwrap_or_default();
        run.voice.status(&Status::Done(format!("merged {}{then}", quoted_path(path))));
    }
    conflicts(left, then)
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
/// The numbers of the file in the work tree and of the two sides.
const NOW: usize = 0;
const OURS: usize = 1;
const THEIRS: usize = 2;
