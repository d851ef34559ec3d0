//! References to secrets, and templates that hold them. Grammar and escapes are in docs/run.md.
//!
//! A reference is `ENTRY`, `ENTRY#FIELD`, or either after `vault://`. `%` and two hexadecimal digits are a byte, so that `%23` is
//! a `#` in a name; everything else stands for itself. A template is text with `{{ vault://ENTRY#FIELD | FORM }}` in it, and
//! `{{{{` for two braces.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use vault_core::format::entry::{DEFAULT_FIELD, EntryName, NameError, check_field_name};
use vault_core::secret::Secret;
use zeroize::Zeroizing;

use crate::buffer::WipingBuffer;

/// A field of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The entry.
    pub(crate) entry: EntryName,
    /// The field.
    pub(crate) field: String,
}

/// Why a text is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReferenceError {
    /// The name of the entry is none.
    Entry(NameError),
    /// The name of the field is none.
    Field(NameError),
    /// What `%` spells is not UTF-8.
    NotUtf8,
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub(crate) fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.strip_prefix(SCHEME).unwrap_or(text);
        let (entry, field) = text.split_once('#').unwrap_or((text, DEFAULT_FIELD));
        let entry = EntryName::parse(&decoded(entry)?).map_err(ReferenceError::Entry)?;
        // Names are stored in one normal form: an entry's name gives it.
        let field = decoded(field)?;
        let field = EntryName::parse(&field).map_or(field, |name| name.as_str().to_owned());
        check_field_name(&field).map_err(ReferenceError::Field)?;
        Ok(Self { entry, field })
    }
}

/// How a value is written into a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// Escaped for the inside of a JSON string.
    Json,
    /// In base64.
    Base64,
    /// As one word of a shell, with its quotes.
    Shell,
}

impl Form {
    /// What of a value that was written so is not the value itself; of a word in quotes, what is inside.
    pub(crate) fn inside(self, written: &[u8]) -> Option<Secret> {
        let inside = match self {
            Self::Plain => return None,
            Self::Json | Self::Base64 => written,
            Self::Shell => &written[1..written.len() - 1],
        };
        Some(Secret::new(inside.to_vec()))
    }
}

/// A part of a template.
pub(crate) enum Piece {
    /// Text, which may hold secrets of its own.
    Text(Secret),
    /// A value.
    Value(Reference, Form),
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateError {
    /// The line.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) problem: TemplateProblem,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TemplateProblem {
    /// Two braces open and no two close.
    Open,
    /// What is between the braces does not begin with `vault://`, or is not UTF-8.
    NotAReference,
    /// It is a reference to nothing.
    Reference(ReferenceError),
    /// No form of this name.
    Form(String),
}

/// Reads a template.
///
/// # Errors
/// [`TemplateError`].
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut plain = WipingBuffer::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(at) = find(rest, b"{{") {
        plain.extend(&rest[..at]);
        line += newlines(&rest[..at]);
        rest = &rest[at + 2..];
        if let Some(after) = rest.strip_prefix(b"{{") {
            plain.extend(b"{{");
            rest = after;
            continue;
        }
        let wrong = |problem| TemplateError { line, problem };
        let end = find(rest, b"}}").ok_or(wrong(TemplateProblem::Open))?;
        let inner = std::str::from_utf8(&rest[..end]).map_err(|_| wrong(TemplateProblem::NotAReference))?;
        let (reference, form) = value(inner).map_err(wrong)?;
        if !plain.as_slice().is_empty() {
            pieces.push(Piece::Text(std::mem::replace(&mut plain, WipingBuffer::new()).into_secret()));
        }
        pieces.push(Piece::Value(reference, form));
        line += newlines(&rest[..end]);
        rest = &rest[end + 2..];
    }
    plain.extend(rest);
    if !plain.as_slice().is_empty() {
        pieces.push(Piece::Text(plain.into_secret()));
    }
    Ok(pieces)
}

/// Reads a value of an environment file: a template, or a reference by itself.
///
/// # Errors
/// [`TemplateProblem`].
pub(crate) fn parse_value(text: &Secret) -> Result<Vec<Piece>, TemplateProblem> {
    if let Some(Ok(text)) =
        text.expose().starts_with(SCHEME.as_bytes()).then(|| std::str::from_utf8(text.expose()))
    {
        let reference = Reference::parse(text).map_err(TemplateProblem::Reference)?;
        return Ok(vec![Piece::Value(reference, Form::Plain)]);
    }
    parse(text.expose()).map_err(|error| error.problem)
}

/// Why a value cannot be written in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormError {
    /// JSON holds text only.
    NotUtf8,
    /// No word of a shell holds a NUL.
    Nul,
}

/// Writes a value in a form.
///
/// # Errors
/// [`FormError`].
pub(crate) fn write(value: &[u8], form: Form, out: &mut WipingBuffer) -> Result<(), FormError> {
    match form {
        Form::Plain => out.extend(value),
        Form::Base64 => out.extend(Zeroizing::new(BASE64_STANDARD.encode(value)).as_bytes()),
        Form::Json => {
            std::str::from_utf8(value).map_err(|_| FormError::NotUtf8)?;
            for &byte in value {
                match byte {
                    b'"' | b'\\' => out.extend(&[b'\\', byte]),
                    b'\n' => out.extend(b"\\n"),
                    b'\r' => out.extend(b"\\r"),
                    b'\t' => out.extend(b"\\t"),
                    0..0x20 => {
                        out.extend(b"\\u00");
                        out.extend(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                    }
                    _ => out.push(byte),
                }
            }
        }
        Form::Shell => {
            if value.contains(&0) {
                return Err(FormError::Nul);
            }
            out.push(b'\'');
            for &byte in value {
                if byte == b'\'' { out.extend(b"'\\''") } else { out.push(byte) }
            }
            out.push(b'\'');
        }
    }
    Ok(())
}

fn value(inner: &str) -> Result<(Reference, Form), TemplateProblem> {
    let (reference, form) = inner.split_once('|').unwrap_or((inner, "plain"));
    let reference = reference.trim();
    if !reference.starts_with(SCHEME) {
        return Err(TemplateProblem::NotAReference);
    }
    let form = match form.trim() {
        "plain" => Form::Plain,
        "json" => Form::Json,
        "base64" => Form::Base64,
        "shell" => Form::Shell,
        other => return Err(TemplateProblem::Form(other.to_owned())),
    };
    Ok((Reference::parse(reference).map_err(TemplateProblem::Reference)?, form))
}

/// The text with `%` and two digits as the byte that they name.
fn decoded(text: &str) -> Result<String, ReferenceError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high << 4 | low));
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| ReferenceError::NotUtf8)
}

fn find(text: &[u8], what: &[u8; 2]) -> Option<usize> {
    text.windows(2).position(|pair| pair == what)
}

fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

const SCHEME: &str = "vault://";
const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> (String, String) {
        let reference = Reference::parse(text).unwrap();
        (reference.entry.as_str().to_owned(), reference.field)
    }

    /// Every value is its name in angle brackets.
    fn rendered(text: &str) -> Result<String, TemplateError> {
        let mut out = String::new();
        for piece in parse(text.as_bytes())? {
            match piece {
                Piece::Text(text) => out.push_str(std::str::from_utf8(text.expose()).unwrap()),
                Piece::Value(reference, form) => {
                    out.push_str(&format!("<{}#{} {form:?}>", reference.entry.as_str(), reference.field));
                }
            }
        }
        Ok(out)
    }

    fn written(value: &[u8], form: Form) -> Result<Vec<u8>, FormError> {
        let mut out = WipingBuffer::new();
        write(value, form, &mut out)?;
        Ok(out.as_slice().to_vec())
    }

    #[test]
    fn a_reference_names_an_entry_and_perhaps_a_field() {
        for (text, entry, field) in [
            ("a/b", "a/b", "secret"),
            ("a/b#key_id", "a/b", "key_id"),
            ("vault://a/b#key_id", "a/b", "key_id"),
            ("a%23b#c%23d", "a#b", "c#d"),
            ("100%", "100%", "secret"),
            ("50%off", "50%off", "secret"),
            ("a%2525", "a%25", "secret"),
            ("a=b", "a=b", "secret"),
            ("e\u{301}", "\u{e9}", "secret"),
            ("a#e\u{301}", "a", "\u{e9}"),
        ] {
            assert_eq!(reference(text), (entry.to_owned(), field.to_owned()), "{text}");
        }
        for (text, error) in [
            ("", ReferenceError::Entry(NameError::Empty)),
            ("vault://", ReferenceError::Entry(NameError::Empty)),
            ("#x", ReferenceError::Entry(NameError::Empty)),
            ("a#", ReferenceError::Field(NameError::Empty)),
            ("a%00", ReferenceError::Entry(NameError::Nul)),
            ("a%ff", ReferenceError::NotUtf8),
        ] {
            assert_eq!(Reference::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn references_in_braces_are_replaced_and_nothing_else_is() {
        for (template, result) in [
            ("", ""),
            ("no reference, vault://a, { }, }}", "no reference, vault://a, { }, }}"),
            ("x={{vault://a}}y", "x=<a#secret Plain>y"),
            ("{{ vault://a b/c#d e | json }}", "<a b/c#d e Json>"),
            ("{{ vault://a|base64 }}{{vault://b |shell}}", "<a#secret Base64><b#secret Shell>"),
            ("{{{{ .Helm }} {{ vault://a }}", "{{ .Helm }} <a#secret Plain>"),
            ("{{{{{{ vault://a }}", "{{<a#secret Plain>"),
            ("{{ vault://a%7Cb }}", "<a|b#secret Plain>"),
        ] {
            assert_eq!(rendered(template).unwrap(), result, "{template}");
        }
    }

    #[test]
    fn a_mistake_in_a_template_is_told_with_its_line() {
        for (template, line, problem) in [
            ("\n\n{{ vault://a }", 3, TemplateProblem::Open),
            ("{{ a }}", 1, TemplateProblem::NotAReference),
            ("{{ vaul://a }}", 1, TemplateProblem::NotAReference),
            ("{{ vault://a\n }}\n{{ vault://a | hex }}", 3, TemplateProblem::Form("hex".to_owned())),
            ("{{ vault:// }}", 1, TemplateProblem::Reference(ReferenceError::Entry(NameError::Empty))),
        ] {
            assert_eq!(rendered(template), Err(TemplateError { line, problem }), "{template}");
        }
    }

    #[test]
    fn a_value_by_itself_may_be_a_reference() {
        let pieces = parse_value(&Secret::new(b"vault://a#b".to_vec())).unwrap();
        assert!(matches!(&pieces[..], [Piece::Value(reference, Form::Plain)] if reference.field == "b"));
        let pieces = parse_value(&Secret::new(b"see vault://a".to_vec())).unwrap();
        assert!(matches!(&pieces[..], [Piece::Text(_)]));
    }

    #[test]
    fn forms_escape_what_their_readers_would_take_for_their_own() {
        assert_eq!(written(b"a'b \n\xff", Form::Shell).unwrap(), b"'a'\\''b \n\xff'");
        assert_eq!(written(b"\0", Form::Shell), Err(FormError::Nul));
        assert_eq!(
            written(b"a\"\\\n\r\t\x01\x1f\xc3\xa9", Form::Json).unwrap(),
            b"a\\\"\\\\\\n\\r\\t\\u0001\\u001f\xc3\xa9"
        );
        assert_eq!(written(b"\xff", Form::Json), Err(FormError::NotUtf8));
        assert_eq!(written(b"\0\xff", Form::Base64).unwrap(), b"AP8=");
        assert_eq!(written(b"\0\xff", Form::Plain).unwrap(), b"\0\xff");
    }
}
