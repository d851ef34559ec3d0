//! Key slots to be made: for `init`, `fork`, `check --salvage` and `slot add`.
//!
//! First everything is read, asked for and checked; then the slot lines are made, and what opens them is given out.

pub(super) mod kdf;
pub(super) mod keyring;
pub(super) mod kinds;
mod labels;
mod maker;
pub(super) mod out;
mod recovery;
mod ssh;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use vault_core::crypto::kdf::KdfCost;
use vault_core::crypto::random::SystemRandom;
use vault_core::format::front::Pages;
use vault_core::format::limits;
use vault_core::format::slot::{Label, RecipientText, SlotKind, SlotLine, StoreName};
use vault_core::keys::age::Recipient;
use vault_core::keys::keyring::KeyringItem;
use vault_core::keys::recovery::RecoveryCode;
use vault_core::secret::{Key, Master, Passphrase, Secret, Wrapping};
use vault_core::source::Text;
use vault_core::vault::create::NewVault;
use vault_core::vault::pin::Sighting;
use vault_core::vault::slots::NewKeyringSlot;
use vault_core::vault::{LockedVault, UnlockedVault};

use super::Run;
use super::strength::{self, Weak};
use crate::cli::{KdfOptions, NewSlots};
use crate::failure::{Failure, SlotFailure};
use crate::input::{self, MAX_PASSPHRASE, Place};
use crate::session::{self, Change, Local, SessionError};
pub(super) use labels::Labels;
pub(super) use maker::Maker;
pub(super) use out::KeyFile;
use out::Out;
pub(super) use recovery::new_code as new_recovery_code;

/// Slots that were asked for, with all that they need.
pub(super) struct Wanted {
    new: Vec<New>,
    /// Where a machine key goes.
    pub(super) out: Out,
    /// A recovery code's, which is there before the slot is.
    pub(super) file: Option<KeyFile>,
    yes: bool,
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
    Keyring(StoreName),
    Passphrase(Passphrase, KdfCost),
    Recovery(RecoveryCode),
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
    let store = match slots.keyring {
        true => Some(keyring::choose(run, slots.store.as_deref())?),
        false => None,
    };
    let wants_passphrase = slots.wants_passphrase() || !slots.is_named_otherwise();
    let mut new = Vec::new();
    let like = |base: &str, what| New { label: Wish::Like(base.to_owned()), what };
    if wants_passphrase {
        let cost = kdf::cost(run, &slots.kdf)?;
        let passphrase =
            new_passphrase(run, slots.new_passphrase_file.as_deref(), path, given, weak(&slots.kdf))?;
        new.push(like("passphrase", What::Passphrase(passphrase, cost)));
    }
    new.append(&mut recipients);
    if slots.machine {
        new.push(like("machine", What::Machine));
    }
    if let Some(store) = store {
        new.push(like("keyring", What::Keyring(store)));
    }
    let mut file = None;
    if slots.recovery {
        let (code, written) = recovery::new_code(run, slots.out.as_deref(), slots.qr)?;
        new.push(like("recovery", What::Recovery(code)));
        file = written;
    }
    Ok(Wanted { new, out, file, yes: slots.yes })
}

/// A passphrase for a new slot: from its own file, from what unlocks if that may be, or typed twice.
pub(super) fn new_passphrase(
    run: &mut Run<'_>,
    file: Option<&Path>,
    path: &Path,
    given: Given,
    weak: Weak,
) -> Result<Passphrase, Failure> {
    let passphrase = read_passphrase(run, file, path, given)?;
    strength::check(run, &passphrase, path, weak)?;
    Ok(passphrase)
}

fn read_passphrase(
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

/// What the options say of a passphrase that is easy to guess.
pub(super) fn weak(options: &KdfOptions) -> Weak {
    if options.weak_passphrase { Weak::Allowed } else { Weak::Refused }
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
    pub(super) fn make(&self, maker: &Maker<'_>, labels: &mut Labels) -> Result<Made, Failure> {
        let mut made = Made { slots: Vec::new(), machine_key: None, in_keyring: None };
        for New { label, what } in &self.new {
            let label = match label {
                Wish::Exactly(label) => labels.take(label)?,
                Wish::Like(base) => labels.next(base),
            };
            made.slots.push(match what {
                What::Recipient(recipient) => maker.age(label, recipient)?,
                What::Machine => {
                    let (slot, key) = maker.machine(label)?;
                    made.machine_key = Some(key.to_text());
                    slot
                }
                What::Keyring(store) => {
                    let NewKeyringSlot { line, item, key } = maker.keyring(label, store)?;
                    made.in_keyring = Some(InKeyring { store: store.clone(), item, key });
                    line
                }
                What::Passphrase(passphrase, cost) => maker.passphrase(label, passphrase, *cost)?,
                What::Recovery(code) => maker.recovery(label, code)?,
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
    /// What a keyring is to keep.
    pub(super) in_keyring: Option<InKeyring>,
}

/// What a keyring is to keep.
pub(super) struct InKeyring {
    store: StoreName,
    item: KeyringItem,
    key: Key<Wrapping>,
}

impl InKeyring {
    /// Gives it to the keyring, before the slot is stored: a key without a slot opens nothing.
    ///
    /// # Errors
    /// [`SlotFailure::Keyring`].
    pub(super) fn keep(&self, run: &mut Run<'_>) -> Result<(), Failure> {
        keyring::put(run, &self.store, &self.item, &self.key)
    }

    /// Takes it back: the slot was not stored.
    pub(super) fn forget(&self, run: &mut Run<'_>) {
        // What cannot be taken back opens nothing.
        let _ = session::keyrings(run).delete(&self.store, &self.item);
    }
}

/// A new vault that is not stored yet.
pub(super) struct Fresh {
    /// For this machine to remember, once it is stored.
    pub(super) sighting: Sighting,
    /// What is still to be printed; not there if it was written into a file.
    pub(super) machine_key: Option<Secret>,
    /// What was written into a file, which goes again unless the vault is stored.
    pub(super) file: Option<KeyFile>,
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
    let made = wanted.make(&Maker::New(&new), &mut Labels::default())?;
    refuse_easily_lost(&made.slots, wanted.yes)?;
    session::obey_with_slots(path, new.parts().vault_id(), &made.slots)?;
    made.slots.into_iter().for_each(|slot| new.add_slot(slot));
    let master = Key::init_with(|key| key.copy_from_slice(new.master().expose()));
    let mut text = new.finish(&author, run.now, random).ok_or(Failure::TooManySlots)?.text;
    if !entries.is_empty() {
        let empty = unlock_new(path, &text, &master)?;
        let session = Local::of(path, unlock_new(path, &text, &master)?).by(author, run.now);
        text = session.apply(&empty, entries, &mut |_| {})?.0.text;
    }
    if let Some(in_keyring) = &made.in_keyring {
        in_keyring.keep(run)?;
    }
    let (machine_key, file) = wanted.out.write(run, made.machine_key)?;
    let file = file.or(wanted.file);
    let sighting = Sighting::of(&unlock_new(path, &text, &master)?);
    Ok(Fresh { sighting, machine_key, file, text })
}

/// A backup is restored without the keyring of the machine.
fn refuse_easily_lost(slots: &[SlotLine], yes: bool) -> Result<(), SlotFailure> {
    if yes || !slots.iter().all(|slot| matches!(slot.kind, SlotKind::Keyring(_))) {
        return Ok(());
    }
    Err(SlotFailure::NeedsYes {
        what: "make a vault that only this machine's keyring opens".to_owned(),
        why: "a backup is restored without that keyring".to_owned(),
        option: "--recovery or another slot, or --yes".to_owned(),
    })
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
fn recipients(run: &mut Run<'_>, slots: &NewSlots) -> Result<Vec<New>, Failure> {
    // A plugin may ask for something when the slot is made.
    let asker = session::slot_asker(run);
    let mut seen = BTreeSet::new();
    let mut new = Vec::new();
    for text in &slots.age {
        let recipient = Recipient::parse_asking(text, &asker)
            .map_err(|error| Failure::Recipient { text: text.clone(), error })?;
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
