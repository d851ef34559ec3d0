//! Requests that read: what is sent in parts, and long values piece by piece.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use vault_core::agent::differ::{self, Become, Parts};
use vault_core::agent::message::{self, Bytes, ChangesBytes, Done, Found, Listed, LogEntry, MetaBytes};
use vault_core::agent::{PART, ReplyKind};
use vault_core::format::entry::{EntryName, Meta};
use vault_core::secret::Secret;
use vault_core::vault::Value;
use vault_core::vault::diff::{Change, Difference};
use zeroize::Zeroizing;

use super::{Conversation, Refusal, VALUES, bad_request, told};
use crate::agent::server::lock;
use crate::session::{Local, Opened, Session, SessionError};

impl Conversation<'_> {
    pub(super) fn get(&mut self, get: &message::Get) -> Result<(), Refusal> {
        let (real, _, vault, _) = self.vault(&get.vault, get.state)?;
        let found = Local::of(get.vault.path(), vault).entry(&get.name, &get.field)?;
        let Some((meta, value)) = found else {
            return self.result(&message::Got { meta: None, value: None });
        };
        let value = self.found(real, value)?;
        self.result(&message::Got { meta: Some(MetaBytes(meta)), value })
    }

    /// A value as it is sent: a long one gets a handle.
    pub(super) fn found(&self, real: PathBuf, value: Option<Value>) -> Result<Option<Found>, Refusal> {
        Ok(match value {
            None => None,
            Some(Value::Inline(secret)) => Some(Found::Short(secret)),
            Some(Value::Attachment(reader)) => {
                let length = reader.length();
                let handle = self.keep(&real, |open| {
                    if open.values.len() >= VALUES {
                        return Err(told("agent-busy", 7, "too many values are open on this connection"));
                    }
                    let handle = open.next();
                    open.values.insert(handle, (real.clone(), reader));
                    Ok(handle)
                })?;
                Some(Found::Long { handle, length })
            }
        })
    }

    pub(super) fn metas(&mut self, metas: Vec<Meta>) -> Result<(), Refusal> {
        let mut part = message::Metas { metas: Vec::new() };
        let mut size = 0;
        for meta in metas {
            size += meta_size(&meta);
            part.metas.push(MetaBytes(meta));
            if size >= PART {
                self.send(ReplyKind::Part, &part)?;
                (part.metas, size) = (Vec::new(), 0);
            }
        }
        if !part.metas.is_empty() {
            self.send(ReplyKind::Part, &part)?;
        }
        self.result(&Done {})
    }

    pub(super) fn find(&mut self, find: message::Find) -> Result<(), Refusal> {
        let (_, held, vault, _) = self.vault(&find.vault, find.state)?;
        let path = find.vault.path();
        let catalogue = match held {
            Some(held) => held.catalogue(&vault, path)?,
            None => {
                Arc::new(vault.catalogue().map_err(|error| SessionError::Verify(path.to_owned(), error))?)
            }
        };
        let with = find.with.map(|texts| texts.0).unwrap_or_default();
        let found = catalogue.find(&with, &find.having.unwrap_or_default());
        self.metas(found)
    }

    pub(super) fn entries(&mut self, entries: message::Entries) -> Result<(), Refusal> {
        let names: Option<BTreeSet<EntryName>> = entries.names.map(|names| names.into_iter().collect());
        let wanted = |meta: &Meta| names.as_ref().is_none_or(|names| names.contains(&meta.name));
        let mut session = self.session(&entries.vault, entries.state)?;
        let mut part = message::EntriesPart { entries: Vec::new() };
        let mut size = 0;
        let all = match &names {
            // A few are looked up: to look at all would read the whole file.
            Some(names) if names.len() <= FEW => few(&mut session, names)?,
            _ => session.entries(&wanted)?,
        };
        for opened in all {
            let values = opened.values.into_iter().map(|(field, value)| match value {
                Value::Inline(secret) => (field, Listed::Short(secret)),
                Value::Attachment(reader) => (field, Listed::Long(reader.length())),
            });
            let values: BTreeMap<String, Listed> = values.collect();
            let inline: usize = values
                .values()
                .map(|value| match value {
                    Listed::Short(secret) => 16 + secret.expose().len(),
                    Listed::Long(_) => 16,
                })
                .sum();
            size += meta_size(&opened.meta) + inline;
            part.entries.push(message::Entry { meta: opened.meta, values });
            if size >= PART {
                self.send(ReplyKind::Part, &part)?;
                (part.entries, size) = (Vec::new(), 0);
            }
        }
        if !part.entries.is_empty() {
            self.send(ReplyKind::Part, &part)?;
        }
        self.result(&Done {})
    }

    pub(super) fn log(&mut self, it: &message::Log) -> Result<(), Refusal> {
        let log = self.session(&it.vault, it.state)?.log()?;
        let entries = log.records.into_iter().map(|record| LogEntry {
            seal: record.seal,
            generation: record.generation,
            parents: record.parents,
            restart: record.restart,
            carried: record.carried,
            changes: ChangesBytes(record.changes),
        });
        let bytes = LogEntry::encode_all(&entries.collect::<Vec<_>>());
        for piece in bytes.chunks(PART) {
            let bytes = Bytes(Secret::new(piece.to_vec()));
            self.send(ReplyKind::Part, &message::LogPiece { bytes })?;
        }
        self.result(&message::LogLabels { labels: log.labels.into_iter().collect() })
    }

    pub(super) fn differ(&mut self, it: &message::Differ) -> Result<(), Refusal> {
        let (_, _, older, _) = self.vault(&it.vault, Some(it.older))?;
        let (_, _, newer, _) = self.vault(&it.vault, Some(it.newer))?;
        let [older, newer] = [older, newer].map(|state| Local::of(it.vault.path(), state));
        let differences = newer.differences(&older)?;
        // Names have up to 1,024 bytes, and there may be 64 fields and 256 attributes of 128 or less.
        for some in differences.chunks(DIFFERENCES) {
            let differences = some.iter().map(wire_difference).collect();
            self.send(ReplyKind::Part, &message::DifferencesPart { differences })?;
        }
        self.result(&Done {})
    }

    pub(super) fn read(&mut self, handle: u64) -> Result<(), Refusal> {
        let taken = {
            let mut open = lock(&self.connection.open);
            if open.forgotten.contains(&handle) {
                return Err(told("agent-locked", 4, LOCKED));
            }
            open.values.remove(&handle)
        };
        let Some((real, mut reader)) = taken else { return Err(bad_request("no value has this number")) };
        self.connection.is_about(&real);
        if !self.server.touch(&real) {
            return Err(told("agent-locked", 4, LOCKED));
        }
        let mut bytes = Zeroizing::new(vec![0; PART]);
        let mut length = 0;
        while length < bytes.len() {
            match reader.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(told("tampered", 6, format!("cannot read the value: {error}")));
                }
            }
        }
        bytes.truncate(length);
        if length > 0 {
            self.keep(&real, |open| {
                open.values.insert(handle, (real.clone(), reader));
                Ok(())
            })?;
        }
        self.result(&message::Chunk { bytes: Bytes(Secret::from(bytes)) })
    }
}

fn few(session: &mut Local, names: &BTreeSet<EntryName>) -> Result<Vec<Opened>, SessionError> {
    let mut all = Vec::new();
    for name in names {
        let Some(meta) = session.meta(name)? else { continue };
        let mut values = Vec::new();
        for field in meta.fields.keys() {
            if let Some((_, Some(value))) = session.entry(name, field)? {
                values.push((field.clone(), value));
            }
        }
        all.push(Opened { meta, values });
    }
    Ok(all)
}

fn wire_difference(it: &Difference) -> differ::Difference {
    let becomes = |change: &Change| match change {
        Change::Added => Become::Added,
        Change::Removed => Become::Removed,
        Change::Changed => Become::Changed,
    };
    let parts = |parts: &BTreeMap<String, Change>| {
        Parts::some(parts.iter().map(|(name, change)| (name.clone(), becomes(change))).collect())
    };
    differ::Difference {
        name: it.name.clone(),
        change: becomes(&it.change),
        former: it.former.clone(),
        fields: parts(&it.fields),
        attributes: parts(&it.attributes),
        expires: it.expires.as_ref().map(becomes),
        conflict: it.conflict.as_ref().map(becomes),
    }
}

/// About how many bytes this takes in a message.
fn meta_size(meta: &Meta) -> usize {
    let attributes = meta.attributes.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
    let fields = meta.fields.keys().map(|name| name.len() + 16).sum::<usize>();
    let alternatives = meta.alternatives.len() * 1024;
    64 + meta.name.as_str().len() + attributes + fields + alternatives
}

const LOCKED: &str = "the vault of this value was locked before all of it was read";
/// Of so many a message has room, however large they are.
const DIFFERENCES: usize = 16;
/// So many entries are looked up one by one.
const FEW: usize = 64;
