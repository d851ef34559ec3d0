//! Rotation in this process: made under the lock, told to the caller, then stored in one step.

use std::sync::Arc;

use vault_core::crypto::random::SystemRandom;
use vault_core::format::seal::SlotOp;
use vault_core::format::slot::{Label, SlotKind};
use vault_core::keys::VaultId;
use vault_core::secret::Secret;
use vault_core::store::{self, Lock, ReplaceError};
use vault_core::vault::edit::Saved;
use vault_core::vault::rotate::{RotateError, Rotated};
use vault_core::vault::{StillLocked, UnlockedVault};

use super::SessionError;
use super::local::{Durable, Local, open_locked};
use super::states::as_vault;

/// A rotation that is made and not stored. Dropping it changes nothing.
pub(crate) struct Prepared {
    lock: Lock,
    before: UnlockedVault,
    rotated: Rotated,
    /// With new machine slots, in the place of what was rotated.
    renewed: Option<Saved>,
    keys: Vec<(Label, Secret)>,
}

impl Prepared {
    /// New machine keys, which nobody has yet.
    pub(crate) fn keys(&self) -> &[(Label, Secret)] {
        &self.keys
    }
}

/// A rotation that was stored.
pub(crate) struct Rotation {
    /// What identifies the vault now.
    pub(crate) id: VaultId,
    /// How many rotations there have been.
    pub(crate) epoch: u64,
    /// How deep the log is.
    pub(crate) generation: u64,
    /// Machines whose keys are of no use any more.
    pub(crate) machines: Vec<Label>,
}

impl Local {
    /// Seals what is stored now anew, under a new master key; with new keys for its machines, if they are wanted.
    ///
    /// # Errors
    /// [`SessionError::Rotate`] if the new key cannot be wrapped for a slot; those of a save.
    pub(crate) fn begin_rotation(&mut self, renew: bool) -> Result<Prepared, SessionError> {
        let (lock, vault) = self.lock()?;
        let spool = store::spool(self.path()).map_err(|error| self.unsaved(error))?;
        let random = &mut SystemRandom;
        let rotated =
            vault.rotate(spool, &self.author, None, self.now, random).map_err(|error| match error {
                RotateError::Edit(error) => self.cannot(error),
                RotateError::Spool(error) => self.unsaved(error.into()),
                error => SessionError::Rotate(self.path().to_owned(), error),
            })?;
        let mut prepared = Prepared { lock, before: vault, rotated, renewed: None, keys: Vec::new() };
        if renew && !prepared.rotated.machines.is_empty() {
            self.renew_machines(&mut prepared)?;
        }
        Ok(prepared)
    }

    /// Stores it, and remembers the vault under its new id.
    ///
    /// # Errors
    /// Those of a save, if it is not stored.
    pub(crate) fn finish_rotation(
        &mut self,
        prepared: Prepared,
    ) -> Result<(Rotation, Durable), SessionError> {
        let Prepared { lock, before, rotated, renewed, .. } = prepared;
        let saved = renewed.as_ref().unwrap_or(&rotated.saved);
        let durable = self.put(lock, &before, saved)?;
        let vault = rotated.unlock(open_locked(self.path())?).map_err(|still| self.unreadable(*still))?;
        self.vault = Arc::new(vault);
        let rotation = Rotation {
            id: rotated.vault,
            epoch: self.vault.roster().epoch,
            generation: self.vault.generation(),
            machines: rotated.machines,
        };
        Ok((rotation, durable))
    }

    /// Puts a new identity into each machine slot of the rotated vault.
    fn renew_machines(&self, prepared: &mut Prepared) -> Result<(), SessionError> {
        let new = self.unlock_rotated(&prepared.rotated)?;
        let mut edit = new.edit(self.now).map_err(|error| self.cannot(error))?;
        for slot in new.slots().iter().filter(|slot| matches!(slot.kind, SlotKind::Machine)) {
            let (line, key) = new.renew_machine_slot(slot).map_err(SessionError::Slot)?;
            edit.replace_slot(line, SlotOp::Rewrap).map_err(|error| self.cannot(error))?;
            prepared.keys.push((slot.label.clone(), key.to_text()));
        }
        let saved = edit.finish(&self.author, None, &mut SystemRandom).map_err(|error| self.cannot(error))?;
        prepared.renewed = Some(saved);
        Ok(())
    }

    /// The rotated vault, from a nameless file beside the old one.
    fn unlock_rotated(&self, rotated: &Rotated) -> Result<UnlockedVault, SessionError> {
        let locked = as_vault(self.path(), &rotated.saved.text)?;
        rotated.unlock(locked).map_err(|still| self.unreadable(*still))
    }

    fn unsaved(&self, error: ReplaceError) -> SessionError {
        SessionError::Save(self.path().to_owned(), error)
    }

    fn unreadable(&self, still: StillLocked) -> SessionError {
        SessionError::of_still_locked(self.path(), still)
    }
}
