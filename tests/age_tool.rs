//! The stock `age` opens a slot: whoever has the identity gets the master key without this program.

use std::fs;
use std::process::Command;

use vault_core::format::front::Pages;
use vault_core::format::slot::SlotKind;
use vault_core::vault::LockedVault;
use vault_tests::fixture::Fixture;

/// `"vault/1 slot" ‖ 00 ‖ uuid ‖ commitment ‖ slot id ‖ MK`
const PLAINTEXT: usize = 109;

#[test]
fn the_stock_age_tool_opens_an_age_slot_and_gets_the_bytes_of_the_specification() {
    let vault = Fixture::new(Pages::Few).set("a", b"1");
    let locked = LockedVault::open(vault.text).unwrap();
    let slot = locked.slots().iter().find(|slot| slot.kind == SlotKind::Age).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, identity) = (folder.path().join("slot.age"), folder.path().join("identity"));
    fs::write(&file, &slot.key).unwrap();
    fs::write(&identity, vault.keys.identity.expose()).unwrap();
    let output = Command::new("age")
        .arg("--decrypt")
        .arg("--identity")
        .arg(&identity)
        .arg(&file)
        .output()
        .unwrap_or_else(|error| panic!("age cannot be run ({error}): run tests/setup.sh first"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let header = locked.header();
    let expected = [b"vault/1 slot\0".as_slice(), &header.uuid, &header.commitment, &slot.id.0].concat();
    assert_eq!(output.stdout.len(), PLAINTEXT);
    assert!(output.stdout.starts_with(&expected));
    // What follows is the master key: the header's commitment is to it.
    let master =
        vault_core::secret::Key::init_with(|key| key.copy_from_slice(&output.stdout[PLAINTEXT - 32..]));
    let commitment = vault_core::crypto::derive::commitment(&header.uuid, &header.salt, &master);
    assert_eq!(commitment, header.commitment);
}
