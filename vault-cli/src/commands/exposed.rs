//! What somebody who was removed could read, and nobody has changed since: for `list --exposed` and `status`.

use serde::Serialize;
use vault_core::format::entry::Meta;

/// An entry with fields whose values a removed holder could read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Exposed {
    pub(super) name: String,
    pub(super) fields: Vec<String>,
}

/// Of these entries, those with a value from this epoch or before: that of the last removal.
pub(super) fn exposed(entries: &[Meta], removal: Option<u64>) -> Vec<Exposed> {
    let Some(removal) = removal else { return Vec::new() };
    let of = |meta: &Meta| Exposed { name: meta.name.as_str().to_owned(), fields: fields(meta, removal) };
    entries.iter().map(of).filter(|exposed| !exposed.fields.is_empty()).collect()
}

/// The fields of an entry that were last changed in this epoch or before, also on the other side of a conflict.
pub(super) fn fields(meta: &Meta, removal: u64) -> Vec<String> {
    let here = meta.fields.iter().map(|(field, info)| (field, info.epoch));
    let there = meta.alternatives.iter().flat_map(|alternative| {
        alternative.fields.iter().filter_map(|(field, info)| Some((field, info.as_ref()?.epoch)))
    });
    let mut fields: Vec<String> =
        here.chain(there).filter(|(_, epoch)| *epoch <= removal).map(|(field, _)| field.clone()).collect();
    fields.sort();
    fields.dedup();
    fields
}

/// As `status` says it.
pub(super) fn lines(all: &[Exposed]) -> Vec<String> {
    let one = |exposed: &Exposed| format!("exposed: {} ({})", exposed.name, exposed.fields.join(", "));
    let mut lines: Vec<String> = all.iter().take(SHOWN).map(one).collect();
    match all.len() {
        0 => return lines,
        1..=SHOWN => {}
        count => lines.push(format!("exposed: {} more; see: vault list --exposed", count - SHOWN)),
    }
    lines.push(
        "somebody who was removed could read what is exposed: change it where it is used, then here"
            .to_owned(),
    );
    lines
}

/// More would hide the rest of the status.
const SHOWN: usize = 20;
