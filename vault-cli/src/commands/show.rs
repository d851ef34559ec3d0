//! `vault show NAME`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vault_core::format::entry::{Alternative, Meta};
use vault_core::format::id::SealId;
use vault_core::vault::LogRecord;

use super::list::{Entry, kind};
use super::log::{newest_first, short};
use super::{Run, entry_name, no_entry};
use crate::cli::Show;
use crate::failure::Failure;
use crate::message::Exit;
use crate::session::Session;
use crate::time::shown;

pub(super) fn run(run: &mut Run<'_>, arguments: &Show) -> Result<Exit, Failure> {
    let name = entry_name(&arguments.name)?;
    let (path, mut session) = run.open()?;
    let Some(meta) = session.meta(&name)? else {
        return Err(no_entry(&mut session, &path, name));
    };
    let records = session.log()?.records;
    let sides = Sides::of(&meta, &records);
    let log = newest_first(records, Some(&name));
    let last = log.first().map(LastChange::of);
    if run.global.json {
        let alternatives = meta.alternatives.iter().map(|other| Version::of(other, &sides)).collect();
        run.output.json(&Json { version: 1, entry: Entry::of(&meta), last_change: last, alternatives })?;
    } else {
        let mut lines = lines(&meta, &sides);
        lines.extend(last.map(|last| {
            format!("last changed by: {}, {} (seal {})", last.author, last.time, short(&last.seal))
        }));
        run.output.lines(lines)?;
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    entry: Entry<'a>,
    last_change: Option<LastChange<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alternatives: Vec<Version<'a>>,
}

/// Who changed the entry last, as the log says.
#[derive(Serialize)]
struct LastChange<'a> {
    author: &'a str,
    time: String,
    seal: String,
}

impl<'a> LastChange<'a> {
    fn of(record: &'a LogRecord) -> Self {
        let changes = &record.changes;
        Self { author: &changes.author, time: shown(changes.time), seal: record.seal.to_string() }
    }
}

/// Who wrote the other versions of an entry in conflict, and when, as far as the log goes back.
pub(super) struct Sides(BTreeMap<SealId, (String, u64)>);

impl Sides {
    pub(super) fn of(meta: &Meta, records: &[LogRecord]) -> Self {
        let seals: BTreeSet<SealId> = meta.alternatives.iter().map(|other| other.seal).collect();
        let known = records.iter().filter(|record| seals.contains(&record.seal));
        Self(
            known.map(|record| (record.seal, (record.changes.author.clone(), record.changes.time))).collect(),
        )
    }
}

/// What the other side of a merge has.
#[derive(Serialize)]
struct Version<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    seal: String,
    name: Option<&'a str>,
    fields: Vec<&'a str>,
    attributes: Vec<&'a str>,
    expiry: bool,
    removed: bool,
}

impl<'a> Version<'a> {
    fn of(alternative: &'a Alternative, sides: &'a Sides) -> Self {
        let side = sides.0.get(&alternative.seal);
        Self {
            author: side.map(|(author, _)| author.as_str()),
            time: side.map(|(_, time)| shown(*time)),
            seal: alternative.seal.to_string(),
            name: alternative.name.as_ref().map(|name| name.as_str()),
            fields: alternative.fields.keys().map(String::as_str).collect(),
            attributes: alternative.attributes.keys().map(String::as_str).collect(),
            expiry: alternative.expires.is_some(),
            removed: alternative.removed,
        }
    }
}

fn lines(meta: &Meta, sides: &Sides) -> Vec<String> {
    let mut lines = vec![format!("name: {}", meta.name.as_str())];
    lines.extend(meta.fields.iter().map(|(field, info)| format!("field: {field} ({})", kind(info.kind))));
    lines.extend(meta.attributes.iter().map(|(name, value)| format!("attribute: {name}={value}")));
    lines.push(format!("created: {}", shown(meta.created)));
    lines.push(format!("modified: {}", shown(meta.modified)));
    lines.extend(meta.expires.map(|expires| format!("expires: {}", shown(expires))));
    lines.extend(conflict_lines(meta, sides));
    lines
}

/// What the other versions of an entry in conflict differ in, by names; never a value.
pub(super) fn conflict_lines(meta: &Meta, sides: &Sides) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, alternative) in meta.alternatives.iter().enumerate() {
        let Version { author, time, name, fields, attributes, expiry, removed, .. } =
            Version::of(alternative, sides);
        let mut what: Vec<String> = fields.iter().map(|field| format!("field {field}")).collect();
        what.extend(attributes.iter().map(|attribute| format!("attribute {attribute}")));
        what.extend(name.map(|name| format!("name {name}")));
        what.extend(expiry.then(|| "expiry".to_owned()));
        what.extend(removed.then(|| "removed there".to_owned()));
        let by = match (author, time) {
            (Some(author), Some(time)) => format!("; theirs, by {author} on {time}"),
            _ => String::new(),
        };
        lines.push(format!("conflict {}: {}{by}", number + 1, what.join(", ")));
    }
    lines
}
