//! ssh public keys, from their own files and from `authorized_keys`.

use std::path::Path;

use vault_core::keys::age::Recipient;

use super::labels;
use crate::commands::Run;
use crate::failure::{Failure, SlotFailure};
use crate::input;
use crate::message::Status;

/// A key and what to call it.
type Key = (Recipient, String);

/// The one key of a `.pub` file.
pub(super) fn public_key(path: &Path) -> Result<Key, Failure> {
    let wrong = |reason: &str| SlotFailure::SshKey { path: path.to_owned(), reason: reason.to_owned() };
    let text = input::file(path, MAX_FILE)?;
    let text = std::str::from_utf8(text.expose()).map_err(|_| wrong("it is not text"))?;
    if text.contains("PRIVATE KEY-----") {
        return Err(wrong("it is the secret key").into());
    }
    let mut lines = text.lines().filter_map(Line::parse);
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.key().map_err(|reason| wrong(&reason).into()),
        (None, _) => Err(wrong("there is none").into()),
        (Some(_), Some(_)) => Err(wrong("there are several; use --from-authorized-keys").into()),
    }
}

/// All keys of an `authorized_keys` file that can be used; of the others it is said why not.
pub(super) fn authorized_keys(run: &Run<'_>, path: &Path) -> Result<Vec<Key>, Failure> {
    let text = input::file(path, MAX_FILE)?;
    let text = String::from_utf8_lossy(text.expose());
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some(line) = Line::parse(line) else { continue };
        match line.key() {
            Ok(key) => keys.push(key),
            Err(reason) => run.voice.status(&Status::Done(format!(
                "left out the key in line {} of {}: {reason}",
                number + 1,
                crate::escape::quoted_path(path)
            ))),
        }
    }
    if keys.is_empty() {
        return Err(SlotFailure::NoSshKeys(path.to_owned()).into());
    }
    Ok(keys)
}

/// A line with a key: `[options] type base64 [comment]`.
struct Line<'a> {
    kind: &'a str,
    key: &'a str,
    comment: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for an empty line or a comment.
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (mut kind, mut rest) = word(line);
        if !is_kind(kind) {
            (kind, rest) = word(rest);
        }
        let (key, comment) = word(rest);
        Some(Self { kind, key, comment })
    }

    fn key(&self) -> Result<Key, String> {
        if !["ssh-ed25519", "ssh-rsa"].contains(&self.kind) {
            let kind = if is_kind(self.kind) { self.kind } else { "this" };
            return Err(format!("{kind} is not a kind that age can encrypt for"));
        }
        let recipient =
            Recipient::parse(&format!("{} {}", self.kind, self.key)).map_err(|error| error.to_string())?;
        Ok((recipient, labels::like(self.comment, "ssh")))
    }
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start)) && !word.contains(['"', '=', ','])
}

/// Up to the first space that is not in quotes, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return (&text[..at], text[at..].trim_start()),
            _ => {}
        }
    }
    (text, "")
}

const MAX_FILE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_before_a_key_are_passed_over_and_the_comment_is_the_rest() {
        for (text, kind, key, comment) in [
            ("ssh-ed25519 AAAA alice@laptop", "ssh-ed25519", "AAAA", "alice@laptop"),
            ("  ssh-rsa\tAAAA", "ssh-rsa", "AAAA", ""),
            ("command=\"echo \\\"a b\\\"\",no-pty ssh-rsa AAAA Bob B.", "ssh-rsa", "AAAA", "Bob B."),
            ("restrict ecdsa-sha2-nistp256 AAAA x", "ecdsa-sha2-nistp256", "AAAA", "x"),
            ("from=\"ssh-rsa x\" ssh-ed25519 AAAA", "ssh-ed25519", "AAAA", ""),
        ] {
            let line = Line::parse(text).unwrap();
            assert_eq!((line.kind, line.key, line.comment), (kind, key, comment), "{text}");
        }
        for none in ["", "   ", "# ssh-rsa AAAA"] {
            assert!(Line::parse(none).is_none());
        }
    }
}
