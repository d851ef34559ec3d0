//! Recipients, identities and files of them; what an age file may cost, and that no byte of it can be altered.

use std::time::{Duration, Instant};

use super::*;
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
    assert_eq!(identity.recipient().text().as_str(), PUBLIC);
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

#[test]
fn what_is_no_recipient_yet_is_named() {
    use RecipientError as E;
    let mistyped = PUBLIC.replace("t7r", "t7q");
    for (text, error) in [
        (SECRET, E::SecretKey),
        (&SECRET.to_lowercase(), E::SecretKey),
        ("AGE-PLUGIN-YUBIKEY-1QQQQ", E::SecretKey),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", E::SecretKey),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host", E::SshNotSupported),
        ("ecdsa-sha2-nistp256 AAAA", E::SshNotSupported),
        ("age1pq1qqqqqqqq", E::PostQuantumNotSupported),
        ("age1tagpq1qqqqqq", E::PostQuantumNotSupported),
        ("age1yubikey1qwerty", E::PluginNotSupported),
        (&mistyped, E::NotARecipient),
        ("age1", E::NotARecipient),
        ("", E::NotARecipient),
        ("é", E::NotARecipient),
    ] {
        assert_eq!(Recipient::parse(text).err(), Some(error), "{text}");
    }
}

#[test]
fn an_identity_file_is_read_as_age_keygen_writes_it() {
    let other = Identity::generate();
    let other_text = String::from_utf8(other.to_text().expose().to_vec()).unwrap();
    let file = format!("# created: today\r\n# public key: {PUBLIC}\r\n{SECRET}\r\n\n#\n{other_text}");
    let identities = parse_identities(&secret(&file)).ok().unwrap();
    let texts: Vec<_> = identities.iter().map(|identity| identity.recipient().text()).collect();
    assert_eq!(texts, [RecipientText::parse(PUBLIC).unwrap(), other.recipient().text()]);
}

#[test]
fn an_identity_file_is_refused_with_a_reason() {
    use IdentityFileError as E;
    let refused = |text: &str| parse_identities(&secret(text)).err().unwrap();
    assert_eq!(refused(""), E::Empty);
    assert_eq!(refused("# nothing\n"), E::Empty);
    assert_eq!(refused("age-encryption.org/v1\n-> X25519 "), E::Encrypted);
    assert_eq!(refused("-----BEGIN AGE ENCRYPTED FILE-----\n"), E::Encrypted);
    let line = |line, error| E::Line { line, error };
    assert_eq!(refused(&format!("{SECRET}\n\nx")), line(3, IdentityError::NotAnIdentity));
    assert_eq!(refused(PUBLIC), line(1, IdentityError::Recipient));
    assert_eq!(refused("AGE-PLUGIN-YUBIKEY-1Q"), line(1, IdentityError::PluginNotSupported));
    assert_eq!(refused("AGE-SECRET-KEY-PQ-1Q"), line(1, IdentityError::PostQuantumNotSupported));
    assert_eq!(refused("-----BEGIN OPENSSH PRIVATE KEY-----"), line(1, IdentityError::SshNotSupported));
    assert_eq!(refused(&format!("{SECRET}\n").repeat(MAX_IDENTITIES + 1)), E::TooMany);
    assert!(parse_identities(&secret(&format!("{SECRET}\n").repeat(MAX_IDENTITIES))).is_ok());
    let comment = |length: usize| format!("{}\n{SECRET}", "#".repeat(length - SECRET.len() - 1));
    assert!(parse_identities(&secret(&comment(MAX_IDENTITY_FILE))).is_ok());
    assert_eq!(refused(&comment(MAX_IDENTITY_FILE + 1)), E::TooLong);
}

#[test]
fn every_altered_byte_of_an_age_file_is_refused() {
    let identity = Identity::generate();
    let mut file = wrap(&identity.recipient(), &hundred_and_nine()).unwrap();
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
    let identity = Identity::generate();
    assert!(wrap(&identity.recipient(), &Secret::new(vec![0; 110])).is_err());
    let file = |length: usize| age::encrypt(&as_x25519(&identity.recipient()), &vec![0; length]).unwrap();
    assert!(unwrap(&identity, &file(109)).is_ok());
    assert!(unwrap(&identity, &file(110)).is_err());
    assert!(unwrap(&identity, &file(4000)).is_err());
}

fn as_x25519(recipient: &Recipient) -> age::x25519::Recipient {
    match &recipient.0 {
        RecipientKind::X25519(recipient) => recipient.clone(),
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
    let identity = Identity::generate();
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
    let many_lines = format!("age-encryption.org/v1\n{}", "-> a\n\n".repeat(1300)).into_bytes();
    let many_mac_lines = format!("age-encryption.org/v1\n{}", "---\n".repeat(2000)).into_bytes();
    let many_empty_lines = format!("age-encryption.org/v1\n-> a\n{}", "\n".repeat(8000)).into_bytes();
    let full = "A".repeat(64);
    let long_body = format!("age-encryption.org/v1\n-> a\n{}", format!("{full}\n").repeat(120)).into_bytes();
    let noise = vec![b'a'; MAX_AGE_FILE];
    for file in [&file, &many_lines, &many_mac_lines, &many_empty_lines, &long_body, &noise] {
        assert!(file.len() <= MAX_AGE_FILE);
        let start = Instant::now();
        assert!(unwrap(&identity, file).is_err());
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    }
}

#[test]
fn what_is_too_long_is_refused_though_it_would_open() {
    let identity = Identity::generate();
    let recipient = as_x25519(&identity.recipient());
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
