//! JSON: an object of strings, numbers, booleans and further objects.
//!
//! A number or boolean becomes its text, as it is written. Strings without escapes go from the file into wiping memory;
//! one with escapes passes through the parser's own buffer, which is not wiped.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use vault_core::secret::Secret;

use super::{CodecError, Item, LongEscape, MAX_DEPTH, Problem, joined, push_quoted};
use crate::buffer::WipingBuffer;

pub(super) fn read(text: &str) -> Result<Vec<Item>, CodecError> {
    let mut items = Vec::new();
    read_object(text, None, 1, &mut items)?;
    Ok(items)
}

pub(super) fn write_item(name: &str, value: &str, first: bool, out: &mut WipingBuffer) {
    out.extend(if first { b"\n  " } else { b",\n  " });
    push_quoted(name, LongEscape::Unknown, out);
    out.extend(b": ");
    push_quoted(value, LongEscape::Unknown, out);
}

fn read_object(
    text: &str,
    parent: Option<&str>,
    depth: usize,
    items: &mut Vec<Item>,
) -> Result<(), CodecError> {
    if !text.trim_start().starts_with('{') {
        // Told apart from bad syntax so that the message can say what is expected.
        let valid = serde_json::from_str::<&RawValue>(text);
        return Err(valid.map_or_else(|error| syntax(&error), |_| Problem::NotAMap.somewhere()));
    }
    let object: Object<'_> = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    for (key, raw) in object.0 {
        let name = joined(parent, &key);
        let text = raw.get();
        let value = match text.as_bytes() {
            [b'{', ..] if depth == MAX_DEPTH => return Err(Problem::TooDeep.somewhere().of(&name)),
            [b'{', ..] => {
                read_object(text, Some(&name), depth + 1, items)?;
                continue;
            }
            [b'[', ..] => return Err(Problem::List.somewhere().of(&name)),
            [b'n', ..] => return Err(Problem::Null.somewhere().of(&name)),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Secret::new(inner.to_vec()),
            [b'"', ..] => {
                let string = serde_json::from_str::<String>(text)
                    .map_err(|_| Problem::Syntax.somewhere().of(&name))?;
                Secret::new(string.into_bytes())
            }
            scalar => Secret::new(scalar.to_vec()),
        };
        items.push(Item { name, line: None, value });
    }
    Ok(())
}

/// Only the line: the parser's own words may quote the file.
fn syntax(error: &serde_json::Error) -> CodecError {
    Problem::Syntax.on(error.line())
}

/// Members in their order, none lost to a later one of the same name.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problem, read_text};
    use super::super::{Format, Problem};

    #[test]
    fn scalars_keep_their_text_and_maps_become_slashes() {
        let text = r#"{"a": {"b": "x", "c": {"d": 1e3}}, "n": 1.50, "t": true, "e": "\u00e4\n", "z": 0, "empty": {}}"#;
        let expected =
            [("a/b", "x"), ("a/c/d", "1e3"), ("n", "1.50"), ("t", "true"), ("e", "ä\n"), ("z", "0")];
        let expected: Vec<_> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(read_text(Format::Json, text).unwrap(), expected);
    }

    #[test]
    fn what_has_no_text_is_refused_by_name() {
        for (text, expected, name) in [
            (r#"{"a": {"b": null}}"#, Problem::Null, Some("a/b")),
            (r#"{"a": []}"#, Problem::List, Some("a")),
            (r#"{"a": 1, "a": 2}"#, Problem::Duplicate, Some("a")),
            (r#"["a"]"#, Problem::NotAMap, None),
            (r#""secret""#, Problem::NotAMap, None),
            ("", Problem::Syntax, None),
            (r#"{"a": "b"} x"#, Problem::Syntax, None),
            (r#"{"a": 0123}"#, Problem::Syntax, None),
            (r#"{"a": "\ud800"}"#, Problem::Syntax, Some("a")),
        ] {
            let (problem, _, at) = problem(Format::Json, text);
            assert_eq!((problem, at.as_deref()), (expected, name), "{text}");
        }
    }

    #[test]
    fn syntax_errors_tell_the_line() {
        assert_eq!(problem(Format::Json, "{\"a\": 1,\n\"b\"\n}").1, Some(3));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{{}}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(read_text(Format::Json, &nested(31)).unwrap(), []);
        assert_eq!(problem(Format::Json, &nested(32)).0, Problem::TooDeep);
        let _ = problem(Format::Json, &"{\"a\":".repeat(200_000));
    }
}
