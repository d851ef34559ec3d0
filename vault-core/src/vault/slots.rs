//! Slots for an unlocked vault: made, wrapped again, renamed, tried. They are saved by an [`Edit`](super::edit::Edit).
//!
//! The master key does not leave the vault: what is wrapped in the new line is.

use crate::crypto::kdf::KdfCost;
use crate::crypto::random::Random;
use crate::format::slot::{Label, SlotLine, StoreName};
use crate::keys::age::Recipient;
use crate::keys::keyring::KeyringItem;
use crate::keys::machine::MachineKey;
use crate::keys::passphrase::PassphraseKind;
use crate::keys::recovery::RecoveryCode;
use crate::keys::{self, NewSlotError, RewrapError, VaultHeaderParts};
use crate::secret::{Key, Passphrase, Wrapping};
use crate::vault::UnlockedVault;

/// A slot of kind `keyring` to be, and the key that has to be in the keyring before the vault is saved.
pub struct NewKeyringSlot {
    /// Its line.
    pub line: SlotLine,
    /// Where its key belongs.
    pub item: KeyringItem,
    /// Its key.
    pub key: Key<Wrapping>,
}

impl UnlockedVault {
    pub(crate) fn parts(&self) -> VaultHeaderParts {
        let header = &self.front.header;
        VaultHeaderParts { uuid: header.uuid, salt: header.salt, commitment: header.commitment }
    }

    /// A slot for whoever has the recipient's identity.
    ///
    /// # Errors
    /// [`NewSlotError::Wrap`]
    pub fn new_age_slot(
        &self,
        label: Label,
        recipient: &Recipient,
        random: &mut dyn Random,
    ) -> Result<SlotLine, NewSlotError> {
        keys::new_age_slot(&self.parts(), label, recipient, &self.master, random)
    }

    /// A slot for a machine, and the machine key, which nobody keeps.
    ///
    /// # Errors
    /// [`NewSlotError::Wrap`]
    pub fn new_machine_slot(
        &self,
        label: Label,
        random: &mut dyn Random,
    ) -> Result<(SlotLine, MachineKey), NewSlotError> {
        keys::new_machine_slot(&self.parts(), label, self.generation(), &self.master, random)
    }

    /// The same machine slot with a new machine key, after a rotation.
    ///
    /// # Errors
    /// [`NewSlotError::Wrap`]
    pub fn renew_machine_slot(&self, slot: &SlotLine) -> Result<(SlotLine, MachineKey), NewSlotError> {
        keys::renew_machine_slot(&self.parts(), slot, self.generation(), &self.master)
    }

    /// A slot that a passphrase opens.
    ///
    /// # Errors
    /// [`NewSlotError`]
    pub fn new_passphrase_slot(
        &self,
        label: Label,
        passphrase: &Passphrase,
        cost: KdfCost,
        random: &mut dyn Random,
    ) -> Result<SlotLine, NewSlotError> {
        let kind = PassphraseKind::Passphrase;
        keys::new_passphrase_slot(&self.parts(), kind, label, passphrase, cost, &self.master, random)
    }

    /// A slot that a recovery code opens.
    ///
    /// # Errors
    /// [`NewSlotError`]
    pub fn new_recovery_slot(
        &self,
        label: Label,
        code: &RecoveryCode,
        random: &mut dyn Random,
    ) -> Result<SlotLine, NewSlotError> {
        let (kind, cost) = (PassphraseKind::Recovery, KdfCost::RECOVERY);
        keys::new_passphrase_slot(&self.parts(), kind, label, &code.passphrase(), cost, &self.master, random)
    }

    /// A slot that a keyring of the system opens.
    ///
    /// # Errors
    /// [`NewSlotError::Wrap`]
    pub fn new_keyring_slot(
        &self,
        label: Label,
        store: &StoreName,
        random: &mut dyn Random,
    ) -> Result<NewKeyringSlot, NewSlotError> {
        let (line, key) = keys::new_keyring_slot(&self.parts(), store, label, &self.master, random)?;
        let item = self.keyring_item(&line);
        Ok(NewKeyringSlot { line, item, key })
    }

    /// Where the key of a slot of kind `keyring` is kept: to delete it when the slot is removed.
    #[must_use]
    pub fn keyring_item(&self, slot: &SlotLine) -> KeyringItem {
        KeyringItem { uuid: self.front.header.uuid, slot: slot.id }
    }

    /// The same slot under another passphrase, or the same one at another cost, with a new identity.
    ///
    /// # Errors
    /// [`NewSlotError`], also [`NewSlotError::NoPassphraseSlot`]
    pub fn change_passphrase(
        &self,
        slot: &SlotLine,
        passphrase: &Passphrase,
        cost: KdfCost,
        random: &mut dyn Random,
    ) -> Result<SlotLine, NewSlotError> {
        keys::change_passphrase(&self.parts(), slot, passphrase, cost, &self.master, random)
    }

    /// The same slot, its master key wrapped once more for the same recipient.
    ///
    /// # Errors
    /// [`RewrapError`]
    pub fn rewrap(&self, slot: &SlotLine) -> Result<SlotLine, RewrapError> {
        keys::rewrap_slot(&self.parts(), slot, &self.master)
    }
}
