//! Foreign text formats of import and export: maps of names to values.
//!
//! Nested maps become names with slashes. A value keeps its text: `0123`, `no` and `1e3` stay what was written. What has
//! no text (null, a list) is an error, never a guess. Errors tell lines and names, never values.

mod dotenv;
mod json;
mod toml;
mod yaml;

use std::collections::HashSet;

use vault_core::secret::Secret;
use zeroize::Zeroizing;

use crate::buffer::WipingBuffer;

/// A format that this program reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `NAME=value` lines.
    Dotenv,
    /// An object.
    Json,
    /// A mapping.
    Yaml,
    /// A table.
    Toml,
}

/// A name and its value, as a file has it.
pub(crate) struct Item {
    /// The name; levels are separated by slashes. Not yet checked to be an entry's name.
    pub(crate) name: String,
    /// The line where it stands, if the format's parser tells.
    pub(crate) line: Option<usize>,
    /// The value's text.
    pub(crate) value: Secret,
}

/// Why a text cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodecError {
    /// The line, if known.
    pub(crate) line: Option<usize>,
    /// The name, if it got so far.
    pub(crate) name: Option<String>,
    /// What is wrong.
    pub(crate) problem: Problem,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Problem {
    /// It is not UTF-8.
    NotUtf8,
    /// The format's grammar does not allow it.
    Syntax,
    /// A line of a dotenv file without `=`.
    NoEquals,
    /// A dotenv name with other characters than letters, digits, `_`, `-` and `.`, or that begins with a digit.
    BadKey,
    /// A quote that is not closed.
    OpenQuote,
    /// Something other than a comment after a closing quote.
    AfterQuote,
    /// The document is not a map.
    NotAMap,
    /// The same name twice.
    Duplicate,
    /// A value that is null.
    Null,
    /// A value that is a list.
    List,
    /// A map key that is not a plain text.
    KeyNotText,
    /// An anchor, alias or tag of YAML.
    YamlReference,
    /// A second document in one file.
    SecondDocument,
    /// Maps in maps in maps.
    TooDeep,
    /// A value that this format cannot hold.
    NotRepresentable,
}

/// Reads a text.
///
/// # Errors
/// See [`Problem`].
pub(crate) fn read(format: Format, text: &Secret) -> Result<Vec<Item>, CodecError> {
    let text = std::str::from_utf8(text.expose()).map_err(|_| Problem::NotUtf8.somewhere())?;
    // Windows editors put it there; it is no part of the first name.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let items = match format {
        Format::Dotenv => dotenv::read(text),
        Format::Json => json::read(text),
        Format::Yaml => yaml::read(text),
        Format::Toml => toml::read(text),
    }?;
    let mut seen = HashSet::new();
    match items.iter().find(|item| !seen.insert(item.name.as_str())) {
        // Also `a: {b: …}` beside `a/b: …`.
        Some(again) => Err(Problem::Duplicate.at(again.line).of(&again.name)),
        None => Ok(items),
    }
}

/// Writes a flat map, which [`read`] reads back exactly.
///
/// # Errors
/// [`Problem::NotRepresentable`] for a value that is not text, [`Problem::BadKey`] for a name that is not one in this format.
pub(crate) fn write<'a>(
    format: Format,
    items: impl IntoIterator<Item = (&'a str, &'a Secret)>,
) -> Result<Secret, CodecError> {
    let mut out = WipingBuffer::new();
    let mut writer = Writer::begin(format, &mut out);
    for (name, value) in items {
        let text = std::str::from_utf8(value.expose())
            .map_err(|_| Problem::NotRepresentable.somewhere().of(name))?;
        writer.item(name, text)?;
    }
    writer.end();
    Ok(out.into_secret())
}

impl Problem {
    fn somewhere(self) -> CodecError {
        CodecError { line: None, name: None, problem: self }
    }

    fn on(self, line: usize) -> CodecError {
        self.at(Some(line))
    }

    fn at(self, line: Option<usize>) -> CodecError {
        CodecError { line, name: None, problem: self }
    }
}

impl CodecError {
    fn of(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

/// Writes items one after another.
struct Writer<'a> {
    format: Format,
    out: &'a mut WipingBuffer,
    first: bool,
}

impl<'a> Writer<'a> {
    fn begin(format: Format, out: &'a mut WipingBuffer) -> Self {
        if format == Format::Json {
            out.extend(b"{");
        }
        Self { format, out, first: true }
    }

    fn item(&mut self, name: &str, value: &str) -> Result<(), CodecError> {
        match self.format {
            Format::Dotenv => dotenv::write_item(name, value, self.out)?,
            Format::Json => json::write_item(name, value, self.first, self.out),
            Format::Yaml => yaml::write_item(name, value, self.out),
            Format::Toml => toml::write_item(name, value, self.out),
        }
        self.first = false;
        Ok(())
    }

    fn end(self) {
        match self.format {
            Format::Json if self.first => self.out.extend(b"}\n"),
            Format::Json => self.out.extend(b"\n}\n"),
            // An empty document is null in YAML, and not a map.
            Format::Yaml if self.first => self.out.extend(b"{}\n"),
            _ => {}
        }
    }
}

/// The name of something inside `parent`.
fn joined(parent: Option<&str>, key: &str) -> String {
    parent.map_or_else(|| key.to_owned(), |parent| format!("{parent}/{key}"))
}

/// Writes a character into the buffer without a copy elsewhere.
fn push_char(character: char, out: &mut WipingBuffer) {
    let mut utf8 = Zeroizing::new([0; 4]);
    out.extend(character.encode_utf8(&mut utf8[..]).as_bytes());
}

/// Writes text in double quotes with the escapes that JSON, YAML and TOML have in common.
fn push_quoted(text: &str, long: LongEscape, out: &mut WipingBuffer) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend(b"\\\""),
            '\\' => out.extend(b"\\\\"),
            '\n' => out.extend(b"\\n"),
            '\r' => out.extend(b"\\r"),
            '\t' => out.extend(b"\\t"),
            // Beside the control characters, those that YAML does not take as they are.
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let digits = Zeroizing::new(format!("\\u{:04x}", u32::from(character)));
                out.extend(digits.as_bytes());
            }
            // Non-characters of the higher planes are the rest that YAML refuses.
            _ if u32::from(character) & 0xfffe == 0xfffe && long == LongEscape::Known => {
                let digits = Zeroizing::new(format!("\\U{:08x}", u32::from(character)));
                out.extend(digits.as_bytes());
            }
            _ => push_char(character, out),
        }
    }
    out.push(b'"');
}

/// Whether the format has `\U` with eight digits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LongEscape {
    Known,
    Unknown,
}

/// Maps in maps beyond this are no list of secrets.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn read_text(format: Format, text: &str) -> Result<Vec<(String, String)>, CodecError> {
        let items = read(format, &Secret::new(text.as_bytes().to_vec()))?;
        Ok(items
            .into_iter()
            .map(|item| (item.name, String::from_utf8(item.value.expose().to_vec()).unwrap()))
            .collect())
    }

    pub(super) fn problem(format: Format, text: &str) -> (Problem, Option<usize>, Option<String>) {
        let error = read_text(format, text).expect_err(text);
        (error.problem, error.line, error.name)
    }

    fn round_trip(format: Format, items: &[(String, String)]) {
        let secrets: Vec<(String, Secret)> = items
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(value.as_bytes().to_vec())))
            .collect();
        let written = write(format, secrets.iter().map(|(name, value)| (name.as_str(), value))).unwrap();
        let read = read_text(format, std::str::from_utf8(written.expose()).unwrap());
        let mut read = read.unwrap_or_else(|error| panic!("{format:?} {error:?}"));
        let mut expected = items.to_vec();
        read.sort();
        expected.sort();
        assert_eq!(read, expected, "{format:?}");
    }

    /// Text with many of the characters that formats care about.
    fn awkward() -> impl Strategy<Value = String> {
        let character = prop_oneof![
            proptest::sample::select(
                "\"'\\$`#=:,[]{}&*!|>%@-?~ \t\n\r\u{85}\u{2028}\u{feff}\u{fffe}\u{1fffe}nultrey0123."
                    .chars()
                    .collect::<Vec<_>>()
            ),
            any::<char>(),
        ];
        proptest::collection::vec(character, 0..24).prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn maps_survive_the_round_trip(values in proptest::collection::btree_map(awkward(), awkward(), 0..6)) {
            let items: Vec<_> = values.into_iter().filter(|(name, _)| !name.is_empty()).collect();
            for format in [Format::Json, Format::Yaml, Format::Toml] {
                round_trip(format, &items);
            }
        }

        #[test]
        fn dotenv_survives_the_round_trip(values in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_.-]{0,8}", awkward(), 0..6)) {
            let items: Vec<_> = values.into_iter().map(|(name, value)| (name, value.replace('\0', ""))).collect();
            round_trip(Format::Dotenv, &items);
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in awkward()) {
            for format in ALL {
                let _ = read_text(format, &text);
            }
        }
    }

    const ALL: [Format; 4] = [Format::Dotenv, Format::Json, Format::Yaml, Format::Toml];

    #[test]
    fn no_items_are_written_and_read_as_none() {
        for format in ALL {
            round_trip(format, &[]);
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_both_ways() {
        for format in ALL {
            let bytes = Secret::new(b"\xff\xfe".to_vec());
            assert_eq!(read(format, &bytes).err().unwrap().problem, Problem::NotUtf8);
            let error = write(format, [("NAME", &bytes)]).err().unwrap();
            assert_eq!((error.problem, error.name.as_deref()), (Problem::NotRepresentable, Some("NAME")));
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        assert_eq!(read_text(Format::Dotenv, "\u{feff}A=1").unwrap(), [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn nested_and_flat_spellings_of_one_name_are_a_duplicate() {
        for (format, text) in [
            (Format::Json, r#"{"a": {"b": "1"}, "a/b": "2"}"#),
            (Format::Yaml, "a: {b: 1}\na/b: 2\n"),
            (Format::Toml, "'a/b' = '2'\n[a]\nb = '1'\n"),
        ] {
            let (problem, _, name) = problem(format, text);
            assert_eq!((problem, name.as_deref()), (Problem::Duplicate, Some("a/b")), "{format:?}");
        }
    }
}
