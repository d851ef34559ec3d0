//! A new vault: its master key, its slots, its first seal.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::derive::Keys;
use crate::crypto::random::{self, Random};
use crate::format::front::{Header, Pages, Table};
use crate::format::id::SealId;
use crate::format::roster::{Added, Roster};
use crate::format::seal::{Changes, SlotChange, SlotOp};
use crate::format::slot::SlotLine;
use crate::keys::VaultHeaderParts;
use crate::secret::{Key, Master};
use crate::vault::edit::author_of;
use crate::vault::entry::Sealers;
use crate::vault::write::{Saved, Whole};

/// A vault that is being made: first its keys, then its slots, then its text.
pub struct NewVault {
    header: Header,
    master: Key<Master>,
    slots: Vec<SlotLine>,
}

impl NewVault {
    /// A new uuid, salt and master key.
    #[must_use]
    pub fn generate(pages: Pages, random: &mut dyn Random) -> Self {
        let master = Key::init_with(|key| random.fill(key));
        let parts = VaultHeaderParts::of(random::array(random), random::array(random), &master);
        let header = Header { pages, uuid: parts.uuid, salt: parts.salt, commitment: parts.commitment };
        Self { header, master, slots: Vec::new() }
    }

    /// What slots are made for.
    #[must_use]
    pub fn parts(&self) -> VaultHeaderParts {
        VaultHeaderParts {
            uuid: self.header.uuid,
            salt: self.header.salt,
            commitment: self.header.commitment,
        }
    }

    /// What slots wrap.
    #[must_use]
    pub fn master(&self) -> &Key<Master> {
        &self.master
    }

    /// Adds a slot.
    pub fn add_slot(&mut self, slot: SlotLine) {
        self.slots.push(slot);
    }

    /// The first seal, and with it the text. `None` if there is no slot, more than the format allows, or a
    /// label twice.
    #[must_use]
    pub fn finish(self, author: &str, time: u64, random: &mut dyn Random) -> Option<Saved> {
        let sealers = Sealers::new(&Keys::derive(&self.header.uuid, &self.header.salt, &self.master));
        let added = Added { time, by: author_of(author), epoch: 0 };
        let slots: BTreeMap<_, _> = self.slots.iter().map(|slot| (slot.id, added.clone())).collect();
        let labels: BTreeSet<_> = self.slots.iter().map(|slot| &slot.label).collect();
        if slots.is_empty() || slots.len() > crate::format::limits::SLOTS || labels.len() < slots.len() {
            return None;
        }
        let roster = Roster { epoch: 0, slots, removed: Vec::new() };
        let sealed = sealers.roster.seal(b"", &roster.encode(), random);
        let changes = Changes {
            time,
            author: author_of(author),
            slots: roster.slots.keys().map(|&slot| SlotChange { op: SlotOp::Add, slot }).collect(),
            ..Changes::default()
        };
        let pages = self.header.pages;
        Whole {
            table: Table::new(pages, self.slots, sealed),
            header: self.header,
            pages: vec![Vec::new(); usize::from(pages.count())],
            generation: 1,
            restart: false,
            changes,
            sealers: &sealers,
        }
        .write(SealId(random::array(random)), random)
    }
}
