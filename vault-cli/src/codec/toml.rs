//! TOML: strings, numbers, booleans and dates in tables.
//!
//! A number, boolean or date becomes its text, as it is written in the file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use vault_core::secret::Secret;

use super::{CodecError, Item, LongEscape, MAX_DEPTH, Problem, joined, push_quoted};
use crate::buffer::WipingBuffer;

pub(super) fn read(text: &str) -> Result<Vec<Item>, CodecError> {
    let table = DeTable::parse(text).map_err(|error| {
        // Only the line: the parser's own words quote the file.
        Problem::Syntax.at(error.span().map(|span| line(text, &span)))
    })?;
    let mut items = Vec::new();
    read_table(text, table.get_ref(), None, 1, &mut items)?;
    Ok(items)
}

pub(super) fn write_item(name: &str, value: &str, out: &mut WipingBuffer) {
    push_quoted(name, LongEscape::Known, out);
    out.extend(b" = ");
    push_quoted(value, LongEscape::Known, out);
    out.push(b'\n');
}

fn read_table(
    text: &str,
    table: &DeTable<'_>,
    parent: Option<&str>,
    depth: usize,
    items: &mut Vec<Item>,
) -> Result<(), CodecError> {
    for (key, value) in table {
        let name = joined(parent, key.get_ref());
        let line = Some(line(text, &value.span()));
        let value = match value.get_ref() {
            DeValue::Table(_) if depth == MAX_DEPTH => return Err(Problem::TooDeep.at(line).of(&name)),
            DeValue::Table(inner) => {
                read_table(text, inner, Some(&name), depth + 1, items)?;
                continue;
            }
            DeValue::Array(_) => return Err(Problem::List.at(line).of(&name)),
            DeValue::String(string) => Secret::new(string.as_bytes().to_vec()),
            _ => as_written(text, value),
        };
        items.push(Item { name, line, value });
    }
    Ok(())
}

fn as_written(text: &str, value: &Spanned<DeValue<'_>>) -> Secret {
    Secret::new(text.as_bytes()[value.span()].to_vec())
}

fn line(text: &str, span: &Range<usize>) -> usize {
    1 + text.as_bytes()[..span.start.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problem, read_text};
    use super::super::{Format, Problem};

    #[test]
    fn values_keep_their_text_and_tables_become_slashes() {
        let text = "a = 'x'\nb.c = 0x1F\n\"d/e\" = \"\"\"\none\\ttwo\"\"\"\n[f.g]\nh = 1_000\ni = +1.50e3\nj = false\nk = 2026-11-22T03:08:03Z\n";
        let mut read = read_text(Format::Toml, text).unwrap();
        read.sort();
        let expected = [
            ("a", "x"),
            ("b/c", "0x1F"),
            ("d/e", "one\ttwo"),
            ("f/g/h", "1_000"),
            ("f/g/i", "+1.50e3"),
            ("f/g/j", "false"),
            ("f/g/k", "2026-11-22T03:08:03Z"),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn lists_and_bad_syntax_are_refused_with_the_line() {
        for (text, expected, line, name) in [
            ("a = 1\nb = [1]", Problem::List, Some(2), Some("b")),
            ("[[a]]\nb = 1", Problem::List, Some(1), Some("a")),
            ("a = 1\na = 2", Problem::Syntax, Some(2), None),
            ("a = 1\n\nb = ", Problem::Syntax, Some(3), None),
            ("a = no", Problem::Syntax, Some(1), None),
        ] {
            let (problem, at, named) = problem(Format::Toml, text);
            assert_eq!((problem, at, named.as_deref()), (expected, line, name), "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("x = {}{{}}{}", "{a = ".repeat(depth - 1), "}".repeat(depth - 1));
        assert_eq!(read_text(Format::Toml, &nested(31)).unwrap(), []);
        assert_eq!(problem(Format::Toml, &nested(32)).0, Problem::TooDeep);
        let _ = problem(Format::Toml, &"x = {a = ".repeat(20_000));
        let _ = problem(Format::Toml, &format!("x = {}", "[".repeat(20_000)));
    }
}
