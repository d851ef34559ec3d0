//! ssh keys as recipients and identities. What age reads of them is used; their text in a slot line is ours.

use std::sync::OnceLock;

use age::DecryptError;
use age::ssh::ParseRecipientKeyError;
use age_core::format::{FileKey, Stanza};

use crate::keys::age::error::{IdentityError, IdentityTrouble, RecipientError};
use crate::keys::ask::Asker;

/// How every private key of ssh that age reads starts.
pub(super) const PRIVATE_KEY: &[u8] = b"-----BEGIN ";

/// `ssh-ed25519 …` or `ssh-rsa …`
#[derive(Clone)]
pub(super) struct Recipient(pub(super) age::ssh::Recipient);

impl Recipient {
    /// The key of a line of `id_….pub`, with or without its comment, or as it stands in a slot line.
    pub(super) fn parse(text: &str) -> Result<Self, RecipientError> {
        use RecipientError::{NotARecipient, SshNotSupported, SshRsaTooLarge, SshRsaTooSmall};
        let (kind, rest) = text.split_once([' ', ':']).ok_or(NotARecipient)?;
        if !["ssh-ed25519", "ssh-rsa"].contains(&kind) {
            return Err(SshNotSupported);
        }
        let key = rest.split(' ').next().unwrap_or_default();
        let recipient: age::ssh::Recipient =
            format!("{kind} {key}").parse().map_err(|error| match error {
                ParseRecipientKeyError::RsaModulusTooLarge => SshRsaTooLarge,
                ParseRecipientKeyError::RsaModulusTooSmall => SshRsaTooSmall,
                ParseRecipientKeyError::Unsupported(_) => SshNotSupported,
                _ => NotARecipient,
            })?;
        // One key has one text.
        if recipient.to_string() == format!("{kind} {key}") {
            Ok(Self(recipient))
        } else {
            Err(NotARecipient)
        }
    }

    /// As it stands in a slot line: the space is a `:`.
    pub(super) fn text(&self) -> String {
        self.0.to_string().replacen(' ', ":", 1)
    }
}

/// A private key of ssh, which may have a passphrase.
pub(super) struct Identity {
    key: age::ssh::Identity,
    ask: Asker,
    /// The key without its passphrase: asked for once, whatever the answer.
    opened: OnceLock<Result<age::ssh::Identity, IdentityTrouble>>,
}

impl Identity {
    /// The key in this file, and its recipient.
    pub(super) fn parse(file: &[u8], ask: &Asker) -> Result<(Self, Recipient), IdentityError> {
        let refused = IdentityError::SshNotSupported;
        let key = age::ssh::Identity::from_buffer(file, None).map_err(|_| refused)?;
        let recipient = age::ssh::Recipient::try_from(key.clone()).map_err(|_| refused)?;
        let identity = Self { key, ask: ask.clone(), opened: OnceLock::new() };
        Ok((identity, Recipient(recipient)))
    }

    /// Unwraps a file key; asks for the passphrase if there is one.
    pub(super) fn unwrap(
        &self,
        stanzas: &[Stanza],
    ) -> Result<Option<Result<FileKey, DecryptError>>, IdentityTrouble> {
        let age::ssh::Identity::Encrypted(encrypted) = &self.key else {
            return Ok(age::Identity::unwrap_stanzas(&self.key, stanzas));
        };
        let opened = self.opened.get_or_init(|| {
            let passphrase =
                self.ask.secret("passphrase of the ssh key").ok_or(IdentityTrouble::SshNotAsked)?;
            let passphrase = std::str::from_utf8(passphrase.expose())
                .map_err(|_| IdentityTrouble::SshPassphrase)?
                .to_owned();
            let key = encrypted.decrypt(passphrase.into()).map_err(|_| IdentityTrouble::SshPassphrase)?;
            Ok(key.into())
        });
        match opened {
            Ok(key) => Ok(age::Identity::unwrap_stanzas(key, stanzas)),
            Err(trouble) => Err(trouble.clone()),
        }
    }
}
