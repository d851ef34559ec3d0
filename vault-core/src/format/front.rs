//! What precedes the pages: header, slot table and log. docs/format.md, "The file".

use std::ops::Range;

use crate::format::id::SealId;
use crate::format::lines::{FormatError, Line, Lines, Start, malformed, words};
use crate::format::slot::SlotLine;
use crate::format::{limits, text};
use crate::source::Source;

/// How many pages a vault has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// 256, numbered with two hex digits.
    Few,
    /// 4,096, numbered with three hex digits: five edits a side rarely meet in one page.
    Many,
}

impl Pages {
    /// How many there are.
    #[must_use]
    pub fn count(self) -> u16 {
        match self {
            Self::Few => 256,
            Self::Many => 4096,
        }
    }

    /// The page of an entry: the first digits of its id.
    #[must_use]
    pub fn of(self, entry: [u8; 16]) -> u16 {
        match self {
            Self::Few => u16::from(entry[0]),
            Self::Many => u16::from_be_bytes([entry[0], entry[1]]) >> 4,
        }
    }

    /// A page's or log section's number as it is written.
    #[must_use]
    pub fn digits(self, number: u16) -> String {
        match self {
            Self::Few => format!("{number:02x}"),
            Self::Many => format!("{number:03x}"),
        }
    }

    /// Appends a page's number as it is written: for the many fixed lines of the log.
    fn push_digits(self, out: &mut Vec<u8>, number: u16) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let width = match self {
            Self::Few => 2,
            Self::Many => 3,
        };
        out.extend((0..width).rev().map(|place| DIGITS[usize::from((number >> (4 * place)) & 0xf)]));
    }

    /// The first line of the file.
    #[must_use]
    pub fn first_line(self) -> String {
        format!("vault/1 {}\n", self.count())
    }
}

/// The first two lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How many pages there are.
    pub pages: Pages,
    /// The same for the life of the vault.
    pub uuid: [u8; 16],
    /// New with every master key.
    pub salt: [u8; 32],
    /// Commits to the master key.
    pub commitment: [u8; 32],
}

impl Header {
    /// The two lines and the blank one.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = self.pages.first_line().into_bytes();
        out.extend_from_slice(b"id ");
        text::push_hex(&mut out, &self.uuid);
        out.push(b' ');
        text::push_hex(&mut out, &self.salt);
        out.push(b' ');
        text::push_hex(&mut out, &self.commitment);
        out.extend_from_slice(b"\n\n");
        out
    }
}

/// The line that names the last seal of a place and carries the place's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last seal of the place.
    pub seal: SealId,
    /// The place's tag.
    pub tag: [u8; 32],
}

impl Head {
    /// The line, with its newline.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = b"head ".to_vec();
        text::push_hex(&mut out, &self.seal.0);
        out.push(b' ');
        text::push_hex(&mut out, &self.tag);
        out.push(b'\n');
        out
    }

    pub(crate) fn parse(line: &Line) -> Result<Self, FormatError> {
        let wrong = || line.malformed("head <seal id> <tag>");
        let [b"head", seal, tag] = words(line.text).ok_or_else(wrong)? else { return Err(wrong()) };
        let seal = SealId::from_hex(seal).map_err(|_| wrong())?;
        let tag = text::hex(tag).map_err(|_| wrong())?;
        Ok(Self { seal, tag })
    }
}

/// The slot table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its head.
    pub head: Head,
    /// Ascending by id.
    pub slots: Vec<SlotLine>,
    /// Sealed.
    pub roster: Vec<u8>,
    /// What the tag covers: the file's first line, the slot lines and the roster line.
    pub lines: Vec<u8>,
}

impl Table {
    /// A table of these slots, which are sorted here, and this sealed roster. The head is filled in by the save.
    #[must_use]
    pub fn new(pages: Pages, mut slots: Vec<SlotLine>, roster: Vec<u8>) -> Self {
        slots.sort_by_key(|slot| slot.id);
        let mut lines = pages.first_line().into_bytes();
        for slot in &slots {
            lines.extend_from_slice(&slot.write());
            lines.push(b'\n');
        }
        lines.extend_from_slice(b"roster ");
        text::push_base64(&mut lines, &roster);
        lines.push(b'\n');
        Self { head: Head { seal: SealId([0; 16]), tag: [0; 32] }, slots, roster, lines }
    }

    /// The section as it stands in the file, with its blank line.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let first = self.lines.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        [b"slots\n", &self.head.write()[..], &self.lines[first..], b"\n"].concat()
    }
}

/// A seal line: its parts sealed, the second one left in the file.
#[derive(Debug, Clone)]
pub struct SealLine {
    /// Its id.
    pub id: SealId,
    /// Sealed.
    pub links: Vec<u8>,
    /// Where the base64 of its changes is.
    pub changes: Range<u64>,
    /// Where the line is, with its newline.
    pub line: Range<u64>,
    /// In which section of the log: a page's, or `None` for `log slots`.
    pub section: Option<u16>,
}

/// Everything before the first page.
#[derive(Debug)]
pub struct Front {
    /// The header.
    pub header: Header,
    /// The slot table.
    pub table: Table,
    /// Where the slot table's section is, with the blank line after it.
    pub table_at: Range<u64>,
    /// All seals, in the order of the file.
    pub seals: Vec<SealLine>,
    /// Where each section of the log ends: `log slots` first, then the pages'.
    pub section_ends: Vec<u64>,
    /// Where `page 00` is.
    pub pages_at: u64,
}

const SHORT: &str = "a line over 16 KiB";

impl Front {
    /// Reads up to the first page. Costs memory for the slot table and the links of the log only.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn parse(source: &dyn Source) -> Result<Self, FormatError> {
        if source.len() > limits::FILE {
            return Err(FormatError::FileTooLarge);
        }
        let mut lines = Lines::new(source, 0);
        let header = parse_header(&mut lines)?;
        let start = lines.offset();
        let table = parse_table(&mut lines, header.pages)?;
        let table_at = start..lines.offset();
        let (seals, section_ends) = parse_log(&mut lines, header.pages)?;
        let pages_at = lines.offset();
        Ok(Self { header, table, table_at, seals, section_ends, pages_at })
    }
}

fn expect(lines: &mut Lines, wanted: &[u8], expected: &'static str) -> Result<(), FormatError> {
    let offset = lines.offset();
    match lines.next(limits::SHORT_LINE, SHORT)? {
        Some(line) if line.text == wanted => Ok(()),
        Some(line) => Err(line.malformed(expected)),
        None => Err(FormatError::Malformed { offset, expected }),
    }
}

fn parse_header(lines: &mut Lines) -> Result<Header, FormatError> {
    // Read no more than a first line can have, so that any other file is refused at once.
    const FIRST_LINE: usize = 64;
    let first = match lines.next(FIRST_LINE, "not a vault") {
        Ok(Some(line)) => line,
        Err(FormatError::Io(error)) => return Err(FormatError::Io(error)),
        _ => return Err(FormatError::NotAVault),
    };
    let pages = match first.text {
        b"vault/1 256" => Pages::Few,
        b"vault/1 4096" => Pages::Many,
        text if text.starts_with(b"vault/1 ") || text == b"vault/1" => {
            return Err(first.malformed("vault/1 256 or vault/1 4096"));
        }
        text if text.starts_with(b"vault/") => return Err(FormatError::UnsupportedVersion),
        text if text.starts_with(b"<<<<<<< ") => return Err(first.malformed("a vault")),
        _ => return Err(FormatError::NotAVault),
    };
    let offset = lines.offset();
    let line = lines
        .next(limits::SHORT_LINE, SHORT)?
        .ok_or(FormatError::Malformed { offset, expected: "id <uuid> <salt> <commitment>" })?;
    let wrong = || line.malformed("id <uuid> <salt> <commitment>");
    let [b"id", uuid, salt, commitment] = words(line.text).ok_or_else(wrong)? else { return Err(wrong()) };
    let header = Header {
        pages,
        uuid: text::hex(uuid).map_err(|_| wrong())?,
        salt: text::hex(salt).map_err(|_| wrong())?,
        commitment: text::hex(commitment).map_err(|_| wrong())?,
    };
    expect(lines, b"", "a blank line after the header")?;
    Ok(header)
}

fn parse_table(lines: &mut Lines, pages: Pages) -> Result<Table, FormatError> {
    expect(lines, b"slots", "slots")?;
    let offset = lines.offset();
    let line = lines
        .next(limits::SHORT_LINE, SHORT)?
        .ok_or(FormatError::Malformed { offset, expected: "the slot table's head" })?;
    let head = Head::parse(&line)?;
    let mut covered = pages.first_line().into_bytes();
    let mut slots: Vec<SlotLine> = Vec::new();
    while lines.peek(b"slot ")? {
        let offset = lines.offset();
        if slots.len() == limits::SLOTS {
            return Err(FormatError::Limit { offset, what: "more than 64 slots" });
        }
        let line = lines
            .next(limits::SHORT_LINE, SHORT)?
            .ok_or(FormatError::Malformed { offset, expected: "a slot" })?;
        let slot = SlotLine::parse(line.text).map_err(|_| line.malformed("a slot line"))?;
        if slots.last().is_some_and(|last| last.id >= slot.id) {
            return Err(line.malformed("slots in ascending order of their ids"));
        }
        if slots.iter().any(|other| other.label == slot.label) {
            return Err(line.malformed("a label that no other slot has"));
        }
        covered.extend_from_slice(line.text);
        covered.push(b'\n');
        slots.push(slot);
    }
    let offset = lines.offset();
    let line = lines
        .next(limits::ENTRY_LINE, "a roster over 96 KiB")?
        .ok_or(FormatError::Malformed { offset, expected: "roster <sealed>" })?;
    let roster = line
        .text
        .strip_prefix(b"roster ")
        .and_then(|sealed| text::base64(sealed, limits::ENTRY_LINE).ok())
        .filter(|sealed| !sealed.is_empty())
        .ok_or_else(|| line.malformed("roster <sealed>"))?;
    if slots.is_empty() {
        return Err(line.malformed("at least one slot"));
    }
    covered.extend_from_slice(line.text);
    covered.push(b'\n');
    expect(lines, b"", "a blank line after the slot table")?;
    Ok(Table { head, slots, roster, lines: covered })
}

fn parse_log(lines: &mut Lines, pages: Pages) -> Result<(Vec<SealLine>, Vec<u64>), FormatError> {
    let mut seals: Vec<SealLine> = Vec::new();
    let mut ends = Vec::with_capacity(usize::from(pages.count()) + 1);
    let mut links_total = 0;
    let mut fixed = b"log slots".to_vec();
    for section in std::iter::once(None).chain((0..pages.count()).map(Some)) {
        if let Some(number) = section {
            fixed.truncate(b"log ".len());
            pages.push_digits(&mut fixed, number);
        }
        expect(lines, &fixed, "the next section of the log")?;
        let first = seals.len();
        while lines.peek(b"seal ")? {
            let offset = lines.offset();
            if seals.len() == limits::SEALS {
                return Err(FormatError::Limit { offset, what: "more than 65,536 seals" });
            }
            let start = lines.next_start(3, SEAL_START, limits::SEAL_LINE, "a seal over 16 MiB")?;
            let seal = parse_seal(&start, section)?;
            links_total += seal.links.len();
            if links_total > limits::ALL_LINKS {
                return Err(FormatError::Limit { offset, what: "more than 64 MiB of links" });
            }
            if seals[first..].last().is_some_and(|last| last.id >= seal.id) {
                return Err(malformed(&start.text, offset, "seals in ascending order of their ids"));
            }
            seals.push(seal);
        }
        ends.push(lines.offset());
    }
    expect(lines, b"", "a seal, or the next fixed line")?;
    Ok((seals, ends))
}

/// Bytes of a seal line before its changes.
const SEAL_START: usize = 64 + limits::LINKS / 3 * 4 + 4;

/// The changes stay in the file, and are looked at when they are opened: an import's may be megabytes long.
fn parse_seal(start: &Start, section: Option<u16>) -> Result<SealLine, FormatError> {
    let wrong = || malformed(&start.text, start.line.start, "seal <seal id> <links> <changes>");
    let [b"seal", id, links] = words(&start.text).ok_or_else(wrong)? else { return Err(wrong()) };
    if links.is_empty() {
        return Err(wrong());
    }
    let changes = start.line.start + start.text.len() as u64 + 1..start.line.end - 1;
    let length = usize::try_from(changes.end.saturating_sub(changes.start)).map_err(|_| wrong())?;
    if text::decoded_len(length).is_none_or(|length| length == 0) {
        return Err(wrong());
    }
    Ok(SealLine {
        id: SealId::from_hex(id).map_err(|_| wrong())?,
        links: text::base64(links, limits::LINKS).map_err(|_| wrong())?,
        changes,
        line: start.line.clone(),
        section,
    })
}
