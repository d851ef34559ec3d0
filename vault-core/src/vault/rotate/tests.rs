//! Rotation on texts in memory, and what a rewrap touches.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::crypto::kdf::{KdfCost, MIN_MEMORY_KIB};
use crate::crypto::random::SystemRandom;
use crate::format::front::Pages;
use crate::format::seal::SlotOp;
use crate::keys::age::Identity;
use crate::keys::machine::MachineKey;
use crate::keys::recovery::RecoveryCode;
use crate::keys::{Credential, UnlockError, UnlockPolicy};
use crate::secret::Passphrase;
use crate::vault::UnlockFailure;
use crate::vault::edit::{Pick, Update};
use crate::vault::merge::{MergeContext, Merged, merge};
use crate::vault::tests::{Fixture, inline, name};

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn cheap() -> KdfCost {
    KdfCost::new(MIN_MEMORY_KIB, 1, 1, 0).unwrap()
}

fn words(text: &str) -> Passphrase {
    Passphrase::new(text.as_bytes().to_vec())
}

/// A slot, added.
fn with_slot(vault: &Fixture, make: impl FnOnce(&UnlockedVault) -> SlotLine) -> Fixture {
    let line = make(&vault.unlock());
    vault.edit(|edit| edit.add_slot(line, "tester").unwrap())
}

fn rotated(vault: &Fixture) -> (Fixture, Rotated) {
    let rotated =
        vault.unlock().rotate(Vec::new(), "rotator", Some("because"), 3_000, &mut SystemRandom).unwrap();
    let after = vault.with(rotated.saved.text.to_vec().unwrap());
    after.unlock().verify(&|_| ()).unwrap();
    (after, rotated)
}

fn opens(vault: &Fixture, credential: Credential) -> Result<(), UnlockError> {
    let locked = LockedVault::open(Arc::<Vec<u8>>::clone(&vault.text)).unwrap();
    match locked.unlock(&[credential], &UnlockPolicy::default()) {
        Ok(_) => Ok(()),
        Err(still) => match still.reason {
            UnlockFailure::Denied(error) => Err(error),
            other => panic!("{other}"),
        },
    }
}

fn lines(vault: &Fixture) -> Vec<String> {
    String::from_utf8(vault.text.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

/// What an attacker could tell apart as ciphertext: words of base64 that are longer than an id.
fn ciphertexts(vault: &Fixture) -> BTreeSet<String> {
    let long = |word: &&str| word.len() > 64;
    lines(vault)
        .iter()
        .flat_map(|line| line.split([' ', '=']).filter(long).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| !word.starts_with("age1"))
        .collect()
}

fn values(vault: &Fixture) -> BTreeMap<String, Vec<u8>> {
    let names = vault.unlock().list().unwrap().into_iter().map(|meta| meta.name.as_str().to_owned());
    names.map(|name| (name.clone(), vault.get(&name).unwrap())).collect()
}

fn full() -> Fixture {
    let mut vault = Fixture::new(Pages::Few);
    for number in 0..30 {
        vault = vault.set(&format!("entry/{number}"), format!("value {number}").as_bytes());
    }
    // Attachments of one chunk, of several, and one that fills its chunks.
    for (number, length) in [16_385, 49_152, 200_000].into_iter().enumerate() {
        vault = vault.set(&format!("large/{number}"), &vec![b'a' + u8::try_from(number).unwrap(); length]);
    }
    vault
}

#[test]
fn rotation_keeps_every_value_and_leaves_no_old_ciphertext() {
    let before = full();
    let (after, rotated) = rotated(&before);
    assert_eq!(values(&before), values(&after));
    assert_eq!(values(&after).len(), 33);
    let kept: Vec<_> = ciphertexts(&before).intersection(&ciphertexts(&after)).cloned().collect();
    assert_eq!(kept, Vec::<String>::new());
    let (old, new) = (before.unlock(), after.unlock());
    assert_eq!(old.header().uuid, new.header().uuid);
    assert!(old.header().salt != new.header().salt && old.header().commitment != new.header().commitment);
    assert_eq!(rotated.vault, new.id());
    assert_eq!((new.seals(), new.generation()), (1, old.generation() + 1));
    // Old ids of entries, blobs and seals are gone as well; the slot keeps its id and its recipient.
    let ids = |vault: &Fixture| -> BTreeSet<String> {
        let words: BTreeSet<_> = lines(vault)
            .iter()
            .flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        words.into_iter().filter(|word| word.len() == 32).collect()
    };
    let slot = old.slots()[0].id.to_string();
    let uuid = base16ct::lower::encode_string(&old.header().uuid);
    let kept: BTreeSet<_> = ids(&before).intersection(&ids(&after)).cloned().collect();
    assert_eq!(kept, BTreeSet::from([slot, uuid]));
    assert_eq!(old.slots()[0].recipient, new.slots()[0].recipient);
    // The log is carried.
    assert_eq!(new.log().unwrap().iter().filter(|record| record.carried).count(), old.seals());
    assert!(old.known_seals().unwrap().is_subset(&new.known_seals().unwrap()));
}

#[test]
fn what_was_rotated_can_be_looked_at_before_it_is_stored_and_the_old_key_opens_it_no_more() {
    let before = full();
    let (after, rotated) = rotated(&before);
    let stored = LockedVault::open(Arc::<Vec<u8>>::clone(&after.text)).unwrap();
    assert_eq!(rotated.unlock(stored).ok().unwrap().list().unwrap().len(), 33);
    let stored = LockedVault::open(Arc::<Vec<u8>>::clone(&after.text)).unwrap();
    assert!(stored.unlock_as(&before.unlock()).is_err());
}

#[test]
fn every_slot_still_opens_after_a_rotation_and_machine_keys_say_that_they_pin_the_old_one() {
    let code = RecoveryCode::generate(&mut SystemRandom);
    let mut machine = None;
    let vault = Fixture::new(Pages::Few).set("a", b"1");
    let vault = with_slot(&vault, |v| {
        v.new_passphrase_slot(label("words"), &words("correct horse"), cheap(), &mut SystemRandom).unwrap()
    });
    let vault = with_slot(&vault, |v| v.new_recovery_slot(label("paper"), &code, &mut SystemRandom).unwrap());
    let vault = with_slot(&vault, |v| {
        let (line, key) = v.new_machine_slot(label("ci"), &mut SystemRandom).unwrap();
        machine = Some(key.to_text());
        line
    });
    let key = || MachineKey::parse(machine.as_ref().unwrap()).ok().unwrap();
    assert_eq!(opens(&vault, Credential::MachineKey(key())), Ok(()));

    let (after, rotated) = rotated(&vault);
    assert_eq!(rotated.machines, [label("ci")]);
    assert_eq!(opens(&after, Credential::Passphrase(words("correct horse"))), Ok(()));
    assert!(opens(&after, Credential::Passphrase(words("correct horsf"))).is_err());
    assert_eq!(opens(&after, Credential::RecoveryCode(code.passphrase())), Ok(()));
    assert!(matches!(
        opens(&after, Credential::MachineKey(key())),
        Err(UnlockError::ReplacedOrRotated { .. })
    ));
    let again = key().pinned_to(rotated.vault, rotated.saved.generation);
    assert_eq!(opens(&after, Credential::MachineKey(again)), Ok(()));
}

#[test]
fn the_epoch_rises_and_fields_keep_theirs_until_they_change() {
    let vault = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2");
    let leaver = Identity::generate();
    let vault = with_slot(&vault, |v| {
        v.new_age_slot(label("leaver"), leaver.recipient().unwrap(), &mut SystemRandom).unwrap()
    });
    let exposed = |vault: &Fixture| -> Vec<String> {
        let exposed = vault.unlock().exposed(None).unwrap();
        exposed.into_iter().map(|entry| entry.entry.as_str().to_owned()).collect()
    };
    assert_eq!(exposed(&vault), Vec::<String>::new());
    let id = vault.unlock().slots().iter().find(|slot| slot.label == label("leaver")).unwrap().id;
    let vault = vault.edit(|edit| assert!(edit.remove_slot(id, "tester").unwrap()));
    // Without a rotation, whoever left may still hold the key: what is changed now is readable as well.
    assert_eq!(exposed(&vault.set("a", b"11")), ["a", "b"]);
    let (vault, _) = rotated(&vault);
    assert!(opens(&vault, Credential::Identities(vec![leaver])).is_err());
    assert_eq!(vault.unlock().roster().epoch, 1);
    assert_eq!(exposed(&vault), ["a", "b"]);
    let vault = vault.set("new", b"0").set("a", b"111");
    assert_eq!(exposed(&vault), ["b"]);
    let vault = vault.edit(|edit| {
        let update = Update { expires: Some(Some(9)), ..Update::default() };
        edit.set(&name("b"), update, &mut SystemRandom).unwrap();
    });
    assert_eq!(exposed(&vault), ["b"], "its value is still the old one");
    let found = vault.unlock().exposed(Some(id)).unwrap();
    assert_eq!((found[0].fields.clone(), found[0].to.clone()), (vec!["secret".to_owned()], vec![id]));
    assert_eq!(vault.unlock().exposed(Some(SlotId([0; 16]))).unwrap().len(), 0);
    let vault = vault.edit(|edit| {
        edit.set(&name("b"), inline("secret", b"222"), &mut SystemRandom).unwrap();
    });
    assert_eq!(exposed(&vault), Vec::<String>::new());
}

#[test]
fn a_slot_whose_recipient_is_unknown_stops_a_rotation_by_name() {
    let vault = Fixture::new(Pages::Few).set("a", b"1");
    let vault = with_slot(&vault, |v| {
        let mut line = v.slots()[0].clone();
        line.id = SlotId([9; 16]);
        line.label = label("later");
        line.recipient = crate::format::slot::RecipientText::parse("unknown-recipient").unwrap();
        line
    });
    match vault.unlock().rotate(Vec::new(), "r", None, 1, &mut SystemRandom) {
        Err(RotateError::Slot { label: found, .. }) => assert_eq!(found, label("later")),
        _ => panic!("rotated"),
    }
}

#[test]
fn a_conflict_and_its_alternatives_survive_a_rotation() {
    let base = Fixture::new(Pages::Few).set("a", b"1");
    let (ours, theirs) = (base.set("a", b"ours"), base.set("a", &[b't'; 20_000]));
    let merged = merged(&ours, &theirs);
    let (after, _) = rotated(&merged);
    for pick in [Pick::Ours, Pick::Theirs(0)] {
        let settled = |vault: &Fixture| {
            vault.edit(|edit| edit.resolve(&name("a"), pick, &mut SystemRandom).unwrap()).get("a").unwrap()
        };
        assert_eq!(settled(&merged), settled(&after));
    }
}

fn merged(ours: &Fixture, theirs: &Fixture) -> Fixture {
    let mut context = MergeContext { now: 5_000, author: "merger", random: &mut SystemRandom };
    match merge(&ours.unlock(), &theirs.unlock(), None, &mut context).unwrap() {
        Merged::Ours => ours.with(ours.text.to_vec()),
        Merged::Theirs => theirs.with(theirs.text.to_vec()),
        Merged::New(new) => {
            let after = ours.with(new.text.to_vec().unwrap());
            after.unlock().verify(&|_| ()).unwrap();
            after
        }
    }
}

#[test]
fn two_branches_that_each_merged_a_third_one_across_a_rotation_merge() {
    let base = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2").set("large", &[b'l'; 20_000]);
    // The third branch goes on under the old key.
    let third = base.set("third", b"3").set("a", b"third").set("new large", &[b'n'; 20_000]);
    let (after, _) = rotated(&base);
    let first = merged(&after.set("first", b"f"), &third);
    let second = merged(&after.set("second", b"s"), &third);
    for (ours, theirs) in [(&first, &second), (&second, &first)] {
        let both = merged(ours, theirs);
        let expected: BTreeMap<String, Vec<u8>> = [
            ("a", b"third".to_vec()),
            ("b", b"2".to_vec()),
            ("large", vec![b'l'; 20_000]),
            ("third", b"3".to_vec()),
            ("new large", vec![b'n'; 20_000]),
            ("first", b"f".to_vec()),
            ("second", b"s".to_vec()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        assert_eq!(values(&both), expected);
        assert!(both.unlock().list().unwrap().iter().all(|meta| !meta.in_conflict()));
    }
}

/// Lines that are gone and lines that came.
fn difference(before: &Fixture, after: &Fixture) -> (Vec<String>, Vec<String>) {
    let (before, after) = (lines(before), lines(after));
    let kind = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let without = |some: &[String], others: &[String]| -> Vec<String> {
        let mut kinds: Vec<_> = some.iter().filter(|line| !others.contains(line)).map(kind).collect();
        kinds.sort();
        kinds
    };
    (without(&before, &after), without(&after, &before))
}

#[test]
fn a_rewrap_changes_one_slot_line_the_roster_the_table_s_head_and_adds_one_seal() {
    let vault = full();
    let vault = with_slot(&vault, |v| {
        v.new_passphrase_slot(label("words"), &words("correct horse"), cheap(), &mut SystemRandom).unwrap()
    });
    let unlocked = vault.unlock();
    let slot = unlocked.slots().iter().find(|slot| slot.label == label("words")).unwrap();
    let costlier = KdfCost::new(MIN_MEMORY_KIB, 2, 1, 0).unwrap();
    let relabelled = SlotLine { label: label("phrase"), ..slot.clone() };
    for (line, op) in [
        (
            unlocked.change_passphrase(slot, &words("another"), cheap(), &mut SystemRandom).unwrap(),
            SlotOp::Rewrap,
        ),
        (
            unlocked.change_passphrase(slot, &words("correct horse"), costlier, &mut SystemRandom).unwrap(),
            SlotOp::Rewrap,
        ),
        (unlocked.rewrap(slot).unwrap(), SlotOp::Rewrap),
        (relabelled, SlotOp::Relabel),
    ] {
        let after = vault.edit(|edit| assert!(edit.replace_slot(line, op).unwrap()));
        let (gone, new) = difference(&vault, &after);
        assert_eq!(gone, ["head", "roster", "slot"]);
        assert_eq!(new, ["head", "roster", "seal", "slot"]);
        assert_eq!(values(&vault), values(&after));
    }
    let line = unlocked.change_passphrase(slot, &words("another"), cheap(), &mut SystemRandom).unwrap();
    let after = vault.edit(|edit| assert!(edit.replace_slot(line, SlotOp::Rewrap).unwrap()));
    assert_eq!(opens(&after, Credential::Passphrase(words("another"))), Ok(()));
    assert!(opens(&after, Credential::Passphrase(words("correct horse"))).is_err());
}

#[test]
fn one_slot_is_tried_and_no_other() {
    let vault = with_slot(&Fixture::new(Pages::Few), |v| {
        v.new_passphrase_slot(label("words"), &words("correct horse"), cheap(), &mut SystemRandom).unwrap()
    });
    let try_with = |at: &str, credentials: &[Credential]| {
        let policy = UnlockPolicy { only_slot: Some(label(at)), ..UnlockPolicy::default() };
        let locked = LockedVault::open(vault.text.clone()).unwrap();
        let opened = locked.unlock(credentials, &policy).ok();
        opened.is_some_and(|opened| {
            let slot = opened.slots().iter().find(|slot| Some(slot.id) == opened.opened_by());
            slot.is_some_and(|slot| slot.label == label(at))
        })
    };
    assert!(try_with("words", &[Credential::Passphrase(words("correct horse"))]));
    assert!(!try_with("words", &[Credential::Passphrase(words("wrong"))]));
    assert!(!try_with("words", &vault.credentials()));
    assert!(try_with("me", &vault.credentials()));
    assert!(!try_with("nobody", &vault.credentials()));
}

#[test]
fn a_forged_vault_for_known_recipients_opens_but_is_another_one() {
    // Whoever knows a recipient can make a vault that it opens. The commitment and the uuid tell.
    let real = Fixture::new(Pages::Few).set("a", b"1");
    let public = real.unlock().slots()[0].recipient.clone();
    let recipient = crate::keys::age::Recipient::parse(public.as_str()).unwrap();
    let mut forged = crate::vault::create::NewVault::generate(Pages::Few, &mut SystemRandom);
    let parts = forged.parts();
    let line = crate::keys::new_age_slot(&parts, label("me"), &recipient, forged.master(), &mut SystemRandom);
    forged.add_slot(line.unwrap());
    let forged = real.with(forged.finish("x", 1, &mut SystemRandom).unwrap().text.to_vec().unwrap());
    assert_ne!(forged.unlock().id(), real.unlock().id());
    // With the real header in front, or the real slot in its table, nothing opens.
    let (mut head, mut slot) = (lines(&forged), lines(&forged));
    head[1] = lines(&real)[1].clone();
    let at = |lines: &[String]| lines.iter().position(|line| line.starts_with("slot ")).unwrap();
    let (to, from) = (at(&slot), at(&lines(&real)));
    slot[to] = lines(&real)[from].clone();
    for text in [head, slot] {
        let text = real.with((text.join("\n") + "\n").into_bytes());
        assert!(text.try_unlock().is_err());
    }
    let key = {
        let mut key = None;
        with_slot(&real, |v| {
            let (line, made) = v.new_machine_slot(label("ci"), &mut SystemRandom).unwrap();
            key = Some(made);
            line
        });
        key.unwrap()
    };
    assert!(matches!(opens(&forged, Credential::MachineKey(key)), Err(UnlockError::OtherVault { .. })));
}
