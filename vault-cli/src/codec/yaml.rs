//! YAML: one document with a mapping of scalars and further mappings.
//!
//! The parser's events carry each scalar's text, so nothing is turned into a number or a boolean on the way: `no` is
//! "no", `0123` is "0123". Anchors, aliases and tags are refused, and with them every way to make a small file large.

use saphyr_parser::{Event, Parser, ScalarStyle};
use vault_core::secret::Secret;

use super::{CodecError, Item, LongEscape, MAX_DEPTH, Problem, joined, push_quoted};
use crate::buffer::WipingBuffer;

pub(super) fn read(text: &str) -> Result<Vec<Item>, CodecError> {
    let mut reader = Reader { open: Vec::new(), items: Vec::new(), documents: 0 };
    for event in Parser::new_from_str(text) {
        // Only the line: the parser's own words may quote the file.
        let (event, span) = event.map_err(|error| Problem::Syntax.on(error.marker().line()))?;
        let line = span.start.line();
        reader.take(event, line).map_err(|problem| {
            let error = problem.on(line);
            match reader.open.last().and_then(Level::name) {
                Some(name) => error.of(&name),
                None => error,
            }
        })?;
    }
    // A file of comments only, or nothing: no map was there.
    if reader.documents == 0 { Err(Problem::NotAMap.somewhere()) } else { Ok(reader.items) }
}

pub(super) fn write_item(name: &str, value: &str, out: &mut WipingBuffer) {
    // A key of more than 1,024 characters has to be announced.
    if name.len() * LONGEST_ESCAPE > MAX_SIMPLE_KEY {
        out.extend(b"? ");
        push_quoted(name, LongEscape::Known, out);
        out.extend(b"\n: ");
    } else {
        push_quoted(name, LongEscape::Known, out);
        out.extend(b": ");
    }
    push_quoted(value, LongEscape::Known, out);
    out.push(b'\n');
}

struct Reader {
    /// The mappings that are open.
    open: Vec<Level>,
    items: Vec<Item>,
    documents: usize,
}

/// An open mapping: its own name, and the key whose value comes next.
struct Level {
    own: Option<String>,
    key: Option<String>,
}

impl Level {
    fn name(&self) -> Option<String> {
        self.key.as_ref().map(|key| joined(self.own.as_deref(), key))
    }
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 { Err(Problem::SecondDocument) } else { Ok(()) }
            }
            Event::Alias(_) => Err(Problem::YamlReference),
            Event::Scalar(_, _, anchor, tag)
            | Event::MappingStart(anchor, tag)
            | Event::SequenceStart(anchor, tag)
                if anchor != 0 || tag.is_some() =>
            {
                Err(Problem::YamlReference)
            }
            Event::Scalar(text, style, ..) => self.scalar(text.into_owned(), style, line),
            Event::MappingStart(..) => self.mapping(),
            Event::MappingEnd => {
                self.open.pop();
                Ok(())
            }
            Event::SequenceStart(..) if self.open.is_empty() => Err(Problem::NotAMap),
            Event::SequenceStart(..) if self.open.last().is_some_and(|level| level.key.is_none()) => {
                Err(Problem::KeyNotText)
            }
            Event::SequenceStart(..) => Err(Problem::List),
            _ => Ok(()),
        }
    }

    fn mapping(&mut self) -> Result<(), Problem> {
        let own = match self.open.last_mut() {
            None => None,
            Some(level) => {
                let own = level.name().ok_or(Problem::KeyNotText)?;
                level.key = None;
                Some(own)
            }
        };
        if self.open.len() == MAX_DEPTH {
            return Err(Problem::TooDeep);
        }
        self.open.push(Level { own, key: None });
        Ok(())
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, line: usize) -> Result<(), Problem> {
        let level = self.open.last_mut().ok_or(Problem::NotAMap)?;
        let is_null =
            style == ScalarStyle::Plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        if level.key.is_none() {
            // `<<` would pull in another mapping for some readers, and be a name for others.
            if is_null || (style == ScalarStyle::Plain && text == "<<") {
                return Err(Problem::KeyNotText);
            }
            level.key = Some(text);
            return Ok(());
        }
        let value = Secret::new(text.into_bytes());
        if is_null {
            return Err(Problem::Null);
        }
        let name = level.name().expect("the key is there, or the function had returned");
        level.key = None;
        self.items.push(Item { name, line: Some(line), value });
        Ok(())
    }
}

/// `\UXXXXXXXX`, against at least one byte.
const LONGEST_ESCAPE: usize = 6;
const MAX_SIMPLE_KEY: usize = 1000;

#[cfg(test)]
mod tests {
    use super::super::tests::{problem, read_text};
    use super::super::{Format, Problem};

    #[test]
    fn plain_scalars_keep_their_text() {
        for text in [
            "no",
            "Yes",
            "on",
            "0123",
            "0x1F",
            "1e3",
            "1_000",
            "12:30:45",
            "2026-11-22",
            ".inf",
            "1.0",
            "=",
            "-1",
        ] {
            let read = read_text(Format::Yaml, &format!("key: {text}\n")).unwrap();
            assert_eq!(read, [("key".to_owned(), text.to_owned())]);
        }
    }

    #[test]
    fn all_styles_of_text_and_nested_maps_are_read() {
        let text = "a:\n  b: 'it''s'\n  c: \"tab\\t\"\nd: |\n  one\n  two\ne: >-\n  folded\n  text\nf: {g: h, i: ''}\n'n': 'null'\n";
        let expected = [
            ("a/b", "it's"),
            ("a/c", "tab\t"),
            ("d", "one\ntwo\n"),
            ("e", "folded text"),
            ("f/g", "h"),
            ("f/i", ""),
            ("n", "null"),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(read_text(Format::Yaml, text).unwrap(), expected);
    }

    #[test]
    fn what_has_no_text_is_refused_with_line_and_name() {
        for (text, expected, line, name) in [
            ("a: 1\nb: null\n", Problem::Null, Some(2), Some("b")),
            ("a: ~", Problem::Null, Some(1), Some("a")),
            ("a:\n  b:\n", Problem::Null, Some(2), Some("a/b")),
            ("a: [1]", Problem::List, Some(1), Some("a")),
            ("- a", Problem::NotAMap, Some(1), None),
            ("text", Problem::NotAMap, Some(1), None),
            ("", Problem::NotAMap, None, None),
            ("? [a]\n: b", Problem::KeyNotText, Some(1), None),
            ("? {a: b}\n: c", Problem::KeyNotText, Some(1), None),
            ("~: c", Problem::KeyNotText, Some(1), None),
            ("<<: c", Problem::KeyNotText, Some(1), None),
            ("a: 1\na: 2", Problem::Duplicate, Some(2), Some("a")),
            ("a: b\n---\na: c", Problem::SecondDocument, Some(2), None),
        ] {
            let (problem, at, named) = problem(Format::Yaml, text);
            assert_eq!((problem, at, named.as_deref()), (expected, line, name), "{text:?}");
        }
    }

    #[test]
    fn bombs_have_nothing_to_be_made_of() {
        for text in ["a: &x 1\nb: *x", "a: *x", "a: !!int 3", "a: &x {b: c}", "&x a: b", "!t {a: b}"] {
            let (problem, ..) = problem(Format::Yaml, text);
            assert!(matches!(problem, Problem::YamlReference | Problem::Syntax), "{text} {problem:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{{}}{}", "{a: ".repeat(depth), "}".repeat(depth));
        assert_eq!(read_text(Format::Yaml, &nested(31)).unwrap(), []);
        assert_eq!(problem(Format::Yaml, &nested(32)).0, Problem::TooDeep);
        let _ = problem(Format::Yaml, &"{a: ".repeat(20_000));
        let _ = problem(Format::Yaml, &"[".repeat(20_000));
        let _ = problem(Format::Yaml, &"- ".repeat(20_000));
    }
}
