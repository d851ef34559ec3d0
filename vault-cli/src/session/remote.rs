//! The vault in the agent: the client's side of a session.

mod together;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minicbor::Decode;
use vault_core::agent::change::{self, Incoming};
use vault_core::agent::differ::{self, Become};
use vault_core::agent::link::{Link, LinkError, find};
use vault_core::agent::message::{self, Done, Found, Listed, VaultPath};
use vault_core::agent::place::Places;
use vault_core::agent::{PART, Request, SHORT};
use vault_core::format::entry::{EntryName, Meta};
use vault_core::format::front::Pages;
use vault_core::secret::Secret;
use vault_core::source::Source;
use vault_core::vault::diff::{self, Difference};
use vault_core::vault::edit::{NewValue, Outcome, Pick};
use vault_core::vault::{Counts, LogRecord, LongValue, Value};

pub(crate) use self::together::FromAgent;
use super::{Change, Committed, Expect, Facts, Log, Opened, Session, SessionError};
use crate::sys::folder::NamelessFile;

/// A vault that the agent holds.
pub(crate) struct Remote {
    link: Arc<Mutex<Link>>,
    places: Places,
    vault: VaultPath,
    path: PathBuf,
    author: String,
    facts: message::Facts,
    /// A state that the agent keeps for this connection; without, the file as it is now.
    state: Option<u64>,
    /// Values that the agent keeps for the next commit: with another connection, they would be lost.
    attached: usize,
}

impl Remote {
    /// The agent's session of this vault, if one holds it. Which entry and field will be read first is asked for at once, if that is
    /// known.
    ///
    /// # Errors
    /// [`SessionError::Agent`].
    pub(crate) fn find(
        places: Places,
        path: &Path,
        author: String,
        first: Option<(&EntryName, &str)>,
    ) -> Result<Option<Self>, LinkError> {
        let Some(vault) = VaultPath::new(path) else { return Ok(None) };
        let first = first.map(|(name, field)| get(&vault, None, name, field));
        let Some((link, facts)) = find(&places, &vault, first.as_ref())? else { return Ok(None) };
        let link = Arc::new(Mutex::new(link));
        Ok(Some(Self { link, places, vault, path: path.to_owned(), author, facts, state: None, attached: 0 }))
    }

    /// Its generation and the one that this machine has seen, if it is older.
    pub(crate) fn older(&self) -> Option<(u64, u64)> {
        self.facts.older.map(|seen| (self.facts.generation, seen))
    }

    /// The vault in another state, if the key that the agent holds is that state's, and the agent can be given its text.
    ///
    /// # Errors
    /// [`SessionError::Agent`].
    pub(crate) fn in_state(&self, text: &dyn Source) -> Result<Option<Self>, SessionError> {
        let Ok(file) = NamelessFile::make("vault-state", |out| copy(text, out)) else { return Ok(None) };
        let open = Request::Open(message::Open { vault: self.vault.clone(), other: None });
        let opened: message::Opened = match self.link().call_about(&open, file) {
            Err(error) if error.is_locked() => return Ok(None),
            other => other?,
        };
        Ok(Some(self.other(opened)))
    }

    /// How this state differs from an older one. None if one of them is no state.
    ///
    /// # Errors
    /// [`SessionError::Agent`].
    pub(crate) fn differences(&self, before: &Self) -> Result<Option<Vec<Difference>>, SessionError> {
        let (Some(older), Some(newer)) = (before.state, self.state) else { return Ok(None) };
        let differ = Request::Differ(message::Differ { vault: self.vault.clone(), older, newer });
        let mut all = Vec::new();
        let _: Done = self.link().call_with(&differ, |bytes| {
            let part: message::DifferencesPart =
                vault_core::agent::content(bytes).map_err(LinkError::Frame)?;
            all.extend(part.differences.into_iter().map(difference));
            Ok(())
        })?;
        Ok(Some(all))
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for something that changes nothing: once more, if the connection was closed for being idle.
    fn ask<T: for<'b> Decode<'b, ()>>(
        &mut self,
        request: &Request,
        part: &mut dyn FnMut(&[u8]) -> Result<(), LinkError>,
    ) -> Result<T, SessionError> {
        let mut parts = 0;
        let result = self.link().call_with(request, |bytes| {
            parts += 1;
            part(bytes)
        });
        match result {
            Err(LinkError::Lost(_)) if parts == 0 && self.attached == 0 && self.state.is_none() => {
                self.reconnect()?;
                let result = self.link().call_with(request, part);
                Ok(result?)
            }
            other => Ok(other?),
        }
    }

    fn reconnect(&mut self) -> Result<(), SessionError> {
        match find(&self.places, &self.vault, None)? {
            Some((link, facts)) => {
                self.link = Arc::new(Mutex::new(link));
                self.facts = facts;
                Ok(())
            }
            None => Err(SessionError::Locked { path: self.path.clone(), passphrase: true, empty: None }),
        }
    }

    fn metas(&mut self, request: &Request) -> Result<Vec<Meta>, SessionError> {
        let mut all = Vec::new();
        let _: Done = self.ask(request, &mut |bytes| {
            let part: message::Metas = vault_core::agent::content(bytes).map_err(LinkError::Frame)?;
            all.extend(part.metas.into_iter().map(|meta| meta.0));
            Ok(())
        })?;
        Ok(all)
    }

    /// Sends a value that does not fit a change.
    fn send_value(&mut self, value: &mut dyn Read, limit: u64) -> Result<u64, SessionError> {
        // Is the connection still there? From here on it must not be another.
        if self.attached == 0 {
            let _: message::Facts =
                self.ask(&Request::Use(message::Use { vault: self.vault.clone() }), &mut |_| Ok(()))?;
        }
        let attached = self.link().attach(&self.vault, value, limit)?;
        let attached = attached.map_err(|error| SessionError::Edit(self.path.clone(), error.into()))?;
        self.attached += 1;
        Ok(attached.handle)
    }

    fn wire(&mut self, change: Change) -> Result<change::Change, SessionError> {
        Ok(match change {
            Change::Remove(name) => change::Change::Remove(name),
            Change::Rename { from, to } => change::Change::Rename(from, to),
            Change::Copy { from, to } => change::Change::Copy(from, to),
            Change::Resolve { name, pick } => {
                let pick = match pick {
                    Pick::Ours => None,
                    Pick::Theirs(number) => Some(number as u64),
                };
                change::Change::Resolve(name, pick)
            }
            Change::Set { name, update, expect } => {
                let mut fields = std::collections::BTreeMap::new();
                for (field, value) in update.fields {
                    let value = match value {
                        None => None,
                        Some(NewValue::Inline(secret)) if secret.expose().len() <= SHORT => {
                            Some(Incoming::Short(secret))
                        }
                        Some(NewValue::Inline(secret)) => {
                            let handle = self.send_value(&mut secret.expose(), u64::MAX)?;
                            Some(Incoming::Attached(handle))
                        }
                        Some(NewValue::Held(handle)) => Some(Incoming::Attached(handle)),
                        Some(NewValue::Attachment(_)) => {
                            let error = io::Error::other("it was sealed for another vault");
                            return Err(SessionError::Edit(self.path.clone(), error.into()));
                        }
                    };
                    fields.insert(field, value);
                }
                let expect = match expect {
                    Expect::Anything => None,
                    Expect::Entry => Some(change::Expect::Entry),
                    Expect::NoField(field) => Some(change::Expect::NoField(field)),
                    Expect::Value(field, value) => Some(change::Expect::Value(field, value)),
                };
                let (attributes, expires) = (update.attributes, update.expires);
                change::Change::Set(Box::new(change::Set { name, fields, attributes, expires, expect }))
            }
        })
    }

    /// A value that was sent, or that is to be read.
    fn value_of(&self, found: Found) -> Value {
        match found {
            Found::Short(secret) => Value::Inline(secret),
            Found::Long { handle, length } => {
                Value::Attachment(Box::new(Long::new(&self.link, Where::Handle(handle), length)))
            }
        }
    }

    fn committed(&mut self, committed: message::Committed) -> Committed {
        self.facts.generation = committed.generation;
        let outcome = |outcome| if outcome == 0 { Outcome::Created } else { Outcome::Changed };
        Committed {
            outcomes: committed.outcomes.into_iter().map(outcome).collect(),
            generation: committed.generation,
        }
    }
}

impl Session for Remote {
    fn list(&mut self) -> Result<Vec<Meta>, SessionError> {
        let vault = self.vault.clone();
        self.metas(&Request::List(message::List { vault, state: self.state }))
    }

    fn meta(&mut self, name: &EntryName) -> Result<Option<Meta>, SessionError> {
        let request =
            Request::Meta(message::Meta { vault: self.vault.clone(), state: self.state, name: name.clone() });
        let got: message::Got = self.ask(&request, &mut |_| Ok(()))?;
        Ok(got.meta.map(|meta| meta.0))
    }

    fn entry(
        &mut self,
        name: &EntryName,
        field: &str,
    ) -> Result<Option<(Meta, Option<Value>)>, SessionError> {
        let got: message::Got = self.ask(&get(&self.vault, self.state, name, field), &mut |_| Ok(()))?;
        let value = got.value.map(|found| self.value_of(found));
        Ok(got.meta.map(|meta| (meta.0, value)))
    }

    fn alternative(
        &mut self,
        name: &EntryName,
        number: usize,
        field: &str,
    ) -> Result<Option<Value>, SessionError> {
        let (vault, name, field) = (self.vault.clone(), name.clone(), field.to_owned());
        let number = number as u64;
        let request =
            Request::Alternative(message::Alternative { vault, state: self.state, name, number, field });
        let got: message::Got = self.ask(&request, &mut |_| Ok(()))?;
        Ok(got.value.map(|found| self.value_of(found)))
    }

    fn entries(&mut self, wanted: &(dyn Fn(&Meta) -> bool + Sync)) -> Result<Vec<Opened>, SessionError> {
        let vault = self.vault.clone();
        // Names, values and attachments of one state, whoever saves meanwhile.
        let open = Request::Open(message::Open { vault: vault.clone(), other: None });
        let state = match self.state {
            Some(state) => state,
            None => self.ask::<message::Opened>(&open, &mut |_| Ok(()))?.state,
        };
        let metas = self.metas(&Request::List(message::List { vault: vault.clone(), state: Some(state) }))?;
        let names: Vec<EntryName> =
            metas.iter().filter(|meta| wanted(meta)).map(|meta| meta.name.clone()).collect();
        let mut all = Vec::new();
        for names in names.chunks(NAMES) {
            let names = Some(names.to_vec());
            let request =
                Request::Entries(message::Entries { vault: vault.clone(), state: Some(state), names });
            let link = Arc::clone(&self.link);
            let _: Done = self.link().call_with(&request, |bytes| {
                let part: message::EntriesPart =
                    vault_core::agent::content(bytes).map_err(LinkError::Frame)?;
                all.extend(part.entries.into_iter().map(|entry| opened(&link, &vault, state, entry)));
                Ok(())
            })?;
        }
        Ok(all)
    }

    fn attach(&mut self, value: &mut dyn Read, limit: u64) -> Result<NewValue, SessionError> {
        self.send_value(value, limit).map(NewValue::Held)
    }

    fn commit(
        &mut self,
        changes: Vec<Change>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Committed, SessionError> {
        let count = changes.len();
        if self.attached == 0 {
            // A commit is never sent twice: so not into a connection that was closed for being idle.
            let _: message::Facts =
                self.ask(&Request::Use(message::Use { vault: self.vault.clone() }), &mut |_| Ok(()))?;
        }
        let mut waiting = Vec::new();
        let mut size = 0;
        for change in changes {
            let change = self.wire(change)?;
            size += size_of_change(&change);
            if size > STAGE && !waiting.is_empty() {
                let changes = std::mem::take(&mut waiting);
                let _: Done = self.link().call(&Request::Stage(message::Stage { changes }))?;
                size = size_of_change(&change);
            }
            waiting.push(change);
        }
        let (vault, author) = (self.vault.clone(), self.author.clone());
        let changes = (!waiting.is_empty()).then_some(waiting);
        self.attached = 0;
        let commit = Request::Commit(message::Commit { vault, author, changes });
        let result = self.link().call(&commit);
        let committed: message::Committed = result?;
        progress(count);
        Ok(self.committed(committed))
    }

    fn refresh(&mut self) -> Result<(), SessionError> {
        // The agent looks at the file before it answers.
        Ok(())
    }

    fn compact(&mut self, pages: Option<Pages>) -> Result<Committed, SessionError> {
        let (vault, author) = (self.vault.clone(), self.author.clone());
        let pages = pages.map(Pages::count);
        let compact = Request::Compact(message::Compact { vault, author, pages });
        let result = self.link().call(&compact);
        let committed: message::Committed = result?;
        Ok(self.committed(committed))
    }

    fn check(&mut self, _: &(dyn Fn(u16) + Sync)) -> Result<Counts, SessionError> {
        let vault = self.vault.clone();
        let counts: message::Checked =
            self.ask(&Request::Check(message::Check { vault, state: self.state }), &mut |_| Ok(()))?;
        let message::Checked { entries, attachments, seals, bytes } = counts;
        Ok(Counts { entries, attachments, seals, bytes })
    }

    fn log(&mut self) -> Result<Log, SessionError> {
        let request = Request::Log(message::Log { vault: self.vault.clone(), state: self.state });
        let mut bytes = Vec::new();
        let labels: message::LogLabels = self.ask(&request, &mut |part| {
            let piece: message::LogPiece = vault_core::agent::content(part).map_err(LinkError::Frame)?;
            bytes.extend_from_slice(piece.bytes.0.expose());
            Ok(())
        })?;
        let entries = message::LogEntry::decode_all(&bytes).map_err(LinkError::Frame)?;
        let records = entries.into_iter().map(|entry| LogRecord {
            seal: entry.seal,
            generation: entry.generation,
            parents: entry.parents,
            restart: entry.restart,
            carried: entry.carried,
            changes: entry.changes.0,
        });
        Ok(Log { records: records.collect(), labels: labels.labels.into_iter().collect() })
    }

    fn facts(&self) -> Facts {
        Facts {
            generation: self.facts.generation,
            seals: usize::try_from(self.facts.seals).unwrap_or(usize::MAX),
            epoch: self.facts.epoch,
            slot: self.facts.slot.clone(),
            sources: vec!["the agent"],
            removal: self.facts.removal,
            pins: None,
        }
    }
}

fn difference(it: differ::Difference) -> Difference {
    let change = |it: Become| match it {
        Become::Added => diff::Change::Added,
        Become::Removed => diff::Change::Removed,
        Become::Changed => diff::Change::Changed,
    };
    let parts = |parts: Option<differ::Parts>| {
        parts.into_iter().flat_map(|parts| parts.0).map(|(name, it)| (name, change(it))).collect()
    };
    Difference {
        name: it.name,
        former: it.former,
        change: change(it.change),
        fields: parts(it.fields),
        attributes: parts(it.attributes),
        expires: it.expires.map(change),
        conflict: it.conflict.map(change),
    }
}

fn copy(text: &dyn Source, out: &mut dyn io::Write) -> io::Result<()> {
    let mut buffer = vec![0; PART];
    let mut at = 0;
    while at < text.len() {
        let count = usize::try_from(text.len() - at).unwrap_or(PART).min(PART);
        text.read_exact_at(&mut buffer[..count], at)?;
        out.write_all(&buffer[..count])?;
        at += count as u64;
    }
    Ok(())
}

/// The request for an entry's metadata and one field.
fn get(vault: &VaultPath, state: Option<u64>, name: &EntryName, field: &str) -> Request {
    let (vault, name, field) = (vault.clone(), name.clone(), field.to_owned());
    Request::Get(message::Get { vault, state, name, field })
}

fn opened(link: &Arc<Mutex<Link>>, vault: &VaultPath, state: u64, entry: message::Entry) -> Opened {
    let name = entry.meta.name.clone();
    let values = entry.values.into_iter().map(|(field, value)| {
        let value = match value {
            Listed::Short(secret) => Value::Inline(secret),
            Listed::Long(length) => {
                let get = message::Get {
                    vault: vault.clone(),
                    state: Some(state),
                    name: name.clone(),
                    field: field.clone(),
                };
                Value::Attachment(Box::new(Long::new(link, Where::Entry(Box::new(get)), length)))
            }
        };
        (field, value)
    });
    let values = values.collect();
    Opened { meta: entry.meta, values }
}

/// A long value in the agent.
struct Long {
    link: Arc<Mutex<Link>>,
    place: Where,
    length: u64,
    chunk: Secret,
    at: usize,
}

enum Where {
    /// It is open.
    Handle(u64),
    /// To be opened when it is read.
    Entry(Box<message::Get>),
    /// It was read to its end.
    End,
}

impl Long {
    fn new(link: &Arc<Mutex<Link>>, place: Where, length: u64) -> Self {
        Self { link: Arc::clone(link), place, length, chunk: Secret::new(Vec::new()), at: 0 }
    }

    fn next(&mut self) -> Result<(), LinkError> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = match std::mem::replace(&mut self.place, Where::End) {
            Where::End => return Ok(()),
            Where::Handle(handle) => handle,
            Where::Entry(get) => match link.call::<message::Got>(&Request::Get(*get))?.value {
                Some(Found::Long { handle, .. }) => handle,
                Some(Found::Short(secret)) => {
                    (self.chunk, self.at) = (secret, 0);
                    return Ok(());
                }
                None => return Ok(()),
            },
        };
        let chunk: message::Chunk = link.call(&Request::Read(message::Read { handle }))?;
        (self.chunk, self.at) = (chunk.bytes.0, 0);
        if !self.chunk.expose().is_empty() {
            self.place = Where::Handle(handle);
        }
        Ok(())
    }
}

impl Read for Long {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.expose().len() && !matches!(self.place, Where::End) {
            self.next().map_err(io::Error::other)?;
        }
        let rest = &self.chunk.expose()[self.at..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl LongValue for Long {
    fn length(&self) -> u64 {
        self.length
    }
}

/// At least as many bytes as this takes in a message.
fn size_of_change(change: &change::Change) -> usize {
    let change::Change::Set(set) = change else { return 4096 };
    let value = |value: &Option<Incoming>| match value {
        Some(Incoming::Short(secret)) => secret.expose().len(),
        _ => 16,
    };
    let fields: usize = set.fields.iter().map(|(name, one)| name.len() + value(one) + 32).sum();
    let attributes = set.attributes.iter();
    let attributes: usize =
        attributes.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len) + 32).sum();
    let expect = match &set.expect {
        Some(change::Expect::Value(_, value)) => value.expose().len() + 256,
        _ => 256,
    };
    2048 + fields + attributes + expect
}

/// Bytes of changes in one message.
const STAGE: usize = 512 << 10;
/// Names in one message: each has up to 1,024 bytes.
const NAMES: usize = 512;
