//! `vault resolve`: settling what a merge kept twice.

use serde::Serialize;
use vault_core::format::entry::Meta;
use vault_core::format::limits;
use vault_core::secret::Secret;
use vault_core::vault::Value;
use vault_core::vault::edit::{NewValue, Pick, Update};
use zeroize::Zeroizing;

use super::show::conflict_lines;
use super::{Run, entry_name, no_entry};
use crate::cli::Resolve;
use crate::escape::quoted;
use crate::failure::{EditorError, Failure, GitFailure};
use crate::input;
use crate::message::{Exit, Status};
use crate::session::{Change, Expect, Session};
use crate::sys::editor::Desk;

pub(super) fn run(run: &mut Run<'_>, arguments: &Resolve) -> Result<Exit, Failure> {
    let names = arguments.names.iter().map(|name| entry_name(name)).collect::<Result<Vec<_>, _>>()?;
    let has_side = arguments.ours || arguments.theirs.is_some() || arguments.edit;
    let wants_entries = arguments.all || !names.is_empty();
    if wants_entries != has_side {
        return Err(GitFailure::NoSide.into());
    }
    let (path, mut session) = run.open()?;
    let all = if wants_entries && !arguments.all { Vec::new() } else { in_conflict(&mut session)? };
    if !wants_entries {
        return list(run, &all);
    }
    let entries = match arguments.all {
        true => all,
        false => {
            let mut entries = Vec::new();
            for name in names {
                match session.meta(&name)? {
                    Some(meta) => entries.push(meta),
                    None => return Err(no_entry(&mut session, &path, name)),
                }
            }
            entries
        }
    };
    let mut changes = Vec::new();
    for meta in &entries {
        match arguments.theirs {
            _ if arguments.edit => changes.extend(edited(run, &mut session, meta)?),
            Some(number) => changes.push(theirs(meta, number)?),
            None => changes.push(Change::Resolve { name: meta.name.clone(), pick: Pick::Ours }),
        }
    }
    let generation = if changes.is_empty() {
        session.facts().generation
    } else {
        session.commit(changes, &mut |_| {})?.generation
    };
    if run.global.json {
        let resolved = entries.iter().map(|meta| meta.name.as_str()).collect();
        run.output.json(&Json { version: 1, resolved, generation })?;
    }
    for meta in &entries {
        run.voice.status(&Status::Done(format!("resolved {}", quoted(meta.name.as_str()))));
    }
    if entries.is_empty() {
        run.voice.status(&Status::Done("nothing is in conflict".to_owned()));
    }
    Ok(Exit::Ok)
}

fn in_conflict(session: &mut dyn Session) -> Result<Vec<Meta>, Failure> {
    let mut all = session.list()?;
    all.retain(Meta::in_conflict);
    Ok(all)
}

/// What is in conflict, by name; never a value.
fn list(run: &mut Run<'_>, all: &[Meta]) -> Result<Exit, Failure> {
    if run.global.json {
        let in_conflict = all.iter().map(|meta| meta.name.as_str()).collect();
        run.output.json(&Listed { version: 1, in_conflict })?;
        return Ok(Exit::Ok);
    }
    for meta in all {
        run.output.lines([meta.name.as_str()])?;
        run.output.lines(conflict_lines(meta).into_iter().map(|line| format!("  {line}")))?;
    }
    Ok(Exit::Ok)
}

fn theirs(meta: &Meta, number: usize) -> Result<Change, Failure> {
    let others = meta.alternatives.len();
    let at = match number {
        0 if others <= 1 => 0,
        number if (1..=others).contains(&number) => number - 1,
        _ => return Err(GitFailure::SeveralVersions { name: meta.name.clone(), others }.into()),
    };
    Ok(Change::Resolve { name: meta.name.clone(), pick: Pick::Theirs(at) })
}

/// Lets the user see every version of each field in conflict, and write the right one.
fn edited(run: &mut Run<'_>, session: &mut dyn Session, meta: &Meta) -> Result<Vec<Change>, Failure> {
    let name = &meta.name;
    let command = run.environment.editor().cloned().ok_or(EditorError::None)?;
    let mut update = Update::default();
    let fields: std::collections::BTreeSet<&String> =
        meta.alternatives.iter().flat_map(|alternative| alternative.fields.keys()).collect();
    for field in fields {
        let both = both(session, meta, field)?;
        // One for each: the editor's file has to be new.
        run.prompt.release();
        let desk = Desk::make(run.environment.runtime_folder())?;
        let edited = input::without_newline(desk.edit(&command, &both, MAX_TEXT)?);
        let has_marks = edited
            .expose()
            .split(|byte| *byte == b'\n')
            .any(|line| MARKS.iter().any(|mark| line.starts_with(mark.as_bytes())));
        if has_marks {
            return Err(GitFailure::StillBoth(name.clone()).into());
        }
        if !NewValue::fits_inline(edited.expose().len()) {
            return Err(Failure::NotEditable(name.clone()));
        }
        update.fields.insert(field.clone(), Some(NewValue::Inline(edited)));
    }
    let mut changes = vec![Change::Resolve { name: name.clone(), pick: Pick::Ours }];
    if !update.fields.is_empty() {
        changes.push(Change::Set { name: name.clone(), update, expect: Expect::Entry });
    }
    Ok(changes)
}

/// All versions of a field, one after another, as git shows a conflict.
fn both(session: &mut dyn Session, meta: &Meta, field: &String) -> Result<Secret, Failure> {
    let name = &meta.name;
    let text = |value: Option<Value>| match value {
        Some(Value::Inline(secret)) if std::str::from_utf8(secret.expose()).is_ok() => Ok(Some(secret)),
        None => Ok(None),
        Some(_) => Err(Failure::NotEditable(name.clone())),
    };
    let mut all = Zeroizing::new(Vec::with_capacity(MAX_TEXT));
    let mut add = |mark: &str, title: &str, value: Option<Secret>| {
        all.extend_from_slice(format!("{mark} {title}").trim_end().as_bytes());
        all.push(b'\n');
        if let Some(value) = value {
            all.extend_from_slice(value.expose());
            if !value.expose().ends_with(b"\n") {
                all.push(b'\n');
            }
        }
    };
    let here = session.entry(name, field)?.and_then(|(_, value)| value);
    add(MARKS[0], "ours", text(here)?);
    for (at, alternative) in meta.alternatives.iter().enumerate() {
        if alternative.fields.contains_key(field) {
            let value = text(session.alternative(name, at, field)?)?;
            add(MARKS[1], &format!("theirs {}", at + 1), value);
        }
    }
    add(MARKS[2], "", None);
    Ok(Secret::from(all))
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    resolved: Vec<&'a str>,
    generation: u64,
}

#[derive(Serialize)]
struct Listed<'a> {
    version: u32,
    in_conflict: Vec<&'a str>,
}

const MARKS: [&str; 3] = ["<<<<<<<", "=======", ">>>>>>>"];
/// All versions of a value that fits a line, with the marks between them.
const MAX_TEXT: usize = (limits::INLINE + 64) * 8;
