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
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::secret::assert_not_impl;

    assert_not_impl!(Identity: fmt::Debug, fmt::Display, Clone, PartialEq, std::ops::Deref);

    // From the age crate's own tests.
    const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn hundred_and_nine() -> Secret {
        Secret::new((0..109).collect())
    }

    #[test]
    fn an_identity_and_its_recipient_have_one_text_each() {
        let identity = Identity::parse(&secret(SECRET)).ok().unwrap();
        assert_eq!(identity.to_text().expose(), SECRET.as_bytes());
        assert_eq!(identity.recipient().text().as_str(), PUBLIC);
        let recipient = Recipient::parse(PUBLIC).ok().unwrap();
        assert_eq!(identity.matches(&recipient.text()), Match::Yes);
        assert_eq!(Identity::generate().matches(&recipient.text()), Match::No);
        for other in
            [SECRET.to_lowercase(), format!("{SECRET} "), format!(" {SECRET}"), format!("{SECRET}\n")]
        {
            assert!(Identity::parse(&secret(&other)).is_err());
        }
        for other in [PUBLIC.to_uppercase(), format!("{PUBLIC} "), format!("{PUBLIC}\n")] {
            assert_eq!(Recipient::parse(&other).err(), Some(RecipientError::NotARecipient));
        }
    }

    #[test]
    fn what_is_no_recipient_yet_is_named() {
        use RecipientError as E;
        let mistyped = PUBLIC.replace("t7r", "t7q");
        for (text, error) in [
            (SECRET, E::SecretKey),
            (&SECRET.to_lowercase(), E::SecretKey),
            ("AGE-PLUGIN-YUBIKEY-1QQQQ", E::SecretKey),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", E::SecretKey),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host", E::SshNotSupported),
            ("ecdsa-sha2-nistp256 AAAA", E::SshNotSupported),
            ("age1pq1qqqqqqqq", E::PostQuantumNotSupported),
            ("age1tagpq1qqqqqq", E::PostQuantumNotSupported),
            ("age1yubikey1qwerty", E::PluginNotSupported),
            (&mistyped, E::NotARecipient),
            ("age1", E::NotARecipient),
            ("", E::NotARecipient),
            ("é", E::NotARecipient),
        ] {
            assert_eq!(Recipient::parse(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn an_identity_file_is_read_as_age_keygen_writes_it() {
        let other = Identity::generate();
        let other_text = String::from_utf8(other.to_text().expose().to_vec()).unwrap();
        let file = format!("# created: today\r\n# public key: {PUBLIC}\r\n{SECRET}\r\n\n#\n{other_text}");
        let identities = parse_identities(&secret(&file)).ok().unwrap();
        let texts: Vec<_> = identities.iter().map(|identity| identity.recipient().text()).collect();
        assert_eq!(texts, [RecipientText::parse(PUBLIC).unwrap(), other.recipient().text()]);
    }

    #[test]
    fn an_identity_file_is_refused_with_a_reason() {
        use IdentityFileError as E;
        let refused = |text: &str| parse_identities(&secret(text)).err().unwrap();
        assert_eq!(refused(""), E::Empty);
        assert_eq!(refused("# nothing\n"), E::Empty);
        assert_eq!(refused("age-encryption.org/v1\n-> X25519 "), E::Encrypted);
        assert_eq!(refused("-----BEGIN AGE ENCRYPTED FILE-----\n"), E::Encrypted);
        let line = |line, error| E::Line { line, error };
        assert_eq!(refused(&format!("{SECRET}\n\nx")), line(3, IdentityError::NotAnIdentity));
        assert_eq!(refused(PUBLIC), line(1, IdentityError::Recipient));
        assert_eq!(refused("AGE-PLUGIN-YUBIKEY-1Q"), line(1, IdentityError::PluginNotSupported));
        assert_eq!(refused("AGE-SECRET-KEY-PQ-1Q"), line(1, IdentityError::PostQuantumNotSupported));
        assert_eq!(refused("-----BEGIN OPENSSH PRIVATE KEY-----"), line(1, IdentityError::SshNotSupported));
        assert_eq!(refused(&format!("{SECRET}\n").repeat(MAX_IDENTITIES + 1)), E::TooMany);
        assert!(parse_identities(&secret(&format!("{SECRET}\n").repeat(MAX_IDENTITIES))).is_ok());
        let comment = |length: usize| format!("{}\n{SECRET}", "#".repeat(length - SECRET.len() - 1));
        assert!(parse_identities(&secret(&comment(MAX_IDENTITY_FILE))).is_ok());
        assert_eq!(refused(&comment(MAX_IDENTITY_FILE + 1)), E::TooLong);
    }

    #[test]
    fn every_altered_byte_of_an_age_file_is_refused() {
        let identity = Identity::generate();
        let mut file = wrap(&identity.recipient(), &hundred_and_nine()).unwrap();
        assert_eq!(unwrap(&identity, &file).ok().unwrap().expose(), hundred_and_nine().expose());
        assert!(unwrap(&Identity::generate(), &file).is_err());
        for at in 0..file.len() {
            file[at] ^= 1;
            assert!(unwrap(&identity, &file).is_err(), "byte {at}");
            file[at] ^= 1;
            assert!(unwrap(&identity, &file[..at]).is_err(), "cut at {at}");
        }
        file.push(0);
        assert!(unwrap(&identity, &file).is_err(), "a byte more");
    }

    #[test]
    fn only_as_much_is_wrapped_or_given_out_as_a_slot_holds() {
        let identity = Identity::generate();
        assert!(wrap(&identity.recipient(), &Secret::new(vec![0; 110])).is_err());
        let file = |length: usize| age::encrypt(&as_x25519(&identity.recipient()), &vec![0; length]).unwrap();
        assert!(unwrap(&identity, &file(109)).is_ok());
        assert!(unwrap(&identity, &file(110)).is_err());
        assert!(unwrap(&identity, &file(4000)).is_err());
    }

    fn as_x25519(recipient: &Recipient) -> age::x25519::Recipient {
        match &recipient.0 {
            RecipientKind::X25519(recipient) => recipient.clone(),
        }
    }

    #[test]
    fn a_passphrase_file_is_refused_without_work() {
        let mut recipient = age::scrypt::Recipient::new("passphrase".to_owned().into());
        recipient.set_work_factor(1);
        let file = age::encrypt(&recipient, hundred_and_nine().expose()).unwrap();
        assert!(unwrap(&Identity::generate(), &file).is_err());
    }

    #[test]
    fn a_hostile_age_file_costs_little() {
        let identity = Identity::generate();
        // The largest number of stanzas that look like this identity's: each costs a key agreement.
        let stanza = format!("-> X25519 {}\n{}\n", "C".repeat(42) + "A", "A".repeat(43));
        let mut header = "age-encryption.org/v1\n".to_owned();
        while header.len() + stanza.len() + 63 < MAX_AGE_FILE {
            header += &stanza;
        }
        header += &format!("--- {}\n", "A".repeat(43));
        let mut file = header.into_bytes();
        file.extend_from_slice(&[0; 16]);
        assert!(file.len() <= MAX_AGE_FILE && Decryptor::new_buffered(&file[..]).is_ok());
        let many_lines = format!("age-encryption.org/v1\n{}", "-> a\n\n".repeat(1300)).into_bytes();
        let many_mac_lines = format!("age-encryption.org/v1\n{}", "---\n".repeat(2000)).into_bytes();
        let many_empty_lines = format!("age-encryption.org/v1\n-> a\n{}", "\n".repeat(8000)).into_bytes();
        let full = "A".repeat(64);
        let long_body =
            format!("age-encryption.org/v1\n-> a\n{}", format!("{full}\n").repeat(120)).into_bytes();
        let noise = vec![b'a'; MAX_AGE_FILE];
        for file in [&file, &many_lines, &many_mac_lines, &many_empty_lines, &long_body, &noise] {
            assert!(file.len() <= MAX_AGE_FILE);
            let start = Instant::now();
            assert!(unwrap(&identity, file).is_err());
            assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
        }
    }

    #[test]
    fn what_is_too_long_is_refused_though_it_would_open() {
        let identity = Identity::generate();
        let recipient = as_x25519(&identity.recipient());
        let many = |n: usize| {
            let recipients = std::iter::repeat_n(&recipient as &dyn age::Recipient, n);
            let mut file = Vec::new();
            let mut out = Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut file).unwrap();
            out.write_all(hundred_and_nine().expose()).unwrap();
            out.finish().unwrap();
            file
        };
        assert!(many(60).len() <= MAX_AGE_FILE && unwrap(&identity, &many(60)).is_ok());
        let long = many(95);
        assert!(long.len() > 9 * 1024 && unwrap(&identity, &long).is_err());
    }
}
