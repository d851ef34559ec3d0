//! Hexadecimal, base64 and decimals, in the one spelling that the format allows. docs/format.md, "Conventions".

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The text is not the one spelling of anything that may stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotCanonical;

/// Lower-case hexadecimal of exactly `N` bytes.
///
/// # Errors
/// [`NotCanonical`]
pub fn hex<const N: usize>(text: &[u8]) -> Result<[u8; N], NotCanonical> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return Err(NotCanonical);
    }
    base16ct::lower::decode(text, &mut bytes).map_err(|_| NotCanonical)?;
    Ok(bytes)
}

/// Base64 without padding of at most `max_decoded` bytes. The length is checked before anything is decoded.
///
/// # Errors
/// [`NotCanonical`], also when it is too long.
pub fn base64(text: &[u8], max_decoded: usize) -> Result<Vec<u8>, NotCanonical> {
    let length = decoded_len(text.len()).filter(|&length| length <= max_decoded).ok_or(NotCanonical)?;
    let mut bytes = vec![0; length];
    base64_into(text, &mut bytes)?;
    Ok(bytes)
}

/// Base64 without padding of exactly `N` bytes.
///
/// # Errors
/// [`NotCanonical`]
pub fn base64_array<const N: usize>(text: &[u8]) -> Result<[u8; N], NotCanonical> {
    let mut bytes = [0; N];
    base64_into(text, &mut bytes)?;
    Ok(bytes)
}

/// Base64 without padding of exactly as many bytes as `out` has: for secrets, decoded where they will stay.
///
/// # Errors
/// [`NotCanonical`]; `out` is then undefined.
pub fn base64_into(text: &[u8], out: &mut [u8]) -> Result<(), NotCanonical> {
    if decoded_len(text.len()) != Some(out.len()) {
        return Err(NotCanonical);
    }
    // The engine refuses padding and unused bits that are not zero.
    let length = STANDARD_NO_PAD.decode_slice(text, out).map_err(|_| NotCanonical)?;
    if length == out.len() { Ok(()) } else { Err(NotCanonical) }
}

/// True if this is the base64 of `decoded` bytes, whatever they are. Decodes nothing and allocates nothing.
#[must_use]
pub fn is_base64(text: &[u8], decoded: usize) -> bool {
    if decoded_len(text.len()) != Some(decoded) {
        return false;
    }
    // Comparisons rather than a table: the compiler makes them sixteen at a time, and a save looks at the whole file.
    let all = text.iter().fold(true, |all, &byte| {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let digit_or_slash = byte.wrapping_sub(b'/') < 11;
        all & (letter | digit_or_slash | (byte == b'+'))
    });
    let last = text.last().map_or(0, |&byte| VALUES[usize::from(byte)]);
    let unused = match text.len() % 4 {
        2 => 0b1111,
        3 => 0b11,
        _ => 0,
    };
    all && last & unused == 0
}

/// A decimal of at most `max`, without leading zeros.
///
/// # Errors
/// [`NotCanonical`]
pub fn decimal(text: &[u8], max: u64) -> Result<u64, NotCanonical> {
    let (&first, rest) = text.split_first().ok_or(NotCanonical)?;
    if first == b'0' && !rest.is_empty() {
        return Err(NotCanonical);
    }
    text.iter()
        .try_fold(0_u64, |value, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            value.checked_mul(10)?.checked_add(u64::from(digit))
        })
        .filter(|value| *value <= max)
        .ok_or(NotCanonical)
}

/// How many bytes base64 text of this length stands for; `None` if no text has this length.
#[must_use]
pub fn decoded_len(text: usize) -> Option<usize> {
    let rest = match text % 4 {
        0 => 0,
        2 => 1,
        3 => 2,
        _ => return None,
    };
    Some(text / 4 * 3 + rest)
}

/// How many characters of base64 stand for so many bytes.
#[must_use]
pub fn encoded_len(bytes: usize) -> usize {
    bytes / 3 * 4 + [0, 2, 3][bytes % 3]
}

/// Appends lower-case hexadecimal.
///
/// # Panics
/// If the result does not fit into memory.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    base16ct::lower::encode(bytes, &mut out[start..]).expect("there is room for two digits a byte");
}

/// Appends base64 without padding.
///
/// # Panics
/// If the result does not fit into memory.
pub fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), false).expect("what is in memory has a length");
    out.resize(start + length, 0);
    STANDARD_NO_PAD.encode_slice(bytes, &mut out[start..]).expect("the length was computed above");
}

/// Appends a decimal.
pub fn push_decimal(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// The six bits of every byte of base64's alphabet, 80 for the others.
const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [0x80; 256];
    let mut value = 0;
    while value < 64 {
        values[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), value: u64) {
            let mut text = Vec::new();
            push_base64(&mut text, &bytes);
            prop_assert!(is_base64(&text, bytes.len()));
            prop_assert!(!is_base64(&text, bytes.len() + 1));
            prop_assert_eq!(base64(&text, bytes.len()).unwrap(), bytes.clone());
            if !bytes.is_empty() {
                prop_assert_eq!(base64(&text, bytes.len() - 1), Err(NotCanonical));
            }
            text.clear();
            push_decimal(&mut text, value);
            prop_assert_eq!(decimal(&text, u64::MAX).unwrap(), value);
            if value > 0 {
                prop_assert_eq!(decimal(&text, value - 1), Err(NotCanonical));
            }
        }

        #[test]
        fn there_is_one_base64_of_every_content(text in "[A-Za-z0-9+/=_ -]{0,40}") {
            let decoded = base64(text.as_bytes(), 64);
            let length = decoded_len(text.len());
            prop_assert_eq!(decoded.is_ok(), length.is_some_and(|n| is_base64(text.as_bytes(), n)));
            if let Ok(bytes) = decoded {
                let mut again = Vec::new();
                push_base64(&mut again, &bytes);
                prop_assert_eq!(again, text.into_bytes());
            }
        }

        #[test]
        fn hex_is_read_back(bytes: [u8; 16]) {
            let mut text = Vec::new();
            push_hex(&mut text, &bytes);
            prop_assert_eq!(hex::<16>(&text).unwrap(), bytes);
            prop_assert!(hex::<15>(&text).is_err() && hex::<17>(&text).is_err());
        }
    }

    #[test]
    fn every_byte_is_of_the_alphabet_or_not() {
        for byte in 0..=255 {
            let in_alphabet = VALUES[usize::from(byte)] < 64;
            for text in [[byte, b'A', b'A', b'A'], [b'A', b'A', b'A', byte]] {
                assert_eq!(is_base64(&text, 3), in_alphabet, "{byte}");
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        assert!(hex::<1>(b"0A").is_err() && hex::<1>(b"0g").is_err() && hex::<1>(b"0a").is_ok());
        assert!(base64(b"AA==", 9).is_err() && base64(b"AB", 9).is_err() && base64(b"AA", 9).is_ok());
        assert!(base64(b"AAB", 9).is_err() && base64(b"A", 9).is_err() && base64(b"-_", 9).is_err());
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "18446744073709551616", "0x1"] {
            assert!(decimal(text.as_bytes(), u64::MAX).is_err(), "{text}");
        }
        assert_eq!(decimal(b"0", 0), Ok(0));
    }
}
