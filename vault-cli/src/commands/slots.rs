//! Key slots of a vault that is being made, for `init`, `fork` and `check --salvage`.

use std::collections::BTreeSet;
use std::path::Path;

use vault_core::crypto::kdf::{KdfCost, MAX_MEMORY_KIB};
use vault_core::crypto::random::SystemRandom;
use vault_core::format::front::Pages;
use vault_core::format::limits;
use vault_core::format::slot::Label;
use vault_core::keys::age::Recipient;
use vault_core::keys::passphrase::PassphraseKind;
use vault_core::keys::{new_age_slot, new_machine_slot, new_passphrase_slot};
use vault_core::secret::{Passphrase, Secret};
use vault_core::vault::create::NewVault;

use crate::failure::Failure;

/// The slots that were asked for.
pub(super) struct Wanted<'a> {
    pub(super) recipients: &'a [Recipient],
    pub(super) machine: bool,
    pub(super) passphrase: Option<(Passphrase, KdfCost)>,
}

/// A new vault with these slots, and the key of its machine slot. A machine key may be as old as the first generation.
pub(super) fn new_vault(pages: Pages, wanted: Wanted<'_>) -> Result<(NewVault, Option<Secret>), Failure> {
    let random = &mut SystemRandom;
    let mut vault = NewVault::generate(pages, random);
    let parts = vault.parts();
    let mut labels = Labels::default();
    let mut slots = Vec::new();
    if let Some((passphrase, cost)) = &wanted.passphrase {
        let (kind, label) = (PassphraseKind::Passphrase, labels.next("passphrase"));
        slots.push(new_passphrase_slot(&parts, kind, label, passphrase, *cost, vault.master(), random)?);
    }
    for recipient in wanted.recipients {
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
    slots.into_iter().for_each(|slot| vault.add_slot(slot));
    Ok((vault, key))
}

/// The recipients that were typed, each once.
pub(super) fn recipients(texts: &[String]) -> Result<Vec<Recipient>, Failure> {
    let mut seen = BTreeSet::new();
    let mut recipients = Vec::new();
    for text in texts {
        let recipient =
            Recipient::parse(text).map_err(|error| Failure::Recipient { text: text.clone(), error })?;
        if seen.insert(text) {
            recipients.push(recipient);
        }
    }
    Ok(recipients)
}

/// The cost of a passphrase with this much memory.
pub(super) fn cost(bytes: u64) -> Result<KdfCost, Failure> {
    let default = KdfCost::DEFAULT;
    u32::try_from(bytes / 1024)
        .ok()
        .and_then(|memory| KdfCost::new(memory, default.passes(), default.lanes(), MAX_MEMORY_KIB).ok())
        .ok_or(Failure::KdfMemory(bytes))
}

/// What asks for the passphrase of a new vault.
pub(super) fn question(path: &Path) -> String {
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
