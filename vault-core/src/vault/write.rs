//! From entries and seals to text: the parts of a file that a save writes. docs/format.md, "Saving" and "Restart".

use crate::crypto::random::Random;
use crate::format::front::{Head, Header, Pages, Table};
use crate::format::id::SealId;
use crate::format::page::Page;
use crate::format::seal::{Changes, Links, Place, PlaceLink};
use crate::format::{limits, text};
use crate::source::Text;
use crate::vault::entry::{SealedEntry, Sealers};
use crate::vault::log::{Part, seal_place};

/// A save that was made: what is to be stored, and what it is called.
pub struct Saved {
    /// The whole file.
    pub text: Text,
    /// The new seal.
    pub seal: SealId,
    /// Its generation.
    pub generation: u64,
}

/// A line of the log, with its newline, for a log that has `log_bytes` of links already; `None` if a reader would refuse it.
pub(crate) fn seal_line(
    links: &Links,
    changes: &Changes,
    log_bytes: usize,
    sealers: &Sealers,
    random: &mut dyn Random,
) -> Option<Vec<u8>> {
    let encoded = (links.encode(), changes.encode());
    // What cannot be read again is not written: whatever rule it breaks.
    if Links::decode(&encoded.0).is_err() || Changes::decode(&encoded.1).is_err() {
        return None;
    }
    let mut line = b"seal ".to_vec();
    text::push_hex(&mut line, &links.id.0);
    line.push(b' ');
    let sealed = sealers.seal.seal(&seal_place(links.id, Part::Links), &encoded.0, random);
    if sealed.len() > limits::LINKS || log_bytes + sealed.len() > limits::WRITTEN_LINKS {
        return None;
    }
    text::push_base64(&mut line, &sealed);
    line.push(b' ');
    let sealed = sealers.seal.seal(&seal_place(links.id, Part::Changes), &encoded.1, random);
    text::push_base64(&mut line, &sealed);
    line.push(b'\n');
    (line.len() <= limits::SEAL_LINE).then_some(line)
}

/// What a page's tag covers: the lines of its entries and files.
pub(crate) fn covered<'a>(entries: impl Iterator<Item = &'a SealedEntry>) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in entries {
        lines.extend_from_slice(&entry.lines);
    }
    lines
}

/// Appends a page's section.
pub(crate) fn push_page<'a>(
    out: &mut Text,
    pages: Pages,
    number: u16,
    head: Option<Head>,
    entries: impl Iterator<Item = &'a SealedEntry>,
) {
    out.push(Page::fixed_line(pages, number));
    if let Some(head) = head {
        out.push(head.write());
    }
    for entry in entries {
        let mut lines = entry.lines.split_inclusive(|&byte| byte == b'\n');
        out.push(lines.next().unwrap_or_default());
        for (line, file) in lines.zip(&entry.files) {
            out.push(line);
            out.copy(&file.source, file.at.clone());
        }
    }
}

/// A file made anew, with one seal: a new vault, or a restart.
pub(crate) struct Whole<'a> {
    pub(crate) header: Header,
    /// Its head is filled in here.
    pub(crate) table: Table,
    /// The entries of every page, ascending by id.
    pub(crate) pages: Vec<Vec<SealedEntry>>,
    pub(crate) generation: u64,
    pub(crate) restart: bool,
    pub(crate) changes: Changes,
    pub(crate) sealers: &'a Sealers,
}

impl Whole<'_> {
    /// The text; `None` if the seal would be longer than the format allows.
    pub(crate) fn write(mut self, id: SealId, random: &mut dyn Random) -> Option<Saved> {
        let pages = self.header.pages;
        let link = |place, tag| PlaceLink { place, previous: Vec::new(), tag };
        let tag = self.sealers.tag(Place::SLOTS, id, &self.table.lines);
        self.table.head = Head { seal: id, tag };
        let mut places = vec![link(Place::SLOTS, tag)];
        let mut heads = Vec::with_capacity(self.pages.len());
        for (number, entries) in (0..pages.count()).zip(&self.pages) {
            if entries.is_empty() {
                heads.push(None);
                continue;
            }
            let place = Place::page(number);
            let tag = self.sealers.tag(place, id, &covered(entries.iter()));
            places.push(link(place, tag));
            heads.push(Some(Head { seal: id, tag }));
        }
        let links =
            Links { id, parents: Vec::new(), generation: self.generation, places, restart: self.restart };
        let line = seal_line(&links, &self.changes, 0, self.sealers, random)?;

        let mut text = Text::new();
        text.push(self.header.write());
        text.push(self.table.write());
        for section in std::iter::once(None).chain((0..pages.count()).map(Some)) {
            text.push(match section {
                None => "log slots\n".to_owned(),
                Some(number) => format!("log {}\n", pages.digits(number)),
            });
            if links.section() == section {
                text.push(line.clone());
            }
        }
        text.push("\n");
        for ((number, entries), head) in (0..pages.count()).zip(&self.pages).zip(heads) {
            push_page(&mut text, pages, number, head, entries.iter());
        }
        Some(Saved { text, seal: id, generation: self.generation })
    }
}
