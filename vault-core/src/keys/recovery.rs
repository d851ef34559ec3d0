//! Recovery codes: made by the program, written on paper, typed once in an emergency. docs/format.md, "Recovery code".

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::hash::{equal, sha256};
use crate::crypto::random::Random;
use crate::secret::{Passphrase, Secret};

/// Random characters: 130 bits.
const RANDOM: usize = 26;
/// Characters of the checksum: 20 bits.
const CHECKSUM: usize = 4;
/// Characters between two hyphens.
const GROUP: usize = 5;
/// Crockford's alphabet: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Most bytes of what is typed: far more than a code has with every blank and hyphen.
const MAX_TYPED: usize = 256;

/// A recovery code: 30 characters. No `Debug`, `Clone` or `PartialEq`.
pub struct RecoveryCode(Zeroizing<Vec<u8>>);

/// Why what was typed is no recovery code. It says nothing about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryCodeError {
    /// It has another number of characters than 30.
    Length {
        /// How many were typed, without blanks and hyphens.
        typed: usize,
    },
    /// A character is in no code.
    Character {
        /// In which group of five, from 1.
        group: usize,
    },
    /// The checksum says that a character is wrong, or that two changed places.
    Checksum,
}

impl fmt::Display for RecoveryCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { typed } => write!(f, "a recovery code has 30 characters, not {typed}"),
            Self::Character { group } => {
                write!(f, "group {group} has a character that is in no recovery code")
            }
            Self::Checksum => f.write_str("the recovery code is mistyped: its checksum is wrong"),
        }
    }
}

impl std::error::Error for RecoveryCodeError {}

impl RecoveryCode {
    /// A new code.
    #[must_use]
    pub fn generate(random: &mut dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0; RANDOM]);
        random.fill(&mut *bytes);
        let mut code = Zeroizing::new(Vec::with_capacity(RANDOM + CHECKSUM));
        // 256 is a multiple of 32, so each character is as likely as any other.
        code.extend(bytes.iter().map(|byte| ALPHABET[usize::from(byte & 31)]));
        let sum = checksum(&code);
        code.extend_from_slice(&sum);
        Self(code)
    }

    /// The code in what was typed: any case, with blanks and hyphens anywhere, `O` for `0`, `I` and `L` for `1`.
    ///
    /// # Errors
    /// [`RecoveryCodeError`], before any key is derived.
    pub fn parse(typed: &[u8]) -> Result<Self, RecoveryCodeError> {
        let mut code = Zeroizing::new(Vec::with_capacity(RANDOM + CHECKSUM));
        let mut count = 0;
        let mut wrong = None;
        for byte in typed.iter().take(MAX_TYPED) {
            let character = match byte.to_ascii_uppercase() {
                b' ' | b'\t' | b'\r' | b'\n' | b'-' => continue,
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            // A character of several bytes counts once.
            if byte & 0xc0 == 0x80 {
                continue;
            }
            if !ALPHABET.contains(&character) {
                wrong.get_or_insert(count / GROUP + 1);
            }
            if code.len() < RANDOM + CHECKSUM {
                code.push(character);
            }
            count += 1;
        }
        if count != RANDOM + CHECKSUM || typed.len() > MAX_TYPED {
            return Err(RecoveryCodeError::Length { typed: count });
        }
        if let Some(group) = wrong {
            return Err(RecoveryCodeError::Character { group });
        }
        let (random, sum) = code.split_at(RANDOM);
        if equal(&checksum(random), sum) { Ok(Self(code)) } else { Err(RecoveryCodeError::Checksum) }
    }

    /// As it is shown: six groups of five characters, with hyphens.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let mut text = Zeroizing::new(Vec::with_capacity(self.0.len() + self.0.len() / GROUP));
        for group in self.0.chunks(GROUP) {
            if !text.is_empty() {
                text.push(b'-');
            }
            text.extend_from_slice(group);
        }
        Secret::from(text)
    }

    /// What the slot is sealed under: the 30 characters without hyphens.
    #[must_use]
    pub fn passphrase(&self) -> Passphrase {
        Passphrase::new(self.0.to_vec())
    }
}

/// `the first 20 bits of SHA-256("vault-recovery-code-1:" ‖ the 26 characters)`, as four characters
fn checksum(random: &[u8]) -> [u8; CHECKSUM] {
    let text = Zeroizing::new([b"vault-recovery-code-1:".as_slice(), random].concat());
    let hash = sha256(&text);
    let bits = u32::from_be_bytes([0, hash[0], hash[1], hash[2]]) >> 4;
    let mut sum = [0; CHECKSUM];
    for (at, character) in sum.iter_mut().enumerate() {
        let five = bits >> (5 * (CHECKSUM - 1 - at)) & 31;
        *character = ALPHABET[five as usize];
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;
    use crate::secret::assert_not_impl;

    assert_not_impl!(RecoveryCode: fmt::Debug, fmt::Display, Clone, PartialEq, std::ops::Deref);

    fn parse(text: &str) -> Result<String, RecoveryCodeError> {
        RecoveryCode::parse(text.as_bytes()).map(|code| String::from_utf8(code.0.to_vec()).unwrap())
    }

    fn new() -> String {
        let code = RecoveryCode::generate(&mut SystemRandom);
        String::from_utf8(code.to_text().expose().to_vec()).unwrap()
    }

    #[test]
    fn a_code_is_read_back_however_it_is_typed() {
        for _ in 0..200 {
            let code = new();
            assert_eq!(code.len(), 35);
            let canonical = code.replace('-', "");
            assert_eq!(parse(&code).unwrap(), canonical);
            let lower = code.to_lowercase();
            for typed in [
                canonical.clone(),
                lower.clone(),
                code.replace('-', " "),
                format!(" {code}\r\n"),
                lower.replace('0', "o").replace('1', "l"),
                code.replace('0', "O").replace('1', "I"),
            ] {
                assert_eq!(parse(&typed).unwrap(), canonical, "{typed}");
            }
        }
    }

    #[test]
    fn the_checksum_is_the_specification_s() {
        // Python: hashlib.sha256(b"vault-recovery-code-1:" + b"0" * 26), its first 20 bits in Crockford's alphabet.
        assert_eq!(checksum(&[b'0'; 26]), *KNOWN);
        assert_eq!(
            parse(&format!("{}{}", "0".repeat(26), std::str::from_utf8(KNOWN).unwrap())).unwrap().len(),
            30
        );
    }

    const KNOWN: &[u8; 4] = b"2QBX";

    #[test]
    fn slips_are_noticed() {
        let (mut slips, mut missed) = (0, 0);
        for _ in 0..20 {
            let code: Vec<u8> = new().replace('-', "").into_bytes();
            let mut typed = |typed: Vec<u8>| {
                slips += 1;
                missed += usize::from(RecoveryCode::parse(&typed).is_ok());
            };
            for at in 0..code.len() {
                for other in ALPHABET.iter().filter(|other| **other != code[at]) {
                    let mut slip = code.clone();
                    slip[at] = *other;
                    typed(slip);
                }
                if at > 0 && code[at] != code[at - 1] {
                    let mut slip = code.clone();
                    slip.swap(at, at - 1);
                    typed(slip);
                }
            }
        }
        // One in a million passes the checksum, and is then refused by the cipher.
        assert!(slips > 19_000 && missed <= 1, "{missed} of {slips}");
    }

    #[test]
    fn what_is_no_code_is_refused_with_a_reason() {
        use RecoveryCodeError as E;
        let code = new();
        assert_eq!(parse(""), Err(E::Length { typed: 0 }));
        assert_eq!(parse(&code[..34]), Err(E::Length { typed: 29 }));
        assert_eq!(parse(&format!("{code}0")), Err(E::Length { typed: 31 }));
        assert_eq!(parse(&format!("{}U{}", &code[..7], &code[8..])), Err(E::Character { group: 2 }));
        assert_eq!(parse(&format!("{}é{}", &code[..7], &code[8..])), Err(E::Character { group: 2 }));
        assert!(matches!(parse(&"0".repeat(1000)), Err(E::Length { .. })));
        assert!(matches!(parse(&format!("{code}{}", " ".repeat(1000))), Err(E::Length { .. })));
    }
}
