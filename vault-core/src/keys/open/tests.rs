//! What opens a vault, what does not, and what it may cost.

use std::time::{Duration, Instant};

use super::*;
use crate::crypto::kdf::MIN_MEMORY_KIB;
use crate::crypto::random::SystemRandom;
use crate::format::slot::RecipientText;
use crate::keys::age::Recipient;
use crate::keys::*;
use crate::secret::{Secret, assert_not_impl};

assert_not_impl!(Credential: fmt::Debug, Clone, PartialEq);
assert_not_impl!(Opened: fmt::Debug, Clone, PartialEq);

fn cheap() -> KdfCost {
    KdfCost::new(MIN_MEMORY_KIB, 1, 1, 0).unwrap()
}

fn words(text: &str) -> Passphrase {
    Passphrase::new(text.as_bytes().to_vec())
}

fn typed(text: &str) -> Credential {
    Credential::Passphrase(words(text))
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

struct Vault {
    header: VaultHeaderParts,
    master: Key<Master>,
    slots: Vec<SlotLine>,
}

impl Vault {
    fn new() -> Self {
        let master = Key::init_with(|bytes| bytes.fill(9));
        Self { header: VaultHeaderParts::of([1; 16], [2; 32], &master), master, slots: Vec::new() }
    }

    fn add_age(&mut self, name: &str, recipient: &Recipient) {
        let slot = new_age_slot(&self.header, label(name), recipient, &self.master, &mut SystemRandom);
        self.slots.push(slot.unwrap());
    }

    fn add_passphrase(&mut self, kind: PassphraseKind, name: &str, text: &str) {
        let slot = new_passphrase_slot(
            &self.header,
            kind,
            label(name),
            &words(text),
            cheap(),
            &self.master,
            &mut SystemRandom,
        );
        self.slots.push(slot.unwrap());
    }

    fn add_machine(&mut self, name: &str, generation: u64) -> MachineKey {
        let made = new_machine_slot(&self.header, label(name), generation, &self.master, &mut SystemRandom);
        let (slot, key) = made.unwrap();
        self.slots.push(slot);
        key
    }

    fn open_with(&self, credential: Credential, policy: &UnlockPolicy) -> Result<Opened, UnlockError> {
        // As from a file: every slot goes through its line.
        let slots: Vec<_> = self.slots.iter().map(|slot| SlotLine::parse(&slot.write()).unwrap()).collect();
        let opened = open_master(&self.header, &slots, &[credential], policy);
        if let Ok(opened) = &opened {
            assert_eq!(opened.master.expose(), self.master.expose());
        }
        opened.map_err(|refused| refused.error)
    }

    fn open(&self, credential: Credential) -> Result<SlotId, UnlockError> {
        self.open_with(credential, &UnlockPolicy::default()).map(|opened| opened.slot)
    }
}

/// A slot that asks for a lot, and that no passphrase opens.
fn costly(number: u8, memory_kib: u32, passes: u32) -> SlotLine {
    SlotLine {
        id: SlotId([number; 16]),
        kind: SlotKind::Passphrase(SealedIdentity {
            memory_kib,
            passes,
            lanes: 1,
            salt: [0; 16],
            sealed: vec![0; 114],
        }),
        label: label(&format!("slot{number}")),
        recipient: RecipientText::parse("age1x").unwrap(),
        key: vec![0; 200],
    }
}

#[test]
fn every_kind_of_credential_opens_its_own_slot() {
    let mut vault = Vault::new();
    let identity = Identity::generate();
    vault.add_age("me", identity.recipient().unwrap());
    vault.add_passphrase(PassphraseKind::Passphrase, "words", "correct horse");
    vault.add_passphrase(PassphraseKind::Recovery, "safe", "ABCD-EFGH");
    let key = vault.add_machine("ci", 7);
    let ids: Vec<_> = vault.slots.iter().map(|slot| slot.id).collect();
    assert_eq!(vault.open(Credential::Identities(vec![Identity::generate(), identity])), Ok(ids[0]));
    assert_eq!(vault.open(typed("correct horse")), Ok(ids[1]));
    assert_eq!(vault.open(Credential::RecoveryCode(words("ABCD-EFGH"))), Ok(ids[2]));
    let opened = vault.open_with(Credential::MachineKey(key), &UnlockPolicy::default()).ok().unwrap();
    assert_eq!((opened.slot, opened.pinned), (ids[3], Some(7)));
}

#[test]
fn a_credential_is_not_tried_on_slots_of_other_kinds() {
    let mut vault = Vault::new();
    vault.add_passphrase(PassphraseKind::Recovery, "safe", "ABCD-EFGH");
    let key = vault.add_machine("ci", 7);
    let none = Err(UnlockError::NoSlotMatches { tried: 0 });
    assert_eq!(vault.open(typed("ABCD-EFGH")), none);
    let identity = Identity::parse(&key.identity().to_text()).ok().unwrap();
    assert_eq!(vault.open(Credential::Identities(vec![identity])), none);
    vault.slots[1].kind = SlotKind::Age;
    assert_eq!(vault.open(Credential::MachineKey(key)), none);
}

#[test]
fn a_wrong_passphrase_and_a_damaged_slot_give_the_same_error() {
    let mut vault = Vault::new();
    vault.add_passphrase(PassphraseKind::Passphrase, "words", "correct horse");
    let refused = Err(UnlockError::NoSlotMatches { tried: 1 });
    assert_eq!(vault.open(typed("correct horsf")), refused);
    let good = vault.slots[0].clone();
    let damage: [fn(&mut SlotLine); 5] = [
        |slot| slot.id.0[0] ^= 1,
        |slot| *slot.key.last_mut().unwrap() ^= 1,
        |slot| slot.recipient = RecipientText::parse("age1x").unwrap(),
        |slot| slot.kind = SlotKind::Passphrase(SealedIdentity { salt: [9; 16], ..sealed(slot) }),
        |slot| slot.kind = SlotKind::Passphrase(SealedIdentity { sealed: vec![1], ..sealed(slot) }),
    ];
    for damage in damage {
        vault.slots[0] = good.clone();
        damage(&mut vault.slots[0]);
        assert_eq!(vault.open(typed("correct horse")), refused);
    }
    vault.slots[0] = good;
    vault.header.salt[0] ^= 1;
    assert_eq!(vault.open(typed("correct horse")), refused, "the commitment is another key's");
}

fn sealed(slot: &SlotLine) -> SealedIdentity {
    match &slot.kind {
        SlotKind::Passphrase(sealed) => sealed.clone(),
        _ => panic!("a passphrase slot"),
    }
}

#[test]
fn a_label_names_the_only_slot_that_is_tried() {
    let mut vault = Vault::new();
    vault.add_passphrase(PassphraseKind::Passphrase, "a", "one");
    vault.add_passphrase(PassphraseKind::Passphrase, "b", "two");
    let only = |name: &str| UnlockPolicy { only_slot: Some(label(name)), ..UnlockPolicy::default() };
    let open = |text, name| vault.open_with(typed(text), &only(name)).map(|opened| opened.slot);
    assert_eq!(open("two", "b"), Ok(vault.slots[1].id));
    assert_eq!(open("one", "b"), Err(UnlockError::NoSlotMatches { tried: 1 }));
    assert_eq!(open("one", "c"), Err(UnlockError::NoSuchSlot { label: label("c") }));
    assert_eq!(vault.open(typed("two")), Ok(vault.slots[1].id), "the second of two");
}

#[test]
fn slots_of_unknown_kinds_are_skipped() {
    let mut vault = Vault::new();
    let line = b"slot 00000000000000000000000000000000 later label=x recipient=age1x key=AAAA x=y";
    vault.slots.push(SlotLine::parse(line).unwrap());
    vault.add_passphrase(PassphraseKind::Passphrase, "words", "correct horse");
    assert_eq!(vault.open(typed("correct horse")), Ok(vault.slots[1].id));
}

#[test]
fn a_hostile_header_is_refused_before_memory_is_spent() {
    let mut vault = Vault::new();
    let start = Instant::now();
    let refused = |vault: &Vault| vault.open(typed("correct horse")).err().unwrap();
    vault.slots = (0..64).map(|number| costly(number, MAX_MEMORY_KIB, 4)).collect();
    let required_kib = 64 * u64::from(MAX_MEMORY_KIB);
    assert_eq!(refused(&vault), UnlockError::TooManySlots { slots: 64, required_kib });
    vault.slots.truncate(7);
    let required_kib = 7 * u64::from(MAX_MEMORY_KIB);
    assert_eq!(refused(&vault), UnlockError::TooManySlots { slots: 7, required_kib });
    vault.slots = (0..9).map(|number| costly(number, MIN_MEMORY_KIB, 1)).collect();
    let required_kib = 9 * u64::from(MIN_MEMORY_KIB);
    assert_eq!(refused(&vault), UnlockError::TooManySlots { slots: 9, required_kib });
    vault.slots = vec![costly(0, MAX_MEMORY_KIB + 1, 1)];
    let (required_kib, allowed_kib) = (MAX_MEMORY_KIB + 1, MAX_MEMORY_KIB);
    assert_eq!(refused(&vault), UnlockError::TooCostly { required_kib, allowed_kib });
    vault.slots = vec![costly(0, u32::MAX, u32::MAX), costly(1, 1, 1)];
    assert_eq!(refused(&vault), UnlockError::TooCostly { required_kib: u32::MAX, allowed_kib });
    vault.slots = vec![costly(0, MIN_MEMORY_KIB - 1, 1), costly(1, MAX_MEMORY_KIB, 5)];
    assert_eq!(refused(&vault), UnlockError::CostOutOfBounds);
    // One of the slots alone would take longer.
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[test]
fn eight_passphrase_slots_are_tried() {
    let mut vault = Vault::new();
    vault.slots = (0..7).map(|number| costly(number, MIN_MEMORY_KIB, 1)).collect();
    vault.add_passphrase(PassphraseKind::Passphrase, "last", "correct horse");
    assert_eq!(vault.open(typed("correct horse")), Ok(vault.slots[7].id));
    assert_eq!(vault.open(typed("wrong")), Err(UnlockError::NoSlotMatches { tried: 8 }));
}

#[test]
fn a_slot_that_is_too_costly_does_not_keep_others_out() {
    let mut vault = Vault::new();
    vault.slots.push(costly(0, 2 * MAX_MEMORY_KIB, 1));
    vault.add_passphrase(PassphraseKind::Passphrase, "mine", "correct horse");
    assert_eq!(vault.open(typed("correct horse")), Ok(vault.slots[1].id));
    assert!(matches!(vault.open(typed("wrong")), Err(UnlockError::TooCostly { .. })));
    // It may also be more than the sum that is allowed without being told.
    let policy = UnlockPolicy { max_kdf_memory_kib: 8 * MAX_MEMORY_KIB, ..UnlockPolicy::default() };
    let slots = [&costly(0, 8 * MAX_MEMORY_KIB, 1)];
    let credentials = [typed("correct horse")];
    assert_eq!(passphrase_candidates(&slots, &credentials, &policy).ok().unwrap().0.len(), 1);
}

#[test]
fn a_machine_key_of_before_a_rotation_opens_a_vault_that_is_named_otherwise() {
    let mut vault = Vault::new();
    let (slot, key) =
        new_machine_slot(&vault.header, label("server"), 5, &vault.master, &mut SystemRandom).unwrap();
    vault.slots.push(slot);
    let old = VaultId { commitment: [7; 32], ..*key.vault() };
    let of_before = || MachineKey::new(old, 5, Identity::parse(&key.identity().to_text()).ok().unwrap());
    let open = |policy: &UnlockPolicy| {
        open_master(&vault.header, &vault.slots, &[Credential::MachineKey(of_before())], policy)
    };
    let refused = open(&UnlockPolicy::default()).err().map(|refused| refused.error);
    assert!(matches!(refused, Some(UnlockError::ReplacedOrRotated { .. })));
    let named = UnlockPolicy { vault_is_named: true, ..UnlockPolicy::default() };
    assert_eq!(
        open(&named).ok().map(|opened| (opened.slot, opened.pinned)),
        Some((vault.slots[0].id, Some(5)))
    );
}

#[test]
fn a_passphrase_that_is_too_long_is_refused_before_memory_is_spent() {
    let mut vault = Vault::new();
    vault.slots.push(costly(0, MAX_MEMORY_KIB, 4));
    let long = Credential::Passphrase(Passphrase::new(vec![b'a'; MAX_PASSPHRASE + 1]));
    assert_eq!(vault.open(long), Err(UnlockError::PassphraseTooLong));
}

#[test]
fn identities_of_others_cost_no_decryption() {
    let mut vault = Vault::new();
    for number in 0..10 {
        vault.add_age(&format!("u{number}"), Identity::generate().recipient().unwrap());
    }
    let identity = Identity::generate();
    vault.add_age("me", identity.recipient().unwrap());
    let credentials = [Credential::Identities(vec![Identity::generate(), identity])];
    let slots: Vec<_> = vault.slots.iter().collect();
    let candidates = identity_candidates(&slots, &credentials);
    assert_eq!(
        candidates.iter().map(|candidate| candidate.slot.id).collect::<Vec<_>>(),
        [vault.slots[10].id]
    );
}

#[test]
fn a_machine_key_opens_its_own_vault_only() {
    let mut vault = Vault::new();
    let text = vault.add_machine("ci", 7).to_text();
    let key = || Credential::MachineKey(MachineKey::parse(&text).ok().unwrap());
    assert!(vault.open(key()).is_ok());
    let header = vault.header;
    vault.header.commitment[0] ^= 1;
    let (expected, found) = (header.commitment, vault.header.commitment);
    assert_eq!(vault.open(key()), Err(UnlockError::ReplacedOrRotated { expected, found }));
    vault.header.uuid[0] ^= 1;
    let (expected, found) = (header.uuid, vault.header.uuid);
    assert_eq!(vault.open(key()), Err(UnlockError::OtherVault { expected, found }));
}

#[test]
fn a_changed_passphrase_keeps_the_slot_and_no_longer_opens_with_the_old_one() {
    let mut vault = Vault::new();
    vault.add_passphrase(PassphraseKind::Passphrase, "mine", "old");
    let Vault { header, master, slots } = &vault;
    let changed =
        change_passphrase(header, &slots[0], &words("new"), cheap(), master, &mut SystemRandom).unwrap();
    assert!(
        changed.id == slots[0].id
            && changed.label == slots[0].label
            && changed.recipient != slots[0].recipient
    );
    vault.slots[0] = changed;
    assert!(vault.open(typed("new")).is_ok() && vault.open(typed("old")).is_err());
    let identity = Identity::generate();
    vault.add_age("me", identity.recipient().unwrap());
    let Vault { header, master, slots } = &vault;
    let no_passphrase =
        change_passphrase(header, &slots[1], &words("new"), cheap(), master, &mut SystemRandom);
    assert_eq!(no_passphrase, Err(NewSlotError::NoPassphraseSlot));
    let empty = change_passphrase(header, &slots[0], &words(""), cheap(), master, &mut SystemRandom);
    assert_eq!(empty, Err(NewSlotError::EmptyPassphrase));
}

#[test]
fn a_rotated_vault_opens_with_the_same_passphrase() {
    let mut vault = Vault::new();
    vault.add_passphrase(PassphraseKind::Passphrase, "mine", "correct horse");
    vault.master = Key::init_with(|bytes| bytes.fill(10));
    vault.header = VaultHeaderParts::of(vault.header.uuid, [3; 32], &vault.master);
    assert!(vault.open(typed("correct horse")).is_err());
    vault.slots[0] = rewrap_slot(&vault.header, &vault.slots[0], &vault.master).unwrap();
    assert!(vault.open(typed("correct horse")).is_ok());
    let unknown =
        SlotLine { recipient: RecipientText::parse("ssh-rsa:AAAA").unwrap(), ..vault.slots[0].clone() };
    let refused = rewrap_slot(&vault.header, &unknown, &vault.master);
    assert_eq!(refused, Err(RewrapError::UnknownRecipient));
}

#[test]
fn the_stock_age_tool_opens_the_age_file_of_a_slot() {
    let mut vault = Vault::new();
    let identity = Identity::generate_x25519();
    vault.add_age("me", identity.recipient().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (folder.path().join("key"), folder.path().join("slot.age"));
    std::fs::write(&key, identity.to_text().expose()).unwrap();
    std::fs::write(&file, &vault.slots[0].key).unwrap();
    let run = std::process::Command::new("age").arg("-d").arg("-i").arg(key).arg(file).output();
    // Only where it is installed; the end-to-end tests demand it.
    let Ok(output) = run else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut expected = b"vault/1 slot\0".to_vec();
    expected.extend_from_slice(&[1; 16]);
    expected.extend_from_slice(&vault.header.commitment);
    expected.extend_from_slice(&vault.slots[0].id.0);
    expected.extend_from_slice(Secret::new(vec![9; 32]).expose());
    assert_eq!(output.stdout, expected);
}
