//! Why a text is no recipient or identity, and why nothing was wrapped or opened.

use std::fmt;

use crate::keys::age::plugin::PluginFailure;

/// Why a text is no recipient that a slot can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipientError {
    /// It is a secret key: the other half was meant, and this one is now on the screen.
    SecretKey,
    /// An ssh key of a type that age does not know: only ssh-ed25519 and ssh-rsa can be used.
    SshNotSupported,
    /// An RSA key of less than 2,048 bits.
    SshRsaTooSmall,
    /// An RSA key of more than 4,096 bits.
    SshRsaTooLarge,
    /// It is no recipient, or was mistyped.
    NotARecipient,
}

impl fmt::Display for RecipientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecretKey => "this is a secret key, not a recipient",
            Self::SshNotSupported => "of ssh keys, only ssh-ed25519 and ssh-rsa can be used",
            Self::SshRsaTooSmall => "the ssh-rsa key has less than 2,048 bits",
            Self::SshRsaTooLarge => "the ssh-rsa key has more than 4,096 bits",
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
    /// An ssh key of a type, size or encryption that cannot be used, or a damaged one.
    SshNotSupported,
    /// It is no identity, or was mistyped.
    NotAnIdentity,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipient => "this is a recipient, not an identity",
            Self::SshNotSupported => {
                "not an ssh-ed25519 or ssh-rsa private key in a form that can be read (see: ssh-keygen -o -p)"
            }
            Self::NotAnIdentity => "not an age identity",
        })
    }
}

impl std::error::Error for IdentityError {}

/// Why a file of identities is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityFileError {
    /// Longer than [`MAX_IDENTITY_FILE`](super::MAX_IDENTITY_FILE).
    TooLong,
    /// More than [`MAX_IDENTITIES`](super::MAX_IDENTITIES).
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

/// Why nothing was wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotWrapped {
    /// Too much was given, or the recipient's key is one for which nothing can be sealed.
    Recipient,
    /// The recipient's plugin did not do it.
    Plugin(PluginFailure),
}

/// Why an age file did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpened {
    /// Altered, for another identity, too long, or no age file: nobody can tell.
    Wrong,
    /// The identity itself could not be used.
    Identity(IdentityTrouble),
}

/// Why an identity could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityTrouble {
    /// The ssh key has a passphrase, and nobody could be asked for it.
    SshNotAsked,
    /// The passphrase of the ssh key is wrong.
    SshPassphrase,
    /// The identity's plugin did not do it.
    Plugin(PluginFailure),
}

impl fmt::Display for IdentityTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SshNotAsked => f.write_str("the ssh key has a passphrase, and nobody gave it"),
            Self::SshPassphrase => f.write_str("wrong passphrase for the ssh key"),
            Self::Plugin(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for IdentityTrouble {}
