//! Salvage: from a file that does not verify, what still opens. For people who have lost the good copy, and nobody else:
//! what comes out may be old, incomplete, or put together by somebody who wants it to be believed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::crypto::derive::Keys;
use crate::format::entry::{FieldKind, Stored};
use crate::format::id::{BlobId, EntryId};
use crate::format::lines::{FormatError, Lines, words};
use crate::format::slot::SlotLine;
use crate::format::{limits, text};
use crate::keys::{Credential, UnlockError, UnlockPolicy, VaultHeaderParts, open_master};
use crate::source::Source;
use crate::vault::entry::{BlobLines, OpenEntry, SealedEntry, Sealers, open_meta};
use crate::vault::{Entry, LockedVault};

/// Why nothing can be recovered.
#[derive(Debug)]
#[non_exhaustive]
pub enum SalvageError {
    /// The file cannot be read, or has no header with which keys could be derived.
    Format(FormatError),
    /// No slot opens.
    Denied(UnlockError),
}

impl std::fmt::Display for SalvageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::Denied(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SalvageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Format(error) => Some(error),
            Self::Denied(error) => Some(error),
        }
    }
}

/// An entry that opened.
pub struct SalvagedEntry {
    /// The entry. Fields whose attachment is lost are not in it.
    pub entry: Entry,
    /// Its page verifies with the log: it is what was last saved there.
    pub verified: bool,
    /// Fields that were there but whose attachment does not open.
    pub lost_fields: Vec<String>,
}

/// All that could be recovered, and what could not.
pub struct Salvaged {
    /// Sorted by name; several of one name where the file holds several versions, the one most to be trusted first.
    pub entries: Vec<SalvagedEntry>,
    /// Entries whose line is there but does not open.
    pub damaged: Vec<EntryId>,
    /// Pages that are missing or do not verify, although the log does: entries of theirs may be lost without another
    /// trace. Nothing is known of pages if the log does not verify.
    pub unverified_pages: Vec<u16>,
    /// Lines that begin as an entry's and are none, and a last line without its end.
    pub broken_lines: usize,
    /// The slot table and the log verify. If not, entries may be missing or old without a trace.
    pub log_verified: bool,
}

/// The parts of a damaged file that lines were recognised as.
#[derive(Default)]
struct Found {
    header: Option<VaultHeaderParts>,
    slots: Vec<SlotLine>,
    entries: Vec<SealedEntry>,
    broken_lines: usize,
}

/// Recovers what opens with the master key, wherever it stands in the file.
///
/// # Errors
/// [`SalvageError`].
pub fn salvage(
    source: &Arc<dyn Source>,
    credentials: &[Credential],
    policy: &UnlockPolicy,
) -> Result<Salvaged, SalvageError> {
    let found = scan(source).map_err(SalvageError::Format)?;
    let header = found.header.ok_or(SalvageError::Format(FormatError::NotAVault))?;
    let opened = open_master(&header, &found.slots, credentials, policy)
        .map_err(|refused| SalvageError::Denied(refused.error))?;
    let sealers = Sealers::new(&Keys::derive(&header.uuid, &header.salt, &opened.master));
    let verified = verified_lines(source, credentials, policy);

    let mut damaged = BTreeSet::new();
    let mut entries = Vec::new();
    let mut seen = BTreeSet::new();
    for sealed in found.entries {
        // The same line twice is the same version twice: what a merge conflict leaves of unchanged entries.
        if !seen.insert(sealed.lines.clone()) {
            continue;
        }
        match open_what_opens(&sealed, &sealers) {
            Some((open, lost_fields)) => entries.push(SalvagedEntry {
                entry: Entry(open),
                verified: verified.as_ref().is_some_and(|verified| verified.lines.contains(&sealed.lines)),
                lost_fields,
            }),
            None => drop(damaged.insert(sealed.id)),
        }
    }
    entries.sort_by(|a, b| {
        let (left, right) = (a.entry.meta(), b.entry.meta());
        left.name.cmp(&right.name).then(b.verified.cmp(&a.verified)).then(right.modified.cmp(&left.modified))
    });
    Ok(Salvaged {
        entries,
        damaged: damaged.into_iter().collect(),
        log_verified: verified.is_some(),
        unverified_pages: verified.map(|verified| verified.other_pages).unwrap_or_default(),
        broken_lines: found.broken_lines,
    })
}

/// Recognises lines one by one; whatever is not recognised is passed over.
fn scan(source: &Arc<dyn Source>) -> Result<Found, FormatError> {
    let mut lines = Lines::new(&**source, 0);
    let mut found = Found::default();
    loop {
        let line = match lines.next(limits::SEAL_LINE, "a line over 16 MiB") {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(found),
            Err(FormatError::Io(error)) => return Err(FormatError::Io(error)),
            // A line without an end: nothing after it can be told apart.
            Err(_) => {
                found.broken_lines += 1;
                return Ok(found);
            }
        };
        let at = line.offset;
        let end = line.end();
        let text = line.text.strip_suffix(b"\r").unwrap_or(line.text).to_vec();
        if let Some(header) = parse_header(&text) {
            found.header.get_or_insert(header);
        } else if text.starts_with(b"slot ") {
            found.slots.extend(SlotLine::parse(&text).ok().filter(|_| found.slots.len() < limits::SLOTS));
        } else if text.starts_with(b"file ") {
            if let (Some(entry), Some((blob, chunks))) = (found.entries.last_mut(), parse_file(&text)) {
                entry.lines.extend_from_slice(&text);
                entry.lines.push(b'\n');
                let files = BlobLines { blob, chunks, source: Arc::clone(source), at: end..end };
                entry.files.push(files);
            }
        } else if text.starts_with(b"blob ") {
            if let Some(file) = found.entries.last_mut().and_then(|entry| entry.files.last_mut())
                && file.at.end == at
            {
                file.at.end = end;
            }
        } else if let Some(id) = parse_entry(&text) {
            let mut lines = text;
            lines.push(b'\n');
            found.entries.push(SealedEntry { id, lines, files: Vec::new() });
        } else if begins_as_entry(&text) {
            found.broken_lines += 1;
        }
    }
}

fn parse_header(line: &[u8]) -> Option<VaultHeaderParts> {
    let [b"id", uuid, salt, commitment] = words(line)? else { return None };
    Some(VaultHeaderParts {
        uuid: text::hex(uuid).ok()?,
        salt: text::hex(salt).ok()?,
        commitment: text::hex(commitment).ok()?,
    })
}

fn parse_entry(line: &[u8]) -> Option<EntryId> {
    let [id, _, _] = words(line)?;
    EntryId::from_hex(id).ok()
}

/// Whether the first word is an entry's id.
fn begins_as_entry(line: &[u8]) -> bool {
    let first = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    EntryId::from_hex(first).is_ok()
}

fn parse_file(line: &[u8]) -> Option<(BlobId, u32)> {
    let [b"file", _, blob, chunks] = words(line)? else { return None };
    let chunks = text::decimal(chunks, u64::from(limits::CHUNKS)).ok()?;
    Some((BlobId::from_hex(blob).ok()?, u32::try_from(chunks).ok()?))
}

/// The entry, without the fields whose attachments do not open.
fn open_what_opens(sealed: &SealedEntry, sealers: &Sealers) -> Option<(OpenEntry, Vec<String>)> {
    // Attachments are told apart from the entry itself, which opens without them.
    let (meta, secrets) = sealed.parts();
    let meta = open_meta(sealed.id, meta, sealers).ok()?;
    let secrets = sealed.open_secrets(secrets, sealers).ok()?;
    if !secrets.belong_to(&meta) {
        return None;
    }
    let mut open = OpenEntry { meta, secrets, files: sealed.files.clone() };
    let attachments: Vec<String> = open
        .meta
        .fields
        .iter()
        .filter(|(_, info)| info.kind == FieldKind::Attachment)
        .map(|(field, _)| field.clone())
        .collect();
    let mut lost = Vec::new();
    for field in attachments {
        let opens = match open.secrets.values.get(&field) {
            Some(Stored::Attachment(attachment)) => open.reads_whole(attachment),
            _ => true,
        };
        if !opens {
            open.meta.fields.remove(&field);
            open.secrets.values.remove(&field);
            lost.push(field);
        }
    }
    Some((open, lost))
}

/// What the log vouches for.
struct Verified {
    /// The entries of all pages that verify.
    lines: BTreeSet<Vec<u8>>,
    /// The other pages.
    other_pages: Vec<u16>,
}

/// What verifies; nothing if slot table and log do not.
fn verified_lines(
    source: &Arc<dyn Source>,
    credentials: &[Credential],
    policy: &UnlockPolicy,
) -> Option<Verified> {
    let locked = LockedVault::open(Arc::clone(source)).ok()?;
    let policy = UnlockPolicy { allow_rollback: true, ..policy.clone() };
    let vault = locked.unlock(credentials, &policy).ok()?;
    let mut verified = Verified { lines: BTreeSet::new(), other_pages: Vec::new() };
    for number in 0..vault.header().pages.count() {
        match vault.page(number) {
            Ok(page) => {
                verified
                    .lines
                    .extend(page.entries.iter().map(|entry| page.lines[entry.all.clone()].to_vec()));
            }
            Err(_) => verified.other_pages.push(number),
        }
    }
    Some(verified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::front::Pages;
    use crate::vault::tests::Fixture;

    fn salvaged(vault: &Fixture, text: Vec<u8>) -> Salvaged {
        let source: Arc<dyn Source> = Arc::new(text);
        salvage(&source, &vault.credentials(), &UnlockPolicy::default()).ok().unwrap()
    }

    fn names(salvaged: &Salvaged) -> Vec<(&str, bool)> {
        salvaged.entries.iter().map(|entry| (entry.entry.meta().name.as_str(), entry.verified)).collect()
    }

    fn text(vault: &Fixture) -> String {
        String::from_utf8(vault.text.to_vec()).unwrap()
    }

    #[test]
    fn all_entries_of_a_good_file_are_recovered_and_trusted() {
        let vault = Fixture::new(Pages::Few).set("a", b"1").set("b", &[7; 30_000]).set("c", b"3");
        let all = salvaged(&vault, vault.text.to_vec());
        assert_eq!(names(&all), [("a", true), ("b", true), ("c", true)]);
        assert!(all.log_verified && all.damaged.is_empty());
        assert!(all.unverified_pages.is_empty() && all.broken_lines == 0);
    }

    /// The lines of the page that has an entry, from its head on, and the page's number.
    fn last_full_page(text: &str) -> (std::ops::Range<usize>, u16) {
        let head = text.rfind("\nhead ").unwrap() + 1;
        let end = head + text[head..].find("\npage ").map_or(text[head..].len(), |at| at + 1);
        let number = text[..head].trim_end().rsplit(' ').next().unwrap();
        (head..end, u16::from_str_radix(number, 16).unwrap())
    }

    #[test]
    fn a_page_whose_lines_are_gone_is_named() {
        let vault = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2");
        let mut text = text(&vault);
        let (lines, page) = last_full_page(&text);
        text.replace_range(lines, "");
        let all = salvaged(&vault, text.into_bytes());
        assert_eq!(all.entries.len(), 1);
        assert!(all.log_verified && all.damaged.is_empty());
        assert_eq!((all.unverified_pages, all.broken_lines), (vec![page], 0));
    }

    #[test]
    fn the_pages_that_a_cut_took_are_named() {
        let vault = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2");
        let mut text = vault.text.to_vec();
        text.truncate(text.len() - 300);
        let all = salvaged(&vault, text);
        assert!(all.log_verified);
        assert_eq!(all.unverified_pages.last(), Some(&255));
        assert_eq!(all.broken_lines, 1);
    }

    #[test]
    fn a_line_that_begins_as_an_entry_and_is_none_is_counted() {
        let vault = Fixture::new(Pages::Few).set("a", b"1");
        let mut text = text(&vault);
        let (lines, page) = last_full_page(&text);
        let end = lines.start + text[lines].rfind(' ').unwrap();
        let line_end = end + text[end..].find('\n').unwrap();
        text.replace_range(end..line_end, "");
        let all = salvaged(&vault, text.into_bytes());
        assert_eq!((all.entries.len(), all.unverified_pages, all.broken_lines), (0, vec![page], 1));
    }

    #[test]
    fn what_still_opens_comes_back_from_a_file_with_a_damaged_line() {
        let vault = Fixture::new(Pages::Few).set("a", b"1").set("b", b"2");
        let broken: String = text(&vault)
            .lines()
            .map(|line| if line.starts_with("seal ") { "garbage\n".to_owned() } else { format!("{line}\n") })
            .collect();
        let all = salvaged(&vault, broken.into_bytes());
        assert_eq!(names(&all), [("a", false), ("b", false)]);
        assert!(!all.log_verified);
    }

    #[test]
    fn both_sides_of_a_conflict_come_back() {
        let base = Fixture::new(Pages::Few).set("a", b"1");
        let (ours, theirs) = (text(&base.set("a", b"ours")), text(&base.set("a", b"theirs")));
        let conflicted = format!("{ours}<<<<<<< HEAD\n{theirs}>>>>>>> other\n");
        let all = salvaged(&base, conflicted.into_bytes());
        assert_eq!(names(&all).len(), 2);
    }

    #[test]
    fn a_lost_attachment_is_named_and_the_rest_of_its_entry_kept() {
        let vault = Fixture::new(Pages::Few).set("a", &[7; 30_000]);
        let cut: String = text(&vault)
            .lines()
            .filter(|line| !line.starts_with("blob "))
            .map(|line| format!("{line}\n"))
            .collect();
        let all = salvaged(&vault, cut.into_bytes());
        assert_eq!(all.entries[0].lost_fields, ["secret"]);
        assert!(all.entries[0].entry.meta().fields.is_empty());
    }
}
