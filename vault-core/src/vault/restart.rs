//! Restart: one seal that stands for all before it. docs/format.md, "Restart".

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::random::{self, Random};
use crate::error::{EditError, VerifyError};
use crate::format::front::{Header, Pages, Table};
use crate::format::id::SealId;
use crate::format::page::Look;
use crate::format::seal::{Changes, Record};
use crate::format::{cbor, limits};
use crate::vault::UnlockedVault;
use crate::vault::edit::{author_of, reason_of};
use crate::vault::entry::SealedEntry;
use crate::vault::write::{Saved, Whole};

impl UnlockedVault {
    /// The vault with a log of one seal, and with as many pages as wanted. Every entry keeps its line. Verifies the whole
    /// file first.
    ///
    /// # Errors
    /// [`EditError::Verify`], [`EditError::TooManyChanges`].
    pub fn compact(
        &self,
        pages: Pages,
        author: &str,
        reason: Option<&str>,
        now: u64,
        random: &mut dyn Random,
    ) -> Result<Saved, EditError> {
        if self.generation() >= limits::GENERATION {
            return Err(EditError::Full);
        }
        let mut all: Vec<Vec<SealedEntry>> = vec![Vec::new(); usize::from(pages.count())];
        // Ids begin with the page's digits, so the order of old pages is that of new ones.
        for entry in self.all_sealed()? {
            all[usize::from(pages.of(entry.id.0))].push(entry);
        }
        let changes = self.restarting(author, reason, now)?;
        Whole {
            header: Header { pages, ..self.front.header.clone() },
            table: Table::new(pages, self.slots().to_vec(), self.front.table.roster.clone()),
            pages: all,
            generation: self.generation() + 1,
            restart: true,
            changes,
            sealers: &self.sealers,
        }
        .write(SealId(random::array(random)), random)
        .ok_or(EditError::TooManyChanges)
    }

    /// All entries, from verified pages, in the order of their ids.
    pub(super) fn all_sealed(&self) -> Result<Vec<SealedEntry>, VerifyError> {
        let pages = self.each_verified_page(Look::Canonical, |page| {
            let of = |entry| SealedEntry::from_page(&page, entry, &self.source);
            Ok(page.entries.iter().map(of).collect::<Vec<_>>())
        })?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// A restart's changes: who made it, and what it says of the seals that it drops.
    pub(super) fn restarting(
        &self,
        author: &str,
        reason: Option<&str>,
        now: u64,
    ) -> Result<Changes, EditError> {
        let (replaces, records) = self.history()?;
        Ok(Changes {
            time: now,
            author: author_of(author),
            reason: reason_of(reason),
            replaces,
            records,
            ..Changes::default()
        })
    }

    /// The ids of the seals that a restart drops, and the newest of their changes.
    fn history(&self) -> Result<(BTreeSet<SealId>, Vec<Record>), EditError> {
        // Ids with a generation to go by: a replaced seal without a record counts as older than any with one.
        let mut ids: BTreeMap<SealId, u64> = BTreeMap::new();
        let mut records = Vec::new();
        for (seal, changes) in self.all_changes()? {
            let generation = self.log.seals()[&seal].generation;
            for id in &changes.replaces {
                ids.entry(*id).or_insert(0);
            }
            for record in &changes.records {
                ids.insert(record.seal, record.generation);
                records.push(record.clone());
            }
            ids.insert(seal, generation);
            // What this seal replaced is united in the new one's list.
            let own = Changes { replaces: BTreeSet::new(), records: Vec::new(), ..changes };
            records.push(Record { seal, generation, changes: own });
        }
        let mut by_age: Vec<(u64, SealId)> =
            ids.into_iter().map(|(id, generation)| (generation, id)).collect();
        by_age.sort_unstable();
        let surplus = by_age.len().saturating_sub(limits::REPLACES);
        let replaces = by_age.into_iter().skip(surplus).map(|(_, id)| id).collect();

        Ok((replaces, newest(records)))
    }
}

/// The newest records, each once, as many as a seal may carry.
pub(crate) fn newest(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| (record.generation, record.seal));
    // Two seals may carry the same one: what two people brought across a restart, each by themselves.
    records.dedup_by_key(|record| (record.generation, record.seal));
    let mut size = 0;
    let kept = records
        .iter()
        .rev()
        .take(limits::RECORDS)
        .take_while(|record| {
            size += cbor::to_vec(*record).len();
            size <= limits::RECORD_BYTES
        })
        .count();
    records.split_off(records.len() - kept)
}
