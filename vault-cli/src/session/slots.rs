//! Who can open a vault: read and changed in the process that unlocked it, and never through an agent.
//!
//! Slot lines are made from the keys of this session, before the lock is taken: deriving a key from a passphrase takes a
//! while. Under the lock, the file is read again, and what does not fit it any more is refused.

use vault_core::error::EditError;
use vault_core::format::roster::Roster;
use vault_core::format::seal::SlotOp;
use vault_core::format::slot::{SlotId, SlotLine};
use vault_core::vault::edit::Edit;

use super::local::{Durable, Local};
use super::{Committed, SessionError, obey};
use crate::policy::Policy;

/// One change of the slot table.
pub(crate) enum SlotEdit {
    /// Another slot.
    Add(SlotLine),
    /// A slot less, if it still is this one.
    Remove(SlotLine),
    /// Another line for a slot, if it still is this one.
    Replace {
        /// As it was.
        old: SlotLine,
        /// As it will be.
        new: SlotLine,
        /// How the log calls it.
        how: SlotOp,
    },
}

impl Local {
    /// The verified key slots.
    pub(crate) fn slots(&self) -> &[SlotLine] {
        self.vault.slots()
    }

    /// Who added which, and who was removed.
    pub(crate) fn roster(&self) -> &Roster {
        self.vault.roster()
    }

    /// The slot that opened the vault.
    pub(crate) fn opened_by(&self) -> Option<SlotId> {
        self.vault.opened_by()
    }

    /// See [`Facts::removal`](super::Facts).
    pub(super) fn removal(&self) -> Option<u64> {
        let slots = self.slots();
        let is_gone = |recipient: &str| slots.iter().all(|slot| slot.recipient.as_str() != recipient);
        let removed = self.roster().removed.iter();
        removed.filter(|removed| is_gone(&removed.recipient)).map(|removed| removed.epoch).max()
    }

    /// Changes the slot table as it is stored now: all of it or nothing, in one save.
    ///
    /// # Errors
    /// [`SessionError::SlotChanged`] if a slot is not what it was; [`SessionError::Edit`], and those of a save.
    pub(crate) fn change_slots(&mut self, edits: Vec<SlotEdit>) -> Result<Committed, SessionError> {
        let (committed, durable) = self.put_slots(edits)?;
        durable.map(|()| committed)
    }

    /// As [`Local::change_slots`], where something has to be done about what is stored, durable or not.
    ///
    /// # Errors
    /// As [`Local::change_slots`]: nothing is stored.
    pub(crate) fn put_slots(&mut self, edits: Vec<SlotEdit>) -> Result<(Committed, Durable), SessionError> {
        let (lock, vault) = self.lock()?;
        let mut edit = vault.edit(self.now).map_err(|error| self.cannot(error))?;
        for change in edits {
            self.change_slot(&mut edit, change)?;
        }
        // What was against the rules before may be mended one slot at a time; nothing may be added to it.
        let rules = Policy::beside(&self.path).map_err(SessionError::Policy)?;
        let before = rules.of_vault(vault.id(), vault.slots());
        let mut broken = rules.of_vault(vault.id(), edit.slots());
        broken.retain(|one| !before.contains(one));
        obey(&self.path, &rules, broken)?;
        let random = &mut vault_core::crypto::random::SystemRandom;
        let saved = edit.finish(&self.author, None, random).map_err(|error| self.cannot(error))?;
        let durable = self.put(lock, &vault, &saved)?;
        Ok((Committed { outcomes: Vec::new(), generation: saved.generation }, durable))
    }

    fn change_slot(&self, edit: &mut Edit<'_>, change: SlotEdit) -> Result<(), SessionError> {
        let expected = |edit: &Edit<'_>, old: &SlotLine| match edit.slots().contains(old) {
            true => Ok(()),
            false => Err(SessionError::SlotChanged(old.label.as_str().to_owned())),
        };
        let done = match change {
            SlotEdit::Add(slot) => edit.add_slot(slot, &self.author),
            SlotEdit::Remove(slot) => {
                expected(edit, &slot)?;
                edit.remove_slot(slot.id, &self.author).map(drop)
            }
            SlotEdit::Replace { old, new, how } => {
                expected(edit, &old)?;
                edit.replace_slot(new, how).map(drop)
            }
        };
        done.map_err(|error: EditError| self.cannot(error))
    }
}
