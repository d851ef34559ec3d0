//! Identities sealed under a passphrase or a recovery code. docs/format.md, "Key slots", "Passphrase".

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::crypto::aead;
use crate::crypto::kdf::{self, KdfCost};
use crate::crypto::random::{self, Random};
use crate::format::slot::{RecipientText, SealedIdentity, SlotId};
use crate::keys::age::Identity;
use crate::secret::{Key, Passphrase, Secret, Wrapping};

/// Most bytes of a passphrase, as it was typed.
pub const MAX_PASSPHRASE: usize = 4_096;

/// Which of the two kinds: they are never tried for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphraseKind {
    /// Chosen by a person.
    Passphrase,
    /// Made by the program and kept in a safe place.
    Recovery,
}

impl PassphraseKind {
    /// The kind as it stands in the line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::Recovery => "recovery",
        }
    }
}

/// What a sealed identity is bound to, besides its own numbers.
pub(super) struct Place<'a> {
    pub(super) uuid: &'a [u8; 16],
    pub(super) slot: SlotId,
    pub(super) kind: PassphraseKind,
    pub(super) recipient: &'a RecipientText,
}

/// Why an identity was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealError {
    Empty,
    TooLong,
    NotEnoughMemory,
}

/// Why an identity did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenError {
    /// Wrong passphrase, damaged or altered line: nobody can tell.
    NotOpened,
    NotEnoughMemory,
}

/// `identity = nonce ‖ AEAD(W, nonce, associated data, identity text)`. The place's recipient must be the identity's.
pub(super) fn seal(
    place: &Place<'_>,
    identity: &Identity,
    passphrase: &Passphrase,
    cost: KdfCost,
    random: &mut dyn Random,
) -> Result<SealedIdentity, SealError> {
    if passphrase.expose().is_empty() {
        return Err(SealError::Empty);
    }
    let mut sealed = SealedIdentity {
        memory_kib: cost.memory_kib(),
        passes: cost.passes(),
        lanes: cost.lanes(),
        salt: random::array(random),
        sealed: Vec::new(),
    };
    if passphrase.expose().len() > MAX_PASSPHRASE {
        return Err(SealError::TooLong);
    }
    let key = wrapping_key(passphrase, &sealed.salt, cost).map_err(|_| SealError::NotEnoughMemory)?;
    sealed.sealed = aead::wrap(&key, &associated(place, &sealed), &identity.to_text(), random);
    Ok(sealed)
}

/// What [`seal`] sealed for the same place, with its recipient checked. `cost` is that of the line, found affordable.
pub(super) fn open(
    place: &Place<'_>,
    sealed: &SealedIdentity,
    passphrase: &Passphrase,
    cost: KdfCost,
) -> Result<Identity, OpenError> {
    if passphrase.expose().len() > MAX_PASSPHRASE {
        return Err(OpenError::NotOpened);
    }
    let key = wrapping_key(passphrase, &sealed.salt, cost).map_err(|_| OpenError::NotEnoughMemory)?;
    let text =
        aead::unwrap(&key, &associated(place, sealed), &sealed.sealed).map_err(|_| OpenError::NotOpened)?;
    let identity = Identity::parse(&text).map_err(|_| OpenError::NotOpened)?;
    let same = identity.recipient().is_some_and(|recipient| recipient.text() == *place.recipient);
    if same { Ok(identity) } else { Err(OpenError::NotOpened) }
}

fn wrapping_key(
    passphrase: &Passphrase,
    salt: &[u8; 16],
    cost: KdfCost,
) -> Result<Key<Wrapping>, kdf::OutOfMemory> {
    kdf::derive(normalised(passphrase).expose(), salt, cost)
}

/// NFC when it is valid UTF-8, else as it was typed: what opens a slot must not depend on the keyboard.
fn normalised(passphrase: &Passphrase) -> Secret {
    let Ok(text) = std::str::from_utf8(passphrase.expose()) else {
        return Secret::new(passphrase.expose().to_vec());
    };
    // NFC is at most three times as long. Room for all of it: a vector that grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(3 * text.len()));
    let mut buffer = Zeroizing::new([0; 4]);
    for character in text.nfc() {
        out.extend_from_slice(character.encode_utf8(buffer.as_mut_slice()).as_bytes());
    }
    Secret::from(out)
}

/// `"identity" ‖ 00 ‖ uuid ‖ slot id ‖ kind ‖ 00 ‖ recipient ‖ 00 ‖ u32 m ‖ u32 t ‖ u32 p ‖ salt`
fn associated(place: &Place<'_>, sealed: &SealedIdentity) -> Vec<u8> {
    [
        b"identity\0".as_slice(),
        place.uuid,
        &place.slot.0,
        place.kind.name().as_bytes(),
        &[0],
        place.recipient.as_str().as_bytes(),
        &[0],
        &sealed.memory_kib.to_be_bytes(),
        &sealed.passes.to_be_bytes(),
        &sealed.lanes.to_be_bytes(),
        &sealed.salt,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;

    fn cheap() -> KdfCost {
        KdfCost::new(kdf::MIN_MEMORY_KIB, 1, 1, 0).unwrap()
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec())
    }

    struct Case {
        uuid: [u8; 16],
        slot: SlotId,
        kind: PassphraseKind,
        recipient: RecipientText,
        sealed: SealedIdentity,
    }

    impl Case {
        fn new(words: &Passphrase) -> Self {
            let identity = Identity::generate();
            let (uuid, slot, kind) = ([1; 16], SlotId([2; 16]), PassphraseKind::Passphrase);
            let recipient = identity.recipient().unwrap().text();
            let place = Place { uuid: &uuid, slot, kind, recipient: &recipient };
            let sealed = seal(&place, &identity, words, cheap(), &mut SystemRandom).unwrap();
            Self { uuid, slot, kind, recipient, sealed }
        }

        fn opens(&self, words: &Passphrase) -> bool {
            let Self { uuid, slot, kind, recipient, sealed } = self;
            let cost = KdfCost::new(sealed.memory_kib, sealed.passes, sealed.lanes, 0).unwrap();
            let place = Place { uuid, slot: *slot, kind: *kind, recipient };
            open(&place, sealed, words, cost).is_ok()
        }
    }

    #[test]
    fn only_the_passphrase_opens() {
        let case = Case::new(&passphrase("correct horse"));
        assert!(case.opens(&passphrase("correct horse")));
        for wrong in ["correct horsf", "correct horse ", "", "Correct horse"] {
            assert!(!case.opens(&passphrase(wrong)));
        }
    }

    #[test]
    fn the_identity_is_bound_to_its_whole_line() {
        let words = passphrase("correct horse");
        let refused = |alter: fn(&mut Case)| {
            let mut case = Case::new(&words);
            alter(&mut case);
            !case.opens(&words)
        };
        assert!(!refused(|_| {}));
        assert!(refused(|case| case.kind = PassphraseKind::Recovery));
        assert!(refused(|case| case.recipient = Identity::generate().recipient().unwrap().text()));
        assert!(refused(|case| case.sealed.memory_kib += 1));
        assert!(refused(|case| case.sealed.passes += 1));
        assert!(refused(|case| case.sealed.lanes += 1));
        assert!(refused(|case| case.sealed.salt[15] ^= 1));
        assert!(refused(|case| case.uuid[0] ^= 1));
        assert!(refused(|case| case.slot.0[0] ^= 1));
    }

    #[test]
    fn the_associated_data_binds_the_numbers_by_themselves() {
        // The numbers also change the key; that is not what is tested here.
        let case = Case::new(&passphrase("correct horse"));
        let Case { uuid, slot, kind, recipient, mut sealed } = case;
        let place = Place { uuid: &uuid, slot, kind, recipient: &recipient };
        let before = associated(&place, &sealed);
        assert_eq!(before.len(), 8 + 1 + 16 + 16 + 10 + 1 + 1959 + 1 + 12 + 16);
        for alter in [
            (|sealed| sealed.memory_kib += 1) as fn(&mut SealedIdentity),
            |sealed| sealed.passes += 1,
            |sealed| sealed.lanes += 1,
            |sealed| sealed.salt[0] ^= 1,
        ] {
            let last = associated(&place, &sealed);
            alter(&mut sealed);
            assert_ne!(associated(&place, &sealed), last);
        }
    }

    #[test]
    fn every_altered_byte_of_a_sealed_identity_is_refused() {
        let words = passphrase("correct horse");
        let mut case = Case::new(&words);
        assert_eq!(case.sealed.sealed.len(), 24 + 77 + 16);
        // Argon2 is the same for all of them: derive once, and open with the same key.
        let Case { uuid, slot, kind, recipient, sealed } = &mut case;
        let place = Place { uuid, slot: *slot, kind: *kind, recipient };
        let key = wrapping_key(&words, &sealed.salt, cheap()).unwrap();
        let bound = associated(&place, sealed);
        assert!(aead::unwrap(&key, &bound, &sealed.sealed).is_ok());
        for at in 0..sealed.sealed.len() {
            sealed.sealed[at] ^= 1;
            assert!(aead::unwrap(&key, &bound, &sealed.sealed).is_err(), "byte {at}");
            sealed.sealed[at] ^= 1;
            assert!(aead::unwrap(&key, &bound, &sealed.sealed[..at]).is_err(), "cut at {at}");
        }
        for at in [0, 24, 116] {
            case.sealed.sealed[at] ^= 1;
            assert!(!case.opens(&words), "byte {at}");
            case.sealed.sealed[at] ^= 1;
        }
    }

    #[test]
    fn an_identity_with_another_recipient_is_refused() {
        let words = passphrase("correct horse");
        let (uuid, slot, kind) = ([1; 16], SlotId([2; 16]), PassphraseKind::Passphrase);
        let recipient = Identity::generate().recipient().unwrap().text();
        let place = Place { uuid: &uuid, slot, kind, recipient: &recipient };
        let sealed = seal(&place, &Identity::generate(), &words, cheap(), &mut SystemRandom).unwrap();
        assert_eq!(open(&place, &sealed, &words, cheap()).err(), Some(OpenError::NotOpened));
    }

    #[test]
    fn composed_and_decomposed_passphrases_are_the_same() {
        assert!(Case::new(&passphrase("caf\u{e9} \u{1d15e}")).opens(&passphrase("cafe\u{301} \u{1d15e}")));
        assert!(Case::new(&passphrase("cafe\u{301}")).opens(&passphrase("caf\u{e9}")));
        let bytes = || Passphrase::new(vec![0xff, b'e', 0xcc, 0x81]);
        assert_eq!(normalised(&bytes()).expose(), bytes().expose());
        assert!(Case::new(&bytes()).opens(&bytes()));
    }

    #[test]
    fn normalising_never_outgrows_its_room() {
        // Characters of each length in UTF-8 with the longest normal forms, and one of each of the others.
        for character in (0..=char::MAX as u32).filter_map(char::from_u32) {
            let mut typed = [0; 4];
            let typed = character.encode_utf8(&mut typed).as_bytes();
            assert!(normalised(&Passphrase::new(typed.to_vec())).expose().len() <= 3 * typed.len());
        }
    }

    #[test]
    fn empty_and_too_long_passphrases_are_refused_when_made() {
        let identity = Identity::generate();
        let recipient = identity.recipient().unwrap().text();
        let place = Place {
            uuid: &[1; 16],
            slot: SlotId([2; 16]),
            kind: PassphraseKind::Recovery,
            recipient: &recipient,
        };
        let sealed = |length| {
            seal(&place, &identity, &Passphrase::new(vec![b'a'; length]), cheap(), &mut SystemRandom)
        };
        assert_eq!(sealed(0), Err(SealError::Empty));
        assert_eq!(sealed(MAX_PASSPHRASE + 1), Err(SealError::TooLong));
        assert!(sealed(MAX_PASSPHRASE).is_ok());
    }
}
