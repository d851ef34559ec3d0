//! `vault git setup`: .gitattributes, this clone's settings, and the hooks before commits and merges; and taking them back.
//!
//! What will be written is shown before. What somebody else has written is never replaced: then it says what to add.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use vault_core::store::{self, Dir, Existing, ReplaceError, StoreError};

use super::Run;
use crate::cli::{Git as Arguments, GitCommand, Setup};
use crate::context::attributes;
use crate::escape::quoted_path;
use crate::failure::{Failure, GitFailure};
use crate::input::{InputError, Place};
use crate::message::{Exit, Status};
use crate::session::SessionError;
use crate::sys::git::Git;

mod hook;

pub(super) fn run(run: &mut Run<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        GitCommand::Setup(arguments) => setup(run, arguments),
    }
}

/// One thing to be written.
enum Step {
    /// A file, whose changed lines are shown.
    File { path: PathBuf, mode: u32, text: Vec<u8>, shown: String },
    /// A file of ours goes.
    Remove(PathBuf),
    /// A setting of this clone.
    Set(&'static str, &'static str),
    /// A setting of this clone goes.
    Unset(&'static str),
}

/// What is to be done, and what is left to the user.
#[derive(Default)]
struct Plan {
    steps: Vec<Step>,
    notes: Vec<String>,
}

fn setup(run: &mut Run<'_>, arguments: &Setup) -> Result<Exit, Failure> {
    let plan = plan(run, arguments)?;
    let shown: Vec<String> = plan.steps.iter().map(Step::shown).collect();
    if !plan.steps.is_empty() && !arguments.yes {
        if !run.prompt.can_ask() {
            return Err(GitFailure::SetupUnasked.into());
        }
        run.voice.report_lines(&shown);
        if !run.prompt.confirm("Write this?").map_err(Failure::asking("a confirmation"))? {
            return Err(Failure::Declined);
        }
    }
    for (step, shown) in plan.steps.iter().zip(&shown) {
        if arguments.yes {
            run.voice.status(&Status::Done(shown.clone()));
        }
        step.take(run)?;
    }
    if run.global.json {
        run.output.json(&Json { version: 1, written: &shown, left: &plan.notes })?;
    }
    if plan.steps.is_empty() && plan.notes.is_empty() {
        let what = if arguments.remove { "nothing of it is there" } else { "all of it is there already" };
        run.voice.status(&Status::Done(what.to_owned()));
    }
    run.voice.report_lines(if run.global.json { &[] } else { &plan.notes });
    Ok(Exit::Ok)
}

fn plan(run: &Run<'_>, arguments: &Setup) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    let here = Git::at(&run.folder);
    if here.asked_text(&["rev-parse", "--is-bare-repository"])?.as_deref() == Some("true") {
        settings(&here, arguments, &mut plan)?;
        return Ok(plan);
    }
    let path = run.location()?.path;
    let missing = |_| SessionError::Store(path.clone(), StoreError::NotFound);
    let path = path.canonicalize().map_err(missing)?;
    let (folder, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
    let git = Git::at(folder);
    let Some(top) = git.asked(&["rev-parse", "--show-toplevel"])?.map(PathBuf::from) else {
        return Err(GitFailure::NoRepository(folder.to_owned()).into());
    };
    gitattributes(folder, name, arguments.remove, &mut plan)?;
    settings(&git, arguments, &mut plan)?;
    if !arguments.no_hook || arguments.remove {
        hook::plan(&git, folder, &top, arguments.remove, &mut plan)?;
    }
    Ok(plan)
}

/// The vault's line in its folder's .gitattributes. Taking it back leaves what keeps the line ends.
fn gitattributes(folder: &Path, name: &OsStr, remove: bool, plan: &mut Plan) -> Result<(), Failure> {
    let path = folder.join(".gitattributes");
    let old = read(&path)?.unwrap_or_default();
    let ends = attributes::line(name);
    let full = format!("{ends} merge=vault diff=vault");
    let (wanted, other) = if remove { (&ends, &full) } else { (&full, &ends) };
    let is = |line: &&[u8], wanted: &str| line.trim_ascii() == wanted.as_bytes();
    let lines: Vec<&[u8]> = old.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.iter().any(|line| is(line, wanted)) || (remove && !lines.iter().any(|line| is(line, other))) {
        return Ok(());
    }
    let mut text = Vec::new();
    let mut placed = false;
    for line in lines {
        if is(&line, other) {
            text.extend_from_slice(wanted.as_bytes());
            text.push(b'\n');
            placed = true;
        } else {
            text.extend_from_slice(line);
        }
    }
    if !placed {
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(wanted.as_bytes());
        text.push(b'\n');
    }
    let shown = format!("write in {}: {wanted}", quoted_path(&path));
    plan.steps.push(Step::File { path, mode: PUBLIC, text, shown });
    Ok(())
}

/// The drivers that .gitattributes names, and how git packs if that is wanted.
fn settings(git: &Git, arguments: &Setup, plan: &mut Plan) -> Result<(), Failure> {
    let packs = if arguments.small_packs || arguments.remove { &PACKS[..] } else { &[] };
    for (key, value) in SETTINGS.iter().chain(packs) {
        let now = git.asked_text(&["config", "--local", "--get", key])?;
        match (now.as_deref(), arguments.remove) {
            (Some(now), true) if now == *value => plan.steps.push(Step::Unset(key)),
            (Some(now), false) if now == *value => {}
            // A number that somebody chose for this clone is theirs; the drivers' names are ours.
            (Some(now), false) if packs.iter().any(|(pack, _)| pack == key) => plan.notes.push(format!(
                "{key} is {} here and stays so; for small packs: git config {key} {value}",
                crate::escape::quoted(now)
            )),
            (_, false) => plan.steps.push(Step::Set(key, value)),
            _ => {}
        }
    }
    Ok(())
}

/// A text file, none if it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match path.symlink_metadata() {
        Ok(_) => {
            let text = store::read_small(path, MAX_TEXT);
            Ok(Some(text.map_err(|error| InputError::Unreadable(Place::File(path.to_owned()), error))?))
        }
        Err(_) => Ok(None),
    }
}

impl Step {
    fn shown(&self) -> String {
        match self {
            Self::File { shown, .. } => shown.clone(),
            Self::Remove(path) => format!("remove {}", quoted_path(path)),
            Self::Set(key, value) => format!("git config {key} \"{value}\""),
            Self::Unset(key) => format!("git config --unset {key}"),
        }
    }

    fn take(&self, run: &Run<'_>) -> Result<(), Failure> {
        let not_stored = |path: &Path| {
            let path = path.to_owned();
            move |error| Failure::NotStored { path, error }
        };
        match self {
            Self::File { path, mode, text, .. } => {
                if let Some(folder) = path.parent() {
                    Dir::open_or_create(folder).map_err(not_stored(folder))?;
                }
                let written =
                    store::write_file(path, *mode, Existing::Replace, |out| -> Result<(), ReplaceError> {
                        Ok(out.write_all(text)?)
                    });
                written.map_err(not_stored(path))
            }
            Self::Remove(path) => store::remove_file(path).map_err(not_stored(path)),
            Self::Set(key, value) => {
                Git::at(&folder(run)?).bytes(&["config", "--local", key, value])?;
                Ok(())
            }
            Self::Unset(key) => {
                Git::at(&folder(run)?).bytes(&["config", "--local", "--unset", key])?;
                Ok(())
            }
        }
    }
}

/// Where git finds the repository of the vault; in a bare one, here.
fn folder(run: &Run<'_>) -> Result<PathBuf, Failure> {
    if Git::at(&run.folder).asked_text(&["rev-parse", "--is-bare-repository"])?.as_deref() == Some("true") {
        return Ok(run.folder.clone());
    }
    let path = run.location()?.path;
    let path = path.canonicalize().unwrap_or(path);
    Ok(path.parent().unwrap_or(Path::new("/")).to_owned())
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    written: &'a [String],
    /// What somebody else's files leave to the user.
    left: &'a [String],
}

/// `recursive`: where git makes up a base of several, it takes one of them. A made-up one would have seals that no side has.
const SETTINGS: [(&str, &str); 4] = [
    ("merge.vault.name", "vault: merge with the key, or as text"),
    ("merge.vault.driver", "vault merge --driver %P %O %A %B"),
    ("merge.vault.recursive", "binary"),
    ("diff.vault.textconv", "vault diff --textconv"),
];
/// Git keeps a whole copy of a vault, with its whole log, where a chain of differences ends: after 50, and where each of its
/// threads begins. docs/performance.md has the figures.
const PACKS: [(&str, &str); 3] =
    [("pack.depth", "1000"), ("pack.threads", "1"), ("gc.aggressiveDepth", "1000")];
const PUBLIC: u32 = 0o644;
const MAX_TEXT: u64 = 1024 * 1024;
