//! `vault slot list`.

use serde::Serialize;
use vault_core::format::roster::Roster;
use vault_core::format::slot::{SlotKind, SlotLine};

use super::super::Run;
use super::super::slots::kinds::{detail, strength};
use crate::cli::SlotList;
use crate::failure::Failure;
use crate::message::Exit;
use crate::session::open_locked;
use crate::time::shown;

pub(super) fn run(run: &mut Run<'_>, _: &SlotList) -> Result<Exit, Failure> {
    let path = run.location()?.path;
    let locked = open_locked(&path)?;
    // Nobody is asked for a list: what was named is used, and must work.
    let session = if run.is_unlocked_by_name() { Some(run.unlock(&path)?) } else { None };
    let slots = session.as_ref().map_or(locked.slots(), |session| session.slots());
    let roster = session.as_ref().map(|session| session.roster());
    let opened_by = session.as_ref().and_then(|session| session.opened_by());
    let mut listed: Vec<_> =
        slots.iter().map(|slot| Listed::of(slot, roster, opened_by == Some(slot.id))).collect();
    // The file's order is that of random ids.
    listed.sort_by_key(|slot| slot.label);
    let removed: Vec<_> = roster.into_iter().flat_map(|roster| &roster.removed).map(Removed::of).collect();
    if run.global.json {
        let verified = session.is_some();
        run.output.json(&Json { version: 1, verified, slots: listed, removed })?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = listed.iter().map(Listed::row).collect();
    let mut lines = columns(&rows);
    lines.extend(removed.iter().map(|removed| {
        format!(
            "removed: {} ({}), on {} by {}, epoch {}",
            removed.label, removed.kind, removed.time, removed.by, removed.epoch
        )
    }));
    if session.is_none() {
        lines.push("as the file says, unverified: who added them can be told with a key".to_owned());
    }
    run.output.lines(lines)?;
    Ok(Exit::Ok)
}

/// Enough of a recipient to tell it from others.
pub(in crate::commands) fn shortened(recipient: &str) -> String {
    if recipient.len() <= WHOLE {
        return recipient.to_owned();
    }
    // Recipients are ASCII.
    format!("{}…{}", &recipient[..HEAD], &recipient[recipient.len() - TAIL..])
}

/// Rows with their columns one below the other.
fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let most = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..most).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    verified: bool,
    slots: Vec<Listed<'a>>,
    removed: Vec<Removed<'a>>,
}

#[derive(Serialize)]
struct Listed<'a> {
    label: &'a str,
    id: String,
    kind: &'a str,
    recipient: &'a str,
    strength: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf: Option<Kdf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<Added<'a>>,
    opened: bool,
    #[serde(skip)]
    detail: Option<String>,
}

#[derive(Serialize)]
struct Kdf {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

#[derive(Serialize)]
struct Added<'a> {
    time: String,
    by: &'a str,
    epoch: u64,
}

#[derive(Serialize)]
struct Removed<'a> {
    label: &'a str,
    kind: &'a str,
    recipient: &'a str,
    time: String,
    by: &'a str,
    epoch: u64,
}

impl<'a> Listed<'a> {
    fn of(slot: &'a SlotLine, roster: Option<&'a Roster>, opened: bool) -> Self {
        let kdf = match &slot.kind {
            SlotKind::Passphrase(sealed) | SlotKind::Recovery(sealed) => {
                Some(Kdf { memory_kib: sealed.memory_kib, passes: sealed.passes, lanes: sealed.lanes })
            }
            _ => None,
        };
        let store = match &slot.kind {
            SlotKind::Keyring(sealed) => Some(sealed.store.as_str()),
            _ => None,
        };
        let added = roster.and_then(|roster| roster.slots.get(&slot.id));
        Self {
            label: slot.label.as_str(),
            id: slot.id.to_string(),
            kind: slot.kind.name(),
            recipient: slot.recipient.as_str(),
            strength: strength(&slot.recipient),
            kdf,
            store,
            added: added.map(|added| Added { time: shown(added.time), by: &added.by, epoch: added.epoch }),
            opened,
            detail: detail(&slot.kind),
        }
    }

    fn row(&self) -> Vec<String> {
        let mut row = vec![
            self.label.to_owned(),
            self.kind.to_owned(),
            shortened(self.recipient),
            self.strength.to_owned(),
            self.detail.clone().unwrap_or_default(),
        ];
        if let Some(added) = &self.added {
            row.push(format!("added {} by {}, epoch {}", added.time, added.by, added.epoch));
        }
        if self.opened {
            row.push("(opened it now)".to_owned());
        }
        row
    }
}

impl<'a> Removed<'a> {
    fn of(removed: &'a vault_core::format::roster::Removed) -> Self {
        Self {
            label: &removed.label,
            kind: &removed.kind,
            recipient: &removed.recipient,
            time: shown(removed.time),
            by: &removed.by,
            epoch: removed.epoch,
        }
    }
}

const WHOLE: usize = 26;
const HEAD: usize = 14;
const TAIL: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let lines = columns(&[row(&["a", "long cell", "x"]), row(&["bbb", "c", ""])]);
        assert_eq!(lines, ["a    long cell  x", "bbb  c"]);
        assert_eq!(columns(&[]), [""; 0]);
    }

    #[test]
    fn both_ends_of_a_recipient_are_shown() {
        assert_eq!(shortened("age1short"), "age1short");
        let long = format!("ssh-ed25519:AAAA{}end", "x".repeat(80));
        assert_eq!(shortened(&long), "ssh-ed25519:AA…xxxxxend");
    }
}
