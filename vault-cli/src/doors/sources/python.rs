//! Keyrings that only Python's libraries can read: a script of ours in the user's Python tells what they hold.
//!
//! The script says how messages are written. What it says is another program's word: it is checked here.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use vault_core::item::{SERVICE, USERNAME};
use vault_core::secret::Secret;

use super::{Contents, PythonPlace, Source, pair};
use crate::buffer::WipingBuffer;
use crate::failure::SourceFailure;
use crate::sys::python;

/// A keyring of Python.
pub(crate) struct Python {
    place: PythonPlace,
    script: Option<python::Python>,
}

impl Python {
    pub(crate) fn new(place: PythonPlace) -> Self {
        Self { place, script: None }
    }

    fn failed(&self, error: io::Error) -> SourceFailure {
        let name = self.name();
        match error.kind() {
            io::ErrorKind::TimedOut => SourceFailure::Silent(name),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => SourceFailure::Ended(name),
            _ => SourceFailure::Python { program: self.place.program.clone(), error },
        }
    }

    /// Sends a request; [`Python::receive`] gets the answers.
    fn send(&mut self, parts: &[&[u8]]) -> Result<(), SourceFailure> {
        let mut message = WipingBuffer::new();
        push_length(&mut message, parts.len());
        for part in parts {
            push_length(&mut message, part.len());
            message.extend(part);
        }
        let script = self.script.as_mut().expect("it was started before it is asked");
        let sent = script.write_all(message.as_slice()).and_then(|()| script.flush());
        sent.map_err(|error| self.failed(error))
    }

    fn receive(&mut self) -> Result<Message, SourceFailure> {
        let script = self.script.as_mut().expect("it was started before it is asked");
        Message::read(script).map_err(|error| self.failed(error))
    }

    fn refused(&self, message: &Message) -> SourceFailure {
        let (name, why) = (self.name(), message.text(1));
        match message.kind() {
            b"locked" => SourceFailure::Locked { name, why },
            b"denied" => SourceFailure::Denied { name, file: why },
            b"unlisted" => SourceFailure::Unlisted { name, backends: why },
            b"ours" => SourceFailure::Ours,
            b"none" => SourceFailure::NoBackend(why),
            b"absent" => SourceFailure::Absent { name, place: why },
            b"module" => SourceFailure::NoModule { program: self.place.program.clone(), module: why },
            b"failed" => SourceFailure::Failed { name, why },
            _ => SourceFailure::Ended(name),
        }
    }
}

impl Source for Python {
    fn name(&self) -> &'static str {
        match self.place.kind {
            KEYRING => "Python's keyring",
            kind => kind,
        }
    }

    fn read(
        &mut self,
        only: &[(String, String)],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Contents, SourceFailure> {
        let patience = (!self.place.may_ask).then_some(PATIENCE);
        let started = python::Python::start(&self.place.program, SCRIPT, patience);
        let program = &self.place.program;
        self.script =
            Some(started.map_err(|error| SourceFailure::Python { program: program.clone(), error })?);

        let file = self.place.file.clone().unwrap_or_default();
        let passphrase = self.place.passphrase.as_ref().map(|passphrase| {
            let mut given = WipingBuffer::new();
            given.push(b':');
            given.extend(passphrase.expose());
            given.into_secret()
        });
        let mut request = vec![
            b"read".as_slice(),
            self.place.kind.as_bytes(),
            file.as_os_str().as_bytes(),
            if self.place.may_ask { b"ask".as_slice() } else { b"" },
            passphrase.as_ref().map_or(b"".as_slice(), Secret::expose),
        ];
        request.extend(only.iter().flat_map(|(service, username)| [service.as_bytes(), username.as_bytes()]));
        self.send(&request)?;

        let mut contents = Contents::default();
        loop {
            let message = self.receive()?;
            match message.kind() {
                b"item" => {
                    add(&mut contents, message);
                    progress(contents.items.len());
                }
                b"left" => contents.leave(pair(&message.text(1), &message.text(2)), message.text(3)),
                b"part" => contents.leave(message.text(1), "this backend cannot list what it holds"),
                b"small" => contents.without_capitals = true,
                b"done" => return Ok(contents),
                _ => return Err(self.refused(&message)),
            }
        }
    }

    fn remove(&mut self, items: Vec<(String, Secret)>) -> Result<Vec<Result<(), String>>, SourceFailure> {
        let mut outcomes = Vec::with_capacity(items.len());
        for (handle, secret) in items {
            let sent = self.send(&[b"remove", handle.as_bytes(), secret.expose()]);
            match sent.and_then(|()| self.receive()) {
                Ok(answer) if answer.kind() == b"removed" => outcomes.push(Ok(())),
                Ok(answer) => outcomes.push(Err(answer.text(1))),
                // What was removed until now is known, and said.
                Err(_) => break,
            }
        }
        Ok(outcomes)
    }
}

/// `item HANDLE SERVICE USERNAME PASSWORD [NAME VALUE]…`
fn add(contents: &mut Contents, mut message: Message) {
    let what = pair(&message.text(2), &message.text(3));
    let texts = |at: usize| String::from_utf8(message.part(at).to_vec());
    let mut attributes = std::collections::BTreeMap::new();
    for at in (5..message.0.len()).step_by(2) {
        match (texts(at), texts(at + 1)) {
            (Ok(name), Ok(value)) => drop(attributes.insert(name, value)),
            _ => return contents.leave(what, "an attribute is not text"),
        }
    }
    match (texts(1), texts(2), texts(3)) {
        (Ok(handle), Ok(service), Ok(username)) => {
            attributes.insert(SERVICE.to_owned(), service);
            attributes.insert(USERNAME.to_owned(), username);
            let secret = match message.0.get_mut(4) {
                Some(secret) => std::mem::replace(secret, Secret::new(Vec::new())),
                None => return contents.leave(what, "it came without a password"),
            };
            contents.take(handle, "", attributes, secret);
        }
        _ => contents.leave(what, "its service or user is not text"),
    }
}

/// A list of byte strings. Any of them may be a secret.
struct Message(Vec<Secret>);

impl Message {
    fn read(from: &mut impl Read) -> io::Result<Self> {
        let count = length(from)?;
        if count == 0 || count > MAX_PARTS {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let length = length(from)?;
            let mut part = WipingBuffer::new();
            part.read_up_to(&mut from.by_ref().take(length as u64), length)?;
            if part.as_slice().len() != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            parts.push(part.into_secret());
        }
        Ok(Self(parts))
    }

    fn kind(&self) -> &[u8] {
        self.part(0)
    }

    fn part(&self, at: usize) -> &[u8] {
        self.0.get(at).map_or(b"", |part| part.expose())
    }

    /// For people.
    fn text(&self, at: usize) -> String {
        String::from_utf8_lossy(self.part(at)).chars().take(MAX_TEXT).collect()
    }
}

fn length(from: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes) as usize)
}

fn push_length(message: &mut WipingBuffer, length: usize) {
    // What is sent is a few words and a password.
    message.extend(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// The word of the script for whatever Python's keyring uses.
const KEYRING: &str = "keyring";
const SCRIPT: &str = include_str!("source.py");
/// How long the script may say nothing where nobody can be asked. Some formats take seconds for each item.
const PATIENCE: Duration = Duration::from_secs(60);
/// An item with as many attributes as an entry can have, and more.
const MAX_PARTS: usize = 4_096;
/// Most characters of somebody else's words that are repeated.
const MAX_TEXT: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = WipingBuffer::new();
        push_length(&mut bytes, parts.len());
        for part in parts {
            push_length(&mut bytes, part.len());
            bytes.extend(part);
        }
        bytes.as_slice().to_vec()
    }

    #[test]
    fn messages_are_read_one_by_one_and_a_short_one_is_an_error() {
        let both = [message(&[b"a", b"", b"\0\xff"]), message(&[b"b"])].concat();
        let mut from = both.as_slice();
        let first = Message::read(&mut from).unwrap();
        assert_eq!((first.kind(), first.part(2), first.0.len()), (b"a".as_slice(), b"\0\xff".as_slice(), 3));
        assert_eq!(Message::read(&mut from).unwrap().kind(), b"b");
        for short in [0, 3, 5, 8, 9, both.len() - 7] {
            assert!(Message::read(&mut &both[..short.min(15)]).is_err(), "{short}");
        }
        assert!(Message::read(&mut [0; 4].as_slice()).is_err(), "a message says what it is");
        assert!(Message::read(&mut [255; 8].as_slice()).is_err(), "nothing is reserved for a false count");
    }

    #[test]
    fn an_item_that_is_no_text_is_left_and_a_password_may_be_any_bytes() {
        let mut contents = Contents::default();
        for parts in [
            [b"item".as_slice(), b"0", b"s", b"u", b"\xff\0", b"k", b"v"],
            [b"item".as_slice(), b"1", b"\xff", b"u", b"p", b"k", b"v"],
            [b"item".as_slice(), b"1", b"s", b"u", b"p", b"k", b"\xff"],
        ] {
            add(&mut contents, Message::read(&mut message(&parts).as_slice()).unwrap());
        }
        assert_eq!((contents.items.len(), contents.left.len()), (1, 2));
        assert_eq!(contents.items[0].secret.expose(), b"\xff\0");
        assert_eq!(contents.items[0].attributes.len(), 3);
    }
}
