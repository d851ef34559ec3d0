//! A page's section: its head, its entries, and where the lines of its attachments are. docs/format.md, "Pages and entries".

use std::ops::Range;

use crate::crypto::aead::{CHUNK, TAG};
use crate::format::front::{Head, Pages};
use crate::format::id::{BlobId, EntryId};
use crate::format::lines::{FormatError, Line, Lines, words};
use crate::format::{limits, text};
use crate::source::Source;

/// A page as it stands in the file.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its number.
    pub number: u16,
    /// Absent if it was never written.
    pub head: Option<Head>,
    /// What the tag covers: the entry lines and `file` lines.
    pub lines: Vec<u8>,
    /// Ascending by id.
    pub entries: Vec<EntryLine>,
    /// Where the section is in the source.
    pub at: Range<u64>,
}

/// One entry of a page; ranges are in the page's `lines`.
#[derive(Debug, Clone)]
pub struct EntryLine {
    /// Its id.
    pub id: EntryId,
    /// The whole entry: its line and its `file` lines.
    pub all: Range<usize>,
    /// The base64 of its metadata.
    pub meta: Range<usize>,
    /// The base64 of its secrets.
    pub secrets: Range<usize>,
    /// Its attachments, ascending by blob id.
    pub files: Vec<FileLine>,
}

/// An attachment as a page announces it.
#[derive(Debug, Clone)]
pub struct FileLine {
    /// Names its lines.
    pub blob: BlobId,
    /// How many there are.
    pub chunks: u32,
    /// The `file` line in the page's `lines`.
    pub line: Range<usize>,
    /// The `blob` lines in the source.
    pub blobs: Range<u64>,
}

/// How closely base64 is looked at that is not opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Where it is and how long: enough for what is authenticated by a tag, or when it is opened.
    Outline,
    /// That it is canonical, too.
    Canonical,
}

/// Memory that is taken for a section before it was seen.
const MOST_ROOM: usize = 256 << 10;
/// About how many bytes the line of a small entry has.
const USUAL_ENTRY: usize = 320;

/// Bytes of a sealed chunk that is not the last one.
pub const FULL_CHUNK: usize = CHUNK + TAG;

impl Page {
    /// The page's fixed line.
    #[must_use]
    pub fn fixed_line(pages: Pages, number: u16) -> String {
        format!("page {}\n", pages.digits(number))
    }

    /// Reads the section that begins at `offset` with the page's fixed line, up to the next fixed line or the end.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn parse(
        source: &dyn Source,
        pages: Pages,
        number: u16,
        offset: u64,
        look: Look,
    ) -> Result<Self, FormatError> {
        Self::parse_expecting(source, pages, number, offset, look, 0)
    }

    /// As [`Page::parse`], where the section has about so many bytes: it is read at once, if that is not too much.
    pub(crate) fn parse_expecting(
        source: &dyn Source,
        pages: Pages,
        number: u16,
        offset: u64,
        look: Look,
        length: u64,
    ) -> Result<Self, FormatError> {
        let mut lines = Lines::expecting(source, offset, length);
        let fixed = Self::fixed_line(pages, number);
        match lines.next(limits::SHORT_LINE, "a line over 16 KiB")? {
            Some(line) if line.text == fixed.trim_end().as_bytes() => {}
            Some(line) => return Err(line.malformed("the next page")),
            None => return Err(FormatError::Malformed { offset, expected: "the next page" }),
        }
        // Growing would copy, and touch memory twice.
        let room = usize::try_from(length).unwrap_or(0).min(MOST_ROOM);
        let (lines_of_page, entries) = (Vec::with_capacity(room), Vec::with_capacity(room / USUAL_ENTRY));
        let mut page = Self { number, head: None, lines: lines_of_page, entries, at: offset..offset };
        if lines.peek(b"head ")?
            && let Some(line) = lines.next(limits::SHORT_LINE, "a line over 16 KiB")?
        {
            page.head = Some(Head::parse(&line)?);
        }
        loop {
            page.at.end = lines.offset();
            if lines.peek(b"page ")? {
                return Ok(page);
            }
            let Some(line) = lines.next(limits::ENTRY_LINE, "an entry over 96 KiB")? else { return Ok(page) };
            if line.text.starts_with(b"file ") {
                let file = page.parse_file(&line)?;
                let blobs_at = parse_blobs(&mut lines, &file, look)?;
                let entry = page.entries.last_mut().expect("parse_file found the entry");
                entry.files.push(FileLine { blobs: blobs_at, ..file });
            } else {
                page.parse_entry(&line, pages, look)?;
            }
        }
    }

    fn parse_entry(&mut self, line: &Line, pages: Pages, look: Look) -> Result<(), FormatError> {
        let wrong = || line.malformed("<entry id> <meta> <secrets>");
        let [id, meta, secrets] = words(line.text).ok_or_else(wrong)?;
        let id = EntryId::from_hex(id).map_err(|_| wrong())?;
        // Without a key this is all there is to see; with one, each part is decoded when it is opened.
        let canonical = |part: &[u8]| {
            text::decoded_len(part.len())
                .is_some_and(|length| length > 0 && (look == Look::Outline || text::is_base64(part, length)))
        };
        if !canonical(meta) || !canonical(secrets) {
            return Err(wrong());
        }
        if pages.of(id.0) != self.number {
            return Err(line.malformed("an entry of this page"));
        }
        if self.entries.last().is_some_and(|last| last.id >= id) {
            return Err(line.malformed("entries in ascending order of their ids"));
        }
        if self.head.is_none() {
            return Err(line.malformed("a head before the first entry"));
        }
        let start = self.lines.len();
        self.lines.extend_from_slice(line.text);
        self.lines.push(b'\n');
        let meta_at = start + 33;
        let secrets_at = meta_at + meta.len() + 1;
        self.entries.push(EntryLine {
            id,
            all: start..self.lines.len(),
            meta: meta_at..meta_at + meta.len(),
            secrets: secrets_at..secrets_at + secrets.len(),
            files: Vec::new(),
        });
        Ok(())
    }

    fn parse_file(&mut self, line: &Line) -> Result<FileLine, FormatError> {
        let wrong = || line.malformed("file <entry id> <blob id> <chunks>");
        let [b"file", entry, blob, chunks] = words(line.text).ok_or_else(wrong)? else { return Err(wrong()) };
        let blob = BlobId::from_hex(blob).map_err(|_| wrong())?;
        let chunks = text::decimal(chunks, u64::from(limits::CHUNKS)).map_err(|_| wrong())?;
        let chunks = u32::try_from(chunks).map_err(|_| wrong())?;
        let last = self.entries.last_mut().ok_or_else(wrong)?;
        if EntryId::from_hex(entry) != Ok(last.id) || chunks == 0 {
            return Err(wrong());
        }
        if last.files.last().is_some_and(|last| last.blob >= blob) {
            return Err(line.malformed("files in ascending order of their blob ids"));
        }
        let start = self.lines.len();
        self.lines.extend_from_slice(line.text);
        self.lines.push(b'\n');
        last.all.end = self.lines.len();
        Ok(FileLine { blob, chunks, line: start..self.lines.len(), blobs: 0..0 })
    }

    /// The entry with this id.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> Option<&EntryLine> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok().map(|at| &self.entries[at])
    }
}

/// What precedes the chunk in a `blob` line.
#[must_use]
pub fn blob_prefix(blob: BlobId, index: u32) -> String {
    format!("blob {blob} {index} ")
}

fn parse_blobs(lines: &mut Lines, file: &FileLine, look: Look) -> Result<Range<u64>, FormatError> {
    const EXPECTED: &str = "the blob line that the file line announces";
    let start = lines.offset();
    for index in 0..file.chunks {
        let offset = lines.offset();
        let line = lines
            .next(limits::ENTRY_LINE, "a chunk over 96 KiB")?
            .ok_or(FormatError::Malformed { offset, expected: EXPECTED })?;
        let wrong = || line.malformed(EXPECTED);
        let chunk = line.text.strip_prefix(blob_prefix(file.blob, index).as_bytes()).ok_or_else(wrong)?;
        let length = text::decoded_len(chunk.len()).ok_or_else(wrong)?;
        let right_size = if index + 1 == file.chunks {
            (TAG + 1..=FULL_CHUNK).contains(&length)
        } else {
            length == FULL_CHUNK
        };
        if !right_size || (look == Look::Canonical && !text::is_base64(chunk, length)) {
            return Err(wrong());
        }
    }
    Ok(start..lines.offset())
}
