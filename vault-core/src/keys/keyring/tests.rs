//! The sealing of keyring slots, and keyutils as the kernel of the tests allows it.

use super::*;
use crate::crypto::random::SystemRandom;

fn name(text: &str) -> StoreName {
    StoreName::parse(text).unwrap()
}

struct Case {
    uuid: [u8; 16],
    slot: SlotId,
    recipient: RecipientText,
    store: StoreName,
}

impl Case {
    fn place(&self) -> Place<'_> {
        let Self { uuid, slot, recipient, store } = self;
        Place { uuid, slot: *slot, recipient, store }
    }
}

fn case() -> (Case, Identity) {
    let identity = Identity::generate();
    let recipient = identity.recipient().unwrap().text();
    (Case { uuid: [1; 16], slot: SlotId([2; 16]), recipient, store: name("keyutils") }, identity)
}

#[test]
fn the_identity_is_bound_to_its_whole_line_and_its_key() {
    let (mut case, identity) = case();
    let (sealed, key) = seal(&case.place(), &identity, &mut SystemRandom);
    assert_eq!(sealed.sealed.len(), 24 + 77 + 16);
    let opens = |case: &Case, key: &Key<Wrapping>| open(&case.place(), &sealed.sealed, key).is_some();
    assert!(opens(&case, &key));
    assert!(!opens(&case, &Key::init_with(|key| key.fill(7))));
    case.store = name("secret-service");
    assert!(!opens(&case, &key));
    case.store = name("keyutils");
    case.slot = SlotId([3; 16]);
    assert!(!opens(&case, &key));
    case.slot = SlotId([2; 16]);
    case.uuid[0] ^= 1;
    assert!(!opens(&case, &key));
    case.uuid[0] ^= 1;
    case.recipient = Identity::generate().recipient().unwrap().text();
    assert!(!opens(&case, &key));
}

#[test]
fn an_identity_with_another_recipient_is_refused() {
    let (case, _) = case();
    let (sealed, key) = seal(&case.place(), &Identity::generate(), &mut SystemRandom);
    assert!(open(&case.place(), &sealed.sealed, &key).is_none());
}

#[test]
fn every_altered_byte_of_a_sealed_identity_is_refused() {
    let (case, identity) = case();
    let (mut sealed, key) = seal(&case.place(), &identity, &mut SystemRandom);
    for at in 0..sealed.sealed.len() {
        sealed.sealed[at] ^= 1;
        assert!(open(&case.place(), &sealed.sealed, &key).is_none(), "byte {at}");
        sealed.sealed[at] ^= 1;
    }
}

#[test]
fn an_unknown_keyring_is_named_so() {
    let keyring = OsKeyring::new(Prompts::Never);
    let item = KeyringItem { uuid: [1; 16], slot: SlotId([2; 16]) };
    assert_eq!(keyring.read(&name("later"), &item).err(), Some(KeyringError::UnknownStore));
}

#[test]
fn a_keyring_that_gives_no_answer_is_left_behind() {
    let keyring = OsKeyring::new(Prompts::Never).with_limit(Duration::from_millis(50));
    let start = std::time::Instant::now();
    let result = keyring.call(&name("keyutils"), String::new(), |_, _| {
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    });
    // Where keyutils is forbidden the store does not even open, and says so.
    assert!(matches!(result, Err(KeyringError::TooSlow | KeyringError::Denied | KeyringError::NotSupported)));
    assert!(start.elapsed() < Duration::from_secs(2));
}
