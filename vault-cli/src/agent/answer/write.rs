//! Requests that change a vault: changes that wait for a commit, and long values that come piece by piece.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use vault_core::agent::change::{self, Incoming};
use vault_core::agent::link::{Frames, Told};
use vault_core::agent::message::{self, Done};
use vault_core::agent::{PART, Request};
use vault_core::vault::edit::{NewValue, Outcome, Pick, Update};
use zeroize::Zeroizing;

use super::{Conversation, DEADLINE, Refusal, VALUES, bad_request, told};
use crate::agent::connection::Connection;
use crate::agent::held::real;
use crate::agent::server::{Server, lock};
use crate::session::{Change, Committed, Expect, Session};

impl Conversation<'_> {
    pub(super) fn stage(&mut self, stage: message::Stage) -> Result<(), Refusal> {
        let mut open = lock(&self.connection.open);
        if lock(&self.server.held).is_empty() {
            return Err(told("agent-locked", 4, "the agent holds no vault"));
        }
        open.staged_bytes += stage.changes.iter().map(change_size).sum::<usize>();
        if open.staged_bytes > STAGED {
            (open.staged, open.staged_bytes) = (Vec::new(), 0);
            drop(open);
            return Err(Refusal::Told(Box::new(Told {
                hints: vec!["nothing was stored; run the command with --no-agent".to_owned()],
                ..match told("agent-too-large", 1, "these are more changes than the agent takes at once") {
                    Refusal::Told(told) => *told,
                    _ => return Err(Refusal::Gone),
                }
            })));
        }
        open.staged.extend(stage.changes);
        drop(open);
        self.result(&Done {})
    }

    pub(super) fn commit(&mut self, commit: message::Commit) -> Result<(), Refusal> {
        let (staged, mut attached) = {
            let mut open = lock(&self.connection.open);
            open.staged_bytes = 0;
            if std::mem::take(&mut open.is_spoilt) {
                (open.staged, open.attached) = Default::default();
                let why = "what was to be stored was forgotten when a vault was locked; nothing was stored";
                return Err(told("agent-locked", 4, why));
            }
            (std::mem::take(&mut open.staged), std::mem::take(&mut open.attached))
        };
        let changes = staged.into_iter().chain(commit.changes.unwrap_or_default());
        let changes = changes.map(|change| of_wire(change, &mut attached)).collect::<Result<Vec<_>, _>>();
        // What no change named is still there for the next one.
        lock(&self.connection.open).attached.append(&mut attached);
        let changes = changes?;
        let mut session = self.writer(&commit.vault, commit.author)?;
        let committed = session.commit(changes, &mut |_| ())?;
        self.committed(&committed)
    }

    pub(super) fn committed(&mut self, committed: &Committed) -> Result<(), Refusal> {
        let outcomes = committed.outcomes.iter().map(|outcome| u8::from(*outcome == Outcome::Changed));
        self.result(&message::Committed { outcomes: outcomes.collect(), generation: committed.generation })
    }

    pub(super) fn attach(&mut self, attach: &message::Attach) -> Result<(), Refusal> {
        let vault = self.vault(&attach.vault, None).map(|(real, ..)| real);
        self.connection.receives();
        let mut incoming = Parts {
            server: self.server,
            real: vault.as_ref().ok().cloned(),
            connection: self.connection,
            frames: &mut self.frames,
            part: Zeroizing::new(Vec::new()),
            at: 0,
            end: None,
        };
        let mut length = 0;
        let result = vault.and_then(|_| {
            let mut counted = Counted { reader: &mut incoming, count: &mut length };
            Ok(crate::session::attachment(attach.vault.path(), &mut counted, attach.limit)?)
        });
        // The rest is still on its way, and is no request.
        let rest = io::copy(&mut incoming, &mut io::sink());
        let end = incoming.end;
        if matches!(end, Some(End::Other)) {
            return Err(bad_request("a value was announced, and did not come to its end"));
        }
        if rest.is_err() || !matches!(end, Some(End::Whole)) {
            // Either the client went, or the vault was locked while its value came in.
            self.vault(&attach.vault, None)?;
            return Err(Refusal::Gone);
        }
        let value = result?;
        let real = real(attach.vault.path()).unwrap_or_default();
        let handle = self.keep(&real, |open| {
            if open.attached.len() >= VALUES {
                return Err(told("agent-busy", 7, "too many values wait to be stored on this connection"));
            }
            let handle = open.next();
            open.attached.insert(handle, value);
            Ok(handle)
        })?;
        self.result(&message::Attached { handle, length })
    }
}

fn of_wire(change: change::Change, attached: &mut BTreeMap<u64, NewValue>) -> Result<Change, Refusal> {
    Ok(match change {
        change::Change::Remove(name) => Change::Remove(name),
        change::Change::Rename(from, to) => Change::Rename { from, to },
        change::Change::Copy(from, to) => Change::Copy { from, to },
        change::Change::Resolve(name, pick) => {
            let pick = match pick {
                None => Pick::Ours,
                Some(number) => Pick::Theirs(usize::try_from(number).unwrap_or(usize::MAX)),
            };
            Change::Resolve { name, pick }
        }
        change::Change::Set(set) => {
            let change::Set { name, fields, attributes, expires, expect } = *set;
            let mut update = Update { attributes, expires, ..Update::default() };
            for (field, value) in fields {
                let value = match value {
                    None => None,
                    Some(Incoming::Short(secret)) => Some(NewValue::Inline(secret)),
                    Some(Incoming::Attached(handle)) => {
                        let value = attached.remove(&handle);
                        Some(value.ok_or_else(|| bad_request("no value has this number"))?)
                    }
                };
                update.fields.insert(field, value);
            }
            let expect = match expect {
                None => Expect::Anything,
                Some(change::Expect::Entry) => Expect::Entry,
                Some(change::Expect::NoField(field)) => Expect::NoField(field),
                Some(change::Expect::Value(field, value)) => Expect::Value(field, value),
            };
            Change::Set { name, update, expect }
        }
    })
}

fn change_size(change: &change::Change) -> usize {
    let change::Change::Set(set) = change else { return 256 };
    let fields = set.fields.iter().map(|(name, value)| {
        let value = match value {
            Some(Incoming::Short(secret)) => secret.expose().len(),
            _ => 8,
        };
        name.len() + value + 64
    });
    let attributes = set.attributes.iter();
    let attributes = attributes.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len) + 64);
    256 + set.name.as_str().len() + fields.sum::<usize>() + attributes.sum::<usize>()
}

/// The parts of a value that a client writes.
struct Parts<'a> {
    server: &'a Server,
    /// The vault that it is for, if that is held.
    real: Option<PathBuf>,
    connection: &'a Connection,
    frames: &'a mut Frames,
    part: Zeroizing<Vec<u8>>,
    at: usize,
    end: Option<End>,
}

/// How a value ended.
#[derive(Clone, Copy)]
enum End {
    /// The client said so.
    Whole,
    /// With another request.
    Other,
    /// With the connection.
    Gone,
}

impl Read for Parts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.part.len() {
            if self.end.is_some() {
                return Ok(0);
            }
            let next = self.connection.while_waiting(|| self.frames.next(Some(DEADLINE)));
            let next = match next {
                Ok(Some(frame)) => Some(Request::decode(frame.body.expose())),
                _ => None,
            };
            if let Some(real) = &self.real {
                self.server.touch(real);
            }
            match next {
                Some(Ok(Request::Write(write))) if write.bytes.0.expose().len() <= PART => {
                    self.part = Zeroizing::new(write.bytes.0.expose().to_vec());
                    self.at = 0;
                    if self.part.is_empty() {
                        self.end = Some(End::Whole);
                    }
                }
                other => {
                    self.end = Some(if other.is_some() { End::Other } else { End::Gone });
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        let count = out.len().min(self.part.len() - self.at);
        out[..count].copy_from_slice(&self.part[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

struct Counted<'a> {
    reader: &'a mut dyn Read,
    count: &'a mut u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        *self.count += count as u64;
        Ok(count)
    }
}

/// Bytes of changes that wait for a commit.
const STAGED: usize = 64 << 20;
