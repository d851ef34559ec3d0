//! The vault as a whole, on texts in memory.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::*;
use crate::crypto::random::SystemRandom;
use crate::format::front::Pages;
use crate::format::slot::Label;
use crate::keys::age::Identity;
use crate::keys::new_age_slot;
use crate::vault::blob::BlobWriter;
use crate::vault::create::NewVault;
use crate::vault::edit::{NewValue, Outcome, Update};

pub(crate) struct Fixture {
    pub(crate) text: Arc<Vec<u8>>,
    identity: Secret,
}

pub(crate) fn name(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

pub(crate) fn inline(field: &str, value: &[u8]) -> Update {
    let fields = BTreeMap::from([(field.to_owned(), Some(NewValue::Inline(Secret::new(value.to_vec()))))]);
    Update { fields, ..Update::default() }
}

impl Fixture {
    pub(crate) fn new(pages: Pages) -> Self {
        let mut random = SystemRandom;
        let identity = Identity::generate();
        let mut new = NewVault::generate(pages, &mut random);
        let label = Label::parse("me").unwrap();
        let slot =
            new_age_slot(&new.parts(), label, identity.recipient().unwrap(), new.master(), &mut random)
                .unwrap();
        new.add_slot(slot);
        let saved = new.finish("tester", 1_000, &mut random).unwrap();
        Self { text: Arc::new(saved.text.to_vec().unwrap()), identity: identity.to_text() }
    }

    pub(crate) fn with(&self, text: Vec<u8>) -> Self {
        Self { text: Arc::new(text), identity: self.identity.duplicate() }
    }

    pub(crate) fn credentials(&self) -> Vec<Credential> {
        vec![Credential::Identities(vec![Identity::parse(&self.identity).unwrap()])]
    }

    pub(crate) fn try_unlock(&self) -> Result<UnlockedVault, String> {
        let locked =
            LockedVault::open(Arc::<Vec<u8>>::clone(&self.text)).map_err(|error| error.to_string())?;
        locked.unlock(&self.credentials(), &UnlockPolicy::default()).map_err(|still| still.reason.to_string())
    }

    pub(crate) fn unlock(&self) -> UnlockedVault {
        self.try_unlock().unwrap()
    }

    pub(crate) fn edit(&self, change: impl FnOnce(&mut edit::Edit<'_>)) -> Self {
        let vault = self.unlock();
        let mut edit = vault.edit(2_000).unwrap();
        change(&mut edit);
        let saved = edit.finish("tester", None, &mut SystemRandom).unwrap();
        self.with(saved.text.to_vec().unwrap())
    }

    pub(crate) fn set(&self, entry: &str, value: &[u8]) -> Self {
        self.edit(|edit| {
            edit.set(&name(entry), inline("secret", value), &mut SystemRandom).unwrap();
        })
    }

    pub(crate) fn get(&self, entry: &str) -> Option<Vec<u8>> {
        match self.unlock().value(&name(entry), "secret").unwrap()? {
            Value::Inline(secret) => Some(secret.expose().to_vec()),
            Value::Attachment(mut reader) => {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).unwrap();
                Some(bytes)
            }
        }
    }
}

#[test]
fn what_is_set_is_read_back_and_the_file_verifies() {
    for pages in [Pages::Few, Pages::Many] {
        let mut vault = Fixture::new(pages);
        for i in 0..40 {
            vault = vault.set(&format!("entry/{i}"), format!("value {i}").as_bytes());
        }
        for i in 0..40 {
            assert_eq!(vault.get(&format!("entry/{i}")).unwrap(), format!("value {i}").as_bytes());
        }
        assert_eq!(vault.get("entry/40"), None);
        let unlocked = vault.unlock();
        assert_eq!(unlocked.list().unwrap().len(), 40);
        assert_eq!(unlocked.generation(), 41);
        let counts = unlocked.verify(&|_| ()).unwrap();
        assert_eq!((counts.entries, counts.seals), (40, 41));
        assert_eq!(unlocked.lock().check().unwrap().entries, 40);
        assert_eq!(vault.unlock().log().unwrap().len(), 41);
    }
}

#[test]
fn an_unchanged_entry_keeps_its_line() {
    let before = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2");
    let after = before.set("a", b"3");
    let lines = |vault: &Fixture| -> Vec<String> {
        String::from_utf8(vault.text.to_vec()).unwrap().lines().map(str::to_owned).collect()
    };
    let (before, after) = (lines(&before), lines(&after));
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!((gone.len(), new.len()), (2, 3), "head and entry are replaced, a seal is added");
}

#[test]
fn entries_are_removed_and_renamed() {
    let vault = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2");
    let vault = vault.edit(|edit| edit.rename(&name("a"), &name("c"), &mut SystemRandom).unwrap());
    let vault = vault.edit(|edit| edit.remove(&name("b")).unwrap());
    assert_eq!((vault.get("a"), vault.get("b"), vault.get("c")), (None, None, Some(b"1".to_vec())));
    assert_eq!(vault.unlock().verify(&|_| ()).unwrap().entries, 1);
}

#[test]
fn fields_attributes_and_expiry_change_one_by_one() {
    let vault = Fixture::new(Pages::Few).set("a", b"1");
    let vault = vault.edit(|edit| {
        let update = Update {
            attributes: BTreeMap::from([("url".to_owned(), Some("https://example".to_owned()))]),
            expires: Some(Some(9)),
            ..inline("token", b"")
        };
        assert_eq!(edit.set(&name("a"), update, &mut SystemRandom).unwrap(), Outcome::Changed);
    });
    let unlocked = vault.unlock();
    let meta = unlocked.meta(&name("a")).unwrap().unwrap();
    assert_eq!(meta.fields.keys().collect::<Vec<_>>(), ["secret", "token"]);
    assert_eq!(
        (meta.attributes["url"].as_str(), meta.expires, meta.created, meta.modified),
        ("https://example", Some(9), 2000, 2000)
    );
    assert!(
        matches!(unlocked.value(&name("a"), "token").unwrap(), Some(Value::Inline(secret)) if secret.expose().is_empty())
    );
    assert_eq!(vault.get("a").unwrap(), b"1");
}

#[test]
fn long_values_become_attachments_of_every_size() {
    let mut vault = Fixture::new(Pages::Few);
    let sizes = [0, 1, 16_385, 49_151, 49_152, 49_153, 65_536, 98_304, 300_000];
    for size in sizes {
        let value: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
        vault = vault.edit(|edit| {
            let mut lines = Vec::new();
            let blob = BlobWriter::write(&mut &value[..], 1 << 20, &mut lines, &mut SystemRandom).unwrap();
            let blob = blob.finish(Arc::new(lines), 0);
            let fields = BTreeMap::from([("secret".to_owned(), Some(NewValue::Attachment(blob)))]);
            edit.set(&name(&size.to_string()), Update { fields, ..Update::default() }, &mut SystemRandom)
                .unwrap();
        });
        assert_eq!(vault.get(&size.to_string()).unwrap(), value);
    }
    let counts = vault.unlock().verify(&|_| ()).unwrap();
    assert_eq!(counts.attachments, sizes.len() as u64);
    // A change elsewhere in the entry keeps the attachment.
    let vault = vault.edit(|edit| {
        edit.set(&name("300000"), inline("note", b"x"), &mut SystemRandom).unwrap();
    });
    assert_eq!(vault.get("300000").unwrap().len(), 300_000);
    vault.unlock().verify(&|_| ()).unwrap();
}

#[test]
fn short_values_that_do_not_fit_together_become_attachments() {
    let vault = Fixture::new(Pages::Few).edit(|edit| {
        for i in 0..10 {
            edit.set(&name("a"), inline(&format!("field{i}"), &[7; 16_000]), &mut SystemRandom).unwrap();
        }
    });
    let unlocked = vault.unlock();
    assert_eq!(unlocked.verify(&|_| ()).unwrap().attachments, 8);
    assert_eq!(unlocked.meta(&name("a")).unwrap().unwrap().fields.len(), 10);
}

#[test]
fn compaction_keeps_every_entry_line_and_forgets_no_history() {
    let mut vault = Fixture::new(Pages::Few);
    for i in 0..30 {
        vault = vault.set(&format!("entry/{i}"), b"x");
    }
    let before = vault.unlock();
    for pages in [Pages::Few, Pages::Many] {
        let saved = before.compact(pages, "tester", Some("smaller"), 3_000, &mut SystemRandom).unwrap();
        let after = vault.with(saved.text.to_vec().unwrap());
        let unlocked = after.unlock();
        assert_eq!((unlocked.seals(), unlocked.generation()), (1, 32));
        assert_eq!(unlocked.verify(&|_| ()).unwrap().entries, 30);
        assert!(unlocked.known_seals().unwrap().is_superset(&before.known_seals().unwrap()));
        assert_eq!(unlocked.log().unwrap().len(), 32);
        assert_eq!(after.set("new", b"y").get("new").unwrap(), b"y");
        // And once more, from the other number of pages.
        let again = unlocked.compact(Pages::Few, "tester", None, 3_000, &mut SystemRandom).unwrap();
        let again = vault.with(again.text.to_vec().unwrap()).unlock();
        assert!(again.known_seals().unwrap().is_superset(&unlocked.known_seals().unwrap()));
        assert_eq!(again.log().unwrap().len(), 33);
    }
}

#[test]
fn a_failed_unlock_gives_the_locked_vault_back() {
    let vault = Fixture::new(Pages::Few);
    let other = Fixture::new(Pages::Few);
    let locked = LockedVault::open(Arc::<Vec<u8>>::clone(&vault.text)).unwrap();
    let Err(still) = locked.unlock(&other.credentials(), &UnlockPolicy::default()) else {
        panic!("it opened")
    };
    assert!(matches!(still.reason, UnlockFailure::Denied(UnlockError::NoSlotMatches { .. })));
    assert!(still.vault.unlock(&vault.credentials(), &UnlockPolicy::default()).is_ok());
}

#[test]
fn every_flipped_bit_of_a_small_vault_is_refused() {
    let vault = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2");
    let unlocked = vault.unlock();
    for at in 0..vault.text.len() {
        let mut text = vault.text.to_vec();
        text[at] ^= 1 << (at % 7);
        let altered: Arc<dyn Source> = Arc::new(text);
        let refused = LockedVault::open(altered).map_err(|_| ()).and_then(|locked| {
            // The master key is known, so that nothing is refused for want of a slot.
            locked.unlock_as(&unlocked).map_err(|_| ()).and_then(|open| open.verify(&|_| ()).map_err(|_| ()))
        });
        assert!(refused.is_err(), "byte {at} of {}", vault.text.len());
    }
}

#[test]
fn names_are_listed_in_order_however_alike_they_begin() {
    let alike = "sixteen-letters-";
    let names =
        ["b", "a", "\u{e9}", alike, &format!("{alike}2"), &format!("{alike}10"), &format!("{alike}1")];
    let fixture = names.iter().fold(Fixture::new(Pages::Few), |fixture, name| fixture.set(name, b"x"));
    let listed: Vec<String> =
        fixture.unlock().list().unwrap().iter().map(|meta| meta.name.as_str().to_owned()).collect();
    let mut sorted = names.map(str::to_owned);
    sorted.sort();
    assert_eq!(listed, sorted);
}
