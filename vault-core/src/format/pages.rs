//! Where the pages are: found by their fixed lines, all in one pass, or one by searching.
//!
//! What the search believes does not matter for what is accepted: the section that it finds is checked as a whole, and its
//! number is in its tag. At worst a malformed file is refused.

use memchr::memmem;

use crate::format::front::{Front, Pages};
use crate::format::id::{BlobId, EntryId};
use crate::format::lines::{FormatError, malformed};
use crate::format::page::{FULL_CHUNK, Page, blob_prefix};
use crate::format::{limits, text};
use crate::source::Source;

/// How much of the file is looked at in one step of the search.
const PROBE: usize = 4 << 10;
/// How much of a line is looked at to tell its page.
const LINE_START: usize = 128;
/// Below this distance the file is read from one end to the other.
const NEAR: u64 = 32 << 10;
/// What a page's fixed line begins with, and the newline before it.
const NEWLINE_PAGE: &[u8] = b"\npage ";
/// How much of the file is looked at in one step of a pass over all of it.
const PASS: usize = 64 << 10;
/// How much is looked at in the largest step of a search.
const STEP: usize = 1 << 20;

/// Where each page begins, and at last the end of the file.
#[derive(Debug)]
pub struct PageIndex {
    starts: Vec<u64>,
}

impl PageIndex {
    /// One pass over the pages, for their fixed lines: all there, in ascending order, and no others.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn build(source: &dyn Source, front: &Front) -> Result<Self, FormatError> {
        let pages = front.header.pages;
        let mut starts = Vec::with_capacity(usize::from(pages.count()) + 1);
        // What stands between the log and the first page would be skipped, and may be a merge's conflict.
        if !holds(source, front.pages_at, Page::fixed_line(pages, 0).as_bytes())? {
            let found = read(source, front.pages_at, PROBE)?;
            let line = found.split(|&byte| byte == b'\n').next().unwrap_or_default();
            return Err(malformed(line, front.pages_at, "all pages"));
        }
        let finder = memmem::Finder::new(NEWLINE_PAGE);
        // From the newline before the first page on, in steps that overlap by what is looked for.
        let mut at = front.pages_at - 1;
        // One buffer for the whole pass: a new one each time would cost a page fault for every page of memory.
        let mut buffer = vec![0; PASS.min(usize::try_from(source.len() - at).unwrap_or(PASS))];
        while at < source.len() {
            let left = usize::try_from(source.len() - at).unwrap_or(usize::MAX);
            let bytes = &mut buffer[..PASS.min(left)];
            source.read_exact_at(bytes, at)?;
            for found in finder.find_iter(bytes) {
                let start = at + found as u64 + 1;
                let number = u16::try_from(starts.len()).unwrap_or(u16::MAX);
                let wrong = FormatError::Malformed { offset: start, expected: "all pages, in order, once" };
                if number >= pages.count() {
                    return Err(wrong);
                }
                let fixed = Page::fixed_line(pages, number);
                // Mostly it was read already.
                let is_next = match bytes.get(found + 1..found + 1 + fixed.len()) {
                    Some(there) => there == fixed.as_bytes(),
                    None => holds(source, start, fixed.as_bytes())?,
                };
                if !is_next {
                    return Err(wrong);
                }
                starts.push(start);
            }
            at += bytes.len() as u64;
            if at < source.len() {
                at -= NEWLINE_PAGE.len() as u64 - 1;
            }
        }
        if starts.len() != usize::from(pages.count()) || starts[0] != front.pages_at {
            return Err(FormatError::Malformed { offset: source.len(), expected: "all pages" });
        }
        starts.push(source.len());
        Ok(Self { starts })
    }

    /// Where a page begins.
    #[must_use]
    pub fn start(&self, number: u16) -> u64 {
        self.starts[usize::from(number)]
    }
}

/// Where the page begins, found by halving the file; `None` if it is not found that way.
///
/// # Errors
/// Reading errors only.
pub fn search(source: &dyn Source, front: &Front, number: u16) -> Result<Option<u64>, FormatError> {
    let pages = front.header.pages;
    let fixed = Page::fixed_line(pages, number);
    // The page's fixed line is in low..high; low is the start of a line.
    let (mut low, mut high) = (front.pages_at, source.len());
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        match probe(source, pages, middle, high)? {
            Probe::Lost => return Ok(None),
            Probe::Found(at, found) if found < number => low = at,
            Probe::Found(at, _) if holds(source, at, fixed.as_bytes())? => return Ok(Some(at)),
            // Every fixed line tells its page, so there is none between the middle and what was found.
            Probe::Found(..) | Probe::Nothing => high = middle + 1,
        }
    }
    if holds(source, low, fixed.as_bytes())? {
        return Ok(Some(low));
    }
    let line = format!("\n{fixed}");
    let end = (high + line.len() as u64).min(source.len());
    Ok(find(source, low, end, line.as_bytes())?.map(|at| at + 1))
}

/// What a look at some place of the file says.
enum Probe {
    /// Where a line begins that tells its page, and which.
    Found(u64, u16),
    /// No line begins there.
    Nothing,
    /// Lines that tell nothing: no vault looks like that, and whoever made this one wants us to go on looking.
    Lost,
}

/// The first line after `from` (before `until`) that tells which page it is in. In a page only its head does not.
fn probe(source: &dyn Source, pages: Pages, from: u64, until: u64) -> Result<Probe, FormatError> {
    let mut at = from;
    for _ in 0..3 {
        let Some(newline) = find(source, at, until, b"\n")? else { return Ok(Probe::Nothing) };
        at = newline + 1;
        if at >= until {
            return Ok(Probe::Nothing);
        }
        let start = read(source, at, LINE_START)?;
        if let Some(number) = page_of_line(source, pages, at, &start)? {
            return Ok(Probe::Found(at, number));
        }
    }
    Ok(Probe::Lost)
}

fn page_of_line(source: &dyn Source, pages: Pages, at: u64, line: &[u8]) -> Result<Option<u16>, FormatError> {
    let entry = |digits: &[u8]| EntryId::from_hex(digits).ok().map(|id| pages.of(id.0));
    if let Some(rest) = line.strip_prefix(b"page ") {
        let width = pages.digits(0).len();
        let number = rest.get(..width).and_then(|digits| std::str::from_utf8(digits).ok());
        return Ok(number
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .filter(|&n| n < pages.count()));
    }
    if let Some(rest) = line.strip_prefix(b"file ") {
        return Ok(rest.get(..32).and_then(entry));
    }
    if let Some(rest) = line.strip_prefix(b"blob ") {
        // All chunks before this one have the same length, so its file line is where they begin.
        let Some(blob) = rest.get(..32).and_then(|digits| BlobId::from_hex(digits).ok()) else {
            return Ok(None);
        };
        let digits: Vec<u8> = rest.iter().skip(33).copied().take_while(u8::is_ascii_digit).collect();
        let Ok(index) = text::decimal(&digits, u64::from(limits::CHUNKS)) else { return Ok(None) };
        let fixed = blob_prefix(blob, 0).len() - 1 + text::encoded_len(FULL_CHUNK) + 1;
        let before = index * fixed as u64 + digits_below(index);
        let Some(first) = at.checked_sub(before) else { return Ok(None) };
        let from = first.saturating_sub(80);
        let above = read(source, from, usize::try_from(first - from).unwrap_or_default())?;
        return Ok(memmem::rfind(&above, b"file ").and_then(|at| above.get(at + 5..at + 37)).and_then(entry));
    }
    Ok(line.get(..33).filter(|line| line[32] == b' ').and_then(|line| entry(&line[..32])))
}

/// How many digits the numbers from 0 to `end - 1` have together.
fn digits_below(end: u64) -> u64 {
    // One each, one more from 10 on, one more from 100 on, …
    let more: u64 = (1..20).map(|power| end.saturating_sub(10_u64.saturating_pow(power))).sum();
    end + more
}

/// At most `length` bytes from `offset` on.
fn read(source: &dyn Source, offset: u64, length: usize) -> Result<Vec<u8>, FormatError> {
    let left = usize::try_from(source.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(left)];
    source.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn holds(source: &dyn Source, offset: u64, wanted: &[u8]) -> Result<bool, FormatError> {
    Ok(read(source, offset, wanted.len())? == wanted)
}

/// The first place in `from..until` where `needle` begins.
fn find(source: &dyn Source, from: u64, until: u64, needle: &[u8]) -> Result<Option<u64>, FormatError> {
    let finder = memmem::Finder::new(needle);
    let mut at = from;
    // Small steps first: mostly what is looked for is near.
    let mut step = PROBE;
    while at < until {
        let left = usize::try_from(until - at).unwrap_or(usize::MAX);
        let bytes = read(source, at, step.min(left))?;
        if let Some(found) = finder.find(&bytes) {
            return Ok(Some(at + found as u64));
        }
        if bytes.len() < needle.len() || bytes.len() == left {
            return Ok(None);
        }
        at += (bytes.len() + 1 - needle.len()) as u64;
        step = (step * 4).min(STEP);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_without_counting() {
        for end in [0, 1, 9, 10, 11, 99, 100, 101, 1000, 21_846] {
            let counted: usize = (0..end).map(|number: u64| number.to_string().len()).sum();
            assert_eq!(digits_below(end), counted as u64, "{end}");
        }
    }
}
