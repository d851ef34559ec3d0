//! Pins: what a machine remembers of the vault at one path, and how the vault that is there now stands to it.
//!
//! docs/threat-model.md, "Pins". Nothing here is secret, and nothing here is authenticated: who can write the file of pins
//! can make this machine forget. Where the file is, is the program's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::crypto::hash::sha256;
use crate::error::VerifyError;
use crate::format::id::{SealId, SlotId};
use crate::format::roster::Roster;
use crate::format::slot::SlotLine;
use crate::format::text;
use crate::keys::VaultId;
use crate::vault::{LockedVault, UnlockedVault};

/// What is remembered of the vault at one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Which vaults were accepted here, and since when, in that order.
    known: Vec<(VaultId, u64)>,
    /// By git branch; the empty name is that of a vault outside of git.
    branches: BTreeMap<Vec<u8>, Pinned>,
    /// Every slot that was seen here.
    slots: BTreeMap<SlotId, Slot>,
}

/// The newest state that was seen on one branch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pinned {
    id: VaultId,
    generation: u64,
    /// When the branch was first seen.
    since: u64,
    /// When this state was first seen: the oldest are forgotten when there are too many branches.
    at: u64,
    tips: Vec<SealId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    kind: String,
    label: String,
    gone: bool,
}

/// How the vault that is there stands to what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was known of this path.
    FirstSeen,
    /// The vault is known at this path; this branch was not seen before.
    NewBranch,
    /// It is the state that was seen, or one that came of it.
    Expected {
        /// Since when, in seconds since 1970.
        since: u64,
    },
    /// There is no branch to compare it with: no branch is checked out, or git is in the middle of something.
    NotCompared,
    /// Something that was seen is not in it: it is older, or a branch that was merged is missing.
    Older {
        /// Its generation.
        generation: u64,
        /// The generation that was seen.
        seen: u64,
    },
}

/// A change of the slot table since this machine last looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotNews {
    /// A slot that was never seen here.
    Added {
        /// Its label.
        label: String,
        /// Its kind.
        kind: String,
        /// Who says they added it.
        by: String,
        /// When, in seconds since 1970.
        time: u64,
    },
    /// A slot that is no more.
    Removed {
        /// Its label.
        label: String,
        /// Its kind.
        kind: String,
        /// Who says they removed it.
        by: String,
        /// When, in seconds since 1970.
        time: u64,
    },
}

/// What there is to remember of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Which vault.
    pub id: VaultId,
    /// Its generation.
    pub generation: u64,
    /// Its tips.
    pub tips: Vec<SealId>,
    /// The slots: id, kind, label.
    slots: Vec<(SlotId, String, String)>,
    /// Slots that were removed.
    removed: BTreeSet<SlotId>,
}

/// The text is no file of pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPins;

impl Sighting {
    /// Of an unlocked vault.
    #[must_use]
    pub fn of(vault: &UnlockedVault) -> Self {
        Self {
            id: vault.id(),
            generation: vault.generation(),
            tips: vault.tips().to_vec(),
            slots: slots_of(vault.slots()),
            removed: vault.roster().removed.iter().map(|removed| removed.id).collect(),
        }
    }

    /// Of the vault as a save stored it: the new seal follows all others. Slots, and the master key, may be other ones.
    #[must_use]
    pub fn after(before: &UnlockedVault, stored: &LockedVault, seal: SealId, generation: u64) -> Self {
        let slots = slots_of(stored.slots());
        let gone =
            before.slots().iter().map(|slot| slot.id).filter(|id| slots.iter().all(|slot| slot.0 != *id));
        let mut removed = Self::of(before).removed;
        removed.extend(gone);
        Self { id: stored.id(), generation, tips: vec![seal], slots, removed }
    }
}

fn slots_of(lines: &[SlotLine]) -> Vec<(SlotId, String, String)> {
    lines.iter().map(|slot| (slot.id, slot.kind.name().to_owned(), slot.label.as_str().to_owned())).collect()
}

impl UnlockedVault {
    /// Whether all of these seals are in the log, or were replaced by a restart in it: whether they are in `T`.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn knows(&self, seals: &[SealId]) -> Result<bool, VerifyError> {
        // What restarts replaced stands in the changes, which reading one entry does not open.
        if seals.iter().all(|seal| self.log.seals().contains_key(seal)) {
            return Ok(true);
        }
        let known = self.known_seals()?;
        Ok(seals.iter().all(|seal| known.contains(seal)))
    }
}

impl Pins {
    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Fails if this path is known for other vaults.
    ///
    /// # Errors
    /// The vault that was accepted last.
    pub fn check_id(&self, id: &VaultId) -> Result<(), VaultId> {
        match self.known.last() {
            Some((last, _)) if self.rank(id).is_none() => Err(*last),
            _ => Ok(()),
        }
    }

    /// Since when this vault is known at this path, in seconds since 1970.
    #[must_use]
    pub fn since(&self, id: &VaultId) -> Option<u64> {
        self.known.iter().find(|(known, _)| known == id).map(|(_, since)| *since)
    }

    /// How the vault stands to what was seen on a branch; without a branch it is not compared.
    ///
    /// # Errors
    /// [`VerifyError`] of the vault.
    pub fn compare(&self, branch: Option<&[u8]>, vault: &UnlockedVault) -> Result<Standing, VerifyError> {
        if self.known.is_empty() {
            return Ok(Standing::FirstSeen);
        }
        let Some(branch) = branch else { return Ok(Standing::NotCompared) };
        let Some(pinned) = self.branches.get(branch) else { return Ok(Standing::NewBranch) };
        // Another vault, which was accepted in the place of the first one: there is nothing to compare.
        if pinned.id.uuid != vault.id().uuid {
            return Ok(Standing::NewBranch);
        }
        Ok(if vault.knows(&pinned.tips)? {
            Standing::Expected { since: pinned.since }
        } else {
            Standing::Older { generation: vault.generation(), seen: pinned.generation }
        })
    }

    /// What changed in the slot table since it was last looked at. Nothing, if it never was.
    #[must_use]
    pub fn news(&self, vault: &UnlockedVault) -> Vec<SlotNews> {
        self.slot_news(
            vault.slots().iter().map(|slot| (slot.id, slot.kind.name(), slot.label.as_str())),
            vault.roster(),
        )
    }

    fn slot_news<'a>(
        &self,
        slots: impl Iterator<Item = (SlotId, &'a str, &'a str)>,
        roster: &Roster,
    ) -> Vec<SlotNews> {
        if self.slots.is_empty() {
            return Vec::new();
        }
        let added = slots.filter(|(id, ..)| !self.slots.contains_key(id)).map(|(id, kind, label)| {
            let (by, time) =
                roster.slots.get(&id).map_or((String::new(), 0), |added| (added.by.clone(), added.time));
            SlotNews::Added { label: label.to_owned(), kind: kind.to_owned(), by, time }
        });
        let is_news = |id: &SlotId| self.slots.get(id).is_some_and(|slot| !slot.gone);
        let removed = roster.removed.iter().filter(|removed| is_news(&removed.id)).map(|removed| {
            let (label, kind) = (removed.label.clone(), removed.kind.clone());
            SlotNews::Removed { label, kind, by: removed.by.clone(), time: removed.time }
        });
        added.chain(removed).collect()
    }

    /// Remembers a vault, as the newest state of a branch if there is one. Whether it is to be accepted was decided before.
    pub fn record(&mut self, branch: Option<&[u8]>, sighting: &Sighting, now: u64) {
        let Sighting { id, generation, tips, slots, removed } = sighting;
        if self.rank(id).is_none() {
            self.known.push((*id, now));
            let surplus = self.known.len().saturating_sub(MAX_KNOWN);
            self.known.drain(..surplus);
        }
        if let Some(branch) = branch.filter(|name| name.len() <= MAX_BRANCH) {
            let before = self.branches.get(branch);
            let since = before.map_or(now, |pinned| pinned.since);
            let same = before.is_some_and(|pinned| pinned.tips == *tips && pinned.id == *id);
            if !same {
                let pinned = Pinned { id: *id, generation: *generation, since, at: now, tips: tips.clone() };
                self.branches.insert(branch.to_vec(), pinned);
            }
        }
        while self.branches.len() > MAX_BRANCHES {
            let oldest =
                self.branches.iter().min_by_key(|(_, pinned)| pinned.at).map(|(name, _)| name.clone());
            oldest.map(|name| self.branches.remove(&name));
        }
        for (slot, kind, label) in slots {
            let seen = Slot { kind: kind.clone(), label: label.clone(), gone: false };
            match self.slots.get_mut(slot) {
                Some(known) => (known.kind, known.label) = (seen.kind, seen.label),
                None => drop(self.slots.insert(*slot, seen)),
            }
        }
        for (slot, known) in &mut self.slots {
            known.gone |= removed.contains(slot);
        }
        while self.slots.len() > MAX_SLOTS {
            let gone = self.slots.iter().find(|(_, slot)| slot.gone).map(|(id, _)| *id);
            let Some(gone) = gone.or_else(|| self.slots.keys().next().copied()) else { return };
            self.slots.remove(&gone);
        }
    }

    /// As [`Pins::record`], when another process recorded something since the vault was looked at: what it saw stays, unless
    /// it is contained in the vault that is recorded now.
    ///
    /// # Errors
    /// [`VerifyError`] of the vault.
    pub fn record_beside(
        &mut self,
        branch: Option<&[u8]>,
        vault: &UnlockedVault,
        now: u64,
    ) -> Result<(), VerifyError> {
        match self.compare(branch, vault)? {
            Standing::Older { .. } => {}
            _ => self.record(branch, &Sighting::of(vault), now),
        }
        Ok(())
    }

    /// As [`Pins::record`], for what this process itself saved after it had read the pins as `read`. What another process
    /// recorded since then is kept beside it: both are in the file.
    pub fn record_saved(&mut self, read: &Self, branch: Option<&[u8]>, sighting: &Sighting, now: u64) {
        let find = |pins: &Self| branch.and_then(|branch| pins.branches.get(branch)).cloned();
        let meanwhile = find(self).filter(|pinned| Some(pinned) != find(read).as_ref());
        match meanwhile {
            // A rotation followed.
            Some(pinned) if pinned.id != sighting.id => {}
            Some(pinned) => {
                let mut both = sighting.clone();
                both.tips.extend(pinned.tips);
                both.tips.sort_unstable();
                both.tips.dedup();
                both.generation = both.generation.max(pinned.generation);
                self.record(branch, &both, now);
            }
            None => self.record(branch, sighting, now),
        }
    }

    /// Accepts this vault as the last one at this path. Vaults that were accepted after it, and those with another uuid, are
    /// forgotten: who trusts the old one again takes back what came between.
    pub fn trust(&mut self, branch: Option<&[u8]>, sighting: &Sighting, now: u64) {
        if let Some(rank) = self.rank(&sighting.id) {
            self.known.truncate(rank + 1);
        }
        self.known.retain(|(known, _)| known.uuid == sighting.id.uuid);
        self.record(branch, sighting, now);
        let known = &self.known;
        self.branches.retain(|_, pinned| known.iter().any(|(id, _)| *id == pinned.id));
        self.slots.retain(|id, _| {
            sighting.slots.iter().any(|(slot, ..)| slot == id) || sighting.removed.contains(id)
        });
    }

    fn rank(&self, id: &VaultId) -> Option<usize> {
        self.known.iter().position(|(known, _)| known == id)
    }

    /// The pins of a file.
    ///
    /// # Errors
    /// [`NotPins`]
    pub fn parse(bytes: &[u8]) -> Result<Self, NotPins> {
        let text = std::str::from_utf8(bytes).map_err(|_| NotPins)?;
        let mut lines = text.strip_suffix('\n').ok_or(NotPins)?.split('\n');
        if lines.next() != Some(MAGIC) {
            return Err(NotPins);
        }
        let mut pins = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                // For people who look which vault the file is about.
                ["path", _] => {}
                ["id", id, since] => pins.known.push((vault_id(id)?, number(since)?)),
                ["branch", name, id, generation, since, at, tips] => {
                    let tips = tips.split(',').map(|tip| SealId::from_hex(tip.as_bytes()));
                    let pinned = Pinned {
                        id: vault_id(id)?,
                        generation: number(generation)?,
                        since: number(since)?,
                        at: number(at)?,
                        tips: tips.collect::<Result<_, _>>().map_err(|_| NotPins)?,
                    };
                    pins.branches.insert(unescape(name)?, pinned);
                }
                ["slot", id, kind, label, state @ ("there" | "gone")] => {
                    let id = SlotId::from_hex(id.as_bytes()).map_err(|_| NotPins)?;
                    let (kind, label) = (kind.to_owned(), label.to_owned());
                    pins.slots.insert(id, Slot { kind, label, gone: state == "gone" });
                }
                _ => return Err(NotPins),
            }
        }
        Ok(pins)
    }

    /// The text of a file for the vault at this path.
    #[must_use]
    pub fn to_text(&self, path: &[u8]) -> String {
        let mut out = format!("{MAGIC}\npath {}\n", escape(path));
        // Writing to a string cannot fail.
        for (id, since) in &self.known {
            let _ = writeln!(out, "id {id} {since}");
        }
        for (name, Pinned { id, generation, since, at, tips }) in &self.branches {
            let tips: Vec<String> = tips.iter().map(ToString::to_string).collect();
            let (name, tips) = (escape(name), tips.join(","));
            let _ = writeln!(out, "branch {name} {id} {generation} {since} {at} {tips}");
        }
        for (id, Slot { kind, label, gone }) in &self.slots {
            let _ = writeln!(out, "slot {id} {kind} {label} {}", if *gone { "gone" } else { "there" });
        }
        out
    }
}

/// The name of the file for the vault at this path: of fixed length, and not to be chosen by whoever names folders.
#[must_use]
pub fn file_name(path: &[u8]) -> String {
    sha256(path)[..16].iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

fn vault_id(text: &str) -> Result<VaultId, NotPins> {
    VaultId::parse(text).map_err(|_| NotPins)
}

fn number(text: &str) -> Result<u64, NotPins> {
    text.parse().map_err(|_| NotPins)
}

/// Letters, digits and `/._-` as they are, everything else as `%` and two digits; a lone `-` for nothing.
fn escape(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'-' if at == 0 => out.push_str("%2d"),
            byte if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) => out.push(char::from(*byte)),
            byte => drop(write!(out, "%{byte:02x}")),
        }
    }
    out
}

fn unescape(text: &str) -> Result<Vec<u8>, NotPins> {
    if text == "-" {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if *first == b'%' {
            let digits = more.get(..2).ok_or(NotPins)?;
            let [byte] = text::hex::<1>(digits).map_err(|_| NotPins)?;
            bytes.push(byte);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    if bytes.is_empty() { Err(NotPins) } else { Ok(bytes) }
}

/// The first line of a file of pins.
const MAGIC: &str = "vault-pins 1";
/// Most bytes of a file of pins that are read.
pub const MAX_PINS: u64 = 16 << 20;
/// Most vaults that are remembered of one path: rotations, mostly.
const MAX_KNOWN: usize = 64;
/// Most branches.
const MAX_BRANCHES: usize = 256;
/// Longer names of branches than git allows itself are not remembered.
const MAX_BRANCH: usize = 1024;
/// Most slots, also of those that are gone.
const MAX_SLOTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;
    use crate::format::front::Pages;
    use crate::format::roster::{Added, Removed};
    use crate::vault::tests::Fixture;

    fn id(uuid: u8, commitment: u8) -> VaultId {
        VaultId { uuid: [uuid; 16], commitment: [commitment; 32] }
    }

    fn sighting(id: VaultId, generation: u64, tips: &[u8]) -> Sighting {
        let tips = tips.iter().map(|tip| SealId([*tip; 16])).collect();
        let slots = vec![(SlotId([9; 16]), "age".to_owned(), "me".to_owned())];
        Sighting { id, generation, tips, slots, removed: BTreeSet::new() }
    }

    #[test]
    fn pins_are_read_back_whatever_branches_are_called() {
        let mut pins = Pins::default();
        assert!(pins.is_empty());
        for name in [&b""[..], b"-", b"main", b"feature/a b", b"%41", "ä\u{202e}".as_bytes(), b"\xff\n"] {
            pins.record(Some(name), &sighting(id(1, 2), 3, &[4, 5]), 6);
        }
        pins.record(None, &sighting(id(1, 7), 3, &[4]), 8);
        let text = pins.to_text(b"/home/a b/secrets.vault");
        assert!(text.starts_with("vault-pins 1\npath /home/a%20b/secrets.vault\nid 0101"), "{text}");
        assert_eq!(Pins::parse(text.as_bytes()), Ok(pins));
    }

    #[test]
    fn what_is_no_file_of_pins_is_refused() {
        let good = {
            let mut pins = Pins::default();
            pins.record(Some(b"main"), &sighting(id(1, 2), 3, &[4]), 6);
            pins.to_text(b"/x")
        };
        assert!(Pins::parse(good.as_bytes()).is_ok());
        for wrong in [
            String::new(),
            "vault-pins 2\n".to_owned(),
            good.trim_end().to_owned(),
            good.replace("branch main", "branch"),
            good.replace("branch main", "branch %4"),
            good.replace("branch main", "branch %zz"),
            good.replace(" there", " here"),
            good.replace("id 01", "id 0x"),
            format!("{good}\n"),
            format!("{good}more\n"),
        ] {
            assert_eq!(Pins::parse(wrong.as_bytes()), Err(NotPins), "{wrong}");
        }
        assert_eq!(Pins::parse(b"vault-pins 1\n\xff\n"), Err(NotPins));
        assert_eq!(Pins::parse(b"vault-pins 1\n"), Ok(Pins::default()));
    }

    #[test]
    fn a_known_path_accepts_the_vaults_that_were_accepted_and_no_other() {
        let mut pins = Pins::default();
        assert_eq!(pins.check_id(&id(1, 1)), Ok(()));
        pins.record(Some(b""), &sighting(id(1, 1), 1, &[1]), 10);
        assert_eq!(pins.check_id(&id(1, 1)), Ok(()));
        assert_eq!(pins.check_id(&id(1, 2)), Err(id(1, 1)));
        assert_eq!(pins.check_id(&id(2, 1)), Err(id(1, 1)));
        pins.trust(Some(b""), &sighting(id(1, 2), 1, &[2]), 20);
        assert_eq!((pins.check_id(&id(1, 1)), pins.check_id(&id(1, 2))), (Ok(()), Ok(())));
        assert_eq!(pins.check_id(&id(3, 3)), Err(id(1, 2)));
        let since = |n| pins.since(&id(1, n));
        assert_eq!((since(1), since(2), since(3)), (Some(10), Some(20), None));
        // Trusting the first one again takes back the second.
        pins.trust(Some(b""), &sighting(id(1, 1), 1, &[1]), 30);
        assert_eq!((pins.check_id(&id(1, 1)), pins.check_id(&id(1, 2))), (Ok(()), Err(id(1, 1))));
        // Another vault takes the place of all that had the first one's uuid.
        pins.trust(Some(b"x"), &sighting(id(3, 3), 1, &[3]), 40);
        assert_eq!((pins.check_id(&id(3, 3)), pins.check_id(&id(1, 1))), (Ok(()), Err(id(3, 3))));
        assert!(pins.branches.keys().eq([b"x"]));
    }

    #[test]
    fn an_older_state_is_older_and_a_newer_one_expected() {
        let first = Fixture::new(Pages::Few).set("a", b"1");
        let (old, new) = (first.unlock(), first.set("b", b"2").unlock());
        let mut pins = Pins::default();
        assert_eq!(pins.compare(Some(b""), &old).unwrap(), Standing::FirstSeen);
        pins.record(Some(b""), &Sighting::of(&old), 5);
        assert_eq!(pins.compare(Some(b""), &old).unwrap(), Standing::Expected { since: 5 });
        assert_eq!(pins.compare(Some(b""), &new).unwrap(), Standing::Expected { since: 5 });
        pins.record(Some(b""), &Sighting::of(&new), 6);
        let older = Standing::Older { generation: old.generation(), seen: new.generation() };
        assert_eq!(pins.compare(Some(b""), &old).unwrap(), older);
        assert_eq!(pins.compare(Some(b"other"), &old).unwrap(), Standing::NewBranch);
        assert_eq!(pins.compare(None, &old).unwrap(), Standing::NotCompared);

        // Another process saw the newer one meanwhile: it is not forgotten.
        pins.record_beside(Some(b""), &old, 7).unwrap();
        assert_eq!(pins.compare(Some(b""), &old).unwrap(), older);
    }

    #[test]
    fn what_two_processes_saved_is_both_remembered() {
        let mut disk = Pins::default();
        disk.record(Some(b""), &sighting(id(1, 1), 1, &[1]), 1);
        let read = disk.clone();
        // The other one saved later, and was quicker with its pin.
        disk.record(Some(b""), &sighting(id(1, 1), 3, &[3]), 2);
        disk.record_saved(&read, Some(b""), &sighting(id(1, 1), 2, &[2]), 2);
        let pinned = &disk.branches[&b""[..]];
        assert_eq!((pinned.generation, &pinned.tips[..]), (3, &[SealId([2; 16]), SealId([3; 16])][..]));
        let read = disk.clone();
        disk.record_saved(&read, Some(b""), &sighting(id(1, 1), 4, &[4]), 2);
        assert_eq!(disk.branches[&b""[..]].tips, [SealId([4; 16])]);
        let read = disk.clone();
        disk.record(Some(b""), &sighting(id(1, 2), 6, &[6]), 3);
        disk.record_saved(&read, Some(b""), &sighting(id(1, 1), 5, &[5]), 3);
        assert_eq!(disk.branches[&b""[..]].id, id(1, 2), "rotated meanwhile");
    }

    #[test]
    fn a_restart_knows_what_it_replaced() {
        let first = Fixture::new(Pages::Few).set("a", b"1");
        let old = first.unlock();
        let mut pins = Pins::default();
        pins.record(Some(b""), &Sighting::of(&old), 5);
        let compacted = old.compact(old.header().pages, "tester", None, 9, &mut SystemRandom).unwrap();
        let compacted = first.with(compacted.text.to_vec().unwrap()).unlock();
        assert_eq!(pins.compare(Some(b""), &compacted).unwrap(), Standing::Expected { since: 5 });
        pins.record(Some(b""), &Sighting::of(&compacted), 6);
        assert!(matches!(pins.compare(Some(b""), &old).unwrap(), Standing::Older { .. }));
    }

    #[test]
    fn a_change_of_the_slots_is_news_once() {
        let slot = |n: u8| SlotId([n; 16]);
        let added = Added { time: 70, by: "ann".to_owned(), epoch: 0 };
        let mut roster = Roster { slots: BTreeMap::from([(slot(9), added.clone())]), ..Roster::default() };
        let mut pins = Pins::default();
        let news = |pins: &Pins, ids: &[u8], roster: &Roster| {
            pins.slot_news(ids.iter().map(|n| (slot(*n), "age", "bob")), roster)
        };
        assert_eq!(news(&pins, &[9], &roster), [], "nothing was seen before");
        let mut seen = sighting(id(1, 1), 1, &[1]);
        pins.record(None, &seen, 1);
        assert_eq!(news(&pins, &[9], &roster), []);

        roster.slots.insert(slot(8), added);
        let expected = SlotNews::Added {
            label: "bob".to_owned(),
            kind: "age".to_owned(),
            by: "ann".to_owned(),
            time: 70,
        };
        assert_eq!(news(&pins, &[8, 9], &roster), [expected]);
        seen.slots.push((slot(8), "age".to_owned(), "bob".to_owned()));
        pins.record(None, &seen, 1);
        assert_eq!(news(&pins, &[8, 9], &roster), []);
        // Another branch, where it is not there yet, is no news either.
        assert_eq!(news(&pins, &[9], &Roster::default()), []);

        let gone = Removed {
            id: slot(8),
            kind: "age".to_owned(),
            label: "bob".to_owned(),
            recipient: "age1".to_owned(),
            time: 80,
            by: "ann".to_owned(),
            epoch: 0,
        };
        roster.removed.push(gone);
        assert!(
            matches!(&news(&pins, &[9], &roster)[..], [SlotNews::Removed { label, .. }] if label == "bob")
        );
        seen.slots.pop();
        seen.removed.insert(slot(8));
        pins.record(None, &seen, 1);
        assert_eq!(news(&pins, &[9], &roster), []);
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut pins = Pins::default();
        for n in 0..MAX_BRANCHES as u64 + 10 {
            pins.record(Some(format!("b{n}").as_bytes()), &sighting(id(1, 1), n, &[1]), n);
        }
        assert_eq!(pins.branches.len(), MAX_BRANCHES);
        assert!(!pins.branches.contains_key(&b"b0"[..]), "the oldest go first");
        for n in 0..=255 {
            pins.record(None, &sighting(id(1, n), 1, &[1]), 1);
        }
        assert_eq!(pins.known.len(), MAX_KNOWN);
        assert_eq!(pins.check_id(&id(1, 255)), Ok(()));
    }

    #[test]
    fn a_file_s_name_is_the_path_s_and_nothing_else() {
        assert_eq!(file_name(b"/a").len(), 32);
        assert_ne!(file_name(b"/a"), file_name(b"/b"));
    }
}
