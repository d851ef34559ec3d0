//! Bytes from outside the terminal: standard input, secret files and file descriptors.
//!
//! Everything read here goes into memory that is wiped. Standard input can be claimed once in a run.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use vault_core::secret::{Passphrase, Secret};

use crate::buffer::WipingBuffer;

/// The right to read standard input. There is one, it cannot be copied, and reading uses it up.
pub(crate) struct Stdin(());

/// Holds the right to standard input until someone claims it.
pub(crate) struct StdinClaim {
    stdin: Option<Stdin>,
    purpose: &'static str,
}

impl StdinClaim {
    /// The one of this process; `main` makes it.
    pub(crate) fn of_process() -> Self {
        Self { stdin: Some(Stdin(())), purpose: "" }
    }

    /// Whether it was claimed.
    pub(crate) fn is_used(&self) -> bool {
        self.stdin.is_none()
    }

    /// Hands out the right to read.
    ///
    /// # Errors
    /// [`InputError::StdinClaimed`] the second time.
    pub(crate) fn claim(&mut self, purpose: &'static str) -> Result<Stdin, InputError> {
        match self.stdin.take() {
            Some(stdin) => {
                self.purpose = purpose;
                Ok(stdin)
            }
            None => Err(InputError::StdinClaimed { first: self.purpose, second: purpose }),
        }
    }
}

impl Stdin {
    /// Whether a person is at the other end.
    pub(crate) fn is_terminal() -> bool {
        io::stdin().is_terminal()
    }

    /// Everything up to the end, at most `limit` bytes.
    ///
    /// # Errors
    /// When reading fails or there is more.
    pub(crate) fn read(self, limit: usize) -> Result<Secret, InputError> {
        read_limited(&mut self.into_reader(), Place::Stdin, limit)
    }

    /// The stream itself, for values too large for memory.
    pub(crate) fn into_reader(self) -> impl Read + 'static {
        // Not io::stdin(): its buffer is never wiped.
        UnbufferedStdin
    }
}

/// Where bytes came from, to name it in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// A file descriptor that was inherited.
    Descriptor(u32),
    /// An environment variable.
    Variable(&'static str),
    /// What somebody typed.
    Typed,
}

/// Why bytes could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum InputError {
    /// Standard input was already promised to something else.
    StdinClaimed {
        /// What it was used for.
        first: &'static str,
        /// What it was to be used for as well.
        second: &'static str,
    },
    /// Reading failed.
    Unreadable(Place, io::Error),
    /// There is more than allowed.
    TooLong(Place, usize),
    /// A passphrase of no characters.
    EmptyPassphrase(Place),
}

/// The bytes of a file, exactly.
///
/// # Errors
/// When the file cannot be read, or has more than `limit` bytes.
pub(crate) fn file(path: &Path, limit: usize) -> Result<Secret, InputError> {
    let place = Place::File(path.to_owned());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Err(InputError::Unreadable(place, error)),
    };
    read_limited(&mut file, place, limit)
}

/// The bytes that can be read from an inherited descriptor.
///
/// # Errors
/// When there is no such descriptor, or it has more than `limit` bytes.
pub(crate) fn descriptor(number: u32, limit: usize) -> Result<Secret, InputError> {
    let place = Place::Descriptor(number);
    // Opened by its name: making an owner of a bare number is not safe.
    let mut file = match File::open(format!("/dev/fd/{number}")) {
        Ok(file) => file,
        Err(error) => return Err(InputError::Unreadable(place, error)),
    };
    read_limited(&mut file, place, limit)
}

/// A passphrase read from `place`: without its final newline, and not empty.
///
/// # Errors
/// [`InputError::EmptyPassphrase`].
pub(crate) fn passphrase(bytes: Secret, place: Place) -> Result<Passphrase, InputError> {
    let bytes = without_newline(bytes);
    if bytes.expose().is_empty() {
        return Err(InputError::EmptyPassphrase(place));
    }
    Ok(Passphrase::new(bytes.expose().to_vec()))
}

/// The bytes without one trailing newline (`\n`, or `\r\n`), which an editor or `echo` put there.
pub(crate) fn without_newline(bytes: Secret) -> Secret {
    let kept = match bytes.expose() {
        [rest @ .., b'\r', b'\n'] | [rest @ .., b'\n'] => rest.len(),
        _ => return bytes,
    };
    Secret::new(bytes.expose()[..kept].to_vec())
}

/// A value on its way into the vault.
pub(crate) enum Incoming {
    /// It fits into memory, and into an entry's line.
    Short(Secret),
    /// It is longer: what was read of it already comes first.
    Long(Box<dyn Read>),
}

/// Reads the beginning of a value, to see whether it is a short one.
///
/// # Errors
/// [`InputError::Unreadable`].
pub(crate) fn incoming(
    mut reader: impl Read + 'static,
    place: Place,
    ending: Ending,
    short: usize,
) -> Result<Incoming, InputError> {
    let mut head = WipingBuffer::new();
    // Room for a newline that is going to be removed.
    match head.read_up_to(&mut reader, short + 2) {
        Err(error) => return Err(InputError::Unreadable(place, error)),
        Ok(true) => {
            let head = head.into_secret();
            let value = match ending.kept(head.expose()) {
                kept if kept < head.expose().len() => Secret::new(head.expose()[..kept].to_vec()),
                _ => head,
            };
            if value.expose().len() <= short {
                return Ok(Incoming::Short(value));
            }
            return Ok(Incoming::Long(Box::new(SecretReader { secret: value, at: 0 })));
        }
        Ok(false) => {}
    }
    let whole = SecretReader { secret: head.into_secret(), at: 0 }.chain(reader);
    Ok(Incoming::Long(match ending {
        Ending::AsItIs => Box::new(whole),
        Ending::WithoutNewline | Ending::WithoutLineFeed => {
            Box::new(WithoutNewline { reader: whole, ending, held: Vec::with_capacity(HELD), ended: false })
        }
    }))
}

/// What becomes of the newline at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It stays.
    AsItIs,
    /// One is removed: `\n` or `\r\n`.
    WithoutNewline,
    /// One `\n` is removed; a `\r` before it stays.
    WithoutLineFeed,
}

impl Ending {
    /// How many bytes of these stay.
    fn kept(self, bytes: &[u8]) -> usize {
        match (self, bytes) {
            (Self::WithoutNewline, [rest @ .., b'\r', b'\n'])
            | (Self::WithoutNewline | Self::WithoutLineFeed, [rest @ .., b'\n']) => rest.len(),
            _ => bytes.len(),
        }
    }
}

/// Reads a secret's bytes.
struct SecretReader {
    secret: Secret,
    at: usize,
}

impl Read for SecretReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = (&self.secret.expose()[self.at..]).read(bytes)?;
        self.at += count;
        Ok(count)
    }
}

/// Passes everything on but one newline at the end: the last two bytes are held back until it is known what follows.
struct WithoutNewline<R> {
    reader: R,
    ending: Ending,
    held: Vec<u8>,
    ended: bool,
}

impl<R: Read> Read for WithoutNewline<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        while !self.ended && self.held.len() <= 2 {
            let mut more = zeroize::Zeroizing::new([0; 8192]);
            match self.reader.read(&mut more[..]) {
                Ok(0) => {
                    self.ended = true;
                    self.held.truncate(self.ending.kept(&self.held));
                }
                Ok(count) => self.held.extend_from_slice(&more[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let ready = if self.ended { self.held.len() } else { self.held.len() - 2 };
        let count = ready.min(bytes.len());
        bytes[..count].copy_from_slice(&self.held[..count]);
        self.held.drain(..count);
        Ok(count)
    }
}

impl<R> Drop for WithoutNewline<R> {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.held);
    }
}

/// What is held back, and one read more: the buffer never grows.
const HELD: usize = 2 + 8192;
/// A passphrase in a file or stream has at most this many bytes, and its newline; docs/format.md, "Limits".
pub(crate) const MAX_PASSPHRASE: usize = 4096 + 2;
/// An identity file or machine key has at most this many bytes.
pub(crate) const MAX_IDENTITIES: usize = 1024 * 1024;

fn read_limited(reader: &mut dyn Read, place: Place, limit: usize) -> Result<Secret, InputError> {
    let mut buffer = WipingBuffer::new();
    match buffer.read_up_to(reader, limit) {
        Ok(true) => Ok(buffer.into_secret()),
        Ok(false) => Err(InputError::TooLong(place, limit)),
        Err(error) => Err(InputError::Unreadable(place, error)),
    }
}

struct UnbufferedStdin;

impl Read for UnbufferedStdin {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stdin_can_be_claimed_once() {
        let mut claim = StdinClaim::of_process();
        assert!(claim.claim("the value").is_ok());
        assert!(matches!(
            claim.claim("the passphrase"),
            Err(InputError::StdinClaimed { first: "the value", second: "the passphrase" })
        ));
    }

    #[test]
    fn exactly_one_newline_is_removed() {
        for (given, kept) in [
            (&b"a\n"[..], &b"a"[..]),
            (b"a\n\n", b"a\n"),
            (b"a\r\n", b"a"),
            (b"a\r", b"a\r"),
            (b"\n", b""),
            (b"", b""),
            (b"a", b"a"),
            (b"a\0\xff\n", b"a\0\xff"),
        ] {
            assert_eq!(without_newline(Secret::new(given.to_vec())).expose(), kept);
        }
    }

    #[test]
    fn long_values_lose_one_newline_too() {
        for (ending, length, tail, kept) in [
            (Ending::WithoutNewline, 50_000, &b"\n"[..], &b""[..]),
            (Ending::WithoutNewline, 50_000, b"\r\n", b""),
            (Ending::WithoutNewline, 50_000, b"\n\n", b"\n"),
            (Ending::WithoutNewline, 50_000, b"", b""),
            (Ending::WithoutNewline, 50_000, b"\r", b"\r"),
            (Ending::AsItIs, 50_000, b"\n", b"\n"),
            (Ending::WithoutLineFeed, 50_000, b"\r\n", b"\r"),
            (Ending::WithoutLineFeed, 50_000, b"\n\n", b"\n"),
            (Ending::WithoutNewline, 101, b"\n", b""),
        ] {
            let whole = [vec![b'x'; length], tail.to_vec()].concat();
            let Ok(Incoming::Long(mut reader)) = incoming(io::Cursor::new(whole), Place::Stdin, ending, 100)
            else {
                panic!("{length} is long");
            };
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, [vec![b'x'; length], kept.to_vec()].concat(), "{tail:?}");
        }
    }

    #[test]
    fn a_value_is_short_if_it_is_so_without_its_newline() {
        for (length, tail) in [(100, &b"\n"[..]), (100, b"\r\n"), (99, b""), (0, b"")] {
            let whole = [vec![b'x'; length], tail.to_vec()].concat();
            let read = incoming(io::Cursor::new(whole), Place::Stdin, Ending::WithoutNewline, 100);
            assert!(matches!(read, Ok(Incoming::Short(value)) if value.expose().len() == length));
        }
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        for bytes in [&b""[..], b"\n", b"\r\n"] {
            let result = passphrase(Secret::new(bytes.to_vec()), Place::Stdin);
            assert!(matches!(result, Err(InputError::EmptyPassphrase(Place::Stdin))));
        }
    }

    #[test]
    fn a_file_beyond_its_limit_is_refused_and_one_at_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, [b'x'; 100]).unwrap();
        assert_eq!(file(&path, 100).ok().unwrap().expose(), [b'x'; 100]);
        assert!(matches!(file(&path, 99), Err(InputError::TooLong(_, 99))));
    }

    #[test]
    fn an_endless_file_is_refused_at_its_limit() {
        assert!(matches!(file(Path::new("/dev/zero"), 5000), Err(InputError::TooLong(..))));
    }

    #[test]
    fn a_missing_file_is_an_error() {
        assert!(matches!(file(Path::new("/nonexistent"), 10), Err(InputError::Unreadable(..))));
    }

    #[test]
    fn a_descriptor_is_read_by_its_number() {
        use std::os::fd::AsRawFd;
        let mut temp = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut temp, b"from a descriptor").unwrap();
        let number = u32::try_from(temp.as_raw_fd()).unwrap();
        assert_eq!(descriptor(number, 100).ok().unwrap().expose(), b"from a descriptor");
        assert!(matches!(descriptor(987_654, 100), Err(InputError::Unreadable(..))));
    }
}
