//! Many values in much text: found in one pass, in the forms in which values leak.
//!
//! Every fourth place of the text is looked at: whatever of at least eight bytes is there has five of its first eight
//! bytes at one of these places. A bit for each hash of five such bytes tells nearly everywhere that it is none; the rest
//! is looked up and compared. Values, patterns and these tables are in memory that is wiped. What is searched is not: it
//! is on the disk in any case.

mod forms;

use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::buffer::WipingBuffer;

pub(crate) use forms::Form;

/// What is looked for.
pub(crate) struct Patterns {
    /// All patterns, one after another.
    text: WipingBuffer,
    all: Vec<Pattern>,
    filter: Zeroizing<Vec<u64>>,
    /// How far a hash is shifted to be a bit's number.
    shift: u32,
    /// Windows of all patterns, ascending, with the pattern's number and where in it the window is.
    windows: Zeroizing<Vec<(u64, u32, u8)>>,
    longest: usize,
}

struct Pattern {
    start: usize,
    length: usize,
    value: usize,
    form: Form,
}

/// A pattern that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The number of the value.
    pub(crate) value: usize,
    /// How it is written there.
    pub(crate) form: Form,
    /// Bytes before it.
    pub(crate) offset: u64,
    /// Its line, from 1.
    pub(crate) line: u64,
    /// Bytes before it in its line, and one more.
    pub(crate) column: u64,
}

impl Patterns {
    /// Patterns for these values, which are numbered in their order. Values of fewer than [`SHORTEST`] bytes have none.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut patterns = Self {
            text: WipingBuffer::new(),
            all: Vec::new(),
            filter: Zeroizing::new(Vec::new()),
            shift: 0,
            windows: Zeroizing::new(Vec::new()),
            longest: SHORTEST,
        };
        for (value, bytes) in values.enumerate() {
            forms::each(bytes, &mut |form, pattern| patterns.add(value, form, pattern));
        }
        patterns.index();
        patterns
    }

    fn add(&mut self, value: usize, form: Form, pattern: &[u8]) {
        let mut own = self.all.iter().rev().take_while(|other| other.value == value);
        let known = own.any(|other| self.bytes(other) == pattern);
        if pattern.len() < SHORTEST || known {
            return;
        }
        self.all.push(Pattern { start: self.text.as_slice().len(), length: pattern.len(), value, form });
        self.text.extend(pattern);
        self.longest = self.longest.max(pattern.len());
    }

    fn bytes(&self, pattern: &Pattern) -> &[u8] {
        &self.text.as_slice()[pattern.start..pattern.start + pattern.length]
    }

    fn index(&mut self) {
        let count = self.all.len() * STEP;
        let bits = (count * BITS_FOR_A_WINDOW).next_power_of_two().clamp(LEAST_BITS, MOST_BITS);
        self.shift = u64::BITS - bits.trailing_zeros();
        // Neither grows afterwards, so no copy is left behind.
        let mut filter = Zeroizing::new(vec![0; bits / 64]);
        let mut windows = Zeroizing::new(Vec::with_capacity(count));
        for (number, pattern) in (0_u32..).zip(&self.all) {
            for (at, bytes) in (0_u8..).zip(self.bytes(pattern).windows(WINDOW).take(STEP)) {
                let window = window(bytes);
                let (word, bit) = self.place(window);
                filter[word] |= bit;
                windows.push((window, number, at));
            }
        }
        windows.sort_unstable();
        (self.filter, self.windows) = (filter, windows);
    }

    /// Where a window's bit is. Its high bits depend on all bytes.
    fn place(&self, window: u64) -> (usize, u64) {
        let bit = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        // A shift leaves fewer than 23 bits.
        (usize::try_from(bit / 64).unwrap_or_default(), 1 << (bit % 64))
    }

    /// Whether there is anything to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Calls `found` for everything that is found in a stream; memory is bounded by `buffer`, which is for use again.
    /// Returns the number of bytes.
    ///
    /// # Errors
    /// Those of the stream.
    pub(crate) fn search(
        &self,
        stream: &mut dyn Read,
        buffer: &mut Vec<u8>,
        found: &mut dyn FnMut(Hit),
    ) -> io::Result<u64> {
        buffer.resize(CHUNK + self.longest, 0);
        let mut at = Position { offset: 0, line: 1, column: 1 };
        let mut filled = 0;
        loop {
            let ended = fill(stream, buffer, &mut filled)?;
            // Where a pattern may begin that is not whole in the buffer is looked at next time.
            let starts = if ended { filled } else { filled + 1 - self.longest };
            self.search_chunk(&buffer[..filled], starts, &mut at, found);
            if ended {
                return Ok(at.offset);
            }
            buffer.copy_within(starts..filled, 0);
            filled -= starts;
        }
    }

    /// All patterns that begin in the first `starts` bytes of a chunk; `at` is moved to the end of these.
    fn search_chunk(&self, chunk: &[u8], starts: usize, at: &mut Position, found: &mut dyn FnMut(Hit)) {
        let mut hits = Vec::new();
        let mut place = 0;
        // A step back from the end of these, so that none of them is passed over.
        let end = (starts + STEP + WINDOW - 1).min(chunk.len());
        let mut look = |window: u64| {
            let (word, bit) = self.place(window);
            if self.filter[word] & bit != 0 {
                self.look(chunk, starts, place, window, &mut hits);
            }
            place += STEP;
        };
        // One read of eight bytes each, and the last few as they are.
        let wide = chunk[..end].windows(SHORTEST).step_by(STEP);
        let done = wide.len() * STEP;
        wide.for_each(|bytes| look(start_of(bytes)));
        chunk[done.min(end)..end].windows(WINDOW).step_by(STEP).for_each(|bytes| look(window(bytes)));
        hits.sort_unstable();
        let mut done = 0;
        for (start, number) in hits {
            at.pass(&chunk[done..start]);
            done = start;
            let Pattern { value, form, .. } = self.all[number];
            let Position { offset, line, column } = *at;
            found(Hit { value, form, offset, line, column });
        }
        at.pass(&chunk[done..starts]);
    }

    /// Compares the patterns that have this window.
    fn look(&self, chunk: &[u8], starts: usize, place: usize, window: u64, hits: &mut Vec<(usize, usize)>) {
        let from = self.windows.partition_point(|(other, ..)| *other < window);
        for (_, number, at) in self.windows[from..].iter().take_while(|(other, ..)| *other == window) {
            let number = usize::try_from(*number).unwrap_or_default();
            // What began before this chunk was found in the one before.
            let Some(start) = place.checked_sub(usize::from(*at)).filter(|start| *start < starts) else {
                continue;
            };
            if chunk[start..].starts_with(self.bytes(&self.all[number])) {
                hits.push((start, number));
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Position {
    offset: u64,
    line: u64,
    column: u64,
}

impl Position {
    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        match newlines(bytes) {
            0 => self.column += bytes.len() as u64,
            count => {
                let last = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
                self.line += count;
                self.column = (bytes.len() - last) as u64;
            }
        }
    }
}

/// Counted in pieces whose sum fits into a byte: that is done for many bytes at once.
fn newlines(bytes: &[u8]) -> u64 {
    let piece = |piece: &[u8]| piece.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>();
    bytes.chunks(usize::from(u8::MAX)).map(|chunk| u64::from(piece(chunk))).sum()
}

/// Reads until the buffer is full or the stream ends; returns which.
fn fill(stream: &mut dyn Read, buffer: &mut [u8], filled: &mut usize) -> io::Result<bool> {
    while *filled < buffer.len() {
        match stream.read(&mut buffer[*filled..]) {
            Ok(0) => return Ok(true),
            Ok(count) => *filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Five bytes as a number.
fn window(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d, e] => start_of(&[a, b, c, d, e, 0, 0, 0]),
        _ => 0,
    }
}

/// The first five of eight bytes as a number.
fn start_of(bytes: &[u8]) -> u64 {
    let bytes: [u8; SHORTEST] = bytes.try_into().unwrap_or_default();
    u64::from_le_bytes(bytes) << (8 * (SHORTEST - WINDOW))
}

/// Values of fewer bytes would be found everywhere.
pub(crate) const SHORTEST: usize = 8;
/// How many bytes are looked at at once.
const WINDOW: usize = 5;
/// From one place to the next: all that begin between two have a whole window at the second.
const STEP: usize = SHORTEST - WINDOW + 1;
/// What is read at once: it is still in a core's cache when it is looked through, beside the table.
const CHUNK: usize = 1 << 17;
/// So that one place in 32 at most is looked at twice.
const BITS_FOR_A_WINDOW: usize = 32;
const LEAST_BITS: usize = 1 << 12;
/// A table of 512 KiB stays in a core's cache.
const MOST_BITS: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(values: &[&[u8]], text: &[u8]) -> Vec<Hit> {
        let patterns = Patterns::of(values.iter().copied());
        let mut all = Vec::new();
        let read = patterns.search(&mut &text[..], &mut Vec::new(), &mut |hit| all.push(hit)).unwrap();
        assert_eq!(read, text.len() as u64);
        all
    }

    #[test]
    fn a_value_is_found_wherever_it_stands() {
        let value = b"correct horse";
        for before in [0, 1, 7, CHUNK - 20, CHUNK - 5, CHUNK, CHUNK + 1, 2 * CHUNK - 3] {
            let text = [&vec![b'x'; before][..], b"\n", value, b"y"].concat();
            let found = hits(&[value], &text);
            assert_eq!(found.len(), 1, "{before}");
            assert_eq!((found[0].offset, found[0].line, found[0].column), (before as u64 + 1, 2, 1));
        }
        assert_eq!(hits(&[value], b"correct hors").len(), 0);
        assert_eq!(hits(&[value], b"").len(), 0);
        assert_eq!(hits(&[], value).len(), 0);
    }

    #[test]
    fn places_are_told_by_line_and_column() {
        let found = hits(&[b"abcdefgh"], b"abcdefgh abcdefgh\n\n  abcdefgh");
        let places: Vec<_> = found.iter().map(|hit| (hit.line, hit.column)).collect();
        assert_eq!(places, [(1, 1), (1, 10), (3, 3)]);
    }

    #[test]
    fn the_same_is_found_as_by_looking_at_every_place() {
        // Values and text of few letters, so that prefixes are shared and hits overlap.
        let mut state = 7_u64;
        let mut next = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let letters = |next: &mut dyn FnMut(u64) -> u64, length: u64| -> Vec<u8> {
            (0..length).map(|_| b'a' + u8::try_from(next(2)).unwrap()).collect()
        };
        for _ in 0..20 {
            let values: Vec<Vec<u8>> = (0..20)
                .map(|_| {
                    let length = 8 + next(5);
                    letters(&mut next, length)
                })
                .collect();
            let text = letters(&mut next, 3000);
            let mut found: Vec<_> = hits(&values.iter().map(Vec::as_slice).collect::<Vec<_>>(), &text)
                .into_iter()
                .filter(|hit| hit.form == Form::Raw)
                .map(|hit| (hit.offset, hit.value))
                .collect();
            found.sort_unstable();
            let mut expected = Vec::new();
            for at in 0..text.len() {
                for (number, value) in values.iter().enumerate() {
                    if text[at..].starts_with(value) {
                        expected.push((at as u64, number));
                    }
                }
            }
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn newlines_are_counted() {
        for length in [0, 1, 254, 255, 256, 1000] {
            assert_eq!(newlines(&vec![b'\n'; length]), length as u64);
        }
        assert_eq!(newlines(b"a\nb\n\nc"), 3);
    }
}
