//! `vault list [PATTERN]`.

use std::collections::BTreeMap;

use serde::Serialize;
use vault_core::format::entry::{FieldKind, Meta};

use super::{Run, attributes, exposed, normalised};
use crate::cli::List;
use crate::failure::Failure;
use crate::message::Exit;
use crate::pattern;
use crate::session::Session;
use crate::time::shown;

pub(super) fn run(run: &mut Run<'_>, arguments: &List) -> Result<Exit, Failure> {
    let (_, mut session) = run.open()?;
    let mut entries = session.list()?;
    let pattern = arguments.pattern.as_deref().map(normalised);
    let attributes = attributes(&arguments.attributes)?;
    entries.retain(|meta| {
        matches(pattern.as_deref(), meta.name.as_str()) && is_wanted(meta, &attributes, arguments, run.now)
    });
    let removal = session.facts().removal;
    if arguments.exposed {
        entries.retain(|meta| removal.is_some_and(|removal| !exposed::fields(meta, removal).is_empty()));
    }
    if run.global.json {
        let with_exposed = |meta| {
            let fields = removal.map(|removal| exposed::fields(meta, removal));
            Entry { exposed: fields.unwrap_or_default(), ..Entry::of(meta) }
        };
        let entries: Vec<_> = entries.iter().map(with_exposed).collect();
        run.output.json(&Json { version: 1, entries })?;
    } else {
        run.output.lines(entries.iter().map(|meta| meta.name.as_str()))?;
    }
    Ok(Exit::Ok)
}

/// Whether a name matches: `*` is any text, `?` one character; without these, it is enough to contain the pattern.
pub(super) fn matches(pattern: Option<&str>, name: &str) -> bool {
    pattern.is_none_or(|pattern| pattern::is_like(pattern, name))
}

/// An entry without its values, for programs.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    name: &'a str,
    fields: BTreeMap<&'a str, &'static str>,
    attributes: BTreeMap<&'a str, &'a str>,
    created: String,
    modified: String,
    expires: Option<String>,
    conflict: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exposed: Vec<String>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(meta: &'a Meta) -> Self {
        Self {
            name: meta.name.as_str(),
            fields: meta.fields.iter().map(|(name, info)| (name.as_str(), kind(info.kind))).collect(),
            attributes: meta.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            created: shown(meta.created),
            modified: shown(meta.modified),
            expires: meta.expires.map(shown),
            conflict: meta.in_conflict(),
            exposed: Vec::new(),
        }
    }
}

/// The word for where a field's value is.
pub(super) fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Inline => "inline",
        FieldKind::Attachment => "attachment",
    }
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    entries: Vec<Entry<'a>>,
}

fn is_wanted(meta: &Meta, attributes: &[(String, String)], arguments: &List, now: u64) -> bool {
    attributes.iter().all(|(name, value)| meta.attributes.get(name) == Some(value))
        && (!arguments.expired || meta.expires.is_some_and(|expires| expires <= now))
        && (!arguments.conflicts || meta.in_conflict())
}
