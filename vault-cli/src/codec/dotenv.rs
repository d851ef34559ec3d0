//! Dotenv: `NAME=value` lines. There is no standard; this is what is read here.
//!
//! - A line is empty, a comment (`# …`), or `NAME=value`, with or without `export ` before it. Names are letters, digits,
//!   `_`, `-` and `.`, not beginning with a digit or `-` or `.`. Spaces around the name and the `=` do not count.
//! - `'…'` is taken as it is, over several lines if need be.
//! - `"…"` too, but `\n`, `\r` and `\t` are characters, and `\"`, `\\`, `\$` and `` \` `` are the second character. Any
//!   other backslash is a backslash.
//! - Otherwise the value is the rest of the line without spaces at both ends, up to a `#` that follows a space.
//! - `$NAME` is never replaced: it may be part of a secret.

use vault_core::secret::Secret;

use super::{CodecError, Item, Problem};
use crate::buffer::WipingBuffer;

pub(super) fn read(text: &str) -> Result<Vec<Item>, CodecError> {
    let mut reader = Reader { rest: text, line: 1 };
    let mut items = Vec::new();
    while !reader.rest.is_empty() {
        items.extend(reader.item()?);
    }
    Ok(items)
}

pub(super) fn write_item(name: &str, value: &str, out: &mut WipingBuffer) -> Result<(), CodecError> {
    if !is_key(name) {
        return Err(Problem::BadKey.somewhere().of(name));
    }
    // No environment variable can hold it.
    if value.contains('\0') {
        return Err(Problem::NotRepresentable.somewhere().of(name));
    }
    out.extend(name.as_bytes());
    out.push(b'=');
    if value.contains(['\'', '\n', '\r']) {
        write_escaped(value, out)
    } else {
        write_literal(value, out)
    }
    out.push(b'\n');
    Ok(())
}

fn write_literal(value: &str, out: &mut WipingBuffer) {
    out.push(b'\'');
    out.extend(value.as_bytes());
    out.push(b'\'');
}

fn write_escaped(value: &str, out: &mut WipingBuffer) {
    out.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'"' | b'\\' | b'$' | b'`' => out.extend(&[b'\\', byte]),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    /// Reads one line, or as many as its quotes span.
    fn item(&mut self) -> Result<Option<Item>, CodecError> {
        let line = self.line;
        let content = self.peek_line();
        let trimmed = content.trim_matches(SPACE);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.next_line();
            return Ok(None);
        }
        let equals = content.find('=').ok_or(Problem::NoEquals.on(line))?;
        let name = key(&content[..equals]).ok_or(Problem::BadKey.on(line))?.to_owned();
        self.rest = &self.rest[equals + 1..];
        let value = self.value().map_err(|problem| problem.on(line).of(&name))?;
        Ok(Some(Item { name, line: Some(line), value }))
    }

    fn value(&mut self) -> Result<Secret, Problem> {
        let start = self.rest.trim_start_matches(SPACE);
        match start.chars().next() {
            Some('\'') => {
                self.rest = &start[1..];
                let end = self.rest.find('\'').ok_or(Problem::OpenQuote)?;
                let value = Secret::new(self.rest.as_bytes()[..end].to_vec());
                self.close(end)?;
                Ok(value)
            }
            Some('"') => {
                self.rest = &start[1..];
                let (value, end) = unescaped(self.rest).ok_or(Problem::OpenQuote)?;
                self.close(end)?;
                Ok(value)
            }
            _ => {
                let value = Secret::new(bare(self.peek_line()).as_bytes().to_vec());
                self.next_line();
                Ok(value)
            }
        }
    }

    /// Goes past the closing quote at `end`, behind which only a comment may follow.
    fn close(&mut self, end: usize) -> Result<(), Problem> {
        self.line += self.rest[..end].matches('\n').count();
        self.rest = &self.rest[end + 1..];
        let after = self.peek_line();
        let comment = after.trim_start_matches(SPACE);
        if !comment.is_empty() && !comment.starts_with('#') {
            return Err(Problem::AfterQuote);
        }
        self.next_line();
        Ok(())
    }

    /// What is left of the line, without its end.
    fn peek_line(&self) -> &str {
        let line = self.rest.split('\n').next().unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn next_line(&mut self) {
        self.line += 1;
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
}

/// The name before `=`, if it is one.
fn key(text: &str) -> Option<&str> {
    let text = text.trim_matches(SPACE);
    let name = match text.strip_prefix("export") {
        Some(name) if name.starts_with(SPACE) => name.trim_start_matches(SPACE),
        _ => text,
    };
    is_key(name).then_some(name)
}

fn is_key(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// An unquoted value: up to a comment, without spaces at both ends.
fn bare(text: &str) -> &str {
    let comment = text.match_indices('#').find(|(at, _)| text[..*at].ends_with(SPACE));
    comment.map_or(text, |(at, _)| &text[..at]).trim_matches(SPACE)
}

/// The content of double quotes, and where the closing one is.
fn unescaped(text: &str) -> Option<(Secret, usize)> {
    let mut value = WipingBuffer::new();
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value.into_secret(), at)),
            b'\\' => match bytes.next()?.1 {
                b'n' => value.push(b'\n'),
                b'r' => value.push(b'\r'),
                b't' => value.push(b'\t'),
                same @ (b'"' | b'\\' | b'$' | b'`') => value.push(same),
                other => value.extend(&[b'\\', other]),
            },
            _ => value.push(byte),
        }
    }
    None
}

const SPACE: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::super::tests::{problem, read_text};
    use super::super::{Format, Problem, write};
    use vault_core::secret::Secret;

    fn values(text: &str) -> Vec<(String, String)> {
        read_text(Format::Dotenv, text).unwrap()
    }

    fn value(text: &str) -> String {
        values(text).remove(0).1
    }

    #[test]
    fn unquoted_values_are_trimmed_and_end_at_a_comment() {
        for (line, expected) in [
            ("A=b", "b"),
            ("A=  b c \t", "b c"),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A=#b", "#b"),
            ("A= # b", ""),
            ("A=", ""),
            ("A = b", "b"),
            ("  export   A=b", "b"),
            ("export\tA=b", "b"),
            ("A=b=c==", "b=c=="),
            ("A=$HOME ${B} `x` \\n", "$HOME ${B} `x` \\n"),
            ("A=it's \"so\"", "it's \"so\""),
            ("A=0123", "0123"),
            ("A=b\r\n", "b"),
        ] {
            assert_eq!(value(line), expected, "{line:?}");
        }
    }

    #[test]
    fn quotes_keep_what_is_in_them() {
        for (line, expected) in [
            ("A='b # c'", "b # c"),
            ("A='  '", "  "),
            ("A='a\\n$B'", "a\\n$B"),
            ("A='one\ntwo'", "one\ntwo"),
            ("A=\"a\\nb\\r\\t\\\"\\\\\\$\\`\"", "a\nb\r\t\"\\$`"),
            ("A=\"C:\\dir \\'x\\'\"", "C:\\dir \\'x\\'"),
            ("A=\"one\ntwo\"", "one\ntwo"),
            ("A=\"b\" # c", "b"),
            ("A=''", ""),
            ("A='ä'", "ä"),
        ] {
            assert_eq!(value(line), expected, "{line:?}");
        }
    }

    #[test]
    fn lines_follow_each_other() {
        let text = "# head\n\nA=1\r\n  # more\nB='x\ny'\nexport C=\"3\"\n";
        let expected = [("A", "1"), ("B", "x\ny"), ("C", "3")];
        assert_eq!(values(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn errors_tell_the_line() {
        for (text, expected, line) in [
            ("A=1\nnonsense\n", Problem::NoEquals, 2),
            ("A='1\n2'\n\n1B=2", Problem::BadKey, 4),
            ("a b=2", Problem::BadKey, 1),
            ("=2", Problem::BadKey, 1),
            ("A='1", Problem::OpenQuote, 1),
            ("A=\"1\\\"", Problem::OpenQuote, 1),
            ("A=1\nB='1' 2", Problem::AfterQuote, 2),
            ("A=1\nA=2", Problem::Duplicate, 2),
        ] {
            let (problem, at, _) = problem(Format::Dotenv, text);
            assert_eq!((problem, at), (expected, Some(line)), "{text:?}");
        }
    }

    #[test]
    fn names_and_values_that_no_shell_takes_are_not_written() {
        let secret = Secret::new(b"x".to_vec());
        assert_eq!(write(Format::Dotenv, [("a/b", &secret)]).err().unwrap().problem, Problem::BadKey);
        let nul = Secret::new(b"a\0b".to_vec());
        assert_eq!(write(Format::Dotenv, [("A", &nul)]).err().unwrap().problem, Problem::NotRepresentable);
    }

    #[test]
    fn what_is_written_means_the_same_to_a_shell() {
        let value = "it's `date` $HOME \\n \"q\"\nsecond line\\";
        let secret = Secret::new(value.as_bytes().to_vec());
        let plain = Secret::new(b"$HOME `date` \"q\" \\".to_vec());
        let written = write(Format::Dotenv, [("A", &secret), ("B", &plain)]).ok().unwrap();
        let script = format!(
            "{}printf %s \"$A|$B\"",
            // A shell has no \n in double quotes; the line break itself is the only difference.
            std::str::from_utf8(written.expose()).unwrap().replace("\\nsecond", "\nsecond")
        );
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}|$HOME `date` \"q\" \\"));
    }
}
