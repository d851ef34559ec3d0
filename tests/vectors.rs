//! Every folder of tests/vectors/, read by both readers: both must find what expect.json says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use vault_core::format::slot::SlotKind;
use vault_core::keys::Credential;
use vault_core::vault::LockedVault;
use vault_tests::fixture::{identity_file, keyring_file, machine_key_file, passphrase_file, read};
use vault_tests::python::{Opener, Reader, root};

/// What the issue of the first step asks for at least.
const FEWEST: usize = 60;

fn folders() -> Vec<PathBuf> {
    let at = root().join("tests/vectors");
    let mut folders: Vec<PathBuf> = fs::read_dir(&at)
        .unwrap_or_else(|error| panic!("{}: {error}", at.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && !path.file_name().unwrap().as_encoded_bytes().starts_with(b"_"))
        .collect();
    folders.sort();
    assert!(folders.len() >= FEWEST, "{} vectors in {}", folders.len(), at.display());
    folders
}

fn expected(folder: &Path) -> Json {
    serde_json::from_slice(&fs::read(folder.join("expect.json")).unwrap()).unwrap()
}

/// The files beside the vault, and how Rust takes each.
fn openers(folder: &Path) -> Vec<(String, PathBuf, Result<Credential, String>)> {
    let mut found = Vec::new();
    for how in ["identity", "machine-key", "passphrase", "recovery", "keyring"] {
        let path = folder.join(how);
        let Ok(bytes) = fs::read(&path) else { continue };
        let credential = match how {
            "identity" => identity_file(&bytes),
            "machine-key" => machine_key_file(&bytes),
            "keyring" => keyring_file(&bytes),
            "passphrase" => Ok(Credential::Passphrase(passphrase_file(&bytes))),
            _ => Ok(Credential::RecoveryCode(passphrase_file(&bytes))),
        };
        found.push((how.to_owned(), path, credential));
    }
    found
}

fn check(found: &Json, expected: &Json, what: &str) -> Result<(), String> {
    let (outcome, wanted) = (&found["outcome"], &expected["outcome"]);
    if outcome != wanted {
        return Err(format!(
            "{what}: {outcome} ({}) instead of {wanted} ({})",
            found["why"], expected["rule"]
        ));
    }
    if found["vault"] != expected["vault"] {
        return Err(format!("{what}: found {}\nexpected {}", found["vault"], expected["vault"]));
    }
    Ok(())
}

#[test]
fn both_readers_find_in_every_vector_what_it_says() {
    let mut reader = Reader::start();
    let mut wrong = Vec::new();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let expected = expected(&folder);
        assert!(expected["outcome"] != "ok" || expected["vault"].is_object(), "{name} says nothing");
        let text = Arc::new(fs::read(folder.join("vault")).unwrap());
        let openers = openers(&folder);
        assert!(!openers.is_empty(), "{name} has nothing to open it with");
        for (how, path, credential) in openers {
            wrong.extend(
                check(&read(&text, credential), &expected, &format!("{name} by {how} in Rust")).err(),
            );
            let opener = match how.as_str() {
                "identity" => Opener::Identity(&path),
                "machine-key" => Opener::MachineKey(&path),
                "keyring" => Opener::Keyring(&path),
                _ => Opener::Passphrase(&path),
            };
            let said = reader.read(&folder.join("vault"), opener);
            wrong.extend(check(&said, &expected, &format!("{name} by {how} in Python")).err());
        }
        *outcomes.entry(expected["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{} of them differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["denied", "ok", "refused"], "{outcomes:?}");
}

#[test]
fn the_good_vectors_have_every_kind_of_slot_and_both_numbers_of_pages() {
    let mut seen = BTreeMap::<String, usize>::new();
    for folder in folders() {
        if expected(&folder)["outcome"] != "ok" {
            continue;
        }
        let locked = LockedVault::open(Arc::new(fs::read(folder.join("vault")).unwrap())).unwrap();
        *seen.entry(format!("{} pages", locked.header().pages.count())).or_default() += 1;
        for slot in locked.slots() {
            let kind = match &slot.kind {
                SlotKind::Other(_) => "other",
                known => known.name(),
            };
            *seen.entry(kind.to_owned()).or_default() += 1;
        }
    }
    for wanted in ["256 pages", "4096 pages", "age", "machine", "passphrase", "recovery", "keyring", "other"]
    {
        assert!(seen.contains_key(wanted), "{wanted} is in no good vector: {seen:?}");
    }
}
