//! The store of `vault-keyring` passes every test that the keyring crate has for stores, and ours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use vault_core::agent::place::Places;
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
use vault_keyring::{Keys, Locked, Store};

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
    folder: tempfile::TempDir,
    path: PathBuf,
    identity: Secret,
    has_agent: bool,
    store: Arc<CredentialStore>,
}

/// A vault in this process, and one that an agent holds: what a store does is the same for both.
fn worlds() -> [World; 2] {
    [world(Keys::Here), world(Keys::Agent)]
}

fn world(keys: Keys) -> World {
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
    // The agent's world has no credential in this process.
    let store = match keys {
        Keys::Here => Store::unlock(&path, &[credential(&identity)]).unwrap(),
        Keys::Agent => {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(folder.path().join("identity"))
                .unwrap();
            file.write_all(identity.expose()).unwrap();
            unlock(folder.path());
            Store::open(&path, &agents(folder.path()), &[]).unwrap()
        }
    };
    assert_eq!(store.keys(), keys);
    World { folder, path, identity, has_agent: keys == Keys::Agent, store }
}

/// The program, in this folder as its home. It is built with the tests.
fn program(folder: &Path) -> Command {
    let test = std::env::current_exe().unwrap();
    let mut program = Command::new(test.parent().unwrap().parent().unwrap().join("vault"));
    let home = [("HOME", folder), ("XDG_RUNTIME_DIR", folder), ("XDG_STATE_HOME", folder)];
    program.env_clear().envs(home).env("VAULT_FILE", folder.join("v.vault")).stdin(Stdio::null());
    program
}

fn run(mut program: Command) -> Output {
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// In an agent, which is started by it.
fn unlock(folder: &Path) {
    let mut program = program(folder);
    program.arg("unlock").env("VAULT_IDENTITY_FILE", folder.join("identity"));
    run(program);
}

fn lock(folder: &Path) {
    let mut program = program(folder);
    program.arg("lock");
    run(program);
}

fn agents(folder: &Path) -> Places {
    Places::new("conformance", None, Some(folder))
}

impl Drop for World {
    fn drop(&mut self) {
        if self.has_agent {
            let _ = program(self.folder.path()).args(["agent", "stop"]).output();
        }
    }
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
    for world in worlds() {
        keyring_core::set_default_store(Arc::clone(&world.store));
        let (passed, failed) = runner::run_tests();
        keyring_core::unset_default_store();
        assert_eq!((passed, failed), (21, 0), "{:?}", world.store);
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
}

#[test]
fn an_entry_made_by_hand_is_found_changed_and_never_ambiguous() {
    for world in worlds() {
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
}

#[test]
fn an_item_in_conflict_is_neither_missing_nor_one_of_its_values() {
    for world in worlds() {
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
        for refused in
            [entry.get_secret().map(drop), entry.set_password("third"), entry.get_password().map(drop)]
        {
            let Err(Error::PlatformFailure(why)) = refused else { panic!("{refused:?}") };
            assert!(matches!(why.downcast_ref(), Some(EditError::InConflict(_))), "{why:?}");
        }
        entry.delete_credential().unwrap();
        assert!(matches!(entry.get_password(), Err(Error::NoEntry)));
    }
}

#[test]
fn attributes_are_searched_and_changed_but_for_those_that_name_the_item() {
    for world in worlds() {
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
}

#[test]
fn a_wrapper_outlives_its_item_and_makes_it_anew() {
    for world in worlds() {
        let entry = world.entry("s", "u");
        entry.set_password("1").unwrap();
        let wrapper = entry.get_credential().unwrap();
        entry.delete_credential().unwrap();
        assert!(matches!(wrapper.get_password(), Err(Error::NoEntry)));
        wrapper.set_password("2").unwrap();
        assert_eq!(entry.get_password().unwrap(), "2");
    }
}

#[test]
fn secrets_of_any_bytes_and_length_come_back() {
    for world in worlds() {
        for (number, secret) in
            [vec![], vec![0, 255], vec![7; 16_385], vec![9; 300_000]].into_iter().enumerate()
        {
            let entry = world.entry("s", &number.to_string());
            entry.set_secret(&secret).unwrap();
            assert_eq!(entry.get_secret().unwrap(), secret);
        }
    }
}

#[test]
fn what_cannot_be_is_refused_by_kind() {
    for world in worlds() {
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
}

#[test]
fn nothing_that_is_printed_holds_the_password() {
    for world in worlds() {
        let entry = world.entry("s", "u");
        entry.set_password("hunter2").unwrap();
        let printed = format!("{entry:?} {:?} {:?}", entry.get_credential().unwrap(), world.store);
        assert!(printed.contains("\"s\"") && !printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn locked_is_an_error_that_says_so_and_never_a_missing_entry() {
    let world = world(Keys::Agent);
    let (folder, agents) = (world.folder.path(), agents(world.folder.path()));
    let (entry, missing) = (world.entry("s", "u"), world.entry("s", "missing"));
    entry.set_password("p").unwrap();
    let wrapper = entry.get_credential().unwrap();
    lock(folder);
    let refused = [
        entry.get_secret().map(drop),
        missing.get_secret().map(drop),
        wrapper.get_password().map(drop),
        entry.set_password("q"),
        entry.get_attributes().map(drop),
        entry.update_attributes(&HashMap::from([("note", "x")])),
        entry.get_credential().map(drop),
        entry.delete_credential(),
        missing.delete_credential(),
        world.store.search(&HashMap::new()).map(drop),
        Store::open(&world.path, &agents, &[]).map(drop),
        Store::held(&world.path, &agents).map(drop),
        Store::unlock(&world.path, &[]).map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        let Err(Error::NoStorageAccess(why)) = refused else { panic!("{number}: {refused:?}") };
        assert!(why.is::<Locked>() && why.to_string().contains("is locked"), "{number}: {why}");
    }
    // The same objects go on once an agent holds it again: this one, or another.
    unlock(folder);
    assert_eq!(entry.get_password().unwrap(), "p");
    run({
        let mut stop = program(folder);
        stop.args(["agent", "stop"]);
        stop
    });
    assert!(matches!(entry.get_password(), Err(Error::NoStorageAccess(_))));
    unlock(folder);
    entry.set_password("q").unwrap();
    assert_eq!(wrapper.get_password().unwrap(), "q");
}

#[test]
fn an_agent_is_used_if_one_holds_the_vault_and_else_what_was_given() {
    let world = world(Keys::Agent);
    let (folder, agents) = (world.folder.path(), agents(world.folder.path()));
    let own = [credential(&world.identity)];
    let stranger = [Credential::Identities(vec![Identity::generate()])];
    let keys = |store: Result<Arc<Store>, Error>| store.unwrap().keys();
    // Whoever asks an agent needs nothing that opens the vault.
    assert_eq!(keys(Store::open(&world.path, &agents, &stranger)), Keys::Agent);
    assert_eq!(keys(Store::held(&world.path, &agents)), Keys::Agent);
    assert_eq!(keys(Store::unlock(&world.path, &own)), Keys::Here);
    lock(folder);
    assert_eq!(keys(Store::open(&world.path, &agents, &own)), Keys::Here);
    let refused = Store::open(&world.path, &agents, &stranger).map(drop);
    let Err(Error::NoStorageAccess(why)) = refused else { panic!("{refused:?}") };
    assert!(!why.is::<Locked>(), "it says that no slot opened: {why}");
}

#[test]
fn the_same_passwords_are_seen_through_the_agent_here_and_by_the_command() {
    let world = world(Keys::Agent);
    let here = Store::unlock(&world.path, &[credential(&world.identity)]).unwrap();
    let here: Arc<CredentialStore> = here;
    world.entry("s", "u").set_password("from the agent's").unwrap();
    assert_eq!(here.build("s", "u", None).unwrap().get_password().unwrap(), "from the agent's");
    here.build("s", "u", None).unwrap().set_password("from here").unwrap();
    assert_eq!(world.entry("s", "u").get_password().unwrap(), "from here");
    let mut command = program(world.folder.path());
    command.args(["keyring", "get", "s", "u"]);
    assert_eq!(run(command).stdout, b"from here\n");
}

/// Where there is no Secret Service, the example takes the vault, and says where its keys are.
#[test]
fn the_example_says_which_store_answered() {
    let world = world(Keys::Agent);
    world.entry("s", "u").set_password("p").unwrap();
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().parent().unwrap().join("examples/choose");
    let mut command = Command::new(example);
    command
        .env_clear()
        .env("XDG_RUNTIME_DIR", world.folder.path())
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .env("VAULT_FILE", &world.path)
        .args(["s", "u"]);
    let output = run(command);
    assert_eq!(output.stdout, b"p\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("vault-keyring") && said.contains("keys: Agent"), "{said}");
}
