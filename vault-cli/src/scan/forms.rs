//! How a value may be written down where it leaks: as it is, or in one of the encodings that programs use.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use zeroize::Zeroizing;

use super::SHORTEST;
use crate::buffer::WipingBuffer;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Raw,
    /// In base64, wherever in its text.
    Base64,
    /// In hexadecimal digits.
    Hex,
    /// In a URL or a form.
    Url,
    /// In a string of JSON.
    Json,
}

impl Form {
    /// The word.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Url => "url",
            Self::Json => "json",
        }
    }
}

/// Calls `add` with every pattern of a value; some may be the same.
pub(super) fn each(value: &[u8], add: &mut dyn FnMut(Form, &[u8])) {
    let value = part(value.trim_ascii_end());
    if value.len() < SHORTEST {
        return;
    }
    add(Form::Raw, value);
    base64(value, add);
    let mut out = WipingBuffer::new();
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        out.clear();
        value.iter().for_each(|byte| hex(*byte, digits, &mut out));
        add(Form::Hex, out.as_slice());
        for space in [&b"%20"[..], b"+"] {
            out.clear();
            value.iter().for_each(|byte| url(*byte, digits, space, &mut out));
            add(Form::Url, out.as_slice());
        }
    }
    if let Ok(text) = std::str::from_utf8(value) {
        for ascii_only in [false, true] {
            out.clear();
            text.chars().for_each(|character| json(character, ascii_only, &mut out));
            add(Form::Json, out.as_slice());
        }
    }
}

/// Of a long value only a part: its longest line, which stays the same when lines are indented, joined or ended otherwise,
/// or what is in the middle of it. Beginnings are left out: many keys begin in the same way.
fn part(value: &[u8]) -> &[u8] {
    if value.len() <= WHOLE {
        return value;
    }
    let mut lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    // The first one is a heading more often than not.
    lines.next();
    let longest = lines.rev().max_by_key(|line| line.len()).unwrap_or_default();
    let text = if longest.len() >= LINE { longest } else { value };
    let start = text.len().saturating_sub(WHOLE) / 2;
    &text[start..(start + WHOLE).min(text.len())]
}

/// Those digits of base64 that depend on the value alone, where it begins at a multiple of three bytes, or one or two later.
fn base64(value: &[u8], add: &mut dyn FnMut(Form, &[u8])) {
    for before in 0..3 {
        let mut bytes = Zeroizing::new(vec![0; before + value.len()]);
        bytes[before..].copy_from_slice(value);
        // 6 bits a digit: those that hold bits of what is before, and the one that may hold bits of what follows, are left out.
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for engine in [&BASE64_STANDARD, &BASE64_URL_SAFE] {
            let mut digits = Zeroizing::new(vec![0; bytes.len().div_ceil(3) * 4]);
            engine.encode_slice(bytes.as_slice(), &mut digits).expect("three bytes make four digits");
            add(Form::Base64, &digits[first..end]);
        }
    }
}

fn hex(byte: u8, digits: &[u8; 16], out: &mut WipingBuffer) {
    out.push(digits[usize::from(byte >> 4)]);
    out.push(digits[usize::from(byte & 0xf)]);
}

fn url(byte: u8, digits: &[u8; 16], space: &[u8], out: &mut WipingBuffer) {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
        b' ' => out.extend(space),
        _ => {
            out.push(b'%');
            hex(byte, digits, out);
        }
    }
}

fn json(character: char, ascii_only: bool, out: &mut WipingBuffer) {
    match character {
        '"' => out.extend(b"\\\""),
        '\\' => out.extend(b"\\\\"),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\t' => out.extend(b"\\t"),
        '\u{8}' => out.extend(b"\\b"),
        '\u{c}' => out.extend(b"\\f"),
        other if u32::from(other) < 0x20 || (ascii_only && !other.is_ascii()) => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.extend(b"\\u");
                unit.to_be_bytes().into_iter().for_each(|byte| hex(byte, b"0123456789abcdef", out));
            }
        }
        other => out.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// A value of more bytes is looked for by a part of so many.
const WHOLE: usize = 96;
/// A line that is worth looking for.
const LINE: usize = 24;

#[cfg(test)]
mod tests {
    use super::super::Patterns;
    use super::*;

    fn forms_in(value: &[u8], text: &[u8]) -> Vec<Form> {
        let mut all = Vec::new();
        let patterns = Patterns::of(std::iter::once(value));
        patterns.search(&mut &text[..], &mut Vec::new(), &mut |hit| all.push(hit.form)).unwrap();
        all
    }

    #[test]
    fn base64_is_found_whatever_stands_around_it() {
        let value = b"p\xffss>>word??1";
        for before in 0..7 {
            for after in 0..7 {
                let text = [&vec![b'q'; before][..], value, &vec![b'z'; after]].concat();
                for encoded in [BASE64_STANDARD.encode(&text), BASE64_URL_SAFE.encode(&text)] {
                    assert_eq!(forms_in(value, encoded.as_bytes()), [Form::Base64], "{before} {after}");
                }
            }
        }
    }

    #[test]
    fn the_shortest_value_is_found_in_every_form() {
        let value = b"8 bytes\"";
        for (text, form) in [
            (&b"8 bytes\""[..], Form::Raw),
            (b"3820627974657322", Form::Hex),
            (b"x=8%20bytes%22", Form::Url),
            (b"x=8+bytes%22", Form::Url),
            (b"\"8 bytes\\\"\"", Form::Json),
        ] {
            assert_eq!(forms_in(value, text), [form], "{}", String::from_utf8_lossy(text));
        }
        assert!(forms_in(b"7 bytes", b"7 bytes").is_empty());
        assert!(
            forms_in(b"7 bytes\n\n", b"7 bytes\n\n").is_empty(),
            "an end of line is no part of the value"
        );
    }

    #[test]
    fn either_case_of_digits_is_found() {
        let value = "schlüssel".as_bytes();
        for text in [
            "736368 6cc3bc7373656c",
            "7363686CC3BC7373656C",
            "schl%c3%bcssel",
            "schl%C3%BCssel",
            "schl\\u00fcssel",
        ] {
            assert_eq!(forms_in(value, text.replace(' ', "").as_bytes()).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_long_value_is_found_by_a_line_of_it_however_lines_end() {
        let line =
            |i: u32| format!("{i:02}{}", "QWERTZUIOPASDFGHJKLYXCVBNM0123456789+/abcdefghijklmnopqrstuvwx");
        let body: Vec<String> = (0..20).map(line).collect();
        let key = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END-----\n", body.join("\n"));
        for text in
            [key.replace('\n', "\r\n"), key.replace('\n', "\\n"), key.replace('\n', "\n    "), key.clone()]
        {
            assert!(!forms_in(key.as_bytes(), text.as_bytes()).is_empty());
        }
        assert!(forms_in(key.as_bytes(), b"-----BEGIN OPENSSH PRIVATE KEY-----\nother\n").is_empty());
        let binary: Vec<u8> = (0..10_000_u32).map(|i| u8::try_from(i * 7 % 251).unwrap() | 0x80).collect();
        assert!(forms_in(&binary, &binary).contains(&Form::Raw));
    }
}
