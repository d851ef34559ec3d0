//! Secrets blotted out of a stream of bytes, wherever its chunks begin and end.
//!
//! What is looked for: every value, every line of it, and their base64 wherever they stand in an encoded text. What is not: a
//! value that was changed on its way in any other manner.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use vault_core::secret::Secret;
use zeroize::Zeroizing;

use crate::buffer::WipingBuffer;

/// What may not pass.
pub(crate) struct Mask {
    patterns: Vec<Zeroizing<Vec<u8>>>,
    /// The patterns that begin with a byte.
    by_first: Vec<Vec<usize>>,
}

/// Why a value cannot be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmaskable {
    /// So few bytes are everywhere.
    Short,
    /// It would have to be held in memory as a whole.
    Long,
}

impl Mask {
    /// Whether a value of so many bytes can be masked.
    pub(crate) fn refuses(length: u64) -> Option<Unmaskable> {
        match length {
            length if length < SHORTEST as u64 => Some(Unmaskable::Short),
            length if length > LONGEST => Some(Unmaskable::Long),
            _ => None,
        }
    }

    /// A mask of these values; those that cannot be masked are left out.
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut patterns = Vec::new();
        for value in values {
            if Self::refuses(value.expose().len() as u64).is_none() {
                add_forms(value.expose(), &mut patterns);
            }
        }
        patterns.sort_by(|a: &Zeroizing<Vec<u8>>, b| a.as_slice().cmp(b));
        patterns.dedup_by(|a, b| a.as_slice() == b.as_slice());
        let mut by_first = vec![Vec::new(); 256];
        for (number, pattern) in patterns.iter().enumerate() {
            by_first[usize::from(pattern[0])].push(number);
        }
        Self { patterns, by_first }
    }

    /// For one stream.
    pub(crate) fn stream(&self) -> Masking<'_> {
        Masking { mask: self, held: WipingBuffer::new(), covered: 0, inside: false }
    }
}

/// One stream on its way through a mask.
pub(crate) struct Masking<'a> {
    mask: &'a Mask,
    /// What may be the beginning of a secret.
    held: WipingBuffer,
    /// How much of it is known to be part of one.
    covered: usize,
    /// Whether the last byte that was passed over was part of a secret.
    inside: bool,
}

impl Masking<'_> {
    /// Passes more bytes. Only what may be the beginning of a secret is held back: a prompt without a newline is not.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut WipingBuffer) {
        let mut all = std::mem::replace(&mut self.held, WipingBuffer::new());
        all.extend(bytes);
        self.pass(all.as_slice(), false, out);
    }

    /// Passes what was held back: nothing comes any more.
    pub(crate) fn finish(&mut self, out: &mut WipingBuffer) {
        let all = std::mem::replace(&mut self.held, WipingBuffer::new());
        self.pass(all.as_slice(), true, out);
    }

    fn pass(&mut self, all: &[u8], last: bool, out: &mut WipingBuffer) {
        let mut covered = self.covered;
        let mut plain = 0;
        let mut at = 0;
        'bytes: while at < all.len() {
            let rest = &all[at..];
            for &number in &self.mask.by_first[usize::from(rest[0])] {
                let pattern = &self.mask.patterns[number][..];
                if rest.starts_with(pattern) {
                    covered = covered.max(at + pattern.len());
                } else if !last && rest.len() < pattern.len() && pattern.starts_with(rest) {
                    break 'bytes;
                }
            }
            if at < covered {
                out.extend(&all[plain..at]);
                plain = at + 1;
                if !self.inside {
                    out.extend(BLOT);
                }
                self.inside = true;
            } else {
                self.inside = false;
            }
            at += 1;
        }
        out.extend(&all[plain..at]);
        self.held.extend(&all[at..]);
        self.covered = covered.saturating_sub(at);
    }
}

/// The value and its lines, as they are and in base64.
fn add_forms(value: &[u8], all: &mut Vec<Zeroizing<Vec<u8>>>) {
    add(value, all);
    let lines = || value.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let shortest =
        if lines().filter(|line| !line.is_empty()).count() == 1 { SHORTEST } else { SHORTEST_LINE };
    lines().filter(|line| line.len() >= shortest && line.len() < value.len()).for_each(|line| add(line, all));
}

fn add(text: &[u8], all: &mut Vec<Zeroizing<Vec<u8>>>) {
    all.push(Zeroizing::new(text.to_vec()));
    // Where the text begins within three bytes decides how it is encoded.
    for before in 0..3 {
        let shifted = Zeroizing::new([&[0; 2][..before], text].concat());
        // These characters hold bits of what stands before, too.
        let cut = [0, 2, 3][before];
        let ended = Zeroizing::new(BASE64_STANDARD.encode(&*shifted));
        let going_on = Zeroizing::new(BASE64_STANDARD_NO_PAD.encode(&*shifted));
        let whole = if shifted.len() % 3 == 0 { going_on.len() } else { going_on.len() - 1 };
        for form in [&ended[cut..], &going_on[cut..whole.max(cut)]] {
            if form.len() >= SHORTEST_ENCODED {
                let url_safe = form.bytes().map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    byte => byte,
                });
                all.push(Zeroizing::new(url_safe.collect()));
                all.push(Zeroizing::new(form.as_bytes().to_vec()));
            }
        }
    }
}

const BLOT: &[u8] = b"***";
/// Fewer bytes would blot out what is no secret, and tell the secret by that.
const SHORTEST: usize = 4;
/// Of a value with several lines.
const SHORTEST_LINE: usize = 8;
const SHORTEST_ENCODED: usize = 8;
const LONGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&[u8]], chunks: &[&[u8]]) -> Vec<u8> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(secret.to_vec())).collect();
        let mask = Mask::of(&secrets);
        let mut stream = mask.stream();
        let mut out = WipingBuffer::new();
        for chunk in chunks {
            stream.push(chunk, &mut out);
        }
        stream.finish(&mut out);
        out.as_slice().to_vec()
    }

    #[test]
    fn a_secret_is_masked_wherever_the_chunks_are_cut() {
        let text = b"the key is hunter2-and-more, hunter2-and-mor, xhunter2-and-morehunter2-and-more!\n";
        let wanted = b"the key is ***, hunter2-and-mor, x***!\n";
        for first in 0..text.len() {
            for second in first..text.len() {
                let chunks = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(masked(&[b"hunter2-and-more"], &chunks), wanted, "{first} {second}");
            }
        }
    }

    #[test]
    fn what_two_secrets_share_is_masked_with_both() {
        let secrets: &[&[u8]] = &[b"abcdef", b"defghi", b"abcd", b"cdefghijkl"];
        let whole = b"<abcdefghi> <abcdefghijkl> <abcde> <defghij>";
        let wanted = b"<***> <***> <***e> <***j>";
        for cut in 0..whole.len() {
            assert_eq!(masked(secrets, &[&whole[..cut], &whole[cut..]]), wanted, "{cut}");
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(masked(secrets, &bytes), wanted);
    }

    #[test]
    fn only_what_may_begin_a_secret_is_held_back() {
        let secrets = [Secret::new(b"hunter2".to_vec())];
        let mask = Mask::of(&secrets);
        let mut stream = mask.stream();
        let mut out = WipingBuffer::new();
        stream.push(b"password: ", &mut out);
        assert_eq!(out.as_slice(), b"password: ");
        stream.push(b"hun", &mut out);
        assert_eq!(out.as_slice(), b"password: ");
        stream.push(b"ger", &mut out);
        assert_eq!(out.as_slice(), b"password: hunger");
    }

    #[test]
    fn base64_of_a_secret_is_masked_at_every_offset() {
        for secret in [&b"correct horse battery"[..], b"\xfb\xef\xbe\xff\xff\xff\xfe\xff", b"12345678"] {
            for before in 0..7 {
                for after in 0..4 {
                    let text = [&b"0123456"[..before], secret, &b"xyzw"[..after]].concat();
                    let standard = BASE64_STANDARD.encode(&text);
                    let url = standard.replace('+', "-").replace('/', "_");
                    for encoded in [standard, url] {
                        let out = masked(&[secret], &[encoded.as_bytes()]);
                        assert!(out.windows(3).any(|bytes| bytes == BLOT), "{before} {after} {encoded}");
                        assert!(out.len() < encoded.len(), "{before} {after}");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_of_a_secret_are_masked_by_themselves() {
        let key = b"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhk\nabc\n";
        assert_eq!(masked(&[key], &[b"x MIIEvQIBADANBgkqhk y abc"]), b"x *** y abc");
        assert_eq!(masked(&[key], &[&key[..]]), b"***");
        assert_eq!(masked(&[b"pass1\r\n"], &[b"it is pass1."]), b"it is ***.");
    }

    #[test]
    fn too_short_and_too_long_values_are_told() {
        assert_eq!(Mask::refuses(3), Some(Unmaskable::Short));
        assert_eq!(Mask::refuses(4), None);
        assert_eq!(Mask::refuses(LONGEST + 1), Some(Unmaskable::Long));
        assert_eq!(masked(&[b"abc", b""], &[b"abc"]), b"abc");
    }

    #[test]
    fn binary_passes_unchanged() {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let chunks: Vec<&[u8]> = bytes.chunks(777).collect();
        assert_eq!(masked(&[b"\xff\x00\x02never"], &chunks), bytes);
    }
}
