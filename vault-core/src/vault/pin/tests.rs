//! Tests of what pins remember, and of what is made of it.

use std::sync::Arc;

use super::*;
use crate::crypto::random::SystemRandom;
use crate::format::front::{Pages, Table};
use crate::format::roster::{Added, Removed};
use crate::format::seal::Changes;
use crate::vault::tests::Fixture;
use crate::vault::write::Whole;

fn id(uuid: u8, commitment: u8) -> VaultId {
    VaultId { uuid: [uuid; 16], commitment: [commitment; 32] }
}

fn shown(id: u8, label: &str, print: u8) -> Shown {
    let (kind, label) = ("age".to_owned(), label.to_owned());
    Shown { id: SlotId([id; 16]), kind, label, print: [print; 16] }
}

fn sighting(id: VaultId, generation: u64, tips: &[u8]) -> Sighting {
    let tips = tips.iter().map(|tip| SealId([*tip; 16])).collect();
    let slots = vec![shown(9, "me", 1)];
    Sighting { id, generation, epoch: 0, tips, slots, removed: BTreeSet::new() }
}

#[test]
fn pins_are_read_back_whatever_branches_are_called() {
    let mut pins = Pins::default();
    assert!(pins.is_empty());
    for name in [&b""[..], b"-", b"main", b"feature/a b", b"%41", "ä\u{202e}".as_bytes(), b"\xff\n"] {
        pins.record(Some(name), &sighting(id(1, 2), 3, &[4, 5]), 6);
    }
    pins.record(None, &sighting(id(1, 7), 3, &[4]), 8);
    let text = pins.to_text(b"/home/a b/secrets.vault");
    assert!(text.starts_with("vault-pins 1\npath /home/a%20b/secrets.vault\nid 0101"), "{text}");
    assert_eq!(Pins::parse(text.as_bytes()), Ok(pins));
}

#[test]
fn what_is_no_file_of_pins_is_refused() {
    let good = {
        let mut pins = Pins::default();
        pins.record(Some(b"main"), &sighting(id(1, 2), 3, &[4]), 6);
        pins.to_text(b"/x")
    };
    assert!(Pins::parse(good.as_bytes()).is_ok());
    for wrong in [
        String::new(),
        "vault-pin 2\n".to_owned(),
        good.trim_end().to_owned(),
        good.replace("branch main", "branch"),
        good.replace("branch main", "branch %4"),
        good.replace("branch main", "branch %zz"),
        good.replace(" there", " here"),
        good.replace("id 01", "id 0x"),
        format!("{good}\n"),
        format!("{good}more\n"),
    ] {
        assert_eq!(Pins::parse(wrong.as_bytes()), Err(NotPins::Damaged), "{wrong}");
    }
    assert_eq!(Pins::parse(b"vault-pins 1\n\xff\n"), Err(NotPins::Damaged));
    assert_eq!(Pins::parse(b"vault-pins 1\n"), Ok(Pins::default()));
    for newer in [&b"vault-pins 2\n"[..], b"vault-pins 2", b"vault-pins 10\n\xff", b"vault-pins 1 x\n"] {
        assert_eq!(Pins::parse(newer), Err(NotPins::Newer));
    }
}

#[test]
fn a_known_path_accepts_the_vaults_that_were_accepted_and_no_other() {
    let mut pins = Pins::default();
    assert_eq!(pins.check_id(&id(1, 1)), Ok(()));
    pins.record(Some(b""), &sighting(id(1, 1), 1, &[1]), 10);
    assert_eq!(pins.check_id(&id(1, 1)), Ok(()));
    assert_eq!(pins.check_id(&id(1, 2)), Err(id(1, 1)));
    assert_eq!(pins.check_id(&id(2, 1)), Err(id(1, 1)));
    pins.trust(Some(b""), &sighting(id(1, 2), 1, &[2]), 20);
    assert_eq!((pins.check_id(&id(1, 1)), pins.check_id(&id(1, 2))), (Ok(()), Ok(())));
    assert_eq!(pins.check_id(&id(3, 3)), Err(id(1, 2)));
    let since = |n| pins.since(&id(1, n));
    assert_eq!((since(1), since(2), since(3)), (Some(10), Some(20), None));
    // Trusting the first one again takes back the second.
    pins.trust(Some(b""), &sighting(id(1, 1), 1, &[1]), 30);
    assert_eq!((pins.check_id(&id(1, 1)), pins.check_id(&id(1, 2))), (Ok(()), Err(id(1, 1))));
    // Another vault takes the place of all that had the first one's uuid.
    pins.trust(Some(b"x"), &sighting(id(3, 3), 1, &[3]), 40);
    assert_eq!((pins.check_id(&id(3, 3)), pins.check_id(&id(1, 1))), (Ok(()), Err(id(3, 3))));
    assert!(pins.branches.keys().eq([b"x"]));
}

#[test]
fn an_older_state_is_older_and_a_newer_one_expected() {
    let first = Fixture::new(Pages::Few).set("a", b"1");
    let (old, new) = (first.unlock(), first.set("b", b"2").unlock());
    let mut pins = Pins::default();
    assert_eq!(pins.compare(Some(b"main"), &old).unwrap(), Standing::FirstSeen);
    pins.record(Some(b"main"), &Sighting::of(&old), 5);
    assert_eq!(pins.compare(Some(b"main"), &old).unwrap(), Standing::Expected { since: 5 });
    assert_eq!(pins.compare(Some(b"main"), &new).unwrap(), Standing::Expected { since: 5 });
    pins.record(Some(b"main"), &Sighting::of(&new), 6);
    let older = Standing::Older { generation: old.generation(), seen: new.generation() };
    assert_eq!(pins.compare(Some(b"main"), &old).unwrap(), older);
    assert_eq!(pins.compare(Some(b"other"), &old).unwrap(), Standing::NewBranch);
    assert_eq!(pins.compare(None, &old).unwrap(), Standing::NotCompared);

    // Another process saw the newer one meanwhile: it is not forgotten.
    pins.record_beside(Some(b"main"), &old, 7).unwrap();
    assert_eq!(pins.compare(Some(b"main"), &old).unwrap(), older);
}

#[test]
fn what_two_processes_saved_is_both_remembered() {
    let mut disk = Pins::default();
    disk.record(Some(b""), &sighting(id(1, 1), 1, &[1]), 1);
    let read = disk.clone();
    // The other one saved later, and was quicker with its pin.
    disk.record(Some(b""), &sighting(id(1, 1), 3, &[3]), 2);
    disk.record_saved(&read, Some(b""), &sighting(id(1, 1), 2, &[2]), 2);
    let pinned = &disk.branches[&b""[..]];
    assert_eq!((pinned.generation, &pinned.tips[..]), (3, &[SealId([2; 16]), SealId([3; 16])][..]));
    let read = disk.clone();
    disk.record_saved(&read, Some(b""), &sighting(id(1, 1), 4, &[4]), 2);
    assert_eq!(disk.branches[&b""[..]].tips, [SealId([4; 16])]);
    let read = disk.clone();
    disk.record(Some(b""), &sighting(id(1, 2), 6, &[6]), 3);
    disk.record_saved(&read, Some(b""), &sighting(id(1, 1), 5, &[5]), 3);
    assert_eq!(disk.branches[&b""[..]].id, id(1, 2), "rotated meanwhile");
}

#[test]
fn a_restart_knows_what_it_replaced() {
    let first = Fixture::new(Pages::Few).set("a", b"1");
    let old = first.unlock();
    let mut pins = Pins::default();
    pins.record(Some(b""), &Sighting::of(&old), 5);
    let compacted = old.compact(old.header().pages, "tester", None, 9, &mut SystemRandom).unwrap();
    let compacted = first.with(compacted.text.to_vec().unwrap()).unlock();
    assert_eq!(pins.compare(Some(b""), &compacted).unwrap(), Standing::Expected { since: 5 });
    pins.record(Some(b""), &Sighting::of(&compacted), 6);
    assert!(matches!(pins.compare(Some(b""), &old).unwrap(), Standing::Older { .. }));
}

/// The vault with another master key.
fn rotated(vault: &UnlockedVault) -> UnlockedVault {
    let rotated = vault.rotate(Vec::new(), "tester", None, 9, &mut SystemRandom).unwrap();
    let text = rotated.saved.text.to_vec().unwrap();
    rotated.unlock(LockedVault::open(Arc::new(text)).unwrap()).ok().unwrap()
}

/// What somebody makes who has the master key of the first vault, and of the second one what everybody sees.
fn claimed(with_key_of: &UnlockedVault, to_replace: &UnlockedVault) -> UnlockedVault {
    let header = with_key_of.front.header.clone();
    let roster = with_key_of.front.table.roster.clone();
    let changes = Changes { replaces: to_replace.log.ids().collect(), ..Changes::default() };
    let forged = Whole {
        table: Table::new(header.pages, with_key_of.slots().to_vec(), roster),
        pages: vec![Vec::new(); usize::from(header.pages.count())],
        header,
        generation: to_replace.generation() + 1,
        restart: true,
        changes,
        sealers: &with_key_of.sealers,
    };
    let text = forged.write(SealId([9; 16]), &mut SystemRandom).unwrap().text.to_vec().unwrap();
    LockedVault::open(Arc::new(text)).unwrap().unlock_as(with_key_of).ok().unwrap()
}

#[test]
fn a_master_key_that_was_rotated_away_is_older_on_every_branch_whatever_its_log_claims() {
    let first = Fixture::new(Pages::Few).set("a", b"1");
    let (old, new) = (first.unlock(), rotated(&first.unlock()));
    let forged = claimed(&old, &new);
    let mut pins = Pins::default();
    pins.record(Some(b"main"), &Sighting::of(&old), 5);
    assert_eq!(pins.compare(Some(b"main"), &forged).unwrap(), Standing::Older { generation: 4, seen: 2 });
    pins.trust(Some(b"main"), &Sighting::of(&new), 6);
    assert_eq!(pins.compare(Some(b"main"), &new).unwrap(), Standing::Expected { since: 5 });
    assert!(forged.knows(new.tips()).unwrap());
    for (vault, generation) in [(&old, 2), (&forged, 4)] {
        for branch in [Some(&b"main"[..]), Some(b"another"), None] {
            let older = Standing::Older { generation, seen: 3 };
            assert_eq!(pins.compare(branch, vault).unwrap(), older, "{branch:?}");
            pins.record_beside(branch, vault, 7).unwrap();
        }
    }
    assert_eq!(pins.compare(Some(b"main"), &new).unwrap(), Standing::Expected { since: 5 });
    // The rotation came of what another branch has: it is not behind it.
    pins.record(Some(b"side"), &Sighting::of(&old), 5);
    assert_eq!(pins.compare(Some(b"side"), &new).unwrap(), Standing::Expected { since: 5 });
    // Trusted again, the old one is the newest.
    pins.trust(Some(b"main"), &Sighting::of(&old), 8);
    assert_eq!(pins.compare(Some(b"main"), &old).unwrap(), Standing::Expected { since: 5 });
    assert_eq!(pins.check_id(&new.id()), Err(old.id()));
}

#[test]
fn of_two_vaults_that_are_named_the_one_before_the_rotation_is_older_whichever_is_seen_first() {
    let first = Fixture::new(Pages::Few).set("a", b"1");
    let (old, new) = (first.unlock(), rotated(&first.unlock()));
    for order in [[&old, &new], [&new, &old]] {
        let mut pins = Pins::default();
        for (vault, branch) in order.into_iter().zip([b"one", b"two"]) {
            pins.record(Some(branch), &Sighting::of(vault), 5);
        }
        assert!(matches!(pins.compare(Some(b"three"), &old).unwrap(), Standing::Older { .. }));
        assert_eq!(pins.compare(Some(b"three"), &new).unwrap(), Standing::NewBranch);
    }
    let mut pins = Pins::default();
    pins.record(Some(b"one"), &Sighting::of(&new), 5);
    assert!(matches!(pins.compare(Some(b"two"), &old).unwrap(), Standing::Older { .. }));
}

#[test]
fn what_was_seen_without_git_holds_on_every_branch_that_is_not_known_and_goes_on_with_it() {
    let vaults = grown(4);
    let mut pins = Pins::default();
    pins.record_beside(Some(OUTSIDE), &vaults[1], 1).unwrap();
    let older = |generation, seen| Standing::Older { generation, seen };
    for branch in [Some(&b"planted"[..]), None] {
        assert_eq!(pins.compare(branch, &vaults[0]).unwrap(), older(2, 3), "{branch:?}");
    }
    assert_eq!(pins.compare(Some(b"planted"), &vaults[1]).unwrap(), Standing::NewBranch);
    // From then on on the branch: what is seen there is not forgotten under another one, nor without git again.
    pins.record_beside(Some(b"planted"), &vaults[2], 2).unwrap();
    let read = pins.clone();
    for name in pins.names(Some(b"planted"), &vaults[2]).unwrap() {
        pins.record_saved(&read, name, &Sighting::of(&vaults[3]), 3);
    }
    for branch in [Some(&b"planted"[..]), Some(b"another"), Some(OUTSIDE), None] {
        assert_eq!(pins.compare(branch, &vaults[2]).unwrap(), older(4, 5), "{branch:?}");
        assert!(!matches!(pins.compare(branch, &vaults[3]).unwrap(), Standing::Older { .. }), "{branch:?}");
    }
    // Told that there is git now, it lets other branches be.
    pins.trust(Some(b"planted"), &Sighting::of(&vaults[3]), 4);
    assert_eq!(pins.compare(Some(b"another"), &vaults[2]).unwrap(), Standing::NewBranch);
    assert_eq!(pins.compare(None, &vaults[2]).unwrap(), Standing::NotCompared);
}

#[test]
fn a_new_branch_with_nothing_that_was_seen_is_apart_until_something_is_saved_there() {
    let vaults = grown(4);
    let mut pins = Pins::default();
    assert!(!pins.is_apart(Some(b"main"), &vaults[0]).unwrap(), "nothing was seen");
    pins.record_beside(Some(b"main"), &vaults[2], 1).unwrap();
    for branch in [Some(&b"old"[..]), None] {
        assert!(pins.is_apart(branch, &vaults[1]).unwrap(), "{branch:?}");
        assert!(!pins.is_apart(branch, &vaults[3]).unwrap(), "{branch:?}");
    }
    pins.record_beside(Some(b"new"), &vaults[3], 2).unwrap();
    pins.record_beside(Some(b"old"), &vaults[0], 2).unwrap();
    let once = pins.clone();
    pins.record_beside(Some(b"old"), &vaults[0], 9).unwrap();
    assert_eq!(pins, once, "looking again writes nothing");
    assert_eq!(Pins::parse(pins.to_text(b"/x").as_bytes()), Ok(pins.clone()));
    let is_apart = |pins: &Pins, branch: &[u8]| pins.is_apart(Some(branch), &vaults[1]).unwrap();
    assert!(is_apart(&pins, b"old"), "it was read and nobody was told");
    assert!(!is_apart(&pins, b"main") && !is_apart(&pins, b"new"));
    // Also as it grows by itself.
    pins.record_beside(Some(b"old"), &vaults[1], 3).unwrap();
    assert!(is_apart(&pins, b"old"));
    let read = pins.clone();
    pins.record_saved(&read, Some(b"old"), &Sighting::of(&vaults[1]), 4);
    assert!(!is_apart(&pins, b"old"));
}

/// A vault and what becomes of it: generations 2, 3, and so on.
fn grown(count: u8) -> Vec<UnlockedVault> {
    let mut vault = Fixture::new(Pages::Few);
    let mut grow = |name: u8| {
        vault = vault.set(&format!("e{name}"), b"1");
        vault.unlock()
    };
    (0..count).map(&mut grow).collect()
}

#[test]
fn a_change_of_the_slots_is_news_once() {
    let slot = |n: u8| SlotId([n; 16]);
    let added = Added { time: 70, by: "ann".to_owned(), epoch: 0 };
    let mut roster = Roster { slots: BTreeMap::from([(slot(9), added.clone())]), ..Roster::default() };
    let mut pins = Pins::default();
    let news = |pins: &Pins, ids: &[u8], roster: &Roster| {
        let slots: Vec<_> = ids.iter().map(|n| shown(*n, "bob", 1)).collect();
        pins.slot_news(&slots, roster)
    };
    assert_eq!(news(&pins, &[9], &roster), [], "nothing was seen before");
    let mut seen = sighting(id(1, 1), 1, &[1]);
    pins.record(None, &seen, 1);
    assert_eq!(news(&pins, &[9], &roster), []);

    roster.slots.insert(slot(8), added);
    let expected =
        SlotNews::Added { label: "bob".to_owned(), kind: "age".to_owned(), by: "ann".to_owned(), time: 70 };
    assert_eq!(news(&pins, &[8, 9], &roster), [expected]);
    seen.slots.push(shown(8, "bob", 1));
    pins.record(None, &seen, 1);
    assert_eq!(news(&pins, &[8, 9], &roster), []);
    // Another branch, where it is not there yet, is no news either.
    assert_eq!(news(&pins, &[9], &Roster::default()), []);

    let gone = Removed {
        id: slot(8),
        kind: "age".to_owned(),
        label: "bob".to_owned(),
        recipient: "age1".to_owned(),
        time: 80,
        by: "ann".to_owned(),
        epoch: 0,
    };
    roster.removed.push(gone);
    assert!(matches!(&news(&pins, &[9], &roster)[..], [SlotNews::Removed { label, .. }] if label == "bob"));
    seen.slots.pop();
    seen.removed.insert(slot(8));
    pins.record(None, &seen, 1);
    assert_eq!(news(&pins, &[9], &roster), []);
}

#[test]
fn a_slot_with_another_recipient_or_passphrase_is_news_and_another_wrapped_key_is_none() {
    let mut pins = Pins::default();
    let mut seen = sighting(id(1, 1), 1, &[1]);
    pins.record(None, &seen, 1);
    let roster = Roster::default();
    let changed = SlotNews::Changed { label: "me".to_owned(), kind: "age".to_owned() };
    assert_eq!(pins.slot_news(&[shown(9, "renamed", 1)], &roster), []);
    assert_eq!(pins.slot_news(&[shown(9, "me", 2)], &roster), [changed]);
    seen.slots = vec![shown(9, "me", 2)];
    pins.record(None, &seen, 1);
    // Both are known: each branch has one of them.
    for print in [1, 2] {
        assert_eq!(pins.slot_news(&[shown(9, "me", print)], &roster), []);
    }
    assert_eq!(Pins::parse(pins.to_text(b"/x").as_bytes()), Ok(pins.clone()));
    for print in 3..100 {
        seen.slots = vec![shown(9, "me", print)];
        pins.record(None, &seen, 1);
    }
    assert_eq!(pins.slots[&SlotId([9; 16])].prints.len(), MAX_PRINTS);

    let vault = Fixture::new(Pages::Few).unlock();
    let mut pins = Pins::default();
    pins.record(None, &Sighting::of(&vault), 1);
    assert_eq!(pins.news(&rotated(&vault)), [], "wrapped anew for the same recipients");
}

#[test]
fn there_is_an_end_to_what_is_remembered() {
    let mut pins = Pins::default();
    for n in 0..MAX_BRANCHES as u64 + 10 {
        pins.record(Some(format!("b{n}").as_bytes()), &sighting(id(1, 1), n, &[1]), n);
    }
    assert_eq!(pins.branches.len(), MAX_BRANCHES);
    assert!(!pins.branches.contains_key(&b"b0"[..]), "the oldest go first");
    for n in 0..=255 {
        pins.record(None, &sighting(id(1, n), 1, &[1]), 1);
    }
    assert_eq!(pins.known.len(), MAX_KNOWN);
    assert_eq!(pins.check_id(&id(1, 255)), Ok(()));
}

#[test]
fn a_file_s_name_is_the_path_s_and_nothing_else() {
    assert_eq!(file_name(b"/a").len(), 32);
    assert_ne!(file_name(b"/a"), file_name(b"/b"));
}
