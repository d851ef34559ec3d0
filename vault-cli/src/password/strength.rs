//! Whether a passphrase is easy to guess, as zxcvbn estimates it.
//!
//! zxcvbn works on copies that are not wiped: they are in this process's memory until it is given out again.

/// Whether somebody who tries passphrases in the order of their likelihood needs fewer tries than a key slot withstands.
/// `known` is what they know without trying: names of the vault and its user.
///
/// What is no text cannot be typed by a dictionary either, and counts by its length.
pub(crate) fn is_weak(passphrase: &[u8], known: &[&str]) -> bool {
    match std::str::from_utf8(passphrase) {
        Ok(text) => zxcvbn::zxcvbn(text, known).guesses_log10() < ENOUGH,
        Err(_) => passphrase.len() < RANDOM_BYTES,
    }
}

/// As a power of ten: decision 0018.
const ENOUGH: f64 = 10.0;
/// So many random bytes have as many values.
const RANDOM_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_choose_is_weak_and_what_dice_choose_is_not() {
        for weak in [
            "",
            "a",
            "password",
            "hunter2",
            "letmein123",
            "qwertyuiop",
            "correct horse",
            "12345678901234",
            "secrets.vault",
        ] {
            assert!(is_weak(weak.as_bytes(), &["secrets.vault"]), "{weak}");
        }
        for strong in ["orbit velvet canyon", "skimmed-uncouth-yoyo-plexiglas", "x8#Lq!0vZp2m"] {
            assert!(!is_weak(strong.as_bytes(), &[]), "{strong}");
        }
        assert!(is_weak(b"\xff\xfe", &[]) && !is_weak(b"\xff\x00\x13\x81\x07\x99", &[]));
    }

    #[test]
    fn what_everybody_knows_makes_a_passphrase_weak() {
        assert!(!is_weak(b"xkvq-zjwp-ytrm", &[]));
        assert!(is_weak(b"xkvq-zjwp-ytrm", &["xkvq-zjwp-ytrm"]));
    }
}
