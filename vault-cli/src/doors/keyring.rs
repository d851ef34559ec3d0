//! The interface of Python's `keyring` command, and what its service names mean here. docs/keyring.md.

pub(crate) mod arguments;
pub(crate) mod completion;
mod services;

use crate::buffer::WipingBuffer;

pub(crate) use services::candidates;

/// The class of our backend for Python's keyring, as it is written in its configuration.
pub(crate) const BACKEND: &str = "vault_keyring.Keyring";
/// The class that Python's keyring uses when it is switched off.
pub(crate) const DISABLED: &str = "keyring.backends.null.Keyring";

/// A credential as Python's command writes it as JSON, and a newline.
pub(crate) fn push_credential(out: &mut WipingBuffer, username: Option<&str>, password: Option<&str>) {
    let mut before = "{";
    for (name, value) in [("username", username), ("password", password)] {
        if let Some(value) = value {
            out.extend(before.as_bytes());
            push_json(out, name);
            out.extend(b": ");
            push_json(out, value);
            before = ", ";
        }
    }
    out.extend(if before == "{" { b"{}\n" } else { b"}\n" });
}

/// `text` as Python's `json.dumps` writes it: ASCII only.
fn push_json(out: &mut WipingBuffer, text: &str) {
    let mut put = |bytes: &[u8]| out.extend(bytes);
    put(b"\"");
    for character in text.chars() {
        match character {
            '"' => put(b"\\\""),
            '\\' => put(b"\\\\"),
            '\n' => put(b"\\n"),
            '\r' => put(b"\\r"),
            '\t' => put(b"\\t"),
            '\u{8}' => put(b"\\b"),
            '\u{c}' => put(b"\\f"),
            ' '..='~' => put(&[u8::try_from(character).expect("it is ASCII")]),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    put(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        put(&[HEX[usize::from(*unit >> shift & 15)]]);
                    }
                }
            }
        }
    }
    put(b"\"");
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_python_does() {
        let mut out = WipingBuffer::new();
        push_credential(&mut out, Some("u"), Some("a\"\\\n\r\t\u{8}\u{c}\0\u{7f}ü鍵🔑/"));
        let python = concat!(
            r#"{"username": "u", "password": "#,
            r#""a\"\\\n\r\t\b\f\u0000\u007f\u00fc\u9375\ud83d\udd11/"}"#,
            "\n"
        );
        assert_eq!(std::str::from_utf8(out.as_slice()).unwrap(), python);
    }
}
