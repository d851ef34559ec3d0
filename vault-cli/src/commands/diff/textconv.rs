//! `vault diff --textconv FILE`: a vault as lines that git compares.
//!
//! A field's line names the seal that last changed it, so that a change shows although no value does: secrets are not
//! even opened. It runs for every version that git shows, so it never asks, and whatever is wrong is said in a line.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use vault_core::crypto::hash::sha256;
use vault_core::format::entry::{EntryName, Meta};
use vault_core::format::seal::EntryOp;
use vault_core::vault::{LockedVault, LogRecord};

use super::super::Run;
use super::super::log::short;
use super::super::slot::shortened;
use super::super::states::States;
use crate::escape::escaped;
use crate::failure::Failure;
use crate::message::Exit;
use crate::session::{SessionError, State};
use crate::time::shown;

pub(super) fn run(run: &mut Run<'_>, file: &Path, no_key: bool) -> Result<Exit, Failure> {
    let lines = match State::in_file(file) {
        Ok(state) => of_vault(run, file, state, no_key),
        Err(_) => raw(file),
    };
    let mut text = String::new();
    for line in lines {
        // Git passes its output to a terminal as it is.
        text.push_str(&escaped(&line));
        text.push('\n');
    }
    run.output.text(&text)?;
    Ok(Exit::Ok)
}

fn of_vault(run: &mut Run<'_>, file: &Path, state: State, no_key: bool) -> Vec<String> {
    let mut lines = front(&state.vault);
    let structure = structure(&state.vault);
    // The file is one that git made: an agent holds the vault where it is.
    let here = run.location().map_or_else(|_| file.to_owned(), |location| location.path);
    if !no_key {
        match with_key(run, &here, state) {
            Ok(Some(entries)) => {
                lines.extend(entries);
                return lines;
            }
            Ok(None) => {}
            // Why is said by every other command; here it would be said once for every version.
            Err(_) => lines.push("not unlocked".to_owned()),
        }
    }
    lines.extend(structure);
    lines
}

fn front(locked: &LockedVault) -> Vec<String> {
    let header = locked.header();
    let mut lines = vec![
        format!("vault {}", vault_core::format::id::SealId(header.uuid)),
        format!("pages {}", header.pages.count()),
    ];
    lines.extend(locked.slots().iter().map(|slot| {
        let recipient = recipient(slot.recipient.as_str());
        format!("slot {} ({}) {recipient}", slot.label.as_str(), slot.kind.name())
    }));
    lines
}

/// A recipient may have 2,000 characters. What is left out shows in the digest, so that no other one looks the same.
fn recipient(text: &str) -> String {
    let short = shortened(text);
    if short == text {
        return short;
    }
    let digest = sha256(text.as_bytes()).iter().take(DIGEST).fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    format!("{short} (sha256 {digest}…)")
}

/// What can be seen without a key.
fn structure(locked: &LockedVault) -> Vec<String> {
    match locked.outline() {
        Ok(all) => all.iter().map(|entry| format!("entry {} version {}", entry.id, entry.mark)).collect(),
        Err(error) => vec![format!("damaged: {error}")],
    }
}

fn with_key(run: &mut Run<'_>, path: &Path, state: State) -> Result<Option<Vec<String>>, Failure> {
    let Some(mut states) = States::without_asking(run, path, path, &state.vault)? else { return Ok(None) };
    let number = match states.unlock(run, state) {
        // The agent's vault is another one.
        Err(Failure::Session(error)) if matches!(*error, SessionError::Locked { .. }) => return Ok(None),
        other => other?,
    };
    let session = states.state(number);
    let log = session.log()?;
    let seals = LastSeals::of(&log.records);
    Ok(Some(session.list()?.iter().flat_map(|meta| entry(meta, &seals)).collect()))
}

/// An entry: its name, and a line for each part.
fn entry(meta: &Meta, seals: &LastSeals) -> Vec<String> {
    let name = meta.name.as_str();
    let mut lines = vec![format!("entry {name}")];
    let part =
        |what: &'static str, part: &str| format!("    {what} {part} {}", seals.said(&meta.name, what, part));
    lines.extend(meta.fields.keys().map(|field| part("field", field)));
    lines.extend(meta.attributes.keys().map(|attribute| part("attribute", attribute)));
    lines.extend(meta.expires.map(|expires| format!("    expires {}", shown(expires))));
    if meta.in_conflict() {
        lines.push(format!("    in conflict: {} versions", meta.alternatives.len() + 1));
    }
    lines
}

/// For each part of each entry, what the log last says of it.
struct LastSeals<'a>(BTreeMap<&'a EntryName, Parts<'a>>);

type Parts<'a> = BTreeMap<(&'static str, &'a str), &'a LogRecord>;

impl<'a> LastSeals<'a> {
    fn of(records: &'a [LogRecord]) -> Self {
        let mut last: BTreeMap<&EntryName, Parts<'a>> = BTreeMap::new();
        for record in records {
            for change in &record.changes.entries {
                let mut parts = last.remove(&change.name).unwrap_or_default();
                if change.op == EntryOp::Remove {
                    continue;
                }
                parts.extend(change.fields.iter().map(|field| (("field", field.as_str()), record)));
                parts.extend(change.attributes.iter().map(|name| (("attribute", name.as_str()), record)));
                // After a rename, the parts go with the entry.
                last.insert(change.new_name.as_ref().unwrap_or(&change.name), parts);
            }
        }
        Self(last)
    }

    fn said(&self, name: &EntryName, what: &'static str, part: &str) -> String {
        match self.0.get(name).and_then(|parts| parts.get(&(what, part))) {
            Some(record) => {
                let changes = &record.changes;
                let (time, author) = (shown(changes.time), &changes.author);
                format!("last changed {time} by {author} (seal {})", short(&record.seal))
            }
            None => "unchanged since the log begins".to_owned(),
        }
    }
}

/// A file that is no vault, or no more: its lines as they are if they cannot hold a value, and their number else.
fn raw(file: &Path) -> Vec<String> {
    let text = std::fs::read(file).unwrap_or_default();
    if text.is_empty() {
        return Vec::new();
    }
    // A vault with a merge's conflict in it has the markers to show; everything else is sealed, and of no use here.
    let markers: Vec<String> = text
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| MARKERS.iter().any(|marker| line.starts_with(marker)))
        .map(|(number, line)| {
            let marker = line.iter().take(MARKERS[0].len());
            format!("line {}: {}", number + 1, marker.copied().map(char::from).collect::<String>())
        })
        .collect();
    let what = if text.starts_with(b"vault/") { "a vault that cannot be read" } else { "not a vault" };
    std::iter::once(what.to_owned()).chain(markers).collect()
}

/// Bytes of a digest that are shown: nobody makes two keys that have these in common.
const DIGEST: usize = 16;
const MARKERS: [&[u8]; 3] = [b"<<<<<<<", b"=======", b">>>>>>>"];
