//! `vault log [NAME]`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vault_core::format::entry::EntryName;
use vault_core::format::seal::{EntryChange, EntryOp, SlotOp};
use vault_core::format::slot::SlotId;
use vault_core::vault::LogRecord;

use super::{Run, entry_name};
use crate::cli::Log;
use crate::failure::Failure;
use crate::message::Exit;
use crate::session::{self, Session};
use crate::time::shown;

pub(super) fn run(run: &mut Run<'_>, arguments: &Log) -> Result<Exit, Failure> {
    let name = arguments.name.as_deref().map(entry_name).transpose()?;
    let since = arguments.since.as_deref().map(|text| since(text, run.now)).transpose()?;
    let (path, mut session) = run.open()?;
    let session::Log { records, labels } = session.log()?;
    let mut records = newest_first(records, name.as_ref());
    if let (Some(name), true) = (name, records.is_empty()) {
        // A name that the log does not know may be one of an entry that is older than the log.
        if session.meta(&name)?.is_none() {
            return Err(super::no_entry(&mut session, &path, name));
        }
    }
    records.retain(|record| since.is_none_or(|since| record.changes.time >= since));
    if run.global.json {
        let records = records.iter().map(|record| Record::of(record, &labels)).collect();
        run.output.json(&Json { version: 1, records })?;
    } else {
        run.output.lines(records.iter().flat_map(|record| lines(record, &labels)))?;
    }
    Ok(Exit::Ok)
}

/// A time that was typed; a span goes back from now.
fn since(text: &str, now: u64) -> Result<u64, Failure> {
    crate::time::parse_past(text, now).ok_or_else(|| Failure::PastTime(text.to_owned()))
}

/// Records from the newest to the oldest; of one entry only, if it is named, with nothing but what concerns it.
pub(super) fn newest_first(records: Vec<LogRecord>, name: Option<&EntryName>) -> Vec<LogRecord> {
    let mut names: BTreeSet<EntryName> = name.into_iter().cloned().collect();
    let mut all = Vec::new();
    for mut record in records.into_iter().rev() {
        if name.is_some() {
            record.changes.slots.clear();
            let mut kept = Vec::new();
            // Going back in time: a new name first, then the one that it replaced.
            for change in std::mem::take(&mut record.changes.entries).into_iter().rev() {
                let is_new = change.new_name.as_ref().is_some_and(|new| names.contains(new));
                if is_new {
                    names.insert(change.name.clone());
                }
                if is_new || names.contains(&change.name) {
                    kept.push(change);
                }
            }
            kept.reverse();
            record.changes.entries = kept;
            if record.changes.entries.is_empty() {
                continue;
            }
        }
        all.push(record);
    }
    all
}

/// What was done to an entry, in words.
pub(super) fn words(change: &EntryChange) -> String {
    let name = change.name.as_str();
    let mut text = match (&change.new_name, change.op) {
        (Some(new), _) => format!("renamed {name} to {}", new.as_str()),
        (None, op) => format!("{} {name}", past(op)),
    };
    let mut parts: Vec<String> = change.fields.iter().map(|field| format!("field {field}")).collect();
    parts.extend(change.attributes.iter().map(|attribute| format!("attribute {attribute}")));
    parts.extend(change.expiry.then(|| "expiry".to_owned()));
    if !parts.is_empty() {
        text.push_str(": ");
        text.push_str(&parts.join(", "));
    }
    text
}

/// The first digits of a seal's id: enough to find it again.
pub(super) fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(SHORT).collect()
}

fn past(op: EntryOp) -> &'static str {
    match op {
        EntryOp::Create => "created",
        EntryOp::Set => "changed",
        EntryOp::Remove => "removed",
        EntryOp::Rename => "renamed",
        EntryOp::Resolve => "resolved",
    }
}

fn past_of_slot(op: SlotOp) -> &'static str {
    match op {
        SlotOp::Add => "added",
        SlotOp::Remove => "removed",
        SlotOp::Rewrap => "rewrapped",
        SlotOp::Relabel => "relabelled",
    }
}

fn slot_name(id: &SlotId, labels: &BTreeMap<SlotId, String>) -> String {
    labels.get(id).cloned().unwrap_or_else(|| id.to_string())
}

fn lines(record: &LogRecord, labels: &BTreeMap<SlotId, String>) -> Vec<String> {
    let changes = &record.changes;
    let mut head = format!(
        "{}  {}  generation {}, seal {}",
        shown(changes.time),
        changes.author,
        record.generation,
        short(&record.seal)
    );
    if record.restart {
        head.push_str(", the log was started anew");
    }
    if record.carried {
        head.push_str(", carried by a restart");
    }
    let mut lines = vec![head];
    lines.extend(changes.reason.iter().map(|reason| format!("    reason: {reason}")));
    lines.extend(changes.entries.iter().map(|change| format!("    {}", words(change))));
    let slot = |change: &vault_core::format::seal::SlotChange| {
        format!("    {} slot {}", past_of_slot(change.op), slot_name(&change.slot, labels))
    };
    lines.extend(changes.slots.iter().map(slot));
    lines
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    records: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    seal: String,
    generation: u64,
    time: String,
    author: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    restart: bool,
    carried: bool,
    entries: Vec<OfEntry<'a>>,
    slots: Vec<OfSlot>,
}

/// A change of an entry, for programs.
#[derive(Serialize)]
pub(super) struct OfEntry<'a> {
    change: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_name: Option<&'a str>,
    fields: Vec<&'a str>,
    attributes: Vec<&'a str>,
    expiry: bool,
}

#[derive(Serialize)]
struct OfSlot {
    change: &'static str,
    slot: String,
}

impl<'a> Record<'a> {
    fn of(record: &'a LogRecord, labels: &BTreeMap<SlotId, String>) -> Self {
        let changes = &record.changes;
        Self {
            seal: record.seal.to_string(),
            generation: record.generation,
            time: shown(changes.time),
            author: &changes.author,
            reason: changes.reason.as_deref(),
            restart: record.restart,
            carried: record.carried,
            entries: changes.entries.iter().map(OfEntry::of).collect(),
            slots: changes
                .slots
                .iter()
                .map(|change| OfSlot {
                    change: past_of_slot(change.op),
                    slot: slot_name(&change.slot, labels),
                })
                .collect(),
        }
    }
}

impl<'a> OfEntry<'a> {
    pub(super) fn of(change: &'a EntryChange) -> Self {
        Self {
            change: past(change.op),
            name: change.name.as_str(),
            new_name: change.new_name.as_ref().map(EntryName::as_str),
            fields: change.fields.iter().map(String::as_str).collect(),
            attributes: change.attributes.iter().map(String::as_str).collect(),
            expiry: change.expiry,
        }
    }
}

const SHORT: usize = 8;
