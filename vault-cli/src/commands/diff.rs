//! `vault diff [REV] [REV]`.

mod textconv;

use std::collections::BTreeMap;

use serde::Serialize;
use vault_core::format::entry::EntryName;
use vault_core::format::id::EntryId;
use vault_core::format::slot::SlotLine;
use vault_core::vault::diff::{Change, Difference};
use vault_core::vault::{LockedVault, Value};

use super::Run;
use super::states::{self, States};
use crate::cli::Diff;
use crate::failure::Failure;
use crate::message::Exit;
use crate::output::Binary;
use crate::session::{Session, SessionError, State};
use crate::sys::revisions::{GitError, Repository};

pub(super) fn run(run: &mut Run<'_>, arguments: &Diff) -> Result<Exit, Failure> {
    if let Some(file) = &arguments.textconv {
        return textconv::run(run, &run.folder.join(file), arguments.no_key);
    }
    if arguments.values && !run.output.is_terminal() {
        return Err(Failure::ValuesToProgram);
    }
    let path = run.location()?.path;
    let repository = Repository::of(&run.folder, &path)?;
    let at = |revision: &str| -> Result<State, Failure> {
        let commit = repository.commit(revision)?;
        Ok(states::parse(&path, repository.content(Some(&commit))?)?)
    };
    let older = at(arguments.older.as_deref().unwrap_or("HEAD"));
    let newer = match &arguments.newer {
        Some(revision) => at(revision)?,
        None if arguments.staged => states::parse(&path, repository.content(None)?)?,
        None => State::in_file(&path)?,
    };
    let older = match older {
        // Before the first commit everything is new; whoever named a revision wants to know that it is none.
        Err(Failure::Revision(GitError::NoRevision(_) | GitError::NoFile { .. }))
            if arguments.older.is_none() =>
        {
            None
        }
        other => Some(other?),
    };

    let slots = slots(older.as_ref().map_or(&[], |older| older.vault.slots()), newer.vault.slots());
    let opened = if arguments.no_key { None } else { States::if_possible(run, &path, &newer.vault)? };
    let Some(mut opened) = opened else {
        let ids = without_key(&path, older.as_ref().map(|older| &older.vault), &newer.vault)?;
        return report_without_key(run, &ids, &slots);
    };
    let newer = opened.unlock(run, newer)?;
    let older = older.map(|older| opened.unlock(run, older)).transpose()?;
    let entries = match older {
        Some(older) => opened.differences(older, newer)?,
        None => opened.state(newer).list()?.iter().map(Difference::of_new).collect(),
    };
    report(run, &entries, &slots)?;
    if arguments.values {
        values(run, &mut opened, older, newer, &entries)?;
    }
    Ok(Exit::Ok)
}

/// A slot that differs.
#[derive(Serialize)]
struct Slot {
    change: &'static str,
    label: String,
    kind: String,
}

/// Slots are compared by their ids: a label may be given again.
fn slots(older: &[SlotLine], newer: &[SlotLine]) -> Vec<Slot> {
    let find = |all: &[SlotLine], one: &SlotLine| all.iter().find(|slot| slot.id == one.id).cloned();
    let said = |change: Change, slot: &SlotLine| Slot {
        change: word(change),
        label: slot.label.as_str().to_owned(),
        kind: slot.kind.name().to_owned(),
    };
    let gone =
        older.iter().filter(|slot| find(newer, slot).is_none()).map(|slot| said(Change::Removed, slot));
    let now = newer.iter().filter_map(|slot| match find(older, slot) {
        None => Some(said(Change::Added, slot)),
        Some(was) if was != *slot => Some(said(Change::Changed, slot)),
        Some(_) => None,
    });
    gone.chain(now).collect()
}

/// What differs as far as it can be seen without a key: ids of entries.
fn without_key(
    path: &std::path::Path,
    older: Option<&LockedVault>,
    newer: &LockedVault,
) -> Result<Vec<(EntryId, Change)>, SessionError> {
    let outline = |vault: &LockedVault| -> Result<BTreeMap<EntryId, String>, SessionError> {
        let all = vault.outline().map_err(|error| SessionError::Format(path.to_owned(), error))?;
        Ok(all.into_iter().map(|entry| (entry.id, entry.mark)).collect())
    };
    let (older, newer) = (older.map(outline).transpose()?.unwrap_or_default(), outline(newer)?);
    let gone = older.keys().filter(|id| !newer.contains_key(id)).map(|id| (*id, Change::Removed));
    let now = newer.iter().filter_map(|(id, mark)| match older.get(id) {
        None => Some((*id, Change::Added)),
        Some(was) => (was != mark).then_some((*id, Change::Changed)),
    });
    let mut all: Vec<_> = gone.chain(now).collect();
    all.sort_unstable();
    Ok(all)
}

fn report_without_key(run: &mut Run<'_>, ids: &[(EntryId, Change)], slots: &[Slot]) -> Result<Exit, Failure> {
    if run.global.json {
        let entries =
            ids.iter().map(|(id, change)| Id { id: id.to_string(), change: word(*change) }).collect();
        run.output.json(&JsonWithoutKey { version: 1, unlocked: false, entries, slots })?;
        return Ok(Exit::Ok);
    }
    let entries = ids.iter().map(|(id, change)| format!("{} entry with the id {id}", word(*change)));
    run.output.lines(entries.chain(slots.iter().map(slot_line)))?;
    let text = "nothing was unlocked, so only ids and slots were compared".to_owned();
    run.voice.status(&crate::message::Status::Done(text));
    Ok(Exit::Ok)
}

fn report(run: &mut Run<'_>, entries: &[Difference], slots: &[Slot]) -> Result<(), Failure> {
    if run.global.json {
        let entries = entries.iter().map(Entry::of).collect();
        run.output.json(&Json { version: 1, unlocked: true, entries, slots })?;
        return Ok(());
    }
    Ok(run.output.lines(entries.iter().map(line).chain(slots.iter().map(slot_line)))?)
}

fn slot_line(slot: &Slot) -> String {
    format!("{} slot {} ({})", slot.change, slot.label, slot.kind)
}

/// One line for an entry. Of a new or removed one, all parts are: naming the change again would say nothing.
fn line(entry: &Difference) -> String {
    let name = entry.name.as_str();
    let mut text = match &entry.former {
        Some(former) => format!("renamed {} to {name}", former.as_str()),
        None => format!("{} {name}", word(entry.change)),
    };
    let whole = entry.former.is_none() && entry.change != Change::Changed;
    let part = |what: String, change: Change| {
        if whole { what } else { format!("{what} {}", word(change)) }
    };
    let named = |what: &'static str| {
        move |(name, change): (&String, &Change)| part(format!("{what} {name}"), *change)
    };
    let mut parts: Vec<String> = entry.fields.iter().map(named("field")).collect();
    parts.extend(entry.attributes.iter().map(named("attribute")));
    parts.extend(entry.expires.map(|change| part("expiry".to_owned(), change)));
    parts.extend(entry.conflict.map(|change| conflict_word(change).to_owned()));
    if !parts.is_empty() {
        text.push_str(": ");
        text.push_str(&parts.join(", "));
    }
    text
}

fn conflict_word(change: Change) -> &'static str {
    match change {
        Change::Added => "in conflict",
        Change::Removed => "conflict settled",
        Change::Changed => "conflict changed",
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    }
}

/// The values of changed fields, for a person who asked for them.
fn values(
    run: &mut Run<'_>,
    states: &mut States,
    older: Option<usize>,
    newer: usize,
    entries: &[Difference],
) -> Result<(), Failure> {
    for entry in entries {
        let former = entry.former.as_ref().unwrap_or(&entry.name);
        for (field, change) in &entry.fields {
            let before = older.filter(|_| *change != Change::Added).map(|state| (state, former, "before"));
            let after = (*change != Change::Removed).then_some((newer, &entry.name, "after"));
            for (state, name, when) in before.into_iter().chain(after) {
                run.output.lines([format!("{}#{field} {when}:", entry.name.as_str())])?;
                show(run, states.state(state), name, field)?;
            }
        }
    }
    Ok(())
}

fn show(run: &mut Run<'_>, session: &mut dyn Session, name: &EntryName, field: &str) -> Result<(), Failure> {
    match session.entry(name, field)?.and_then(|(_, value)| value) {
        Some(Value::Inline(secret)) => match run.output.secret(&secret, Binary::Refuse) {
            Err(crate::output::OutputError::BinaryToTerminal) => run.output.lines(["(not text)"])?,
            other => other?,
        },
        Some(Value::Attachment(_)) => run.output.lines(["(an attachment)"])?,
        None => {}
    }
    Ok(())
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    unlocked: bool,
    entries: Vec<Entry<'a>>,
    slots: &'a [Slot],
}

#[derive(Serialize)]
struct JsonWithoutKey<'a> {
    version: u32,
    unlocked: bool,
    entries: Vec<Id>,
    slots: &'a [Slot],
}

#[derive(Serialize)]
struct Id {
    id: String,
    change: &'static str,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    former: Option<&'a str>,
    change: &'static str,
    fields: BTreeMap<&'a str, &'static str>,
    attributes: BTreeMap<&'a str, &'static str>,
    expiry: Option<&'static str>,
    conflict: Option<&'static str>,
}

impl<'a> Entry<'a> {
    fn of(entry: &'a Difference) -> Self {
        let words = |all: &'a BTreeMap<String, Change>| {
            all.iter().map(|(name, change)| (name.as_str(), word(*change))).collect()
        };
        Self {
            name: entry.name.as_str(),
            former: entry.former.as_ref().map(EntryName::as_str),
            change: if entry.former.is_some() { "renamed" } else { word(entry.change) },
            fields: words(&entry.fields),
            attributes: words(&entry.attributes),
            expiry: entry.expires.map(word),
            conflict: entry.conflict.map(word),
        }
    }
}
