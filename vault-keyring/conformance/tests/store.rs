//! The store of `vault-keyring` passes every test that the keyring crate has for stores, and ours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use vault_core::crypto::random::SystemRandom;
use vault_core::error::EditError;
use vault_core::format::entry::EntryName;
use vault_core::format::front::Pages;
use vault_core::format::slot::Label;
use vault_core::keys::age::Identity;
use vault_core::keys::{Credential, new_age_slot};
use vault_core::secret::Secret;
use vault_core::store;
use vault_core::vault::create::NewVault;
use vault_core::vault::edit::{NewValue, Update};
use vault_core::vault::merge::{MergeContext, Merged, merge};
use vault_core::vault::{LockedVault, UnlockedVault, Value};
use vault_keyring::Store;

/// keyring's own, from its package.
#[allow(
    clippy::all,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    unused_qualifications
)]
mod runner {
    include!(env!("KEYRING_RUNNER"));
}

struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
    identity: Secret,
    store: Arc<CredentialStore>,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.vault");
    let random = &mut SystemRandom;
    let identity = Identity::generate();
    let mut new = NewVault::generate(Pages::Few, random);
    let label = Label::parse("me").unwrap();
    let slot =
        new_age_slot(&new.parts(), label, identity.recipient().unwrap(), new.master(), random).unwrap();
    new.add_slot(slot);
    store::create(&path, &new.finish("tester", 1, random).unwrap().text, 0o600).unwrap();
    let identity = identity.to_text();
    let store = Store::unlock(&path, &[credential(&identity)]).unwrap();
    World { _folder: folder, path, identity, store }
}

fn credential(identity: &Secret) -> Credential {
    Credential::Identities(vec![Identity::parse(identity).unwrap()])
}

impl World {
    fn entry(&self, service: &str, user: &str) -> Entry {
        self.store.build(service, user, None).unwrap()
    }

    fn vault(&self) -> UnlockedVault {
        let locked = LockedVault::open(Arc::new(store::read(&self.path).unwrap())).unwrap();
        locked.unlock(&[credential(&self.identity)], &Default::default()).ok().unwrap()
    }

    /// As somebody does by hand.
    fn set(&self, name: &str, attributes: &[(&str, &str)], password: &str) {
        let lock = store::lock(&self.path).unwrap();
        let vault = self.vault();
        let mut edit = vault.edit(2).unwrap();
        let value = NewValue::Inline(Secret::new(password.as_bytes().to_vec()));
        let update = Update {
            fields: [("secret".to_owned(), Some(value))].into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect(),
            ..Update::default()
        };
        edit.set(&EntryName::parse(name).unwrap(), update, &mut SystemRandom).unwrap();
        lock.replace(&edit.finish("hand", None, &mut SystemRandom).unwrap().text).unwrap();
    }
}

/// One test, since all of them use the process's default store.
#[test]
fn every_test_of_the_keyring_crate_passes() {
    let world = world();
    keyring_core::set_default_store(Arc::clone(&world.store));
    let (passed, failed) = runner::run_tests();
    keyring_core::unset_default_store();
    assert_eq!((passed, failed), (21, 0));
    // Their `test_bad_password` stores 24 bytes that are not UTF-8 and never removes them. No other leaves anything.
    let vault = world.vault();
    let left = vault.list().unwrap();
    assert_eq!(left.len(), 1, "all but one remove what they store");
    let Some(Value::Inline(secret)) = vault.value(&left[0].name, "secret").unwrap() else {
        panic!("the bytes are a short value")
    };
    assert_eq!(secret.expose().len(), 24);
    assert!(std::str::from_utf8(secret.expose()).is_err());
}

#[test]
fn an_entry_made_by_hand_is_found_changed_and_never_ambiguous() {
    let world = world();
    let by_hand = [("service", "s"), ("username", "u"), ("note", "kept")];
    world.set("by/hand", &by_hand, "1");
    world.set("other/hand", &by_hand, "2");
    let entry = world.entry("s", "u");
    assert_eq!(entry.get_password().unwrap(), "1");
    entry.set_password("3").unwrap();
    assert_eq!(world.vault().list().unwrap().len(), 2, "no third one was made");
    world.set("keyring/s/u", &[], "derived");
    assert_eq!(entry.get_password().unwrap(), "derived");
    assert_eq!(world.store.search(&HashMap::new()).unwrap().len(), 1);
    entry.delete_credential().unwrap();
    assert!(matches!(entry.get_password(), Err(Error::NoEntry)));
    assert_eq!(world.vault().list().unwrap().len(), 0);
}

#[test]
fn an_item_in_conflict_is_neither_missing_nor_one_of_its_values() {
    let world = world();
    let base = std::fs::read(&world.path).unwrap();
    world.set("keyring/s/u", &[], "theirs");
    let theirs = world.vault();
    // Another file at this path: theirs goes on reading the one that it opened.
    std::fs::remove_file(&world.path).unwrap();
    std::fs::write(&world.path, base).unwrap();
    world.set("keyring/s/u", &[], "ours");
    let random = &mut SystemRandom;
    let merged = merge(&world.vault(), &theirs, None, &mut MergeContext { now: 3, author: "m", random });
    let Ok(Merged::New(merged)) = merged else { panic!("both sides changed the entry") };
    store::lock(&world.path).unwrap().replace(&merged.text).unwrap();

    let entry = world.entry("s", "u");
    for refused in [entry.get_secret().map(drop), entry.set_password("third"), entry.get_password().map(drop)]
    {
        let Err(Error::PlatformFailure(why)) = refused else { panic!("{refused:?}") };
        assert!(matches!(why.downcast_ref(), Some(EditError::InConflict(_))), "{why:?}");
    }
    entry.delete_credential().unwrap();
    assert!(matches!(entry.get_password(), Err(Error::NoEntry)));
}

#[test]
fn attributes_are_searched_and_changed_but_for_those_that_name_the_item() {
    let world = world();
    for user in ["a", "b"] {
        world.entry("s", user).set_password(user).unwrap();
    }
    let entry = world.entry("s", "a");
    entry.update_attributes(&HashMap::from([("note", "x")])).unwrap();
    assert_eq!(entry.get_attributes().unwrap()["note"], "x");
    let found = world.store.search(&HashMap::from([("service", "s"), ("note", "x")])).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].get_specifiers(), Some(("s".to_owned(), "a".to_owned())));
    let refused = entry.update_attributes(&HashMap::from([("username", "c")]));
    assert!(matches!(refused, Err(Error::Invalid(key, _)) if key == "username"));
    assert!(matches!(world.entry("s", "c").get_attributes(), Err(Error::NoEntry)));
}

#[test]
fn a_wrapper_outlives_its_item_and_makes_it_anew() {
    let world = world();
    let entry = world.entry("s", "u");
    entry.set_password("1").unwrap();
    let wrapper = entry.get_credential().unwrap();
    entry.delete_credential().unwrap();
    assert!(matches!(wrapper.get_password(), Err(Error::NoEntry)));
    wrapper.set_password("2").unwrap();
    assert_eq!(entry.get_password().unwrap(), "2");
}

#[test]
fn secrets_of_any_bytes_and_length_come_back() {
    let world = world();
    for (number, secret) in [vec![], vec![0, 255], vec![7; 16_385], vec![9; 300_000]].into_iter().enumerate()
    {
        let entry = world.entry("s", &number.to_string());
        entry.set_secret(&secret).unwrap();
        assert_eq!(entry.get_secret().unwrap(), secret);
    }
}

#[test]
fn what_cannot_be_is_refused_by_kind() {
    let world = world();
    let long = "x".repeat(8_193);
    assert!(
        matches!(world.store.build(&long, "u", None), Err(Error::TooLong(what, 8_192)) if what == "service")
    );
    let modifiers = HashMap::from([("target", "x")]);
    assert!(matches!(world.store.build("s", "u", Some(&modifiers)), Err(Error::Invalid(..))));
    let stranger = Credential::Identities(vec![Identity::generate()]);
    assert!(matches!(Store::unlock(&world.path, &[stranger]), Err(Error::NoStorageAccess(_))));
    let missing = Store::unlock(Path::new("/nonexistent/v.vault"), &[]);
    assert!(matches!(missing, Err(Error::NoStorageAccess(_))));
    std::fs::write(&world.path, "no vault").unwrap();
    assert!(matches!(world.entry("s", "u").get_password(), Err(Error::BadStoreFormat(_))));
}

#[test]
fn nothing_that_is_printed_holds_the_password() {
    let world = world();
    let entry = world.entry("s", "u");
    entry.set_password("hunter2").unwrap();
    let printed = format!("{entry:?} {:?} {:?}", entry.get_credential().unwrap(), world.store);
    assert!(printed.contains("\"s\"") && !printed.contains("hunter2"), "{printed}");
}
