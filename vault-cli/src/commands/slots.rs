//! Key slots of a vault that is being made, for `init`, `fork` and `check --salvage`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use vault_core::crypto::kdf::{KdfCost, MAX_MEMORY_KIB};
use vault_core::crypto::random::SystemRandom;
use vault_core::format::front::Pages;
use vault_core::format::limits;
use vault_core::format::slot::Label;
use vault_core::keys::age::Recipient;
use vault_core::keys::passphrase::PassphraseKind;
use vault_core::keys::{new_age_slot, new_machine_slot, new_passphrase_slot};
use vault_core::secret::{Key, Master, Passphrase, Secret};
use vault_core::source::Text;
use vault_core::vault::create::NewVault;
use vault_core::vault::{LockedVault, UnlockedVault};

use super::Run;
use crate::cli::NewSlots;
use crate::failure::Failure;
use crate::input::{self, MAX_PASSPHRASE, Place};
use crate::session::{self, Change, Local, SessionError};

/// The slots that were asked for.
pub(super) struct Wanted {
    recipients: Vec<Recipient>,
    machine: bool,
    passphrase: Option<(Passphrase, KdfCost)>,
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
    let recipients = recipients(&slots.age)?;
    let cost = cost(slots.kdf_memory)?;
    let wants_passphrase =
        slots.passphrase || slots.new_passphrase_file.is_some() || (recipients.is_empty() && !slots.machine);
    let passphrase = match &slots.new_passphrase_file {
        _ if !wants_passphrase => None,
        Some(file) if file.as_os_str() == "-" => {
            let text = run.stdin.claim("a new passphrase")?.read(MAX_PASSPHRASE)?;
            Some((input::passphrase(text, Place::Stdin)?, cost))
        }
        Some(file) => {
            let text = input::file(file, MAX_PASSPHRASE)?;
            Some((input::passphrase(text, Place::File(file.clone()))?, cost))
        }
        None if given == Given::IsForTheNewVault => {
            Some((session::new_passphrase(run, &question(path))?, cost))
        }
        None => {
            let asked = run.prompt.new_passphrase(&question(path));
            Some((asked.map_err(Failure::asking("a new passphrase"))?, cost))
        }
    };
    Ok(Wanted { recipients, machine: slots.machine, passphrase })
}

/// A new vault that is not stored yet.
pub(super) struct Fresh {
    pub(super) uuid: [u8; 16],
    pub(super) machine_key: Option<Secret>,
    pub(super) text: Text,
}

/// A new vault with these slots and entries.
pub(super) fn fresh(
    run: &Run<'_>,
    path: &Path,
    pages: Pages,
    wanted: Wanted,
    entries: Vec<Change>,
) -> Result<Fresh, Failure> {
    let author = run.environment.author();
    let (new, machine_key) = new_vault(path, pages, wanted)?;
    let uuid = new.parts().uuid;
    let master = Key::init_with(|key| key.copy_from_slice(new.master().expose()));
    let mut text = new.finish(&author, run.now, &mut SystemRandom).ok_or(Failure::TooManySlots)?.text;
    if !entries.is_empty() {
        let empty = unlock_new(path, &text, &master)?;
        let session = Local::of(path, unlock_new(path, &text, &master)?).by(author, run.now);
        text = session.apply(&empty, entries, &mut |_| {})?.0.text;
    }
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

/// A machine key may be as old as the first generation.
fn new_vault(path: &Path, pages: Pages, wanted: Wanted) -> Result<(NewVault, Option<Secret>), Failure> {
    let random = &mut SystemRandom;
    let mut vault = NewVault::generate(pages, random);
    let parts = vault.parts();
    let mut labels = Labels::default();
    let mut slots = Vec::new();
    if let Some((passphrase, cost)) = &wanted.passphrase {
        let (kind, label) = (PassphraseKind::Passphrase, labels.next("passphrase"));
        slots.push(new_passphrase_slot(&parts, kind, label, passphrase, *cost, vault.master(), random)?);
    }
    for recipient in &wanted.recipients {
        slots.push(new_age_slot(&parts, labels.next("age"), recipient, vault.master(), random)?);
    }
    let mut key = None;
    if wanted.machine {
        let (slot, machine) = new_machine_slot(&parts, labels.next("machine"), 1, vault.master(), random)?;
        slots.push(slot);
        key = Some(machine.to_text());
    }
    if slots.len() > limits::SLOTS {
        return Err(Failure::TooManySlots);
    }
    session::obey_with_slots(path, parts.uuid, &slots)?;
    slots.into_iter().for_each(|slot| vault.add_slot(slot));
    Ok((vault, key))
}

/// The recipients that were typed, each once.
fn recipients(texts: &[String]) -> Result<Vec<Recipient>, Failure> {
    let mut seen = BTreeSet::new();
    let mut recipients = Vec::new();
    for text in texts {
        let recipient =
            Recipient::parse(text).map_err(|error| Failure::Recipient { text: text.clone(), error })?;
        if !seen.insert(text) {
            return Err(Failure::RecipientTwice(text.clone()));
        }
        recipients.push(recipient);
    }
    Ok(recipients)
}

/// The cost of a passphrase with this much memory.
fn cost(bytes: u64) -> Result<KdfCost, Failure> {
    let default = KdfCost::DEFAULT;
    u32::try_from(bytes / 1024)
        .ok()
        .and_then(|memory| KdfCost::new(memory, default.passes(), default.lanes(), MAX_MEMORY_KIB).ok())
        .ok_or(Failure::KdfMemory(bytes))
}

/// What asks for the passphrase of a new vault.
fn question(path: &Path) -> String {
    format!("new passphrase for {}", crate::escape::quoted_path(path))
}

/// Labels that differ: `age`, `age-2`, `age-3`.
#[derive(Default)]
struct Labels(BTreeSet<String>);

impl Labels {
    fn next(&mut self, base: &str) -> Label {
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let free = std::iter::once(base.to_owned()).chain(numbered).find(|label| !self.0.contains(label));
        let label = free.expect("there is no end of numbers");
        self.0.insert(label.clone());
        Label::parse(&label).expect("letters, a hyphen and digits are a label")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbered_from_the_second_on() {
        let mut labels = Labels::default();
        let three: Vec<_> = (0..3).map(|_| labels.next("age").as_str().to_owned()).collect();
        assert_eq!(three, ["age", "age-2", "age-3"]);
    }

    #[test]
    fn costs_outside_the_limits_are_refused() {
        for bytes in [0, 1024, (19 << 20) - 1, (1 << 30) + 1024, u64::MAX] {
            assert!(matches!(cost(bytes), Err(Failure::KdfMemory(_))), "{bytes}");
        }
        assert_eq!(cost(19 << 20).ok().unwrap().memory_kib(), 19 << 10);
    }
}
