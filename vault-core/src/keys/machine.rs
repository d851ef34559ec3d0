//! Machine keys: an identity on one line, with the vault that it belongs to. docs/format.md, "Machine key".

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::hash::{equal, sha256};
use crate::format::text;
use crate::keys::age::Identity;
use crate::keys::{UnlockError, VaultId};
use crate::secret::Secret;

/// What every machine key starts with.
pub const PREFIX: &str = "vault-machine-key-1:";
/// Most bytes of a machine key: far more than any identity needs.
pub const MAX_MACHINE_KEY: usize = 16 * 1024;

/// What a machine opens a vault with. It pins the vault.
pub struct MachineKey {
    vault: VaultId,
    generation: u64,
    identity: Box<Identity>,
}

/// Why a text is no machine key. It says nothing about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MachineKeyError {
    /// It does not start as a machine key does.
    NotAMachineKey,
    /// It was cut, mistyped, or has something before or after it.
    Damaged,
}

impl fmt::Display for MachineKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAMachineKey => "not a machine key",
            Self::Damaged => "the machine key is incomplete or mistyped",
        })
    }
}

impl std::error::Error for MachineKeyError {}

impl MachineKey {
    /// A machine key for this vault, which was at `generation` when it was made.
    #[must_use]
    pub fn new(vault: VaultId, generation: u64, identity: Identity) -> Self {
        Self { vault, generation, identity: Box::new(identity) }
    }

    /// The machine key with this text, with nothing around it.
    ///
    /// # Errors
    /// [`MachineKeyError`]
    pub fn parse(text: &Secret) -> Result<Self, MachineKeyError> {
        use MachineKeyError::{Damaged, NotAMachineKey};
        if text.expose().len() > MAX_MACHINE_KEY {
            return Err(NotAMachineKey);
        }
        let encoded = text.expose().strip_prefix(PREFIX.as_bytes()).ok_or(NotAMachineKey)?;
        let length = text::decoded_len(encoded.len()).ok_or(Damaged)?;
        let mut bytes = Zeroizing::new(vec![0; length]);
        text::base64_into(encoded, &mut bytes).map_err(|_| Damaged)?;

        let (body, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Damaged)?;
        if !equal(&checksum(body), sum) {
            return Err(Damaged);
        }
        let (uuid, rest) = body.split_first_chunk().ok_or(Damaged)?;
        let (commitment, rest) = rest.split_first_chunk().ok_or(Damaged)?;
        let (generation, identity) = rest.split_first_chunk().ok_or(Damaged)?;
        let identity = Identity::parse(&Secret::new(identity.to_vec())).map_err(|_| Damaged)?;
        Ok(Self {
            vault: VaultId { uuid: *uuid, commitment: *commitment },
            generation: u64::from_be_bytes(*generation),
            identity: Box::new(identity),
        })
    }

    /// Its text, without a `\n`.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let identity = self.identity.to_text();
        let mut body = Zeroizing::new(Vec::with_capacity(56 + identity.expose().len() + CHECKSUM));
        body.extend_from_slice(&self.vault.uuid);
        body.extend_from_slice(&self.vault.commitment);
        body.extend_from_slice(&self.generation.to_be_bytes());
        body.extend_from_slice(identity.expose());
        let sum = checksum(&body);
        body.extend_from_slice(&sum);
        let mut out = Zeroizing::new(Vec::with_capacity(PREFIX.len() + 2 * body.len()));
        out.extend_from_slice(PREFIX.as_bytes());
        text::push_base64(&mut out, &body);
        Secret::from(out)
    }

    /// The same machine's key for the vault as it is now: after a rotation, which the holder found to be meant.
    #[must_use]
    pub fn pinned_to(self, vault: VaultId, generation: u64) -> Self {
        Self { vault, generation, ..self }
    }

    /// The vault that it opens.
    #[must_use]
    pub fn vault(&self) -> &VaultId {
        &self.vault
    }

    /// The vault's generation when the key was made: the vault cannot be older.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether this is the vault that the key names, under the master key that it names.
    ///
    /// # Errors
    /// [`UnlockError::OtherVault`], [`UnlockError::ReplacedOrRotated`]: all of it is public, so the answer may be plain.
    pub fn check(&self, vault: &VaultId) -> Result<(), UnlockError> {
        if self.vault.uuid != vault.uuid {
            return Err(UnlockError::OtherVault { expected: self.vault.uuid, found: vault.uuid });
        }
        if self.vault.commitment != vault.commitment {
            let (expected, found) = (self.vault.commitment, vault.commitment);
            return Err(UnlockError::ReplacedOrRotated { expected, found });
        }
        Ok(())
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Bytes of the checksum: it finds typing errors, nothing more.
const CHECKSUM: usize = 4;

/// `first 4 bytes of SHA-256("vault-machine-key-1:" ‖ uuid ‖ commitment ‖ u64 generation ‖ identity text)`
fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let text = Zeroizing::new([PREFIX.as_bytes(), body].concat());
    *sha256(&text).first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::assert_not_impl;

    assert_not_impl!(MachineKey: fmt::Debug, fmt::Display, Clone, PartialEq, std::ops::Deref);

    fn key() -> MachineKey {
        let vault = VaultId { uuid: [1; 16], commitment: [2; 32] };
        MachineKey::new(vault, u64::MAX - 1, Identity::generate())
    }

    #[test]
    fn a_machine_key_is_read_back() {
        let key = key();
        let text = key.to_text();
        assert_eq!(text.expose().len(), 20 + 183);
        let again = MachineKey::parse(&text).ok().unwrap();
        assert_eq!(again.to_text().expose(), text.expose());
        assert!(again.vault() == key.vault() && again.generation() == key.generation());
        assert!(again.identity().recipient() == key.identity().recipient());
    }

    #[test]
    fn every_altered_character_of_a_machine_key_is_refused() {
        let mut text = key().to_text().expose().to_vec();
        for at in 0..text.len() {
            for flip in [1, 2, 0x20, 0x80] {
                text[at] ^= flip;
                assert!(MachineKey::parse(&Secret::new(text.clone())).is_err(), "character {at}");
                text[at] ^= flip;
            }
            assert!(MachineKey::parse(&Secret::new(text[..at].to_vec())).is_err(), "cut at {at}");
        }
        for more in ["\n", "\r\n", " ", "=", "A", "AAAA"] {
            let long = [text.as_slice(), more.as_bytes()].concat();
            assert!(MachineKey::parse(&Secret::new(long)).is_err(), "{more:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_decoded() {
        let text = [PREFIX.as_bytes(), &vec![b'A'; MAX_MACHINE_KEY]].concat();
        assert_eq!(MachineKey::parse(&Secret::new(text)).err(), Some(MachineKeyError::NotAMachineKey));
    }

    #[test]
    fn the_checksum_alone_makes_no_machine_key() {
        let mut body = [[1; 56].as_slice(), b"AGE-SECRET-KEY-1NOT"].concat();
        let sum = checksum(&body);
        body.extend_from_slice(&sum);
        let mut text = PREFIX.as_bytes().to_vec();
        text::push_base64(&mut text, &body);
        assert_eq!(MachineKey::parse(&Secret::new(text)).err(), Some(MachineKeyError::Damaged));
    }
}
