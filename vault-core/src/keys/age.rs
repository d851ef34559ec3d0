//! age recipients and identities, and the age file of a slot. The only module that imports the `age` crate.
//!
//! The joint for further kinds of recipients is [`Recipient`]'s and [`Identity`]'s inner enum, and nothing else.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use age::secrecy::ExposeSecret;
use age::{Decryptor, Encryptor};
use zeroize::Zeroizing;

use crate::format::slot::{MAX_AGE_FILE, RecipientText};
use crate::secret::Secret;

/// Most bytes of what a slot's age file holds; it is also how many it always has.
pub const MAX_PLAINTEXT: usize = 109;
/// Most bytes of a file of identities.
pub const MAX_IDENTITY_FILE: usize = 1024 * 1024;
/// Most identities in a file.
pub const MAX_IDENTITIES: usize = 64;

/// Whom a master key is wrapped for.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(RecipientKind);

#[derive(Clone, PartialEq, Eq)]
enum RecipientKind {
    X25519(age::x25519::Recipient),
}

/// What opens what was wrapped for its recipient. No `Debug`, `Clone` or `PartialEq`.
pub struct Identity(IdentityKind);

enum IdentityKind {
    X25519(age::x25519::Identity),
}

/// Whether an identity belongs to a recipient, told from the recipient's text alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is this identity's recipient.
    Yes,
    /// It is another's.
    No,
    /// The text does not tell: only trying does.
    Unknown,
}

/// Why a text is no recipient that a slot can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipientError {
    /// It is a secret key: the other half was meant, and this one is now on the screen.
    SecretKey,
    /// ssh keys are not supported yet.
    SshNotSupported,
    /// Post-quantum recipients are not supported yet.
    PostQuantumNotSupported,
    /// Recipients of plugins are not supported yet.
    PluginNotSupported,
    /// It is no recipient, or was mistyped.
    NotARecipient,
}

impl fmt::Display for RecipientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecretKey => "this is a secret key, not a recipient",
            Self::SshNotSupported => "ssh keys are not supported yet",
            Self::PostQuantumNotSupported => "post-quantum recipients are not supported yet",
            Self::PluginNotSupported => "recipients of age plugins are not supported yet",
            Self::NotARecipient => "not an age recipient",
        })
    }
}

impl std::error::Error for RecipientError {}

/// Why a text is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// It is a recipient: the secret half was meant.
    Recipient,
    /// ssh keys are not supported yet.
    SshNotSupported,
    /// Post-quantum identities are not supported yet.
    PostQuantumNotSupported,
    /// Identities of plugins are not supported yet.
    PluginNotSupported,
    /// It is no identity, or was mistyped.
    NotAnIdentity,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipient => "this is a recipient, not an identity",
            Self::SshNotSupported => "ssh keys are not supported yet",
            Self::PostQuantumNotSupported => "post-quantum identities are not supported yet",
            Self::PluginNotSupported => "identities of age plugins are not supported yet",
            Self::NotAnIdentity => "not an age identity",
        })
    }
}

impl std::error::Error for IdentityError {}

/// Why a file of identities is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityFileError {
    /// Longer than [`MAX_IDENTITY_FILE`].
    TooLong,
    /// More than [`MAX_IDENTITIES`].
    TooMany,
    /// There is none in it.
    Empty,
    /// It is itself encrypted: decrypt it first.
    Encrypted,
    /// A line is no identity that can be used here. Lines count from 1.
    Line {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        error: IdentityError,
    },
}

impl fmt::Display for IdentityFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the identity file is longer than 1 MiB"),
            Self::TooMany => f.write_str("the identity file has more than 64 identities"),
            Self::Empty => f.write_str("the identity file has no identity"),
            Self::Encrypted => f.write_str("the identity file is encrypted; decrypt it first"),
            Self::Line { line, error } => write!(f, "line {line} of the identity file: {error}"),
        }
    }
}

impl std::error::Error for IdentityFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Line { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Nothing could be wrapped: too much was given, or the recipient's own program refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotWrapped;

/// An age file did not open: altered, for another identity, too long, or no age file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOpened;

impl Recipient {
    /// The recipient with this text.
    ///
    /// # Errors
    /// [`RecipientError`]
    pub fn parse(text: &str) -> Result<Self, RecipientError> {
        if let Ok(recipient) = text.parse::<age::x25519::Recipient>() {
            // age also takes capitals. One recipient has one text here.
            let same = recipient.to_string() == text;
            return if same {
                Ok(Self(RecipientKind::X25519(recipient)))
            } else {
                Err(RecipientError::NotARecipient)
            };
        }
        Err(why_no_recipient(text))
    }

    /// Its text, as it stands in a slot line.
    ///
    /// # Panics
    /// Never: age's recipients are printable.
    #[must_use]
    pub fn text(&self) -> RecipientText {
        let text = match &self.0 {
            RecipientKind::X25519(recipient) => recipient.to_string(),
        };
        RecipientText::parse(&text).expect("Bech32 is printable ASCII without spaces")
    }

    fn as_age(&self) -> &dyn age::Recipient {
        match &self.0 {
            RecipientKind::X25519(recipient) => recipient,
        }
    }
}

impl Identity {
    /// A new X25519 identity. The `age` crate takes its randomness from the operating system itself.
    #[must_use]
    pub fn generate() -> Self {
        Self(IdentityKind::X25519(age::x25519::Identity::generate()))
    }

    /// The identity with this text, which is that of a line of an identity file.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn parse(text: &Secret) -> Result<Self, IdentityError> {
        Self::parse_bytes(text.expose())
    }

    fn parse_bytes(text: &[u8]) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(text).map_err(|_| IdentityError::NotAnIdentity)?;
        let Ok(identity) = text.parse::<age::x25519::Identity>() else {
            return Err(why_no_identity(text));
        };
        let identity = Self(IdentityKind::X25519(identity));
        let same = crate::crypto::hash::equal(identity.to_text().expose(), text.as_bytes());
        if same { Ok(identity) } else { Err(IdentityError::NotAnIdentity) }
    }

    /// Its text: `AGE-SECRET-KEY-1…`.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        match &self.0 {
            IdentityKind::X25519(identity) => {
                Secret::new(identity.to_string().expose_secret().as_bytes().to_vec())
            }
        }
    }

    /// Its recipient.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        match &self.0 {
            IdentityKind::X25519(identity) => Recipient(RecipientKind::X25519(identity.to_public())),
        }
    }

    /// Whether a slot with this recipient is this identity's. Costs no decryption.
    #[must_use]
    pub fn matches(&self, recipient: &RecipientText) -> Match {
        match &self.0 {
            IdentityKind::X25519(_) if self.recipient().text() == *recipient => Match::Yes,
            IdentityKind::X25519(_) => Match::No,
        }
    }

    fn as_age(&self) -> &dyn age::Identity {
        match &self.0 {
            IdentityKind::X25519(identity) => identity,
        }
    }
}

/// A binary age file for one recipient.
///
/// # Errors
/// [`NotWrapped`]
pub fn wrap(recipient: &Recipient, plaintext: &Secret) -> Result<Vec<u8>, NotWrapped> {
    if plaintext.expose().len() > MAX_PLAINTEXT {
        return Err(NotWrapped);
    }
    let mut file = Vec::with_capacity(512);
    let encryptor =
        Encryptor::with_recipients(std::iter::once(recipient.as_age())).map_err(|_| NotWrapped)?;
    let mut out = encryptor.wrap_output(&mut file).map_err(|_| NotWrapped)?;
    out.write_all(plaintext.expose()).map_err(|_| NotWrapped)?;
    out.finish().map_err(|_| NotWrapped)?;
    if file.len() > MAX_AGE_FILE { Err(NotWrapped) } else { Ok(file) }
}

/// What [`wrap`] wrapped. At most [`MAX_AGE_FILE`] bytes are looked at, and [`MAX_PLAINTEXT`] given out.
///
/// # Errors
/// [`NotOpened`], whatever the reason.
pub fn unwrap(identity: &Identity, file: &[u8]) -> Result<Secret, NotOpened> {
    // Size first: age's header has no limit of its own.
    if file.len() > MAX_AGE_FILE {
        return Err(NotOpened);
    }
    let decryptor =
        Decryptor::new_buffered(HeaderAtOnce { rest: file, asked: false }).map_err(|_| NotOpened)?;
    // Such a file opens for whoever knows a passphrase, not for a recipient; scrypt's cost would be the file's choice.
    if decryptor.is_scrypt() {
        return Err(NotOpened);
    }
    let mut reader = decryptor.decrypt(std::iter::once(identity.as_age())).map_err(|_| NotOpened)?;
    let mut plain = Zeroizing::new(vec![0; MAX_PLAINTEXT + 1]);
    let mut length = 0;
    while length < plain.len() {
        match reader.read(&mut plain[length..]).map_err(|_| NotOpened)? {
            0 => break,
            more => length += more,
        }
    }
    if length > MAX_PLAINTEXT {
        return Err(NotOpened);
    }
    plain.truncate(length);
    Ok(Secret::from(plain))
}

/// An age file whose header comes in one piece.
///
/// age takes a line, and parses from the start after each: quadratic in the lines, a quarter of a second for 8 KiB.
struct HeaderAtOnce<'a> {
    rest: &'a [u8],
    asked: bool,
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

/// The identities of a file as `age-keygen` writes it: one a line, comments start with `#`.
///
/// # Errors
/// [`IdentityFileError`], with the number of the line but not its content.
pub fn parse_identities(file: &Secret) -> Result<Vec<Identity>, IdentityFileError> {
    let bytes = file.expose();
    if bytes.len() > MAX_IDENTITY_FILE {
        return Err(IdentityFileError::TooLong);
    }
    if ENCRYPTED_FILES.iter().any(|start| bytes.starts_with(start)) {
        return Err(IdentityFileError::Encrypted);
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
            Identity::parse_bytes(line)
                .map_err(|error| IdentityFileError::Line { line: index + 1, error })?,
        );
    }
    if identities.is_empty() { Err(IdentityFileError::Empty) } else { Ok(identities) }
}

/// How an age file starts, binary and armored.
const ENCRYPTED_FILES: [&[u8]; 2] = [b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----"];

fn why_no_recipient(text: &str) -> RecipientError {
    let starts = |prefix: &str| has_prefix(text, prefix);
    // The last 1 separates a Bech32 prefix from its data, which has none.
    let prefix = text.rsplit_once('1').map_or("", |(prefix, _)| prefix);
    if starts("AGE-SECRET-KEY-") || starts("AGE-PLUGIN-") || starts("-----BEGIN ") {
        RecipientError::SecretKey
    } else if is_ssh(text) {
        RecipientError::SshNotSupported
    } else if matches!(prefix, "age1pq" | "age1tagpq") {
        RecipientError::PostQuantumNotSupported
    } else if prefix.len() > 4 && prefix.starts_with("age1") {
        RecipientError::PluginNotSupported
    } else {
        RecipientError::NotARecipient
    }
}

fn why_no_identity(text: &str) -> IdentityError {
    let starts = |prefix: &str| has_prefix(text, prefix);
    if starts("AGE-SECRET-KEY-PQ-1") {
        IdentityError::PostQuantumNotSupported
    } else if starts("AGE-PLUGIN-") {
        IdentityError::PluginNotSupported
    } else if starts("-----BEGIN ") {
        IdentityError::SshNotSupported
    } else if starts("age1") || is_ssh(text) {
        IdentityError::Recipient
    } else {
        IdentityError::NotAnIdentity
    }
}

fn is_ssh(text: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|prefix| has_prefix(text, prefix))
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests;
