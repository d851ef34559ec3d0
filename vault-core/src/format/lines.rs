//! Lines of a source, one after another, with a bounded amount of memory; and what can be wrong with the text as such.

use std::fmt;
use std::io;

use memchr::{memchr, memchr_iter};

use crate::source::Source;

/// The text is not that of a vault.
#[derive(Debug)]
#[non_exhaustive]
pub enum FormatError {
    /// It could not be read.
    Io(io::Error),
    /// The first line is not that of a vault of any version.
    NotAVault,
    /// A vault of a version that this program does not know.
    UnsupportedVersion,
    /// Larger than 4 GiB.
    FileTooLarge,
    /// Carriage returns, as a git checkout with `autocrlf` adds them.
    CarriageReturn {
        /// Where, in bytes from the start.
        offset: u64,
    },
    /// A merge left its conflict in the file.
    ConflictMarkers {
        /// Where, in bytes from the start.
        offset: u64,
    },
    /// Beyond one of the limits of docs/format.md.
    Limit {
        /// Where, in bytes from the start.
        offset: u64,
        /// Which one.
        what: &'static str,
    },
    /// Not as docs/format.md says.
    Malformed {
        /// Where, in bytes from the start.
        offset: u64,
        /// What should be there.
        expected: &'static str,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the file cannot be read: {error}"),
            Self::NotAVault => f.write_str("this is not a vault"),
            Self::UnsupportedVersion => {
                f.write_str("this vault has a version that this program does not know")
            }
            Self::FileTooLarge => f.write_str("the file is larger than 4 GiB"),
            Self::CarriageReturn { offset } => {
                write!(f, "the line at byte {offset} ends in a carriage return")
            }
            Self::ConflictMarkers { offset } => write!(f, "there is a conflict marker at byte {offset}"),
            Self::Limit { offset, what } => write!(f, "{what} at byte {offset}"),
            Self::Malformed { offset, expected } => write!(f, "expected {expected} at byte {offset}"),
        }
    }
}

impl std::error::Error for FormatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for FormatError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One line, without its newline.
pub(crate) struct Line<'a> {
    pub(crate) offset: u64,
    pub(crate) text: &'a [u8],
}

impl Line<'_> {
    /// Where the next line starts.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.text.len() as u64 + 1
    }

    /// Why this line is refused. The usual accidents have errors of their own.
    pub(crate) fn malformed(&self, expected: &'static str) -> FormatError {
        malformed(self.text, self.offset, expected)
    }
}

/// The beginning of a line, and where the line is, with its newline.
pub(crate) struct Start {
    pub(crate) text: Vec<u8>,
    pub(crate) line: std::ops::Range<u64>,
}

/// Why the line `text` is refused.
pub(crate) fn malformed(text: &[u8], offset: u64, expected: &'static str) -> FormatError {
    const MARKERS: [&[u8]; 4] = [b"<<<<<<< ", b"||||||| ", b"=======", b">>>>>>> "];
    if MARKERS.iter().any(|marker| text.starts_with(marker)) {
        FormatError::ConflictMarkers { offset }
    } else if text.ends_with(b"\r") {
        FormatError::CarriageReturn { offset }
    } else {
        FormatError::Malformed { offset, expected }
    }
}

/// How much is read at once as long as lines fit it: what a `get` touches for nothing costs it page faults.
const FIRST_WINDOW: usize = 16 << 10;
/// For a section of known length, which may be much smaller.
const SMALL_WINDOW: usize = 1 << 10;
/// Beyond a section, to see that it ends.
const AHEAD: usize = 64;
/// How much is read at once at most.
const WINDOW: usize = 128 << 10;

/// Reads lines forward from any offset. The buffer holds one line and what was read beyond it.
pub(crate) struct Lines<'a> {
    source: &'a dyn Source,
    /// What was read is `..end`; the rest is room, which is filled with zeros once and not again.
    buffer: Vec<u8>,
    end: usize,
    /// Offset in the source of the buffer's first byte.
    base: u64,
    /// Where in the buffer the next line starts.
    next: usize,
    /// How much the next step reads.
    window: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &'a dyn Source, offset: u64) -> Self {
        Self { source, buffer: Vec::new(), end: 0, base: offset, next: 0, window: FIRST_WINDOW }
    }

    /// As [`Lines::new`], where about so many bytes will be read: at once, if that is not too much. 0: nobody knows.
    pub(crate) fn expecting(source: &'a dyn Source, offset: u64, length: u64) -> Self {
        let window = match usize::try_from(length) {
            Ok(0) => FIRST_WINDOW,
            Ok(length) => length.saturating_add(AHEAD).clamp(SMALL_WINDOW, 2 * WINDOW),
            Err(_) => 2 * WINDOW,
        };
        Self { window, ..Self::new(source, offset) }
    }

    /// Offset of the next line.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.next as u64
    }

    /// The next line of at most `max` bytes with its newline; `None` at the end. A last line without newline, and a longer
    /// line, are refused; no more than `max` bytes are kept in memory for it.
    pub(crate) fn next(
        &mut self,
        max: usize,
        too_long: &'static str,
    ) -> Result<Option<Line<'_>>, FormatError> {
        let mut searched = 0;
        let length = loop {
            let pending = &self.buffer[self.next..self.end];
            if let Some(at) = memchr(b'\n', &pending[searched..]) {
                break searched + at;
            }
            searched = pending.len();
            if searched >= max {
                return Err(FormatError::Limit { offset: self.offset(), what: too_long });
            }
            if !self.fill()? {
                return match &self.buffer[self.next..self.end] {
                    [] => Ok(None),
                    rest => Err(malformed(rest, self.offset(), "a newline at the end")),
                };
            }
        };
        if length >= max {
            return Err(FormatError::Limit { offset: self.offset(), what: too_long });
        }
        let offset = self.offset();
        let start = self.next;
        self.next += length + 1;
        Ok(Some(Line { offset, text: &self.buffer[start..start + length] }))
    }

    /// The beginning of the next line, up to and without its `spaces`-th space, which must come within `max_start` bytes; the
    /// rest of the line, of at most `max` bytes, is passed over without being kept. Gives the start and the whole length.
    pub(crate) fn next_start(
        &mut self,
        spaces: usize,
        max_start: usize,
        max: usize,
        too_long: &'static str,
    ) -> Result<Start, FormatError> {
        let offset = self.offset();
        let limit = || FormatError::Limit { offset, what: too_long };
        let start = loop {
            let pending = &self.buffer[self.next..self.end];
            let line = &pending[..memchr(b'\n', pending).unwrap_or(pending.len())];
            if let Some(at) = memchr_iter(b' ', line).nth(spaces - 1) {
                break line[..at].to_vec();
            }
            if line.len() < pending.len() {
                return Err(malformed(line, offset, "more words"));
            }
            if pending.len() > max_start {
                return Err(FormatError::Limit { offset, what: "a seal with links over 1 MiB" });
            }
            if !self.fill()? {
                return Err(malformed(&self.buffer[self.next..self.end], offset, "a newline at the end"));
            }
        };
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.next..self.end]) {
                self.next += at + 1;
                break;
            }
            self.next = self.end;
            if self.offset() - offset >= max as u64 {
                return Err(limit());
            }
            if !self.fill()? {
                return Err(malformed(&start, offset, "a newline at the end"));
            }
        }
        let length = self.offset() - offset;
        if length > max as u64 {
            Err(limit())
        } else {
            Ok(Start { text: start, line: offset..offset + length })
        }
    }

    /// What the next line starts with, without taking it.
    pub(crate) fn peek(&mut self, prefix: &[u8]) -> Result<bool, FormatError> {
        while self.end - self.next < prefix.len() {
            if !self.fill()? {
                break;
            }
        }
        Ok(self.buffer[self.next..self.end].starts_with(prefix))
    }

    /// Reads some more, and twice as much as before when a line did not fit; false at the end.
    fn fill(&mut self) -> Result<bool, FormatError> {
        if self.next == 0 && self.end > 0 {
            self.window = self.window.max((2 * self.window).min(WINDOW));
        }
        self.buffer.copy_within(self.next..self.end, 0);
        self.base += self.next as u64;
        self.end -= self.next;
        self.next = 0;
        let at = self.base + self.end as u64;
        let left = self.source.len().saturating_sub(at);
        let step = usize::try_from(left).map_or(self.window, |left| left.min(self.window));
        if step == 0 {
            return Ok(false);
        }
        let end = self.end + step;
        if self.buffer.is_empty() {
            // Memory that is fresh is zeros already, and not touched for it.
            self.buffer = vec![0; end];
        } else if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        self.source.read_exact_at(&mut self.buffer[self.end..end], at)?;
        self.end = end;
        Ok(true)
    }
}

/// Splits a line at single spaces into exactly `N` words.
pub(crate) fn words<const N: usize>(text: &[u8]) -> Option<[&[u8]; N]> {
    // Not `split`, which looks at one byte after another: entries are long.
    let mut all = [&[][..]; N];
    let (last, before) = all.split_last_mut()?;
    let mut rest = text;
    for word in before {
        let at = memchr(b' ', rest)?;
        (*word, rest) = (&rest[..at], &rest[at + 1..]);
    }
    *last = rest;
    memchr(b' ', rest).is_none().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], max: usize) -> Result<Vec<String>, FormatError> {
        let source = text.to_vec();
        let mut lines = Lines::new(&source, 0);
        let mut found = Vec::new();
        while let Some(line) = lines.next(max, "a line is too long")? {
            found.push(format!("{}:{}", line.offset, String::from_utf8_lossy(line.text)));
        }
        Ok(found)
    }

    #[test]
    fn lines_come_one_after_another_with_their_offsets() {
        assert_eq!(all(b"a\n\nbc\n", 3).unwrap(), ["0:a", "2:", "3:bc"]);
        assert!(all(b"", 3).unwrap().is_empty());
        let long = "x".repeat(3 * WINDOW);
        assert_eq!(
            all(format!("{long}\ny\n").as_bytes(), long.len() + 1).unwrap()[1],
            format!("{}:y", long.len() + 1)
        );
    }

    #[test]
    fn words_are_as_many_as_are_asked_for() {
        assert_eq!(words(b"a bc  d"), Some([&b"a"[..], b"bc", b"", b"d"]));
        assert_eq!(words::<3>(b"a bc  d"), None);
        assert_eq!(words::<5>(b"a bc  d"), None);
        assert_eq!(words(b""), Some([&b""[..]]));
        assert_eq!(words(b" "), Some([&b""[..], b""]));
    }

    #[test]
    fn a_line_over_its_limit_and_a_last_line_without_newline_are_refused() {
        assert!(matches!(all(b"abc\n", 3), Err(FormatError::Limit { offset: 0, .. })));
        assert!(matches!(all(b"a\nbcdef", 3), Err(FormatError::Limit { offset: 2, .. })));
        assert!(matches!(all(b"a\nb", 3), Err(FormatError::Malformed { offset: 2, .. })));
    }

    #[test]
    fn the_usual_accidents_have_errors_of_their_own() {
        assert!(matches!(malformed(b"<<<<<<< HEAD", 7, "x"), FormatError::ConflictMarkers { offset: 7 }));
        assert!(matches!(malformed(b"=======", 7, "x"), FormatError::ConflictMarkers { .. }));
        assert!(matches!(malformed(b"slots\r", 7, "x"), FormatError::CarriageReturn { offset: 7 }));
    }
}
