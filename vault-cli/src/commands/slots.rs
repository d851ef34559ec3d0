//! Key slots to be made: for `init`, `fork`, `check --salvage` and `slot add`.
//!
//! First everything is read, asked for and checked; then the slot lines are made, and what opens them is given out.

pub(super) mod kdf;
pub(super) mod kinds;
mod labels;
pub(super) mod out;
mod recovery;
mod ssh;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use vault_core::crypto::kdf::KdfCost;
use vault_core::crypto::random::{Random, SystemRandom};
use vault_core::format::front::Pages;
use vault_core::format::limits;
use vault_core::format::slot::{Label, RecipientText, SlotLine};
use vault_core::keys::age::Recipient;
use vault_core::keys::passphrase::PassphraseKind;
use vault_core::keys::{VaultHeaderParts, new_age_slot, new_machine_slot, new_passphrase_slot};
use vault_core::secret::{Key, Master, Passphrase, Secret};
use vault_core::source::Text;
use vault_core::vault::create::NewVault;
use vault_core::vault::{LockedVault, UnlockedVault};

use super::Run;
use crate::cli::NewSlots;
use crate::failure::{Failure, SlotFailure};
use crate::input::{self, MAX_PASSPHRASE, Place};
use crate::session::{self, Change, Local, SessionError};
pub(super) use labels::Labels;
use out::Out;
pub(super) use recovery::new_code as new_recovery_code;

/// Slots that were asked for, with all that they need.
pub(super) struct Wanted {
    new: Vec<New>,
    /// Where a machine key goes.
    pub(super) out: Out,
}

/// One slot to be.
struct New {
    label: Wish,
    what: What,
}

/// What a slot is to be called.
enum Wish {
    /// So, and not otherwise.
    Exactly(Label),
    /// So, with a number behind it if that is taken.
    Like(String),
}

/// What opens a slot to be.
enum What {
    Recipient(Recipient),
    Machine,
    Sealed(PassphraseKind, Passphrase, KdfCost),
}

/// Whether what unlocks an existing vault may become the passphrase of the new one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// It may: there is no other vault.
    IsForTheNewVault,
    /// It may not: that both have the same passphrase has to be somebody's decision.
    IsForTheOldVault,
}

/// Everything that slots need, asked for and checked before anything is written.
pub(super) fn wanted(
    run: &mut Run<'_>,
    slots: &NewSlots,
    path: &Path,
    given: Given,
) -> Result<Wanted, Failure> {
    let out = Out::of(slots)?;
    // First what cannot be read or is no recipient: nobody types a passphrase for nothing.
    let mut recipients = recipients(run, slots)?;
    let wants_passphrase = slots.wants_passphrase() || !slots.is_named_otherwise();
    let cost =
        if wants_passphrase || slots.recovery { kdf::cost(run, &slots.kdf)? } else { KdfCost::DEFAULT };
    let mut new = Vec::new();
    let like = |base: &str, what| New { label: Wish::Like(base.to_owned()), what };
    if wants_passphrase {
        let passphrase = new_passphrase(run, slots.new_passphrase_file.as_deref(), path, given)?;
        new.push(like("passphrase", What::Sealed(PassphraseKind::Passphrase, passphrase, cost)));
    }
    new.append(&mut recipients);
    if slots.machine {
        new.push(like("machine", What::Machine));
    }
    if slots.recovery {
        let code = recovery::new_code(run, slots.out.as_deref(), slots.qr)?;
        new.push(like("recovery", What::Sealed(PassphraseKind::Recovery, code, cost)));
    }
    Ok(Wanted { new, out })
}

/// A passphrase for a new slot: from its own file, from what unlocks if that may be, or typed twice.
pub(super) fn new_passphrase(
    run: &mut Run<'_>,
    file: Option<&Path>,
    path: &Path,
    given: Given,
) -> Result<Passphrase, Failure> {
    match file {
        Some(file) if file.as_os_str() == "-" => {
            let text = run.stdin.claim("a new passphrase")?.read(MAX_PASSPHRASE)?;
            Ok(input::passphrase(text, Place::Stdin)?)
        }
        Some(file) => {
            let text = input::file(file, MAX_PASSPHRASE)?;
            Ok(input::passphrase(text, Place::File(file.to_owned()))?)
        }
        None if given == Given::IsForTheNewVault => session::new_passphrase(run, &question(path)),
        None => {
            let asked = run.prompt.new_passphrase(&question(path));
            asked.map_err(Failure::asking("a new passphrase"))
        }
    }
}

impl Wanted {
    /// How many slots.
    pub(super) fn count(&self) -> usize {
        self.new.len()
    }

    /// The one slot that is wanted is called so.
    ///
    /// # Errors
    /// [`SlotFailure::OneLabel`] if there are several.
    pub(super) fn labelled(mut self, label: Label) -> Result<Self, SlotFailure> {
        match self.new.as_mut_slice() {
            [new] => new.label = Wish::Exactly(label),
            _ => return Err(SlotFailure::OneLabel),
        }
        Ok(self)
    }

    /// Leaves out whom a slot exists for, and says whom.
    pub(super) fn without(&mut self, slots: &[SlotLine]) -> Vec<String> {
        let mut left_out = Vec::new();
        self.new.retain(|new| {
            let What::Recipient(recipient) = &new.what else { return true };
            let text = recipient.text();
            match slots.iter().find(|slot| slot.recipient == text) {
                Some(slot) => {
                    left_out.push(slot.label.as_str().to_owned());
                    false
                }
                None => true,
            }
        });
        left_out
    }

    /// The recipients that other people's keys are wrapped for.
    pub(super) fn recipients(&self) -> impl Iterator<Item = RecipientText> {
        self.new.iter().filter_map(|new| match &new.what {
            What::Recipient(recipient) => Some(recipient.text()),
            _ => None,
        })
    }

    /// The slot lines, and the machine key if there is one.
    ///
    /// # Errors
    /// [`SlotFailure::LabelTaken`], [`Failure::NewSlot`].
    pub(super) fn make(
        &self,
        (parts, master): (&VaultHeaderParts, &Key<Master>),
        generation: u64,
        labels: &mut Labels,
        random: &mut dyn Random,
    ) -> Result<Made, Failure> {
        let mut made = Made { slots: Vec::new(), machine_key: None };
        for New { label, what } in &self.new {
            let label = match label {
                Wish::Exactly(label) => labels.take(label)?,
                Wish::Like(base) => labels.next(base),
            };
            made.slots.push(match what {
                What::Recipient(recipient) => new_age_slot(parts, label, recipient, master, random)?,
                What::Machine => {
                    let (slot, key) = new_machine_slot(parts, label, generation, master, random)?;
                    made.machine_key = Some(key.to_text());
                    slot
                }
                What::Sealed(kind, passphrase, cost) => {
                    new_passphrase_slot(parts, *kind, label, passphrase, *cost, master, random)?
                }
            });
        }
        Ok(made)
    }
}

/// Slots that were made.
pub(super) struct Made {
    /// Their lines.
    pub(super) slots: Vec<SlotLine>,
    /// What opens the machine slot; nobody has another copy.
    pub(super) machine_key: Option<Secret>,
}

/// A new vault that is not stored yet.
pub(super) struct Fresh {
    pub(super) uuid: [u8; 16],
    /// What is still to be printed; not there if it was written into a file.
    pub(super) machine_key: Option<Secret>,
    pub(super) text: Text,
}

/// A new vault with these slots and entries. A machine key that goes into a file is written here.
pub(super) fn fresh(
    run: &mut Run<'_>,
    path: &Path,
    pages: Pages,
    wanted: Wanted,
    entries: Vec<Change>,
) -> Result<Fresh, Failure> {
    let author = run.environment.author();
    let random = &mut SystemRandom;
    let mut new = NewVault::generate(pages, random);
    if wanted.count() > limits::SLOTS {
        return Err(Failure::TooManySlots);
    }
    // A machine key may be as old as the first generation.
    let parts = new.parts();
    let made = wanted.make((&parts, new.master()), 1, &mut Labels::default(), random)?;
    made.slots.into_iter().for_each(|slot| new.add_slot(slot));
    let uuid = parts.uuid;
    let master = Key::init_with(|key| key.copy_from_slice(new.master().expose()));
    let mut text = new.finish(&author, run.now, random).ok_or(Failure::TooManySlots)?.text;
    if !entries.is_empty() {
        let empty = unlock_new(path, &text, &master)?;
        let session = Local::of(path, unlock_new(path, &text, &master)?).by(author, run.now);
        text = session.apply(&empty, entries, &mut |_| {})?.0.text;
    }
    let machine_key = wanted.out.write(run, made.machine_key)?;
    Ok(Fresh { uuid, machine_key, text })
}

fn unlock_new(path: &Path, text: &Text, master: &Key<Master>) -> Result<UnlockedVault, Failure> {
    let bytes = text.to_vec().map_err(|error| Failure::FileNotWritten { path: path.to_owned(), error })?;
    let locked =
        LockedVault::open(Arc::new(bytes)).map_err(|error| SessionError::Format(path.to_owned(), error))?;
    locked.unlock_with_master(master).map_err(|still| {
        let path = path.to_owned();
        SessionError::Unlock { path, reason: still.reason, slots: Vec::new() }.into()
    })
}

/// The recipients that were typed or are in files, each once.
fn recipients(run: &Run<'_>, slots: &NewSlots) -> Result<Vec<New>, Failure> {
    let mut seen = BTreeSet::new();
    let mut new = Vec::new();
    for text in &slots.age {
        let recipient =
            Recipient::parse(text).map_err(|error| Failure::Recipient { text: text.clone(), error })?;
        if !seen.insert(recipient.text()) {
            return Err(Failure::RecipientTwice(text.clone()));
        }
        new.push(New { label: Wish::Like("age".to_owned()), what: What::Recipient(recipient) });
    }
    let mut keys = Vec::new();
    for path in &slots.ssh_key {
        keys.push(ssh::public_key(path)?);
    }
    if let Some(path) = &slots.from_authorized_keys {
        keys.extend(ssh::authorized_keys(run, path)?);
    }
    for (recipient, label) in keys {
        // The same key in two files is one key.
        if seen.insert(recipient.text()) {
            new.push(New { label: Wish::Like(label), what: What::Recipient(recipient) });
        }
    }
    Ok(new)
}

/// What asks for a new passphrase.
fn question(path: &Path) -> String {
    format!("new passphrase for {}", crate::escape::quoted_path(path))
}
