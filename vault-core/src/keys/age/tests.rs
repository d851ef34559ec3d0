//! Recipients, identities and files of them; what an age file may cost, and that no byte of it can be altered.

use std::fmt;
use std::time::{Duration, Instant};

use super::*;
use crate::crypto::hash::sha256;
use crate::keys::ask::Ask;
use crate::secret::assert_not_impl;

assert_not_impl!(Identity: fmt::Debug, fmt::Display, Clone, PartialEq, std::ops::Deref);

// From the age crate's own tests.
const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn hundred_and_nine() -> Secret {
    Secret::new((0..109).collect())
}

#[test]
fn an_identity_and_its_recipient_have_one_text_each() {
    let identity = Identity::parse(&secret(SECRET)).ok().unwrap();
    assert_eq!(identity.to_text().expose(), SECRET.as_bytes());
    assert_eq!(identity.recipient().unwrap().text().as_str(), PUBLIC);
    let recipient = Recipient::parse(PUBLIC).ok().unwrap();
    assert_eq!(identity.matches(&recipient.text()), Match::Yes);
    assert_eq!(Identity::generate().matches(&recipient.text()), Match::No);
    for other in [SECRET.to_lowercase(), format!("{SECRET} "), format!(" {SECRET}"), format!("{SECRET}\n")] {
        assert!(Identity::parse(&secret(&other)).is_err());
    }
    for other in [PUBLIC.to_uppercase(), format!("{PUBLIC} "), format!("{PUBLIC}\n")] {
        assert_eq!(Recipient::parse(&other).err(), Some(RecipientError::NotARecipient));
    }
}

fn parse(file: &str) -> Result<Vec<Identity>, IdentityFileError> {
    parse_identities(&secret(file))
}

#[test]
fn what_is_no_recipient_is_named() {
    use RecipientError as E;
    let mistyped = PUBLIC.replace("t7r", "t7q");
    for (text, error) in [
        (SECRET, E::SecretKey),
        (&SECRET.to_lowercase(), E::SecretKey),
        ("AGE-SECRET-KEY-PQ-1QQQQ", E::SecretKey),
        ("AGE-PLUGIN-YUBIKEY-1QQQQ", E::SecretKey),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", E::SecretKey),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host", E::NotARecipient),
        ("ssh-ed25519", E::NotARecipient),
        ("ecdsa-sha2-nistp256 AAAA", E::SshNotSupported),
        ("sk-ssh-ed25519@openssh.com AAAA", E::SshNotSupported),
        ("age1pq1qqqqqqqq", E::NotARecipient),
        ("age1yubikey1qwerty", E::NotARecipient),
        (&mistyped, E::NotARecipient),
        ("age1", E::NotARecipient),
        ("", E::NotARecipient),
        ("é", E::NotARecipient),
    ] {
        assert_eq!(Recipient::parse(text).err(), Some(error), "{text}");
    }
}

#[test]
fn a_hybrid_identity_and_its_recipient_have_one_text_each() {
    let identity = Identity::generate();
    let text = String::from_utf8(identity.to_text().expose().to_vec()).unwrap();
    assert!(text.starts_with("AGE-SECRET-KEY-PQ-1") && text.len() == 77);
    let again = Identity::parse(&secret(&text)).ok().unwrap();
    let recipient = again.recipient().unwrap().text();
    assert_eq!(recipient, identity.recipient().unwrap().text());
    assert!(recipient.as_str().starts_with("age1pq1") && recipient.as_str().len() == 1959);
    assert_eq!(Recipient::parse(recipient.as_str()).ok().unwrap().text(), recipient);
    assert_eq!(identity.matches(&recipient), Match::Yes);
    assert_eq!(Identity::generate().matches(&recipient), Match::No);
    assert!(Identity::parse(&secret(&text.to_lowercase())).is_err());
    assert!(Recipient::parse(&recipient.as_str().to_uppercase()).is_err());
    assert_eq!(recipient.post_quantum(), PostQuantum::Yes);
    assert_eq!(Recipient::parse(PUBLIC).ok().unwrap().text().post_quantum(), PostQuantum::No);
    assert_eq!(Recipient::parse(SSH_PUBLIC).ok().unwrap().text().post_quantum(), PostQuantum::No);
}

/// All of C2SP's vectors for hybrid recipients, but the armored one. They are files of this repository.
#[test]
fn the_vectors_of_c2sp_for_hybrid_recipients_pass() {
    const NAMES: [&str; 18] = [
        "hybrid",
        "hybrid_and_x25519",
        "hybrid_bad_tag",
        "hybrid_currupted_enc_mlkem",
        "hybrid_currupted_enc_x25519",
        "hybrid_extra_argument",
        "hybrid_grease",
        "hybrid_identity",
        "hybrid_long_file_key",
        "hybrid_long_share",
        "hybrid_low_order",
        "hybrid_multiple_recipients",
        "hybrid_no_match",
        "hybrid_not_canonical_body",
        "hybrid_not_canonical_enc",
        "hybrid_short_share",
        "hybrid_uppercase",
        "hybrid_x25519_arg",
    ];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cctv-age");
    let there = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(there.filter(|name| name != "README.md").count(), NAMES.len());
    for name in NAMES {
        let vector = std::fs::read(format!("{folder}/{name}")).unwrap();
        let end = vector.windows(2).position(|two| two == b"\n\n").unwrap();
        let (head, file) = (String::from_utf8(vector[..end].to_vec()).unwrap(), &vector[end + 2..]);
        let values = |key: &str| -> Vec<&str> {
            head.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
        };
        let found = values("identity")
            .into_iter()
            .map(|text| outcome(&Identity::parse(&secret(text)).ok().unwrap(), file))
            .max()
            .unwrap();
        let wanted = values("expect")[0];
        match found {
            Outcome::Opened(hash) => {
                assert_eq!(("success", values("payload")), (wanted, vec![&*hash]), "{name}")
            }
            Outcome::NoMatch => assert_eq!(wanted, "no match", "{name}"),
            Outcome::Header => assert_eq!(wanted, "header failure", "{name}"),
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    NoMatch,
    Opened(String),
    Header,
}

fn outcome(identity: &Identity, file: &[u8]) -> Outcome {
    let attempt = Unwrapping { identity, trouble: RefCell::new(None) };
    let Ok(decryptor) = Decryptor::new_buffered(file::HeaderAtOnce::new(file)) else {
        return Outcome::Header;
    };
    match decryptor.decrypt(std::iter::once(&attempt as &dyn age::Identity)) {
        Ok(mut reader) => {
            let mut plain = Vec::new();
            reader.read_to_end(&mut plain).unwrap();
            // What a slot may hold opens through the front door as well.
            assert_eq!(unwrap(identity, file).is_ok(), plain.len() <= MAX_PLAINTEXT);
            Outcome::Opened(base16ct::lower::encode_string(&sha256(&plain)))
        }
        Err(DecryptError::NoMatchingKeys) => Outcome::NoMatch,
        Err(_) => Outcome::Header,
    }
}

#[test]
fn an_identity_file_is_read_as_age_keygen_writes_it() {
    let other = Identity::generate();
    let other_text = String::from_utf8(other.to_text().expose().to_vec()).unwrap();
    let file = format!("# created: today\r\n# public key: {PUBLIC}\r\n{SECRET}\r\n\n#\n{other_text}");
    let identities = parse(&file).ok().unwrap();
    let texts: Vec<_> = identities.iter().map(|identity| identity.recipient().unwrap().text()).collect();
    assert_eq!(texts, [RecipientText::parse(PUBLIC).unwrap(), other.recipient().unwrap().text()]);
}

#[test]
fn an_identity_file_is_refused_with_a_reason() {
    use IdentityFileError as E;
    let refused = |text: &str| parse(text).err().unwrap();
    assert_eq!(refused(""), E::Empty);
    assert_eq!(refused("# nothing\n"), E::Empty);
    assert_eq!(refused("age-encryption.org/v1\n-> X25519 "), E::Encrypted);
    assert_eq!(refused("-----BEGIN AGE ENCRYPTED FILE-----\n"), E::Encrypted);
    let line = |line, error| E::Line { line, error };
    assert_eq!(refused(&format!("{SECRET}\n\nx")), line(3, IdentityError::NotAnIdentity));
    assert_eq!(refused(PUBLIC), line(1, IdentityError::Recipient));
    assert_eq!(refused("AGE-PLUGIN-YUBIKEY-1Q"), line(1, IdentityError::NotAnIdentity));
    assert_eq!(refused("AGE-SECRET-KEY-PQ-1Q"), line(1, IdentityError::NotAnIdentity));
    assert_eq!(refused("-----BEGIN OPENSSH PRIVATE KEY-----"), line(1, IdentityError::SshNotSupported));
    assert_eq!(refused(&format!("{SECRET}\n").repeat(MAX_IDENTITIES + 1)), E::TooMany);
    assert!(parse(&format!("{SECRET}\n").repeat(MAX_IDENTITIES)).is_ok());
    let comment = |length: usize| format!("{}\n{SECRET}", "#".repeat(length - SECRET.len() - 1));
    assert!(parse(&comment(MAX_IDENTITY_FILE)).is_ok());
    assert_eq!(refused(&comment(MAX_IDENTITY_FILE + 1)), E::TooLong);
}

#[test]
fn every_altered_byte_of_an_age_file_is_refused() {
    let identity = Identity::generate();
    let mut file = wrap(identity.recipient().unwrap(), &hundred_and_nine()).unwrap();
    assert_eq!(unwrap(&identity, &file).ok().unwrap().expose(), hundred_and_nine().expose());
    assert!(unwrap(&Identity::generate(), &file).is_err());
    for at in 0..file.len() {
        file[at] ^= 1;
        assert!(unwrap(&identity, &file).is_err(), "byte {at}");
        file[at] ^= 1;
        assert!(unwrap(&identity, &file[..at]).is_err(), "cut at {at}");
    }
    file.push(0);
    assert!(unwrap(&identity, &file).is_err(), "a byte more");
}

#[test]
fn only_as_much_is_wrapped_or_given_out_as_a_slot_holds() {
    let identity = Identity::generate_x25519();
    assert!(wrap(identity.recipient().unwrap(), &Secret::new(vec![0; 110])).is_err());
    let file =
        |length: usize| age::encrypt(&as_x25519(identity.recipient().unwrap()), &vec![0; length]).unwrap();
    assert!(unwrap(&identity, &file(109)).is_ok());
    assert!(unwrap(&identity, &file(110)).is_err());
    assert!(unwrap(&identity, &file(4000)).is_err());
}

fn as_x25519(recipient: &Recipient) -> age::x25519::Recipient {
    match &recipient.kind {
        RecipientKind::X25519(recipient) => recipient.clone(),
        _ => panic!("an X25519 recipient"),
    }
}

#[test]
fn a_passphrase_file_is_refused_without_work() {
    let mut recipient = age::scrypt::Recipient::new("passphrase".to_owned().into());
    recipient.set_work_factor(1);
    let file = age::encrypt(&recipient, hundred_and_nine().expose()).unwrap();
    assert!(unwrap(&Identity::generate(), &file).is_err());
}

#[test]
fn a_hostile_age_file_costs_little() {
    let identity = Identity::generate_x25519();
    // The largest number of stanzas that look like this identity's: each costs a key agreement.
    let stanza = format!("-> X25519 {}\n{}\n", "C".repeat(42) + "A", "A".repeat(43));
    let mut header = "age-encryption.org/v1\n".to_owned();
    while header.len() + stanza.len() + 63 < MAX_AGE_FILE {
        header += &stanza;
    }
    header += &format!("--- {}\n", "A".repeat(43));
    let mut file = header.into_bytes();
    file.extend_from_slice(&[0; 16]);
    assert!(file.len() <= MAX_AGE_FILE && Decryptor::new_buffered(&file[..]).is_ok());
    let hybrid = Identity::generate();
    // The most stanzas that a hybrid identity tries: four.
    let share = "A".repeat(1494);
    let stanza = format!("-> mlkem768x25519 {share}\n{}\n", "A".repeat(43));
    let many_hybrids =
        format!("age-encryption.org/v1\n{}--- {}\n", stanza.repeat(5), "A".repeat(43)).into_bytes();
    let many_lines = format!("age-encryption.org/v1\n{}", "-> a\n\n".repeat(1300)).into_bytes();
    let many_mac_lines = format!("age-encryption.org/v1\n{}", "---\n".repeat(2000)).into_bytes();
    let many_empty_lines = format!("age-encryption.org/v1\n-> a\n{}", "\n".repeat(8000)).into_bytes();
    let full = "A".repeat(64);
    let long_body = format!("age-encryption.org/v1\n-> a\n{}", format!("{full}\n").repeat(120)).into_bytes();
    let noise = vec![b'a'; MAX_AGE_FILE];
    for file in [&file, &many_hybrids, &many_lines, &many_mac_lines, &many_empty_lines, &long_body, &noise] {
        assert!(file.len() <= MAX_AGE_FILE);
        let start = Instant::now();
        assert!(unwrap(&identity, file).is_err() && unwrap(&hybrid, file).is_err());
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    }
}

#[test]
fn what_is_too_long_is_refused_though_it_would_open() {
    let identity = Identity::generate_x25519();
    let recipient = as_x25519(identity.recipient().unwrap());
    let many = |n: usize| {
        let recipients = std::iter::repeat_n(&recipient as &dyn age::Recipient, n);
        let mut file = Vec::new();
        let mut out = Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut file).unwrap();
        out.write_all(hundred_and_nine().expose()).unwrap();
        out.finish().unwrap();
        file
    };
    assert!(many(60).len() <= MAX_AGE_FILE && unwrap(&identity, &many(60)).is_ok());
    let long = many(95);
    assert!(long.len() > 9 * 1024 && unwrap(&identity, &long).is_err());
}

// From ssh-keygen -t ed25519, without a passphrase and with the passphrase "passphrase". Made for these tests.
const SSH_PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL8tNUhOyqFHkFj6nWDCah6GtFV+hbgnopQ6LHtvHc+z";
const SSH_SECRET: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\nQyNTUxOQAAACC/LTVITsqhR5BY+p1gwmoehrRVfoW4J6KUOix7bx3PswAAAIh7id3ae4nd\n2gAAAAtzc2gtZWQyNTUxOQAAACC/LTVITsqhR5BY+p1gwmoehrRVfoW4J6KUOix7bx3Psw\nAAAEBd8eEcORFxMIH9su1cbsg12W5ax0EltyMECk+egSTFtb8tNUhOyqFHkFj6nWDCah6G\ntFV+hbgnopQ6LHtvHc+zAAAAAAECAwQF\n-----END OPENSSH PRIVATE KEY-----\n";
const SSH_LOCKED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBNU2yXQj\nwkqyhHrXpQlqwBAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIL8tNUhOyqFHkFj6\nnWDCah6GtFV+hbgnopQ6LHtvHc+zAAAAkGctgMpEDyjGOEx+jTb+nFgymEnAH/Erk1gR/w\nr9mQrrXvQc9mSM9ENUR2va5eXjhSHzZJ9s+9Q3jBroLHEKF+Y3XO8fFV5A2i8+rUQOpboQ\npxpdR1fftZjKpg4Dt/tisRKr6EMrVptU3eYh8SgHaEn84i3YdXv82O3MyUhpxLvTz8y3Yy\n+X64Eo3OKtGF9Lhw==\n-----END OPENSSH PRIVATE KEY-----\n";

/// Gives one answer to every question for a secret, and counts.
struct Says(Option<&'static str>, std::sync::atomic::AtomicUsize);

impl Ask for Says {
    fn show(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn text(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&self, _: &str) -> Option<Secret> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.map(secret)
    }
}

#[test]
fn an_ssh_recipient_has_one_text_whatever_its_comment() {
    let stored = SSH_PUBLIC.replacen(' ', ":", 1);
    for text in [SSH_PUBLIC, &stored, &format!("{SSH_PUBLIC} me@host"), &format!("{SSH_PUBLIC} a comment")] {
        assert_eq!(Recipient::parse(text).ok().unwrap().text().as_str(), stored, "{text}");
    }
    let identity = &parse(SSH_SECRET).ok().unwrap()[0];
    assert_eq!(identity.recipient().unwrap().text().as_str(), stored);
    assert_eq!(identity.matches(&RecipientText::parse(&stored).unwrap()), Match::Yes);
    assert_eq!(identity.matches(&RecipientText::parse(PUBLIC).unwrap()), Match::No);
}

#[test]
fn an_ssh_key_opens_and_a_locked_one_asks_once_and_only_when_needed() {
    let recipient = Recipient::parse(SSH_PUBLIC).ok().unwrap();
    let file = wrap(&recipient, &hundred_and_nine()).unwrap();
    assert!(unwrap(&parse(SSH_SECRET).ok().unwrap()[0], &file).is_ok());

    for (answer, wanted) in [
        (Some("passphrase"), None),
        (Some("wrong"), Some(NotOpened::Identity(IdentityTrouble::SshPassphrase))),
        (None, Some(NotOpened::Identity(IdentityTrouble::SshNotAsked))),
    ] {
        let says = std::sync::Arc::new(Says(answer, std::sync::atomic::AtomicUsize::new(0)));
        let asker: Asker = says.clone();
        let identity = parse_identities_asking(&secret(SSH_LOCKED), &asker).ok().unwrap().remove(0);
        assert_eq!(identity.matches(&recipient.text()), Match::Yes);
        assert_eq!(says.1.load(std::sync::atomic::Ordering::Relaxed), 0);
        for _ in 0..2 {
            assert_eq!(unwrap(&identity, &file).err(), wanted);
        }
        assert_eq!(says.1.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
