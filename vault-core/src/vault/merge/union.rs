//! Merging two sides with the same root: the log is the union of both, and what one side alone wrote stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::crypto::hash::equal;
use crate::error::EditError;
use crate::format::front::{Head, Table};
use crate::format::id::{EntryId, SealId};
use crate::format::limits;
use crate::format::seal::{Changes, Links, Place, PlaceLink};
use crate::source::Text;
use crate::vault::UnlockedVault;
use crate::vault::edit::{author_of, seal_roster};
use crate::vault::entry::SealedEntry;
use crate::vault::log::Log;
use crate::vault::merge::{
    MergeContext, MergeError, NewMerge, Placed, Plan, Side, ids, new_seal_id, plan, seal_entry, slots,
};
use crate::vault::write::{covered, push_page, seal_line};

/// A page that the merge's seal lists.
struct NewPage {
    number: u16,
    previous: Vec<SealId>,
    entries: Vec<SealedEntry>,
}

pub(super) fn merge(ours: &Side, theirs: &Side, context: &mut MergeContext) -> Result<NewMerge, MergeError> {
    let (our_news, their_news) = (ours.news(theirs)?, theirs.news(ours)?);
    let id = new_seal_id(context);
    let mut plan = plan(ours, theirs, &our_news, &their_news, id)?;
    let log = united_log(ours.vault, theirs.vault)?;
    let both = Both { ours: ours.vault, theirs: theirs.vault, log: &log };

    let pages = both.compose_pages(&mut plan, context)?;
    let table = match log.last(Place::SLOTS) {
        [_] => None,
        _ => {
            let (slots, roster) = slots::unite((ours, &our_news), (theirs, &their_news), ours.vault)?;
            Some(seal_roster(ours.vault, slots, roster, context.random))
        }
    };
    if log_bytes(ours.vault, theirs.vault) > limits::WRITTEN_LINKS {
        return Err(MergeError::Edit(EditError::TooManyChanges));
    }
    if pages.is_empty() && table.is_none() {
        return Ok(NewMerge {
            text: both.write(None, Vec::new(), None),
            seal: None,
            conflicts: plan.conflicts,
        });
    }

    let sealers = &ours.vault.sealers;
    let mut places = Vec::new();
    let table = table.map(|mut table| {
        let tag = sealers.tag(Place::SLOTS, id, &table.lines);
        places.push(PlaceLink { place: Place::SLOTS, previous: log.last(Place::SLOTS).to_vec(), tag });
        table.head = Head { seal: id, tag };
        table
    });
    let mut written = Vec::new();
    for page in pages {
        let place = Place::page(page.number);
        let tag = sealers.tag(place, id, &covered(page.entries.iter()));
        places.push(PlaceLink { place, previous: page.previous.clone(), tag });
        written.push((page, Head { seal: id, tag }));
    }
    let links =
        Links { id, parents: log.tips().to_vec(), generation: log.generation() + 1, places, restart: false };
    let changes = Changes {
        time: context.now,
        author: author_of(context.author),
        entries: plan.listed,
        ..Changes::default()
    };
    let too_much = MergeError::Edit(EditError::TooManyChanges);
    if links.parents.len() > limits::PARENTS || links.generation > limits::GENERATION {
        return Err(too_much);
    }
    let log_bytes = log_bytes(ours.vault, theirs.vault);
    let line = seal_line(&links, &changes, log_bytes, sealers, context.random).ok_or(too_much)?;
    let text = both.write(table.as_ref(), written, Some((links.section(), id, line)));
    if text.len() > limits::FILE {
        return Err(MergeError::Edit(EditError::Full));
    }
    Ok(NewMerge { text, seal: Some(id), conflicts: plan.conflicts })
}

/// All seals of both, found to hang together.
fn united_log(ours: &UnlockedVault, theirs: &UnlockedVault) -> Result<Log, MergeError> {
    let mut seals = ours.log.seals().clone();
    for (id, links) in theirs.log.seals() {
        if seals.insert(*id, links.clone()).is_some_and(|known| known != *links) {
            return Err(MergeError::Contradiction);
        }
    }
    if seals.len() >= limits::SEALS {
        return Err(MergeError::Edit(EditError::Full));
    }
    Log::of(seals, usize::from(ours.front.header.pages.count()) + 1).map_err(|_| MergeError::Contradiction)
}

/// Sealed bytes of the links of both logs together.
fn log_bytes(ours: &UnlockedVault, theirs: &UnlockedVault) -> usize {
    let known = ours.log.seals();
    let new = theirs.front.seals.iter().filter(|seal| !known.contains_key(&seal.id));
    ours.log_bytes() + new.map(|seal| seal.links.len()).sum::<usize>()
}

struct Both<'v> {
    ours: &'v UnlockedVault,
    theirs: &'v UnlockedVault,
    log: &'v Log,
}

impl<'v> Both<'v> {
    /// The side that has the place as the log wants it, if one has.
    fn side_of(&self, place: Place) -> Option<&'v UnlockedVault> {
        match self.log.last(place) {
            [] => Some(self.ours),
            [last] if self.ours.log.last(place) == [*last] => Some(self.ours),
            [_] => Some(self.theirs),
            _ => None,
        }
    }

    /// The pages that both sides wrote, and those that entries come to or leave.
    fn compose_pages(&self, plan: &mut Plan, context: &mut MergeContext) -> Result<Vec<NewPage>, MergeError> {
        let pages = self.ours.front.header.pages;
        let touched = ids(self.ours, &plan.names);
        let mut numbers: BTreeSet<u16> =
            ids(self.ours, &plan.both).into_iter().map(|id| pages.of(id.0)).collect();
        numbers.extend((0..pages.count()).filter(|number| self.log.last(Place::page(*number)).len() > 1));

        let mut results: BTreeMap<u16, Vec<SealedEntry>> = BTreeMap::new();
        for (name, placed) in std::mem::take(&mut plan.results) {
            let number = pages.of(self.ours.sealers.entry_id(&name).0);
            if !numbers.contains(&number) {
                continue;
            }
            let sealed = match placed {
                Placed::Ours(entry) | Placed::Theirs(entry) => entry,
                Placed::New(entry) => seal_entry(self.ours, *entry, context.random)?,
            };
            results.entry(number).or_default().push(sealed);
        }

        let mut changed = Vec::new();
        for number in numbers {
            let place = Place::page(number);
            let mut entries = self.untouched(number, &touched)?;
            entries.extend(
                results.remove(&number).unwrap_or_default().into_iter().map(|entry| (entry.id, entry)),
            );
            let entries: Vec<SealedEntry> = entries.into_values().collect();
            if let Some(side) = self.side_of(place)
                && side.page(number).map_err(MergeError::Ours)?.lines == covered(entries.iter())
            {
                continue;
            }
            changed.push(NewPage { number, previous: self.log.last(place).to_vec(), entries });
        }
        Ok(changed)
    }

    /// The entries of a page that neither side changed, which must be the same wherever both have the page.
    fn untouched(
        &self,
        number: u16,
        touched: &BTreeSet<EntryId>,
    ) -> Result<BTreeMap<EntryId, SealedEntry>, MergeError> {
        let read = |vault: &UnlockedVault| -> Result<BTreeMap<EntryId, SealedEntry>, MergeError> {
            let page = vault.page(number).map_err(MergeError::Ours)?;
            let rest = page.entries.iter().filter(|entry| !touched.contains(&entry.id));
            Ok(rest.map(|entry| (entry.id, SealedEntry::from_page(&page, entry, &vault.source))).collect())
        };
        match self.side_of(Place::page(number)) {
            Some(side) => read(side),
            None => {
                let (ours, theirs) = (read(self.ours)?, read(self.theirs)?);
                if !ours.keys().eq(theirs.keys()) {
                    return Err(MergeError::Contradiction);
                }
                let pairs = ours.into_iter().zip(theirs.into_values());
                pairs.map(|((id, here), there)| Ok((id, self.same(here, there)?))).collect()
            }
        }
    }

    /// The entry that neither side changed. Where both brought in the same branch across a rotation, each sealed its entries
    /// for the new key: they are the same when what is in them is. The smaller line stays, whichever side merges.
    fn same(&self, here: SealedEntry, there: SealedEntry) -> Result<SealedEntry, MergeError> {
        if here.lines == there.lines {
            return Ok(here);
        }
        let a = here.open(&self.ours.sealers).map_err(MergeError::Ours)?;
        let b = there.open(&self.theirs.sealers).map_err(MergeError::Theirs)?;
        let same = a.meta == b.meta && equal(a.secrets.encode().expose(), b.secrets.encode().expose());
        match same {
            false => Err(MergeError::Contradiction),
            true => Ok(if here.lines <= there.lines { here } else { there }),
        }
    }

    /// The file: the union of the logs, and every page from the side that has it, or as it was composed.
    fn write(
        &self,
        table: Option<&Table>,
        pages: Vec<(NewPage, Head)>,
        seal: Option<(Option<u16>, SealId, Vec<u8>)>,
    ) -> Text {
        let mut text = Text::new();
        let front = &self.ours.front;
        text.copy(&self.ours.source, 0..front.table_at.start);
        match (table, self.side_of(Place::SLOTS)) {
            (Some(table), _) => text.push(table.write()),
            (None, side) => {
                let side = side.unwrap_or(self.ours);
                text.copy(&side.source, side.front.table_at.clone());
            }
        }
        self.write_log(&mut text, seal);

        let mut composed: BTreeMap<u16, (NewPage, Head)> =
            pages.into_iter().map(|(page, head)| (page.number, (page, head))).collect();
        let count = front.header.pages.count();
        for number in 0..count {
            if let Some((page, head)) = composed.remove(&number) {
                push_page(&mut text, front.header.pages, number, Some(head), page.entries.iter());
                continue;
            }
            let side = self.side_of(Place::page(number)).unwrap_or(self.ours);
            let index = side.index.get().expect("each side was verified as a whole, which builds its index");
            text.copy(&side.source, index.start(number)..index.start(number + 1));
        }
        text
    }

    fn write_log(&self, text: &mut Text, mut seal: Option<(Option<u16>, SealId, Vec<u8>)>) {
        let pages = self.ours.front.header.pages;
        // By section, then id: where each line is.
        let mut lines = BTreeMap::new();
        for vault in [self.theirs, self.ours] {
            for seal in &vault.front.seals {
                lines.insert((seal.section, seal.id), (vault, seal.line.clone()));
            }
        }
        let mut lines = lines.into_iter().peekable();
        for section in std::iter::once(None).chain((0..pages.count()).map(Some)) {
            text.push(match section {
                None => "log slots\n".to_owned(),
                Some(number) => format!("log {}\n", pages.digits(number)),
            });
            while let Some(((_, id), (vault, range))) = lines.next_if(|((of, _), _)| *of == section) {
                if let Some((_, _, line)) = seal.take_if(|(of, new, _)| *of == section && *new < id) {
                    text.push(line);
                }
                text.copy(&Arc::clone(&vault.source), range);
            }
            if let Some((_, _, line)) = seal.take_if(|(of, _, _)| *of == section) {
                text.push(line);
            }
        }
        text.push("\n");
    }
}
