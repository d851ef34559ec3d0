//! Age files as they are read: the header in one piece, and files of identities.

use std::io::{self, BufRead, Read};

use crate::keys::age::error::IdentityFileError;
use crate::keys::age::{Identity, MAX_IDENTITIES, MAX_IDENTITY_FILE, ssh};
use crate::keys::ask::{Asker, cannot_ask};
use crate::secret::Secret;

/// An age file whose header comes in one piece.
///
/// age takes a line, and parses from the start after each: quadratic in the lines, a quarter of a second for 8 KiB.
pub(super) struct HeaderAtOnce<'a> {
    rest: &'a [u8],
    asked: bool,
}

impl<'a> HeaderAtOnce<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self { rest: file, asked: false }
    }
}

impl Read for HeaderAtOnce<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rest.read(buffer)
    }
}

impl BufRead for HeaderAtOnce<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest.consume(amount);
    }

    /// The whole header when first asked for a line. Whoever asks again has no valid header, and gets all the rest.
    fn read_until(&mut self, _: u8, line: &mut Vec<u8>) -> io::Result<usize> {
        let length = if self.asked { self.rest.len() } else { header_len(self.rest) };
        self.asked = true;
        let (piece, rest) = self.rest.split_at(length);
        line.extend_from_slice(piece);
        self.rest = rest;
        Ok(length)
    }
}

/// A header ends with the first line that starts with `---`: no line of a stanza can.
fn header_len(file: &[u8]) -> usize {
    let mut length = 0;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        length += line.len();
        if line.starts_with(b"---") {
            break;
        }
    }
    length
}

/// The identities of a file as `age-keygen` writes it: one a line, comments start with `#`. Or one private key of ssh.
///
/// Nobody can be asked for the passphrase of an ssh key, nor by a plugin.
///
/// # Errors
/// [`IdentityFileError`], with the number of the line but not its content.
pub fn parse_identities(file: &Secret) -> Result<Vec<Identity>, IdentityFileError> {
    parse_identities_asking(file, &cannot_ask())
}

/// The same; `ask` answers for passphrases of ssh keys and for plugins, when a slot is opened and not before.
///
/// # Errors
/// [`IdentityFileError`], with the number of the line but not its content.
pub fn parse_identities_asking(file: &Secret, ask: &Asker) -> Result<Vec<Identity>, IdentityFileError> {
    let bytes = file.expose();
    if bytes.len() > MAX_IDENTITY_FILE {
        return Err(IdentityFileError::TooLong);
    }
    if ENCRYPTED_FILES.iter().any(|start| bytes.starts_with(start)) {
        return Err(IdentityFileError::Encrypted);
    }
    if bytes.starts_with(ssh::PRIVATE_KEY) {
        let identity =
            Identity::parse_bytes(bytes, ask).map_err(|error| IdentityFileError::Line { line: 1, error })?;
        return Ok(vec![identity]);
    }
    let mut identities = Vec::with_capacity(1);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if identities.len() == MAX_IDENTITIES {
            return Err(IdentityFileError::TooMany);
        }
        identities.push(
            Identity::parse_bytes(line, ask)
                .map_err(|error| IdentityFileError::Line { line: index + 1, error })?,
        );
    }
    if identities.is_empty() { Err(IdentityFileError::Empty) } else { Ok(identities) }
}

/// How an age file starts, binary and armored.
const ENCRYPTED_FILES: [&[u8]; 2] = [b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----"];
