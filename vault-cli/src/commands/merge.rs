//! `vault merge`: by hand on what git left in conflict, on files, and as git's merge driver.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use vault_core::crypto::random::SystemRandom;
use vault_core::format::entry::EntryName;
use vault_core::source::{Source, Text};
use vault_core::store::{self, Existing, ReplaceError, Snapshot};
use vault_core::vault::merge::{MergeContext, Merged, merge};
use vault_core::vault::{LockedVault, UnlockFailure, UnlockedVault};

use super::{Run, states};
use crate::cli::Merge;
use crate::escape::quoted_path;
use crate::failure::{Failure, GitFailure};
use crate::message::{Exit, Status};
use crate::session::{
    Admitted, Rollback, SessionError, Somebody, State, Target, as_vault, keyring, open_locked, replace,
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

/// What came out, and may be written.
struct Outcome {
    text: Text,
    result: &'static str,
    conflicts: Vec<EntryName>,
    vault: UnlockedVault,
    admitted: Admitted,
}

impl Files {
    fn read(&self) -> Result<Sides, Failure> {
        // Where both sides added the file, or a base was made up of several, git gives what is no vault.
        let base = self.base.as_deref().and_then(|base| State::in_file(base).ok());
        Ok(Sides { base, ours: State::in_file(&self.ours)?, theirs: State::in_file(&self.theirs)? })
    }
}

/// How a merge is made.
#[derive(Clone, Copy)]
struct Manner<'p> {
    /// As the messages call it.
    name: &'p Path,
    /// The file that will be written, or one beside it.
    place: &'p Path,
    somebody: Somebody,
    rollback: Rollback,
}

impl<'p> Manner<'p> {
    /// By somebody who can say what they mean.
    fn by_hand(path: &'p Path) -> Self {
        Self { name: path, place: path, somebody: Somebody::Anybody, rollback: Rollback::Refused }
    }
}

/// Opens both sides, and merges them.
fn keyed(
    run: &mut Run<'_>,
    target: &mut Target,
    manner: Manner<'_>,
    sides: Sides,
) -> Result<Outcome, Failure> {
    let (our_text, their_text) = (Arc::clone(&sides.ours.source), Arc::clone(&sides.theirs.source));
    let states = vec![sides.ours.vault, sides.theirs.vault];
    let mut open = target.unlock(run, states, manner.somebody, Rollback::Told)?.into_iter();
    let (Some(ours), Some(theirs)) = (open.next(), open.next()) else {
        unreachable!("as many as were given");
    };
    // A base with another master key than both sides can tell nothing of them.
    let base = sides.base.and_then(|base| {
        let same = [&ours, &theirs].into_iter().find(|side| side.id() == base.vault.id())?;
        base.vault.unlock_as(same).ok()
    });
    united(run, target, manner, [(ours, our_text), (theirs, their_text)], base.as_ref())
}

/// The seam: two unlocked states of one vault, wherever they were opened.
fn united(
    run: &Run<'_>,
    target: &mut Target,
    manner: Manner<'_>,
    [(ours, our_text), (theirs, their_text)]: [(UnlockedVault, Arc<dyn Source>); 2],
    base: Option<&UnlockedVault>,
) -> Result<Outcome, Failure> {
    let author = run.environment.author();
    let mut context = MergeContext { now: run.now, author: &author, random: &mut SystemRandom };
    let merged = merge(&ours, &theirs, base, &mut context)
        .map_err(|error| GitFailure::Merge { path: manner.name.to_owned(), error })?;
    let before = target.standing(&ours)?;
    // What an earlier merge left in conflict there is no news of this one.
    let (text, result, conflicts, vault) = match merged {
        Merged::Ours => (whole(&our_text), "ours", Vec::new(), ours),
        Merged::Theirs => (whole(&their_text), "theirs", Vec::new(), theirs),
        Merged::New(new) => {
            let merged = as_vault(manner.place, &new.text)?;
            let key = if merged.id() == ours.id() { &ours } else { &theirs };
            let vault = merged.unlock_as(key);
            let vault = vault.map_err(|still| SessionError::of_still_locked(manner.name, *still))?;
            (new.text, "merged", new.conflicts, vault)
        }
    };
    let admitted = target.may_become(&before, &vault, manner.rollback)?;
    Ok(Outcome { text, result, conflicts, vault, admitted })
}

fn whole(source: &Arc<dyn Source>) -> Text {
    let mut text = Text::new();
    text.copy(source, 0..source.len());
    text
}

fn of_files(run: &mut Run<'_>, files: &Files, output: Option<&Path>) -> Result<Exit, Failure> {
    let is_printed = output.is_some_and(|to| to.as_os_str() == "-");
    let to = output.filter(|_| !is_printed).map(|to| run.folder.join(to));
    let place = to.as_deref().unwrap_or(&files.ours);
    let mut target = Target::at(run, place)?;
    let read = store::read(&files.ours).map_err(|error| SessionError::Store(files.ours.clone(), error))?;
    let manner = Manner { name: &files.ours, ..Manner::by_hand(place) };
    let merged = keyed(run, &mut target, manner, files.read()?)?;
    match &to {
        _ if is_printed => {
            let text = merged
                .text
                .to_vec()
                .map_err(|error| SessionError::Format(files.ours.clone(), error.into()))?;
            run.output.text(&String::from_utf8_lossy(&text))?;
            return conflicts(merged.conflicts, None);
        }
        Some(to) => write(to, &merged.text, PRIVATE)?,
        None => replace(&files.ours, Some(&read), &merged.text)?,
    }
    target.became(&merged.vault, merged.admitted)?;
    report(run, output.unwrap_or(&files.ours), merged.result, merged.conflicts, None)
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
    let merged = match open_locked(&path).ok().filter(|present| present.check().is_ok()) {
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
        None => keyed(run, &mut target, Manner::by_hand(&path), sides)?,
    };
    match output {
        Some(to) => write(&run.folder.join(to), &merged.text, PRIVATE)?,
        None => {
            put(&path, read.as_ref(), &merged.text)?;
            target.became(&merged.vault, merged.admitted)?;
        }
    }
    report(run, output.unwrap_or(&path), merged.result, merged.conflicts, Some(then))
}

fn put(path: &Path, read: Option<&Snapshot>, text: &Text) -> Result<(), Failure> {
    match read {
        Some(read) => Ok(replace(path, Some(read), text)?),
        None => write(path, text, PRIVATE),
    }
}

enum Beyond {
    /// The file has all that both sides have; these entries are in conflict.
    Both(Vec<EntryName>),
    /// It had not.
    Merged(Box<Outcome>),
}

/// Merges unless the file in the work tree, which opens, has what both sides have. What it has beyond ours is kept.
fn beyond(
    run: &mut Run<'_>,
    target: &mut Target,
    path: &Path,
    present: LockedVault,
    sides: Sides,
) -> Result<Beyond, Failure> {
    let snapshot = State::in_file(path)?;
    let texts = [&snapshot.source, &sides.ours.source, &sides.theirs.source].map(Arc::clone);
    let states = vec![present, sides.ours.vault, sides.theirs.vault];
    let mut open = target.unlock(run, states, Somebody::Anybody, Rollback::Told)?.into_iter();
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
    let manner = Manner::by_hand(path);
    let merged = united(run, target, manner, [ours, (theirs, their_text)], base.as_ref())?;
    Ok(Beyond::Merged(Box::new(merged)))
}

/// What git's merge driver leaves in the place of our side, whatever that is; git reads it from there.
enum Driven {
    /// What the key made of it.
    Keyed(Box<Outcome>),
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
            write(&files.ours, &merged.text, PRIVATE)?;
            target.became(&merged.vault, merged.admitted)?;
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
    let is_named = states::is_named(run);
    let sides = files.read();
    let in_keyring = match &sides {
        Ok(Sides { ours, theirs, .. }) => {
            let both = [&ours.vault, &theirs.vault];
            target.knows(both)?;
            both.into_iter().any(|side| keyring(run, side).is_some())
        }
        Err(_) => false,
    };
    let attempt = |run: &mut Run<'_>, target: &mut Target, somebody, sides: Result<Sides, Failure>| {
        let manner = Manner { name, place: &files.ours, somebody, rollback: Rollback::Told };
        match keyed(run, target, manner, sides?) {
            Err(failure) if is_locked(&failure) => Ok(Err(failure)),
            other => other.map(|merged| Ok(Driven::Keyed(Box::new(merged)))),
        }
    };
    let mut failure = None;
    if is_named || in_keyring {
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
        Failure::Session(error) => matches!(
            **error,
            SessionError::Locked { .. } | SessionError::Unlock { reason: UnlockFailure::Denied(_), .. }
        ),
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

fn report(
    run: &mut Run<'_>,
    path: &Path,
    result: &'static str,
    left: Vec<EntryName>,
    then: Option<String>,
) -> Result<Exit, Failure> {
    if run.global.json {
        let names = left.iter().map(EntryName::as_str).collect();
        let file = &path.to_string_lossy();
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
