//! Random passwords and passphrases, and how hard to guess a passphrase is that somebody chose.

mod strength;

use vault_core::crypto::random::Random;
use vault_core::secret::Secret;
use zeroize::Zeroizing;

pub(crate) use strength::is_weak;

/// The characters that a password is made of: at least two, all different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alphabet(Vec<char>);

/// Why a set of characters is no alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum AlphabetError {
    /// Fewer than two characters.
    TooFew,
    /// One is there twice, and would come more often.
    Repeated,
    /// One is a control character.
    Control,
}

impl Alphabet {
    /// Letters and digits.
    pub(crate) fn letters_and_digits() -> Self {
        Self(('A'..='Z').chain('a'..='z').chain('0'..='9').collect())
    }

    /// Letters, digits and the printable ASCII symbols.
    pub(crate) fn with_symbols() -> Self {
        Self(('!'..='~').collect())
    }

    /// The given characters.
    ///
    /// # Errors
    /// See [`AlphabetError`].
    pub(crate) fn of(characters: &str) -> Result<Self, AlphabetError> {
        let mut alphabet: Vec<char> = characters.chars().collect();
        alphabet.sort_unstable();
        let count = alphabet.len();
        alphabet.dedup();
        match () {
            () if alphabet.len() < count => Err(AlphabetError::Repeated),
            () if count < 2 => Err(AlphabetError::TooFew),
            () if alphabet.iter().any(|character| character.is_control()) => Err(AlphabetError::Control),
            () => Ok(Self(alphabet)),
        }
    }
}

/// A password of `length` characters, each equally likely.
pub(crate) fn generate(alphabet: &Alphabet, length: usize, random: &mut dyn Random) -> Secret {
    // Room for all from the start: growing would leave a copy.
    let mut password = Vec::with_capacity(length * 4);
    let count = u32::try_from(alphabet.0.len()).expect("there are fewer characters than 2^32");
    for _ in 0..length {
        let character = alphabet.0[below(count, random)];
        password.extend_from_slice(character.encode_utf8(&mut Zeroizing::new([0; 4])[..]).as_bytes());
    }
    Secret::new(password)
}

/// A passphrase of `count` words, each equally likely, with a blank between two.
pub(crate) fn passphrase(count: usize, random: &mut dyn Random) -> Secret {
    let words: Vec<&str> = WORDS.lines().collect();
    let many = u32::try_from(words.len()).expect("there are 7,776 words");
    // Room for all from the start, as above.
    let mut text = Vec::with_capacity(count * (LONGEST_WORD + 1));
    for at in 0..count {
        if at > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(words[below(many, random)].as_bytes());
    }
    Secret::new(text)
}

/// How many bits there are to guess in a passphrase of so many words.
pub(crate) fn passphrase_bits(count: u32) -> u32 {
    // log2(7776) is 12.92; rounded down, in tenths of thousands.
    count * 12_924 / 1_000
}

/// A number below `count`, without bias: draws from the incomplete last round are drawn again.
fn below(count: u32, random: &mut dyn Random) -> usize {
    let rounds = u32::MAX / count * count;
    loop {
        let mut bytes = Zeroizing::new([0; 4]);
        random.fill(&mut bytes[..]);
        let draw = u32::from_be_bytes(*bytes);
        if draw < rounds {
            return (draw % count) as usize;
        }
    }
}

/// The EFF's large list: 6^5 words. password/eff-large.LICENSE.
const WORDS: &str = include_str!("password/eff-large.txt");
const LONGEST_WORD: usize = 9;
/// Six words: 77 bits.
pub(crate) const DEFAULT_WORDS: u32 = 6;
/// 24 letters and digits: 142 bits.
pub(crate) const DEFAULT_LENGTH: u16 = 24;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use vault_core::crypto::random::SystemRandom;

    use super::*;

    #[test]
    fn every_character_comes_about_equally_often() {
        let alphabet = Alphabet::letters_and_digits();
        let password = generate(&alphabet, 62_000, &mut SystemRandom);
        let mut counts = HashMap::new();
        for byte in password.expose() {
            *counts.entry(*byte).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 62);
        // Expected 1,000 each, standard deviation 31.4; eight of them is one chance in 10^15.
        assert!(counts.values().all(|count| (750..1250).contains(count)), "{counts:?}");
    }

    #[test]
    fn draws_of_the_incomplete_round_are_drawn_again() {
        struct Script(Vec<u32>);
        impl Random for Script {
            fn fill(&mut self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.0.remove(0).to_be_bytes());
            }
        }
        // 2^32 - 1 is 62 * 69273666 + 3: the largest draws belong to no whole round.
        let mut random = Script(vec![u32::MAX, u32::MAX - 1, u32::MAX - 3, 61]);
        assert_eq!(below(62, &mut random), 61);
        assert!(random.0.is_empty());
    }

    #[test]
    fn length_and_alphabet_are_kept() {
        let password = generate(&Alphabet::of("äöü").unwrap(), 9, &mut SystemRandom);
        let text = std::str::from_utf8(password.expose()).unwrap();
        assert_eq!(text.chars().count(), 9);
        assert!(text.chars().all(|character| "äöü".contains(character)));
        assert!(generate(&Alphabet::with_symbols(), 0, &mut SystemRandom).expose().is_empty());
    }

    #[test]
    fn the_words_are_the_list_s_and_a_passphrase_is_made_of_them() {
        let words: Vec<&str> = WORDS.lines().collect();
        assert_eq!(words.len(), 6_usize.pow(5));
        assert!(words.windows(2).all(|pair| pair[0] < pair[1]), "sorted, so each is there once");
        assert_eq!(words.iter().map(|word| word.len()).max(), Some(LONGEST_WORD));
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
        let made = passphrase(7, &mut SystemRandom);
        let made: Vec<&str> = std::str::from_utf8(made.expose()).unwrap().split(' ').collect();
        assert_eq!(made.len(), 7);
        assert!(made.iter().all(|word| words.binary_search(word).is_ok()), "{made:?}");
        assert_eq!((passphrase_bits(6), passphrase_bits(10)), (77, 129));
        assert!(!is_weak(passphrase(6, &mut SystemRandom).expose(), &[]));
    }

    #[test]
    fn bad_alphabets_are_refused() {
        assert_eq!(Alphabet::of("a"), Err(AlphabetError::TooFew));
        assert_eq!(Alphabet::of(""), Err(AlphabetError::TooFew));
        assert_eq!(Alphabet::of("aba"), Err(AlphabetError::Repeated));
        assert_eq!(Alphabet::of("a\n"), Err(AlphabetError::Control));
    }
}
