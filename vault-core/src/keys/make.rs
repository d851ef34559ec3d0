//! Making slots, all through the one rule, `wrap_master`.

use std::fmt;

use crate::crypto::kdf::KdfCost;
use crate::crypto::random::{self, Random};
use crate::format::slot::{Label, SlotId, SlotKind, SlotLine, StoreName};
use crate::keys::age::{Identity, Recipient};
use crate::keys::keyring;
use crate::keys::machine::MachineKey;
use crate::keys::passphrase::{self, PassphraseKind, Place, SealError};
use crate::keys::{VaultHeaderParts, WrapError, wrap_master};
use crate::secret::{Key, Master, Passphrase, Wrapping};

/// Why no slot was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewSlotError {
    /// The master key was not wrapped.
    Wrap(WrapError),
    /// The passphrase is empty.
    EmptyPassphrase,
    /// The passphrase is longer than 4,096 bytes.
    PassphraseTooLong,
    /// There is not enough memory for this cost.
    NotEnoughMemory,
    /// The slot to be changed has no passphrase.
    NoPassphraseSlot,
}

impl fmt::Display for NewSlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrap(error) => error.fmt(f),
            Self::EmptyPassphrase => f.write_str("the passphrase is empty"),
            Self::PassphraseTooLong => f.write_str("the passphrase is longer than 4,096 bytes"),
            Self::NotEnoughMemory => f.write_str("not enough memory to derive a key from the passphrase"),
            Self::NoPassphraseSlot => f.write_str("the key slot has no passphrase"),
        }
    }
}

impl std::error::Error for NewSlotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Wrap(error) => Some(error),
            _ => None,
        }
    }
}

impl From<WrapError> for NewSlotError {
    fn from(error: WrapError) -> Self {
        Self::Wrap(error)
    }
}

impl From<SealError> for NewSlotError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Empty => Self::EmptyPassphrase,
            SealError::TooLong => Self::PassphraseTooLong,
            SealError::NotEnoughMemory => Self::NotEnoughMemory,
        }
    }
}

/// Why a slot was not wrapped again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewrapError {
    /// This version cannot wrap for the slot's recipient: remove the slot, or use a newer version.
    UnknownRecipient,
    /// The master key was not wrapped.
    Wrap(WrapError),
}

impl fmt::Display for RewrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRecipient => f.write_str("cannot wrap the master key for the slot's recipient"),
            Self::Wrap(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RewrapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Wrap(error) => Some(error),
            Self::UnknownRecipient => None,
        }
    }
}

/// A slot for whoever has the recipient's identity.
///
/// # Errors
/// [`NewSlotError::Wrap`]
pub fn new_age_slot(
    header: &VaultHeaderParts,
    label: Label,
    recipient: &Recipient,
    master: &Key<Master>,
    random: &mut dyn Random,
) -> Result<SlotLine, NewSlotError> {
    slot_for(header, SlotId(random::array(random)), SlotKind::Age, label, recipient, master)
}

/// A slot for a machine, and the machine key that opens it: nobody keeps another copy.
///
/// # Errors
/// [`NewSlotError::Wrap`]
pub fn new_machine_slot(
    header: &VaultHeaderParts,
    label: Label,
    generation: u64,
    master: &Key<Master>,
    random: &mut dyn Random,
) -> Result<(SlotLine, MachineKey), NewSlotError> {
    let (identity, recipient) = own_identity();
    let slot = slot_for(header, SlotId(random::array(random)), SlotKind::Machine, label, &recipient, master)?;
    Ok((slot, MachineKey::new(header.vault_id(), generation, identity)))
}

/// A slot that a passphrase or a recovery code opens.
///
/// # Errors
/// [`NewSlotError`]
pub fn new_passphrase_slot(
    header: &VaultHeaderParts,
    kind: PassphraseKind,
    label: Label,
    passphrase: &Passphrase,
    cost: KdfCost,
    master: &Key<Master>,
    random: &mut dyn Random,
) -> Result<SlotLine, NewSlotError> {
    let id = SlotId(random::array(random));
    let wanted = Wanted { id, kind, label };
    passphrase_slot(header, wanted, passphrase, cost, master, random)
}

/// A slot that opens with a key which a keyring of the system is to hold, and that key.
///
/// Nothing is put into the keyring here: put the key there first, then save the vault, and take it out if that fails.
///
/// # Errors
/// [`NewSlotError::Wrap`]
pub fn new_keyring_slot(
    header: &VaultHeaderParts,
    store: &StoreName,
    label: Label,
    master: &Key<Master>,
    random: &mut dyn Random,
) -> Result<(SlotLine, Key<Wrapping>), NewSlotError> {
    let (identity, recipient) = own_identity();
    let id = SlotId(random::array(random));
    let place = keyring::Place { uuid: &header.uuid, slot: id, recipient: &recipient.text(), store };
    let (sealed, key) = keyring::seal(&place, &identity, random);
    Ok((slot_for(header, id, SlotKind::Keyring(sealed), label, &recipient, master)?, key))
}

/// The same slot under another passphrase, with a new identity: the old passphrase opens old copies only.
///
/// # Errors
/// [`NewSlotError`]
pub fn change_passphrase(
    header: &VaultHeaderParts,
    slot: &SlotLine,
    passphrase: &Passphrase,
    cost: KdfCost,
    master: &Key<Master>,
    random: &mut dyn Random,
) -> Result<SlotLine, NewSlotError> {
    let kind = match slot.kind {
        SlotKind::Passphrase(_) => PassphraseKind::Passphrase,
        SlotKind::Recovery(_) => PassphraseKind::Recovery,
        _ => return Err(NewSlotError::NoPassphraseSlot),
    };
    let wanted = Wanted { id: slot.id, kind, label: slot.label.clone() };
    passphrase_slot(header, wanted, passphrase, cost, master, random)
}

/// The same slot with a new machine key: the old one opens old copies only.
///
/// # Errors
/// [`NewSlotError::Wrap`]
pub fn renew_machine_slot(
    header: &VaultHeaderParts,
    slot: &SlotLine,
    generation: u64,
    master: &Key<Master>,
) -> Result<(SlotLine, MachineKey), NewSlotError> {
    let (identity, recipient) = own_identity();
    let line = slot_for(header, slot.id, SlotKind::Machine, slot.label.clone(), &recipient, master)?;
    Ok((line, MachineKey::new(header.vault_id(), generation, identity)))
}

/// The same slot for another master key, or once more for the same: no passphrase and no identity is needed.
///
/// # Errors
/// [`RewrapError`]
pub fn rewrap_slot(
    header: &VaultHeaderParts,
    slot: &SlotLine,
    master: &Key<Master>,
) -> Result<SlotLine, RewrapError> {
    let recipient = Recipient::parse(slot.recipient.as_str()).map_err(|_| RewrapError::UnknownRecipient)?;
    let key = wrap_master(header, slot.id, &recipient, master).map_err(RewrapError::Wrap)?;
    Ok(SlotLine { key, ..slot.clone() })
}

/// An identity that a slot makes for itself: hybrid post-quantum, since an old copy of a vault is kept for ever.
fn own_identity() -> (Identity, Recipient) {
    let identity = Identity::generate();
    let recipient = identity.recipient().expect("only a plugin's identity has none").clone();
    (identity, recipient)
}

/// A passphrase slot to be.
struct Wanted {
    id: SlotId,
    kind: PassphraseKind,
    label: Label,
}

fn passphrase_slot(
    header: &VaultHeaderParts,
    Wanted { id, kind, label }: Wanted,
    passphrase: &Passphrase,
    cost: KdfCost,
    master: &Key<Master>,
    random: &mut dyn Random,
) -> Result<SlotLine, NewSlotError> {
    let (identity, recipient) = own_identity();
    let place = Place { uuid: &header.uuid, slot: id, kind, recipient: &recipient.text() };
    let sealed = passphrase::seal(&place, &identity, passphrase, cost, random)?;
    let kind = match kind {
        PassphraseKind::Passphrase => SlotKind::Passphrase(sealed),
        PassphraseKind::Recovery => SlotKind::Recovery(sealed),
    };
    slot_for(header, id, kind, label, &recipient, master)
}

fn slot_for(
    header: &VaultHeaderParts,
    id: SlotId,
    kind: SlotKind,
    label: Label,
    recipient: &Recipient,
    master: &Key<Master>,
) -> Result<SlotLine, NewSlotError> {
    let key = wrap_master(header, id, recipient, master)?;
    Ok(SlotLine { id, kind, label, recipient: recipient.text(), key })
}
