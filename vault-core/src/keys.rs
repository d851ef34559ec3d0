//! Key slots: each wraps the master key for one age recipient; kinds differ only in where the identity is.
//!
//! docs/format.md, "Key slots". Lines are parsed in `format::slot`; this module never sees bytes from a file.

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::derive::commitment;
use crate::crypto::hash::equal;
use crate::format::slot::SlotId;
use crate::format::text::{self, NotCanonical};
use crate::keys::age::plugin::PluginFailure;
use crate::keys::age::{Identity, IdentityTrouble, NotOpened, NotWrapped, Recipient};
use crate::secret::{Key, Master, Secret};

pub mod age;
pub mod ask;
pub mod keyring;
pub mod machine;
mod make;
mod open;
pub mod passphrase;
pub mod recovery;

pub use make::{
    NewSlotError, RewrapError, change_passphrase, new_age_slot, new_keyring_slot, new_machine_slot,
    new_passphrase_slot, renew_machine_slot, rewrap_slot,
};
pub use open::{
    Credential, MAX_PASSPHRASE_MEMORY_KIB, MAX_PASSPHRASE_SLOTS, Opened, Refused, Skipped, Unavailable,
    UnlockError, UnlockPolicy, open_master,
};

/// Variables that may hold what unlocks, itself: no process that is started inherits them, plugins included.
pub const SECRET_VARIABLES: [&str; 3] = ["VAULT_PASSPHRASE", "VAULT_IDENTITY", "VAULT_MACHINE_KEY"];

/// Which vault, under which master key. Public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VaultId {
    /// The same for the life of the vault.
    pub uuid: [u8; 16],
    /// The commitment to its master key.
    pub commitment: [u8; 32],
}

impl VaultId {
    /// `<uuid>:<commitment>`, in hex.
    ///
    /// # Errors
    /// [`NotCanonical`]
    pub fn parse(text: &str) -> Result<Self, NotCanonical> {
        let (uuid, commitment) = text.split_once(':').ok_or(NotCanonical)?;
        Ok(Self { uuid: text::hex(uuid.as_bytes())?, commitment: text::hex(commitment.as_bytes())? })
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = base16ct::lower::encode_string;
        write!(f, "{}:{}", hex(&self.uuid), hex(&self.commitment))
    }
}

/// What a slot depends on of the header. Public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultHeaderParts {
    /// The vault's.
    pub uuid: [u8; 16],
    /// The master key's.
    pub salt: [u8; 32],
    /// K[commitment].
    pub commitment: [u8; 32],
}

impl VaultHeaderParts {
    /// The header of a vault with this master key.
    #[must_use]
    pub fn of(uuid: [u8; 16], salt: [u8; 32], master: &Key<Master>) -> Self {
        Self { uuid, salt, commitment: commitment(&uuid, &salt, master) }
    }

    /// Which vault this is the header of.
    #[must_use]
    pub fn vault_id(&self) -> VaultId {
        VaultId { uuid: self.uuid, commitment: self.commitment }
    }

    /// Whether this is the master key that the header commits to.
    fn is_of(&self, master: &Key<Master>) -> bool {
        equal(&commitment(&self.uuid, &self.salt, master), &self.commitment)
    }
}

/// Why a master key was not wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrapError {
    /// The master key is not the one that the header commits to.
    OtherMasterKey,
    /// Nothing can be wrapped for this recipient.
    Recipient,
    /// The recipient's plugin did not wrap it.
    Plugin(PluginFailure),
}

impl fmt::Display for WrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherMasterKey => f.write_str("the master key is not this vault's"),
            Self::Recipient => f.write_str("cannot wrap the master key for this recipient"),
            Self::Plugin(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for WrapError {}

/// The one rule: an age file for one recipient with the slot's plaintext in it.
///
/// # Errors
/// [`WrapError`]
pub fn wrap_master(
    header: &VaultHeaderParts,
    slot: SlotId,
    recipient: &Recipient,
    master: &Key<Master>,
) -> Result<Vec<u8>, WrapError> {
    if !header.is_of(master) {
        return Err(WrapError::OtherMasterKey);
    }
    age::wrap(recipient, &plaintext(header, slot, master)).map_err(|error| match error {
        NotWrapped::Recipient => WrapError::Recipient,
        NotWrapped::Plugin(failure) => WrapError::Plugin(failure),
    })
}

/// The other way: `None` if it does not open, is another slot's or vault's, or is not what the header commits to.
fn unwrap_master(
    header: &VaultHeaderParts,
    slot: SlotId,
    identity: &Identity,
    file: &[u8],
) -> Result<Option<Key<Master>>, IdentityTrouble> {
    match age::unwrap(identity, file) {
        Ok(plain) => Ok(master_in(header, slot, &plain)),
        Err(NotOpened::Wrong) => Ok(None),
        Err(NotOpened::Identity(trouble)) => Err(trouble),
    }
}

fn master_in(header: &VaultHeaderParts, slot: SlotId, plain: &Secret) -> Option<Key<Master>> {
    let master = plain.expose().last_chunk::<MASTER>()?;
    let master = Key::init_with(|bytes| bytes.copy_from_slice(master));
    // Everything before the key is compared by writing it again.
    let expected = plaintext(header, slot, &master);
    (equal(expected.expose(), plain.expose()) && header.is_of(&master)).then_some(master)
}

/// `"vault/1 slot" ‖ 00 ‖ uuid ‖ commitment ‖ slot id ‖ MK`
fn plaintext(header: &VaultHeaderParts, slot: SlotId, master: &Key<Master>) -> Secret {
    let mut plain = Zeroizing::new(Vec::with_capacity(age::MAX_PLAINTEXT));
    plain.extend_from_slice(PLAINTEXT_LABEL);
    plain.extend_from_slice(&header.uuid);
    plain.extend_from_slice(&header.commitment);
    plain.extend_from_slice(&slot.0);
    plain.extend_from_slice(master.expose());
    Secret::from(plain)
}

/// What every slot's plaintext starts with.
const PLAINTEXT_LABEL: &[u8] = b"vault/1 slot\0";
/// Bytes of a master key.
const MASTER: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> (VaultHeaderParts, Key<Master>) {
        let master = Key::init_with(|bytes| bytes.fill(9));
        (VaultHeaderParts::of([1; 16], [2; 32], &master), master)
    }

    const SLOT: SlotId = SlotId([3; 16]);

    #[test]
    fn a_vault_id_has_one_text() {
        let id = vault().0.vault_id();
        let text = id.to_string();
        assert_eq!(text.len(), 32 + 1 + 64);
        assert_eq!(VaultId::parse(&text), Ok(id));
        for wrong in [text.to_uppercase(), text.replace(':', ""), format!("{text}0"), format!("{text} ")] {
            assert!(VaultId::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_plaintext_is_the_specification_s() {
        let (header, master) = vault();
        let plain = plaintext(&header, SLOT, &master);
        assert_eq!(plain.expose().len(), 109);
        let parts = [b"vault/1 slot\0".as_slice(), &[1; 16], &header.commitment, &[3; 16], &[9; 32]];
        assert_eq!(plain.expose(), parts.concat());
    }

    #[test]
    fn every_altered_byte_of_the_plaintext_is_refused() {
        let (header, master) = vault();
        let identity = Identity::generate();
        let opens = |plain: &[u8]| {
            let file = age::wrap(identity.recipient().unwrap(), &Secret::new(plain.to_vec())).unwrap();
            unwrap_master(&header, SLOT, &identity, &file).unwrap().is_some()
        };
        let plain = plaintext(&header, SLOT, &master);
        assert!(opens(plain.expose()));
        let mut altered = plain.expose().to_vec();
        for at in 0..altered.len() {
            altered[at] ^= 1;
            assert!(!opens(&altered), "byte {at}");
            altered[at] ^= 1;
        }
        for length in [0, 31, 32, 77, 108] {
            assert!(!opens(&altered[..length]) && !opens(&altered[109 - length..]), "{length}");
        }
    }

    #[test]
    fn a_wrapped_key_opens_in_its_slot_and_vault_only() {
        let (header, master) = vault();
        let identity = Identity::generate();
        let file = wrap_master(&header, SLOT, identity.recipient().unwrap(), &master).unwrap();
        let opens = |header: &VaultHeaderParts, slot, identity: &Identity| {
            unwrap_master(header, slot, identity, &file).unwrap().is_some()
        };
        assert!(opens(&header, SLOT, &identity));
        assert!(!opens(&header, SlotId([4; 16]), &identity));
        assert!(!opens(&header, SLOT, &Identity::generate()));
        assert!(!opens(&VaultHeaderParts { uuid: [5; 16], ..header }, SLOT, &identity));
        // The plaintext does not hold the salt: only the commitment notices.
        assert!(!opens(&VaultHeaderParts { salt: [5; 32], ..header }, SLOT, &identity));
        assert!(!opens(&VaultHeaderParts { commitment: [5; 32], ..header }, SLOT, &identity));
    }

    #[test]
    fn another_vault_s_master_key_is_not_wrapped() {
        let (header, _) = vault();
        let other = Key::init_with(|bytes| bytes.fill(8));
        let wrapped = wrap_master(&header, SLOT, Identity::generate().recipient().unwrap(), &other);
        assert_eq!(wrapped, Err(WrapError::OtherMasterKey));
    }
}
