//! Slot lines for a vault that is being made, and for one that is unlocked: the same calls for both.

use vault_core::crypto::kdf::KdfCost;
use vault_core::crypto::random::SystemRandom;
use vault_core::format::slot::{Label, SlotLine, StoreName};
use vault_core::keys::age::Recipient;
use vault_core::keys::keyring::KeyringItem;
use vault_core::keys::machine::MachineKey;
use vault_core::keys::passphrase::PassphraseKind;
use vault_core::keys::recovery::RecoveryCode;
use vault_core::keys::{NewSlotError, new_age_slot, new_keyring_slot, new_machine_slot, new_passphrase_slot};
use vault_core::secret::Passphrase;
use vault_core::vault::UnlockedVault;
use vault_core::vault::create::NewVault;
use vault_core::vault::slots::NewKeyringSlot;

/// Whose slots are made.
pub(in crate::commands) enum Maker<'a> {
    /// A new vault's.
    New(&'a NewVault),
    /// An unlocked vault's.
    Unlocked(&'a UnlockedVault),
}

impl Maker<'_> {
    pub(super) fn age(&self, label: Label, recipient: &Recipient) -> Result<SlotLine, NewSlotError> {
        let random = &mut SystemRandom;
        match self {
            Self::New(new) => new_age_slot(&new.parts(), label, recipient, new.master(), random),
            Self::Unlocked(vault) => vault.new_age_slot(label, recipient, random),
        }
    }

    pub(super) fn machine(&self, label: Label) -> Result<(SlotLine, MachineKey), NewSlotError> {
        let random = &mut SystemRandom;
        match self {
            // A machine key may be as old as the first generation.
            Self::New(new) => new_machine_slot(&new.parts(), label, 1, new.master(), random),
            Self::Unlocked(vault) => vault.new_machine_slot(label, random),
        }
    }

    pub(super) fn passphrase(
        &self,
        label: Label,
        passphrase: &Passphrase,
        cost: KdfCost,
    ) -> Result<SlotLine, NewSlotError> {
        let random = &mut SystemRandom;
        match self {
            Self::New(new) => {
                let kind = PassphraseKind::Passphrase;
                new_passphrase_slot(&new.parts(), kind, label, passphrase, cost, new.master(), random)
            }
            Self::Unlocked(vault) => vault.new_passphrase_slot(label, passphrase, cost, random),
        }
    }

    pub(super) fn recovery(&self, label: Label, code: &RecoveryCode) -> Result<SlotLine, NewSlotError> {
        let random = &mut SystemRandom;
        match self {
            Self::New(new) => {
                let (kind, code, cost) = (PassphraseKind::Recovery, code.passphrase(), KdfCost::RECOVERY);
                new_passphrase_slot(&new.parts(), kind, label, &code, cost, new.master(), random)
            }
            Self::Unlocked(vault) => vault.new_recovery_slot(label, code, random),
        }
    }

    pub(super) fn keyring(&self, label: Label, store: &StoreName) -> Result<NewKeyringSlot, NewSlotError> {
        let random = &mut SystemRandom;
        match self {
            Self::New(new) => {
                let (line, key) = new_keyring_slot(&new.parts(), store, label, new.master(), random)?;
                let item = KeyringItem { uuid: new.parts().uuid, slot: line.id };
                Ok(NewKeyringSlot { line, item, key })
            }
            Self::Unlocked(vault) => vault.new_keyring_slot(label, store, random),
        }
    }
}
