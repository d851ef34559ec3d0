//! age recipients and identities, and the age file of a slot. The only module that imports the `age` crates.
//!
//! The joint for further kinds of recipients is [`Recipient`]'s and [`Identity`]'s inner enum, and nothing else.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Read, Write};

use age::secrecy::ExposeSecret;
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use crate::crypto::random::SystemRandom;
use crate::format::slot::{MAX_AGE_FILE, RecipientText};
use crate::keys::ask::{Asker, cannot_ask};
use crate::secret::Secret;

mod error;
mod file;
mod hybrid;
pub mod plugin;
mod ssh;

pub use error::{IdentityError, IdentityFileError, IdentityTrouble, NotOpened, NotWrapped, RecipientError};
pub use file::{parse_identities, parse_identities_asking};

use plugin::{Plugin, PluginFailure};

/// Most bytes of what a slot's age file holds; it is also how many it always has.
pub const MAX_PLAINTEXT: usize = 109;
/// Most bytes of a file of identities.
pub const MAX_IDENTITY_FILE: usize = 1024 * 1024;
/// Most identities in a file.
pub const MAX_IDENTITIES: usize = 64;

/// Whom a master key is wrapped for.
#[derive(Clone)]
pub struct Recipient {
    kind: RecipientKind,
    text: RecipientText,
}

#[derive(Clone)]
enum RecipientKind {
    X25519(age::x25519::Recipient),
    Hybrid(hybrid::Recipient),
    Ssh(ssh::Recipient),
    /// Tagged: the identity is on a hardware key, behind a plugin.
    Tag(age::tag::Recipient),
    TagHybrid(Box<age::tagpq::Recipient>),
    Plugin(age::plugin::Recipient, Asker),
}

/// What opens what was wrapped for its recipient. No `Debug`, `Clone` or `PartialEq`.
pub struct Identity {
    kind: IdentityKind,
    /// A plugin's identity does not say its recipient.
    recipient: Option<Recipient>,
}

enum IdentityKind {
    X25519(age::x25519::Identity),
    Hybrid(Box<hybrid::Identity>),
    Ssh(Box<ssh::Identity>),
    Plugin(age::plugin::Identity, Asker),
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

/// Whether what is wrapped for a recipient stays closed to somebody who keeps it until there are quantum computers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostQuantum {
    /// Hybrid: X25519 or P-256, with ML-KEM-768.
    Yes,
    /// Classical.
    No,
    /// A plugin's: its text does not tell.
    Unknown,
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        // One recipient has one text.
        self.text == other.text
    }
}

impl Eq for Recipient {}

impl Recipient {
    /// The recipient with this text: `age1…`, `age1pq1…`, a plugin's `age1name1…`, or an ssh public key, with a space as
    /// in `id_ed25519.pub` or with a `:` as in a slot line. A plugin's cannot ask anybody anything.
    ///
    /// # Errors
    /// [`RecipientError`]
    pub fn parse(text: &str) -> Result<Self, RecipientError> {
        Self::parse_asking(text, &cannot_ask())
    }

    /// The same, where a plugin may ask when something is wrapped for it.
    ///
    /// # Errors
    /// [`RecipientError`]
    pub fn parse_asking(text: &str, ask: &Asker) -> Result<Self, RecipientError> {
        let kind = if is_ssh(text) {
            RecipientKind::Ssh(ssh::Recipient::parse(text)?)
        } else {
            RecipientKind::parse(text, ask).ok_or_else(|| why_no_recipient(text))?
        };
        let recipient = Self::of(kind).ok_or(RecipientError::NotARecipient)?;
        // age also takes capitals. One recipient has one text here; only ssh's loses its comment.
        let same = is_ssh(text) || recipient.text.as_str() == text;
        if same { Ok(recipient) } else { Err(RecipientError::NotARecipient) }
    }

    fn of(kind: RecipientKind) -> Option<Self> {
        let text = match &kind {
            RecipientKind::X25519(recipient) => recipient.to_string(),
            RecipientKind::Hybrid(recipient) => recipient.text(),
            RecipientKind::Ssh(recipient) => recipient.text(),
            RecipientKind::Tag(recipient) => recipient.to_string(),
            RecipientKind::TagHybrid(recipient) => recipient.to_string(),
            RecipientKind::Plugin(recipient, _) => recipient.to_string(),
        };
        Some(Self { text: RecipientText::parse(&text).ok()?, kind })
    }

    /// Its text, as it stands in a slot line.
    #[must_use]
    pub fn text(&self) -> RecipientText {
        self.text.clone()
    }
}

impl RecipientKind {
    fn parse(text: &str, ask: &Asker) -> Option<Self> {
        // The last 1 separates a Bech32 prefix from its data, which has none.
        let (prefix, _) = text.rsplit_once('1')?;
        Some(match prefix {
            "age" => Self::X25519(text.parse().ok()?),
            "age1pq" => Self::Hybrid(hybrid::Recipient::parse(text)?),
            "age1tag" => Self::Tag(text.parse().ok()?),
            "age1tagpq" => Self::TagHybrid(Box::new(text.parse().ok()?)),
            _ => Self::Plugin(text.parse().ok()?, ask.clone()),
        })
    }
}

impl RecipientText {
    /// Whether this recipient's slots are safe from quantum computers, as far as its text tells.
    #[must_use]
    pub fn post_quantum(&self) -> PostQuantum {
        match self.as_str().rsplit_once('1').map(|(prefix, _)| prefix) {
            Some("age1pq" | "age1tagpq") => PostQuantum::Yes,
            Some(prefix) if prefix.starts_with("age1") && prefix != "age1tag" => PostQuantum::Unknown,
            _ => PostQuantum::No,
        }
    }

    /// The plugin whose recipient this is, if it is one's.
    #[must_use]
    pub fn plugin(&self) -> Option<String> {
        match Recipient::parse(self.as_str()).ok()?.kind {
            RecipientKind::Plugin(recipient, _) => Some(recipient.plugin().to_owned()),
            _ => None,
        }
    }
}

impl Identity {
    /// A new hybrid post-quantum identity.
    #[must_use]
    pub fn generate() -> Self {
        Self::hybrid(hybrid::Identity::generate(&mut SystemRandom))
    }

    /// A new classical identity, as slots had them before. The `age` crate takes its randomness from the operating system.
    #[must_use]
    pub fn generate_x25519() -> Self {
        Self::x25519(age::x25519::Identity::generate())
    }

    fn x25519(identity: age::x25519::Identity) -> Self {
        let recipient = Recipient::of(RecipientKind::X25519(identity.to_public()));
        Self { kind: IdentityKind::X25519(identity), recipient }
    }

    fn hybrid(identity: hybrid::Identity) -> Self {
        let recipient = Recipient::of(RecipientKind::Hybrid(identity.recipient()));
        Self { kind: IdentityKind::Hybrid(Box::new(identity)), recipient }
    }

    /// The identity with this text, which is that of a line of an identity file. Nobody is asked anything.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn parse(text: &Secret) -> Result<Self, IdentityError> {
        Self::parse_bytes(text.expose(), &cannot_ask())
    }

    fn parse_bytes(bytes: &[u8], ask: &Asker) -> Result<Self, IdentityError> {
        if bytes.starts_with(ssh::PRIVATE_KEY) {
            let (identity, recipient) = ssh::Identity::parse(bytes, ask)?;
            let recipient = Recipient::of(RecipientKind::Ssh(recipient));
            return Ok(Self { kind: IdentityKind::Ssh(Box::new(identity)), recipient });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::NotAnIdentity)?;
        let (prefix, _) = text.rsplit_once('1').unwrap_or_default();
        let identity = match prefix {
            "AGE-SECRET-KEY-" => text.parse().ok().map(Self::x25519),
            "AGE-SECRET-KEY-PQ-" => hybrid::Identity::parse(text).map(Self::hybrid),
            _ if prefix.starts_with("AGE-PLUGIN-") => text
                .parse()
                .ok()
                .map(|identity| Self { kind: IdentityKind::Plugin(identity, ask.clone()), recipient: None }),
            _ => None,
        };
        identity
            .filter(|identity| crate::crypto::hash::equal(identity.to_text().expose(), text.as_bytes()))
            .ok_or_else(|| why_no_identity(text))
    }

    /// Its text: `AGE-SECRET-KEY-PQ-1…`. Empty for an ssh key, which has none of one line.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        match &self.kind {
            IdentityKind::X25519(identity) => {
                Secret::new(identity.to_string().expose_secret().as_bytes().to_vec())
            }
            IdentityKind::Hybrid(identity) => identity.to_text(),
            IdentityKind::Plugin(identity, _) => Secret::new(identity.to_string().into_bytes()),
            IdentityKind::Ssh(_) => Secret::new(Vec::new()),
        }
    }

    /// Its recipient. A plugin's identity does not say it.
    #[must_use]
    pub fn recipient(&self) -> Option<&Recipient> {
        self.recipient.as_ref()
    }

    /// Whether a slot with this recipient is this identity's. Costs no decryption.
    #[must_use]
    pub fn matches(&self, recipient: &RecipientText) -> Match {
        match (&self.recipient, &self.kind) {
            (Some(own), _) if own.text == *recipient => Match::Yes,
            (None, IdentityKind::Plugin(identity, _)) => {
                let text = recipient.as_str();
                let prefix = text.rsplit_once('1').map_or("", |(prefix, _)| prefix);
                // A tagged recipient may be any plugin's.
                let tagged = matches!(prefix, "age1tag" | "age1tagpq");
                let own = prefix.strip_prefix("age1").is_some_and(|name| name == identity.plugin());
                if tagged || own { Match::Unknown } else { Match::No }
            }
            _ => Match::No,
        }
    }
}

/// A binary age file for one recipient.
///
/// # Errors
/// [`NotWrapped`]
pub fn wrap(recipient: &Recipient, plaintext: &Secret) -> Result<Vec<u8>, NotWrapped> {
    if plaintext.expose().len() > MAX_PLAINTEXT {
        return Err(NotWrapped::Recipient);
    }
    let attempt = Wrapping { recipient, failure: RefCell::new(None) };
    let file = wrap_for(&attempt, plaintext);
    match attempt.failure.into_inner() {
        Some(failure) => Err(NotWrapped::Plugin(failure)),
        None => file.filter(|file| file.len() <= MAX_AGE_FILE).ok_or(NotWrapped::Recipient),
    }
}

fn wrap_for(recipient: &dyn age::Recipient, plaintext: &Secret) -> Option<Vec<u8>> {
    let mut file = Vec::with_capacity(2048);
    let encryptor = Encryptor::with_recipients(std::iter::once(recipient)).ok()?;
    let mut out = encryptor.wrap_output(&mut file).ok()?;
    out.write_all(plaintext.expose()).ok()?;
    out.finish().ok()?;
    Some(file)
}

/// A recipient at work, and what its plugin said.
struct Wrapping<'a> {
    recipient: &'a Recipient,
    failure: RefCell<Option<PluginFailure>>,
}

impl age::Recipient for Wrapping<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        match &self.recipient.kind {
            RecipientKind::X25519(recipient) => recipient.wrap_file_key(file_key),
            RecipientKind::Hybrid(recipient) => recipient.wrap_file_key(file_key),
            RecipientKind::Ssh(recipient) => recipient.0.wrap_file_key(file_key),
            RecipientKind::Tag(recipient) => recipient.wrap_file_key(file_key),
            RecipientKind::TagHybrid(recipient) => recipient.wrap_file_key(file_key),
            RecipientKind::Plugin(recipient, ask) => {
                let plugin = Plugin { name: recipient.plugin(), ask, silence: plugin::SILENCE };
                match plugin.wrap(&recipient.to_string(), file_key) {
                    // Labels keep recipients apart; there is only one here.
                    Ok(stanzas) => Ok((stanzas, HashSet::new())),
                    Err(failure) => {
                        self.failure.replace(Some(failure));
                        Err(EncryptError::Io(std::io::ErrorKind::Other.into()))
                    }
                }
            }
        }
    }
}

/// What [`wrap`] wrapped. At most [`MAX_AGE_FILE`] bytes are looked at, and [`MAX_PLAINTEXT`] given out.
///
/// # Errors
/// [`NotOpened`].
pub fn unwrap(identity: &Identity, file: &[u8]) -> Result<Secret, NotOpened> {
    let attempt = Unwrapping { identity, trouble: RefCell::new(None) };
    let plain = unwrap_with(&attempt, file);
    match attempt.trouble.into_inner() {
        Some(trouble) => Err(NotOpened::Identity(trouble)),
        None => plain.ok_or(NotOpened::Wrong),
    }
}

fn unwrap_with(identity: &dyn age::Identity, file: &[u8]) -> Option<Secret> {
    // Size first: age's header has no limit of its own.
    if file.len() > MAX_AGE_FILE {
        return None;
    }
    let decryptor = Decryptor::new_buffered(file::HeaderAtOnce::new(file)).ok()?;
    // Such a file opens for whoever knows a passphrase, not for a recipient; scrypt's cost would be the file's choice.
    if decryptor.is_scrypt() {
        return None;
    }
    let mut reader = decryptor.decrypt(std::iter::once(identity)).ok()?;
    let mut plain = Zeroizing::new(vec![0; MAX_PLAINTEXT + 1]);
    let mut length = 0;
    while length < plain.len() {
        match reader.read(&mut plain[length..]).ok()? {
            0 => break,
            more => length += more,
        }
    }
    if length > MAX_PLAINTEXT {
        return None;
    }
    plain.truncate(length);
    Some(Secret::from(plain))
}

/// An identity at work, and why it could not be used.
struct Unwrapping<'a> {
    identity: &'a Identity,
    trouble: RefCell<Option<IdentityTrouble>>,
}

impl age::Identity for Unwrapping<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let result = match &self.identity.kind {
            IdentityKind::X25519(identity) => return identity.unwrap_stanzas(stanzas),
            IdentityKind::Hybrid(identity) => return identity.unwrap_stanzas(stanzas),
            IdentityKind::Ssh(identity) => identity.unwrap(stanzas),
            IdentityKind::Plugin(identity, ask) => {
                let plugin = Plugin { name: identity.plugin(), ask, silence: plugin::SILENCE };
                plugin
                    .unwrap(&identity.to_string(), stanzas)
                    .map(|file_key| file_key.map(Ok))
                    .map_err(IdentityTrouble::Plugin)
            }
        };
        result.unwrap_or_else(|trouble| {
            self.trouble.replace(Some(trouble));
            None
        })
    }
}

/// The bytes of a Bech32 text with this prefix, of whatever length.
fn bech32_decode(text: &str, prefix: &str) -> Option<Zeroizing<Vec<u8>>> {
    age_core::primitives::bech32_decode(
        text,
        |_| (),
        |found| if found.as_str() == prefix { Ok(()) } else { Err(()) },
        |_, bytes| {
            let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
            out.extend(bytes);
            Ok(out)
        },
    )
    .ok()
}

fn why_no_recipient(text: &str) -> RecipientError {
    let starts = |prefix: &str| has_prefix(text, prefix);
    if starts("AGE-SECRET-KEY-") || starts("AGE-PLUGIN-") || starts("-----BEGIN ") {
        RecipientError::SecretKey
    } else {
        RecipientError::NotARecipient
    }
}

fn why_no_identity(text: &str) -> IdentityError {
    if has_prefix(text, "age1") || is_ssh(text) {
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
