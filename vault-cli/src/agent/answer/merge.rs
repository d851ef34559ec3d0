//! Requests that make one of several states that are open: what comes of it is ciphertext, for the client to write.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::agent::message::{self, Bytes, Flag, MadePart, VaultPath};
use vault_core::agent::{PART, ReplyKind};
use vault_core::format::entry::EntryName;
use vault_core::secret::Secret;
use vault_core::source::Text;
use vault_core::vault::UnlockedVault;
use vault_core::vault::merge::Direction;

use super::{Conversation, Refusal, bad_request, facts, locked};
use crate::agent::held::lock_keys;
use crate::agent::server::lock;
use crate::session::{self, Deed, Local, Maker, PathPins, SessionError, Spot, Unpinned};

/// States that a request names, all of the same vault.
struct Named<const N: usize> {
    /// Where that is held.
    real: PathBuf,
    states: [Arc<UnlockedVault>; N],
}

impl Conversation<'_> {
    pub(super) fn merge(&mut self, it: &message::Merge) -> Result<(), Refusal> {
        let sides = self.named(&it.vault, [it.ours, it.theirs])?;
        let base = it.base.map(|base| self.named(&it.vault, [base])).transpose()?;
        let base = base.as_ref().map(|base| &*base.states[0]);
        let [ours, theirs] = &sides.states;
        let path = it.vault.path();
        let pins = self.pins(&sides.real, path)?;
        let maker = Maker { author: &it.author, now: crate::time::now() };
        let union = Spot::at(path, pins)?.unite((path, path), [ours, theirs], base, &maker)?;
        let state = match union.text {
            None if Arc::ptr_eq(&union.vault, ours) => it.ours,
            None => it.theirs,
            Some(_) => {
                lock_keys(&union.vault);
                self.keep_open(&sides.real, Arc::clone(&union.vault))?
            }
        };
        self.made(union.text.as_ref(), &union.conflicts, &[])?;
        self.result(&message::Made {
            state,
            facts: facts(&union.vault, union.older.map(|(_, seen)| seen)),
            apart: apart(union.unpinned.as_ref()),
            left_slots: None,
        })
    }

    pub(super) fn pick(&mut self, it: &message::Pick) -> Result<(), Refusal> {
        let named = self.named(&it.vault, [it.present, it.before, it.after])?;
        let [present, before, after] = &named.states;
        let path = it.vault.path();
        let pins = self.pins(&named.real, path)?;
        let direction = if it.undo.is_some() { Direction::Undo } else { Direction::Apply };
        let deed = Deed { direction, words: &it.reason };
        let maker = Maker { author: &it.author, now: crate::time::now() };
        let (picked, unpinned) = Spot::at(path, pins)?.pick([present, before, after], deed, &maker)?;
        let vault = session::as_vault(path, &picked.saved.text)?.unlock_as(present);
        let vault = vault.map_err(|still| SessionError::of_still_locked(path, *still))?;
        lock_keys(&vault);
        let vault = Arc::new(vault);
        let state = self.keep_open(&named.real, Arc::clone(&vault))?;
        self.made(Some(&picked.saved.text), &picked.conflicts, &picked.changed)?;
        self.result(&message::Made {
            state,
            facts: facts(&vault, None),
            apart: apart(unpinned.as_ref()),
            left_slots: picked.left_slots.then_some(Flag),
        })
    }

    pub(super) fn covers(&mut self, it: &message::Covers) -> Result<(), Refusal> {
        let named = self.named(&it.vault, [it.state, it.other])?;
        let [state, other] = &named.states;
        let covers = session::covers(it.vault.path(), state, other)?;
        self.result(&message::Covered { covers })
    }

    pub(super) fn written(&mut self, it: &message::Written) -> Result<(), Refusal> {
        let Named { real, states: [vault] } = self.named(&it.vault, [it.state])?;
        let path = it.vault.path();
        let pins = self.pins(&real, path)?;
        pins.check_id(vault.id()).map_err(|error| SessionError::pin(path, error))?;
        let (_, older) = Local::of(path, Arc::clone(&vault)).with_pins_untold(pins)?;
        self.result(&facts(&vault, older))
    }

    fn named<const N: usize>(&self, path: &VaultPath, states: [u64; N]) -> Result<Named<N>, Refusal> {
        let mut place = None;
        let mut found = Vec::with_capacity(N);
        for state in states {
            let (real, _, vault, _) = self.vault(path, Some(state))?;
            if place.get_or_insert_with(|| real.clone()) != &real {
                return Err(bad_request("these are states of two vaults"));
            }
            found.push(vault);
        }
        let states = found.try_into().map_err(|_| bad_request("no state"))?;
        Ok(Named { real: place.unwrap_or_default(), states })
    }

    /// What is remembered of a place where a state of this vault will stand.
    fn pins(&self, real: &Path, place: &Path) -> Result<PathPins, Refusal> {
        let held = lock(&self.server.held).get(real).cloned();
        Ok(held.ok_or_else(|| locked(real, "this vault"))?.pins(place))
    }

    /// Sends what is long of it.
    fn made(
        &mut self,
        text: Option<&Text>,
        conflicts: &[EntryName],
        changed: &[EntryName],
    ) -> Result<(), Refusal> {
        if let Some(text) = text {
            let mut out = BufWriter::with_capacity(PART, Pieces(self));
            text.write_to(&mut out)?;
            out.flush()?;
        }
        for names in conflicts.chunks(NAMES) {
            let part = MadePart { conflicts: Some(names.to_vec()), ..MadePart::default() };
            self.send(ReplyKind::Part, &part)?;
        }
        for names in changed.chunks(NAMES) {
            let part = MadePart { changed: Some(names.to_vec()), ..MadePart::default() };
            self.send(ReplyKind::Part, &part)?;
        }
        Ok(())
    }
}

/// Whether nothing of what was seen is in it: the client has somebody to tell.
fn apart(unpinned: Option<&Unpinned>) -> Option<Flag> {
    matches!(unpinned, Some(Unpinned::Apart)).then_some(Flag)
}

/// A text on its way to the client.
struct Pieces<'a, 'c>(&'a mut Conversation<'c>);

impl Write for Pieces<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PART)];
        let part = MadePart { text: Some(Bytes(Secret::new(piece.to_vec()))), ..MadePart::default() };
        match self.0.send(ReplyKind::Part, &part) {
            Ok(()) => Ok(piece.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names in one message: each has up to 1,024 bytes.
const NAMES: usize = 512;
