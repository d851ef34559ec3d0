//! What differs between two states of a vault: names and kinds of change, never a value or its length.
//!
//! With the key, only pages whose text differs are opened, and of these only entries whose lines differ. Without it, entry
//! ids and the nonces that stand in the lines tell that something differs, not what.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::crypto::hash::equal;
use crate::error::VerifyError;
use crate::format::entry::{EntryName, Meta, Stored};
use crate::format::id::EntryId;
use crate::format::lines::FormatError;
use crate::format::page::{Look, Page};
use crate::format::pages::PageIndex;
use crate::format::seal::EntryOp;
use crate::source::Source;
use crate::vault::entry::{OpenEntry, SealedEntry};
use crate::vault::read::{check_page_end, each_page, parse_page};
use crate::vault::{LockedVault, UnlockedVault};

type Opened = Result<Vec<OpenEntry>, VerifyError>;

/// How an entry differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The entry's name; of a removed one, that which it had.
    pub name: EntryName,
    /// The name that it had before, if that was another.
    pub former: Option<EntryName>,
    /// What became of the entry.
    pub change: Change,
    /// Fields that differ.
    pub fields: BTreeMap<String, Change>,
    /// Attributes that differ.
    pub attributes: BTreeMap<String, Change>,
    /// The expiry differs.
    pub expires: Option<Change>,
    /// It is in conflict now ([`Change::Added`]), no longer ([`Change::Removed`]), or otherwise ([`Change::Changed`]).
    pub conflict: Option<Change>,
}

/// What became of an entry, or of one part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It is different.
    Changed,
}

/// What can be seen of an entry without a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outline {
    /// Its id: the same for the same name, as long as the master key is the same.
    pub id: EntryId,
    /// Another one after every change: the start of a nonce.
    pub mark: String,
}

impl LockedVault {
    /// All entries as they can be seen without a key, ascending by id. Looks at the text of every page.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn outline(&self) -> Result<Vec<Outline>, FormatError> {
        let index = PageIndex::build(&*self.source, &self.front)?;
        let pages = each_page(self.front.header.pages.count(), self.source.len(), |number| {
            let page = parse_page(&*self.source, &self.front, &index, number)?;
            let outline = |entry: &crate::format::page::EntryLine| {
                let secrets = &page.lines[entry.secrets.clone()];
                let mark = String::from_utf8_lossy(&secrets[..secrets.len().min(MARK)]).into_owned();
                Outline { id: entry.id, mark }
            };
            Ok::<_, FormatError>(page.entries.iter().map(outline).collect::<Vec<_>>())
        })?;
        Ok(pages.into_iter().flatten().collect())
    }
}

impl UnlockedVault {
    /// How this state differs from another one of the same vault, sorted by name. The other one may have another master key.
    ///
    /// # Errors
    /// [`VerifyError`] of either.
    pub fn differences(&self, before: &Self) -> Result<Vec<Difference>, VerifyError> {
        let (old, new) = self.changed_entries(before)?;
        let mut old: BTreeMap<EntryName, OpenEntry> = by_name(old);
        let mut new: BTreeMap<EntryName, OpenEntry> = by_name(new);
        let mut all = Vec::new();

        let both: Vec<EntryName> = new.keys().filter(|name| old.contains_key(name)).cloned().collect();
        for name in both {
            if let (Some(old), Some(new)) = (old.remove(&name), new.remove(&name)) {
                all.extend(compare(&old, &new)?);
            }
        }
        if !old.is_empty() && !new.is_empty() {
            for (from, to) in self.renames_since(before)? {
                if old.contains_key(&from)
                    && let Some(now) = new.remove(&to)
                    && let Some(was) = old.remove(&from)
                {
                    let differs =
                        compare(&was, &now)?.unwrap_or_else(|| Difference::of(&to, Change::Changed));
                    all.push(Difference { former: Some(from), ..differs });
                }
            }
        }
        all.extend(old.values().map(|entry| one_sided(&entry.meta, Change::Removed)));
        all.extend(new.values().map(|entry| one_sided(&entry.meta, Change::Added)));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Every entry of either state whose line is not the same in both, opened.
    fn changed_entries(&self, before: &Self) -> Result<(Vec<OpenEntry>, Vec<OpenEntry>), VerifyError> {
        let (ours, theirs) = (&self.front.header, &before.front.header);
        let same_key =
            (ours.uuid, ours.salt, ours.commitment) == (theirs.uuid, theirs.salt, theirs.commitment);
        if same_key && ours.pages == theirs.pages {
            return self.changed_in_pages(before);
        }
        let lines = |vault: &Self| -> Result<BTreeMap<EntryId, SealedEntry>, VerifyError> {
            let pages = vault.each_verified_page(Look::Outline, |page| Ok(sealed(&page, vault)))?;
            Ok(pages.into_iter().flatten().map(|entry| (entry.id, entry)).collect())
        };
        let (mut old, mut new) = (lines(before)?, lines(self)?);
        if same_key {
            new.retain(|id, entry| {
                let same = old.get(id).is_some_and(|other| other.lines == entry.lines);
                if same {
                    old.remove(id);
                }
                !same
            });
        }
        let open = |entries: BTreeMap<EntryId, SealedEntry>, vault: &Self| {
            entries.values().map(|entry| entry.open(&vault.sealers)).collect::<Result<Vec<_>, _>>()
        };
        Ok((open(old, before)?, open(new, self)?))
    }

    fn changed_in_pages(&self, before: &Self) -> Result<(Vec<OpenEntry>, Vec<OpenEntry>), VerifyError> {
        let (ours, theirs) = (self.index()?, before.index()?);
        let range = |index: &PageIndex, number: u16| index.start(number)..index.start(number + 1);
        let count = self.front.header.pages.count();
        let pages = each_page(count, self.source.len(), |number| {
            let (new_at, old_at) = (range(ours, number), range(theirs, number));
            if same_text(&*self.source, &new_at, &*before.source, &old_at)? {
                return Ok::<_, VerifyError>((Vec::new(), Vec::new()));
            }
            let old = sealed(&before.verified_page(theirs, number)?, before);
            let new = sealed(&self.verified_page(ours, number)?, self);
            let only = |entries: &[SealedEntry], others: &[SealedEntry], vault: &Self| -> Opened {
                let differs = |entry: &&SealedEntry| {
                    let other = others.binary_search_by_key(&entry.id, |other| other.id);
                    other.map_or(true, |at| others[at].lines != entry.lines)
                };
                entries.iter().filter(differs).map(|entry| entry.open(&vault.sealers)).collect()
            };
            Ok((only(&old, &new, before)?, only(&new, &old, self)?))
        })?;
        let (old, new): (Vec<_>, Vec<_>) = pages.into_iter().unzip();
        Ok((old.into_iter().flatten().collect(), new.into_iter().flatten().collect()))
    }

    fn verified_page(&self, index: &PageIndex, number: u16) -> Result<Page, VerifyError> {
        let (start, end) = (index.start(number), index.start(number + 1));
        let pages = self.front.header.pages;
        let page = Page::parse_expecting(&*self.source, pages, number, start, Look::Outline, end - start)?;
        check_page_end(&page, index)?;
        self.verify_page(&page)?;
        Ok(page)
    }

    /// Names of then and of now, by what the log says of the seals that are new.
    fn renames_since(&self, before: &Self) -> Result<BTreeMap<EntryName, EntryName>, VerifyError> {
        let known: BTreeSet<_> = before.known_seals()?;
        let mut renames: BTreeMap<EntryName, EntryName> = BTreeMap::new();
        for record in self.log()?.into_iter().filter(|record| !known.contains(&record.seal)) {
            for change in record.changes.entries.into_iter().filter(|change| change.op == EntryOp::Rename) {
                let Some(new_name) = change.new_name else { continue };
                let first = renames.iter().find(|(_, now)| **now == change.name).map(|(was, _)| was.clone());
                renames.insert(first.unwrap_or(change.name), new_name);
            }
        }
        Ok(renames)
    }
}

impl Difference {
    /// An entry that is new.
    #[must_use]
    pub fn of_new(meta: &Meta) -> Self {
        one_sided(meta, Change::Added)
    }

    fn of(name: &EntryName, change: Change) -> Self {
        Self {
            name: name.clone(),
            former: None,
            change,
            fields: BTreeMap::new(),
            attributes: BTreeMap::new(),
            expires: None,
            conflict: None,
        }
    }
}

/// An entry that only one of the states has.
fn one_sided(meta: &Meta, change: Change) -> Difference {
    Difference {
        fields: meta.fields.keys().map(|field| (field.clone(), change)).collect(),
        attributes: meta.attributes.keys().map(|attribute| (attribute.clone(), change)).collect(),
        expires: meta.expires.map(|_| change),
        conflict: meta.in_conflict().then_some(change),
        ..Difference::of(&meta.name, change)
    }
}

/// How two versions of an entry differ, but for their times; `None` if they do not.
fn compare(old: &OpenEntry, new: &OpenEntry) -> Result<Option<Difference>, VerifyError> {
    let mut differs = Difference::of(&new.meta.name, Change::Changed);
    let fields: BTreeSet<&String> = old.secrets.values.keys().chain(new.secrets.values.keys()).collect();
    for field in fields {
        let change = match (old.secrets.values.get(field), new.secrets.values.get(field)) {
            (Some(a), Some(b)) if same_value(old, a, new, b)? => continue,
            (was, now) => change_of(was.is_some(), now.is_some()),
        };
        differs.fields.insert(field.clone(), change);
    }
    let attributes: BTreeSet<&String> =
        old.meta.attributes.keys().chain(new.meta.attributes.keys()).collect();
    for attribute in attributes {
        let (was, now) = (old.meta.attributes.get(attribute), new.meta.attributes.get(attribute));
        if was != now {
            differs.attributes.insert(attribute.clone(), change_of(was.is_some(), now.is_some()));
        }
    }
    if old.meta.expires != new.meta.expires {
        differs.expires = Some(change_of(old.meta.expires.is_some(), new.meta.expires.is_some()));
    }
    if old.meta.alternatives != new.meta.alternatives {
        differs.conflict = Some(change_of(old.meta.in_conflict(), new.meta.in_conflict()));
    }
    let same = differs.fields.is_empty()
        && differs.attributes.is_empty()
        && differs.expires.is_none()
        && differs.conflict.is_none();
    Ok((!same).then_some(differs))
}

fn change_of(was: bool, is: bool) -> Change {
    match (was, is) {
        (false, _) => Change::Added,
        (true, false) => Change::Removed,
        (true, true) => Change::Changed,
    }
}

fn same_value(old: &OpenEntry, a: &Stored, new: &OpenEntry, b: &Stored) -> Result<bool, VerifyError> {
    Ok(match (a, b) {
        (Stored::Inline(a), Stored::Inline(b)) => a.expose() == b.expose(),
        (Stored::Attachment(a), Stored::Attachment(b)) => {
            if a.id == b.id && equal(a.key.expose(), b.key.expose()) {
                return Ok(true);
            }
            if a.length != b.length {
                return Ok(false);
            }
            let (Some(mut a), Some(mut b)) = (old.reader(a), new.reader(b)) else { return Ok(false) };
            loop {
                let (a, b) = (a.next_chunk()?, b.next_chunk()?);
                if a != b {
                    return Ok(false);
                }
                if a.is_empty() {
                    return Ok(true);
                }
            }
        }
        _ => false,
    })
}

fn by_name(entries: Vec<OpenEntry>) -> BTreeMap<EntryName, OpenEntry> {
    entries.into_iter().map(|entry| (entry.meta.name.clone(), entry)).collect()
}

fn sealed(page: &Page, vault: &UnlockedVault) -> Vec<SealedEntry> {
    page.entries.iter().map(|entry| SealedEntry::from_page(page, entry, &vault.source)).collect()
}

/// Whether two ranges hold the same bytes; a bounded amount of them is in memory.
fn same_text(
    a: &dyn Source,
    a_at: &Range<u64>,
    b: &dyn Source,
    b_at: &Range<u64>,
) -> Result<bool, FormatError> {
    let length = a_at.end - a_at.start;
    if length != b_at.end - b_at.start {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; STEP], vec![0; STEP]);
    let mut done = 0;
    while done < length {
        let step = usize::try_from(length - done).map_or(STEP, |rest| rest.min(STEP));
        a.read_exact_at(&mut left[..step], a_at.start + done)?;
        b.read_exact_at(&mut right[..step], b_at.start + done)?;
        if left[..step] != right[..step] {
            return Ok(false);
        }
        done += step as u64;
    }
    Ok(true)
}

/// Characters of base64 that hold 96 bits of a nonce.
const MARK: usize = 16;
const STEP: usize = 64 << 10;
