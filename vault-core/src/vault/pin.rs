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
use crate::format::slot::{SlotKind, SlotLine};
use crate::format::text;
use crate::keys::VaultId;
use crate::vault::{LockedVault, UnlockedVault};

/// What is remembered of the vault at one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Which vaults were accepted here, in that order: the last one has the master key that is in use.
    known: Vec<Known>,
    /// By git branch; the empty name is that of a vault outside of git.
    branches: BTreeMap<Vec<u8>, Pinned>,
    /// Every slot that was seen here.
    slots: BTreeMap<SlotId, Slot>,
}

/// A vault that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    id: VaultId,
    since: u64,
    /// How many rotations there had been: to tell which of two came first that are accepted because both are named.
    epoch: u64,
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
    /// When the branch was first seen, nothing was in it of what had been seen at this path, and nobody was told yet.
    apart: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    kind: String,
    label: String,
    /// What it was seen to be: several, as branches may differ.
    prints: Vec<Print>,
    gone: bool,
}

/// A slot of a vault that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    id: SlotId,
    kind: String,
    label: String,
    print: Print,
}

/// What makes a slot this one, other than its id and label: a hash of its kind, its recipient, and for a passphrase of what its key
/// is derived from. The wrapped master key is another one after each rotation.
type Print = [u8; 16];

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
    /// Something that was seen is not in it: it is older, a branch that was merged is missing, or it has a master key that was
    /// rotated away.
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
    /// A slot of the same id has another recipient or passphrase than was ever seen here.
    Changed {
        /// Its label.
        label: String,
        /// Its kind.
        kind: String,
    },
}

/// What there is to remember of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Which vault.
    pub id: VaultId,
    /// Its generation.
    pub generation: u64,
    /// How many rotations there have been.
    epoch: u64,
    /// Its tips.
    pub tips: Vec<SealId>,
    slots: Vec<Shown>,
    /// Slots that were removed.
    removed: BTreeSet<SlotId>,
}

/// The text is no file of pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPins {
    /// It is one of a newer version of this program, and not to be replaced.
    Newer,
    /// It is none.
    Damaged,
}

impl Sighting {
    /// Of an unlocked vault.
    #[must_use]
    pub fn of(vault: &UnlockedVault) -> Self {
        Self {
            id: vault.id(),
            generation: vault.generation(),
            epoch: vault.roster().epoch,
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
            before.slots().iter().map(|slot| slot.id).filter(|id| slots.iter().all(|slot| slot.id != *id));
        let mut removed = Self::of(before).removed;
        removed.extend(gone);
        let epoch = before.roster().epoch + u64::from(stored.id() != before.id());
        Self { id: stored.id(), generation, epoch, tips: vec![seal], slots, removed }
    }

    /// Of the vault as a save stored it that changed nothing but entries: the new seal follows all others.
    #[must_use]
    pub fn following(before: &UnlockedVault, seal: SealId, generation: u64) -> Self {
        Self { generation, tips: vec![seal], ..Self::of(before) }
    }
}

fn slots_of(lines: &[SlotLine]) -> Vec<Shown> {
    let shown = |slot: &SlotLine| Shown {
        id: slot.id,
        kind: slot.kind.name().to_owned(),
        label: slot.label.as_str().to_owned(),
        print: print_of(slot),
    };
    lines.iter().map(shown).collect()
}

fn print_of(slot: &SlotLine) -> Print {
    let mut text = format!("{} {}", slot.kind.name(), slot.recipient).into_bytes();
    match &slot.kind {
        SlotKind::Passphrase(sealed) | SlotKind::Recovery(sealed) => {
            for number in [sealed.memory_kib, sealed.passes, sealed.lanes] {
                text.extend_from_slice(&number.to_be_bytes());
            }
            text.extend_from_slice(&sealed.salt);
        }
        SlotKind::Keyring(sealed) => text.extend_from_slice(sealed.store.as_str().as_bytes()),
        SlotKind::Age | SlotKind::Machine | SlotKind::Other(_) => {}
    }
    let mut print = Print::default();
    print.copy_from_slice(&sha256(&text)[..16]);
    print
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

    /// Fails if this path is known for other vaults. That it is known does not make it the newest: see [`Pins::compare`].
    ///
    /// # Errors
    /// The vault that was accepted last.
    pub fn check_id(&self, id: &VaultId) -> Result<(), VaultId> {
        match self.known.last() {
            Some(last) if self.rank(id).is_none() => Err(last.id),
            _ => Ok(()),
        }
    }

    /// Since when this vault is known at this path, in seconds since 1970.
    #[must_use]
    pub fn since(&self, id: &VaultId) -> Option<u64> {
        self.known.iter().find(|known| known.id == *id).map(|known| known.since)
    }

    /// How the vault stands to what was seen on a branch; without a branch it is not compared. On every branch and on none, a
    /// master key that was rotated away is older: who has it can make a log that claims to have replaced all that was seen.
    ///
    /// # Errors
    /// [`VerifyError`] of the vault.
    pub fn compare(&self, branch: Option<&[u8]>, vault: &UnlockedVault) -> Result<Standing, VerifyError> {
        let Some(last) = self.known.last() else { return Ok(Standing::FirstSeen) };
        if self.is_rotated_away(&vault.id(), vault.roster().epoch) {
            let of_last = self.branches.values().filter(|pinned| pinned.id == last.id);
            let seen = of_last.map(|pinned| pinned.generation).max().unwrap_or_default();
            return Ok(Standing::Older { generation: vault.generation(), seen });
        }
        let here = branch.and_then(|name| self.pinned(name, vault));
        // Who can write beside the vault can plant git's files there: until the branch is known, what was seen without git holds.
        if let Some(pinned) = here.or_else(|| self.pinned(OUTSIDE, vault))
            && !vault.knows(&pinned.tips)?
        {
            return Ok(Standing::Older { generation: vault.generation(), seen: pinned.generation });
        }
        Ok(match (here, branch) {
            (Some(pinned), _) => Standing::Expected { since: pinned.since },
            (None, Some(_)) => Standing::NewBranch,
            (None, None) => Standing::NotCompared,
        })
    }

    /// The newest state that was seen on a branch, unless that was another vault, which was accepted before this one. A vault that
    /// has the newest master key is compared with it: what is pinned has the same, or one from before it.
    fn pinned(&self, branch: &[u8], vault: &UnlockedVault) -> Option<&Pinned> {
        self.branches.get(branch).filter(|pinned| pinned.id.uuid == vault.id().uuid)
    }

    /// Whether nothing is in the vault of all that was seen here, and nobody was told when its branch was first seen. That is so
    /// of a branch from an older commit, and of an older state under a branch that somebody made up.
    ///
    /// # Errors
    /// [`VerifyError`] of the vault.
    pub fn is_apart(&self, branch: Option<&[u8]>, vault: &UnlockedVault) -> Result<bool, VerifyError> {
        match branch.and_then(|name| self.pinned(name, vault)) {
            Some(pinned) => Ok(pinned.apart),
            None => self.has_nothing_of(vault),
        }
    }

    fn has_nothing_of(&self, vault: &UnlockedVault) -> Result<bool, VerifyError> {
        let mut seen = self.branches.values().filter(|pinned| pinned.id.uuid == vault.id().uuid).peekable();
        if seen.peek().is_none() {
            return Ok(false);
        }
        let known = vault.known_seals()?;
        Ok(!seen.any(|pinned| pinned.tips.iter().all(|tip| known.contains(tip))))
    }

    /// Under which names a state on this branch is remembered: also as what was seen without git, if it contains that. Else
    /// planting git's files once would be enough to have it stay as it is.
    ///
    /// # Errors
    /// [`VerifyError`] of the vault.
    pub fn names<'b>(
        &self,
        branch: Option<&'b [u8]>,
        vault: &UnlockedVault,
    ) -> Result<Vec<Option<&'b [u8]>>, VerifyError> {
        let mut names = vec![branch];
        if branch != Some(OUTSIDE)
            && let Some(pinned) = self.pinned(OUTSIDE, vault)
            && vault.knows(&pinned.tips)?
        {
            names.push(Some(OUTSIDE));
        }
        Ok(names)
    }

    /// Whether a vault of the same uuid was accepted after this one.
    fn is_rotated_away(&self, id: &VaultId, epoch: u64) -> bool {
        let Some(last) = self.known.last() else { return false };
        match self.rank(id) {
            Some(_) => last.id != *id,
            // It is named, and new here.
            None => last.id.uuid == id.uuid && epoch < last.epoch,
        }
    }

    /// What changed in the slot table since it was last looked at. Nothing, if it never was.
    #[must_use]
    pub fn news(&self, vault: &UnlockedVault) -> Vec<SlotNews> {
        self.slot_news(&slots_of(vault.slots()), vault.roster())
    }

    fn slot_news(&self, slots: &[Shown], roster: &Roster) -> Vec<SlotNews> {
        if self.slots.is_empty() {
            return Vec::new();
        }
        let of = |shown: &Shown| (shown.label.clone(), shown.kind.clone());
        let other = slots.iter().filter_map(|shown| match self.slots.get(&shown.id) {
            None => {
                let added = roster.slots.get(&shown.id);
                let (by, time) = added.map_or((String::new(), 0), |added| (added.by.clone(), added.time));
                let (label, kind) = of(shown);
                Some(SlotNews::Added { label, kind, by, time })
            }
            Some(seen) if !seen.prints.contains(&shown.print) => {
                let (label, kind) = of(shown);
                Some(SlotNews::Changed { label, kind })
            }
            Some(_) => None,
        });
        let is_news = |id: &SlotId| self.slots.get(id).is_some_and(|slot| !slot.gone);
        let removed = roster.removed.iter().filter(|removed| is_news(&removed.id)).map(|removed| {
            let (label, kind) = (removed.label.clone(), removed.kind.clone());
            SlotNews::Removed { label, kind, by: removed.by.clone(), time: removed.time }
        });
        other.chain(removed).collect()
    }

    /// Remembers a vault, as the newest state of a branch if there is one. Whether it is to be accepted was decided before.
    pub fn record(&mut self, branch: Option<&[u8]>, sighting: &Sighting, now: u64) {
        let Sighting { id, generation, epoch, tips, slots, removed } = sighting;
        if self.rank(id).is_none() {
            let known = Known { id: *id, since: now, epoch: *epoch };
            let at = self.known.len() - usize::from(self.is_rotated_away(id, *epoch));
            self.known.insert(at, known);
            let surplus = self.known.len().saturating_sub(MAX_KNOWN);
            self.known.drain(..surplus);
        }
        if let Some(branch) = branch.filter(|name| name.len() <= MAX_BRANCH) {
            let before = self.branches.get(branch);
            let since = before.map_or(now, |pinned| pinned.since);
            let same = before.is_some_and(|pinned| pinned.tips == *tips && pinned.id == *id && !pinned.apart);
            if !same {
                let (id, generation, tips) = (*id, *generation, tips.clone());
                let pinned = Pinned { id, generation, since, at: now, tips, apart: false };
                self.branches.insert(branch.to_vec(), pinned);
            }
        }
        while self.branches.len() > MAX_BRANCHES {
            let oldest =
                self.branches.iter().min_by_key(|(_, pinned)| pinned.at).map(|(name, _)| name.clone());
            oldest.map(|name| self.branches.remove(&name));
        }
        for Shown { id, kind, label, print } in slots {
            let new = || Slot { kind: kind.clone(), label: label.clone(), prints: Vec::new(), gone: false };
            let known = self.slots.entry(*id).or_insert_with(new);
            (known.kind, known.label) = (kind.clone(), label.clone());
            if !known.prints.contains(print) {
                known.prints.push(*print);
                let surplus = known.prints.len().saturating_sub(MAX_PRINTS);
                known.prints.drain(..surplus);
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
        let standing = self.compare(branch, vault)?;
        if let Standing::Older { .. } = standing {
            return Ok(());
        }
        let apart = branch.is_some() && standing != Standing::FirstSeen && self.is_apart(branch, vault)?;
        let before = branch.and_then(|name| self.branches.get(name)).cloned();
        for name in self.names(branch, vault)? {
            self.record(name, &Sighting::of(vault), now);
        }
        if apart && let Some(pinned) = branch.and_then(|name| self.branches.get_mut(name)) {
            pinned.apart = true;
            pinned.at = before.filter(|before| before.tips == pinned.tips).map_or(now, |before| before.at);
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
    /// forgotten: who trusts the old one again takes back what came between. On a branch, so is what was seen without git.
    pub fn trust(&mut self, branch: Option<&[u8]>, sighting: &Sighting, now: u64) {
        if let Some(rank) = self.rank(&sighting.id) {
            self.known.truncate(rank + 1);
        }
        self.known.retain(|known| known.id.uuid == sighting.id.uuid);
        self.record(branch, sighting, now);
        if branch != Some(OUTSIDE) {
            self.branches.remove(OUTSIDE);
        }
        let known = &self.known;
        self.branches.retain(|_, pinned| known.iter().any(|known| known.id == pinned.id));
        self.slots.retain(|id, _| {
            sighting.slots.iter().any(|shown| shown.id == *id) || sighting.removed.contains(id)
        });
    }

    fn rank(&self, id: &VaultId) -> Option<usize> {
        self.known.iter().position(|known| known.id == *id)
    }

    /// The pins of a file.
    ///
    /// # Errors
    /// [`NotPins`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotPins> {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if first != MAGIC.as_bytes() && first.starts_with(MAGIC_OF_ALL) {
            return Err(NotPins::Newer);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotPins::Damaged)?;
        let mut lines = text.strip_suffix('\n').ok_or(NotPins::Damaged)?.split('\n');
        if lines.next() != Some(MAGIC) {
            return Err(NotPins::Damaged);
        }
        let mut pins = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                // For people who look which vault the file is about.
                ["path", _] => {}
                ["id", id, since, epoch] => {
                    let (since, epoch) = (number(since)?, number(epoch)?);
                    pins.known.push(Known { id: vault_id(id)?, since, epoch });
                }
                ["branch", name, id, generation, since, at, tips, apart @ ("joined" | "apart")] => {
                    let tips = tips.split(',').map(|tip| SealId::from_hex(tip.as_bytes()));
                    let pinned = Pinned {
                        id: vault_id(id)?,
                        generation: number(generation)?,
                        since: number(since)?,
                        at: number(at)?,
                        tips: tips.collect::<Result<_, _>>().map_err(|_| NotPins::Damaged)?,
                        apart: apart == "apart",
                    };
                    pins.branches.insert(unescape(name)?, pinned);
                }
                ["slot", id, kind, label, prints, state @ ("there" | "gone")] => {
                    let id = SlotId::from_hex(id.as_bytes()).map_err(|_| NotPins::Damaged)?;
                    let prints = prints.split(',').map(|print| text::hex(print.as_bytes()));
                    let prints = prints.collect::<Result<_, _>>().map_err(|_| NotPins::Damaged)?;
                    let (kind, label) = (kind.to_owned(), label.to_owned());
                    pins.slots.insert(id, Slot { kind, label, prints, gone: state == "gone" });
                }
                _ => return Err(NotPins::Damaged),
            }
        }
        Ok(pins)
    }

    /// The text of a file for the vault at this path.
    #[must_use]
    pub fn to_text(&self, path: &[u8]) -> String {
        let mut out = format!("{MAGIC}\npath {}\n", escape(path));
        // Writing to a string cannot fail.
        for Known { id, since, epoch } in &self.known {
            let _ = writeln!(out, "id {id} {since} {epoch}");
        }
        for (name, Pinned { id, generation, since, at, tips, apart }) in &self.branches {
            let tips: Vec<String> = tips.iter().map(ToString::to_string).collect();
            let (name, tips, apart) = (escape(name), tips.join(","), if *apart { "apart" } else { "joined" });
            let _ = writeln!(out, "branch {name} {id} {generation} {since} {at} {tips} {apart}");
        }
        for (id, Slot { kind, label, prints, gone }) in &self.slots {
            let prints: Vec<String> = prints.iter().map(|print| hex(print)).collect();
            let (prints, state) = (prints.join(","), if *gone { "gone" } else { "there" });
            let _ = writeln!(out, "slot {id} {kind} {label} {prints} {state}");
        }
        out
    }
}

/// The name of the file for the vault at this path: of fixed length, and not to be chosen by whoever names folders.
#[must_use]
pub fn file_name(path: &[u8]) -> String {
    hex(&sha256(path)[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn vault_id(text: &str) -> Result<VaultId, NotPins> {
    VaultId::parse(text).map_err(|_| NotPins::Damaged)
}

fn number(text: &str) -> Result<u64, NotPins> {
    text.parse().map_err(|_| NotPins::Damaged)
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
            let digits = more.get(..2).ok_or(NotPins::Damaged)?;
            let [byte] = text::hex::<1>(digits).map_err(|_| NotPins::Damaged)?;
            bytes.push(byte);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    if bytes.is_empty() { Err(NotPins::Damaged) } else { Ok(bytes) }
}

/// What a vault's state is called while there is no git.
const OUTSIDE: &[u8] = b"";
/// The first line of a file of pins.
const MAGIC: &str = "vault-pins 1";
/// What it begins with in every version.
const MAGIC_OF_ALL: &[u8] = b"vault-pins ";
/// Most bytes of a file of pins that are read.
pub const MAX_PINS: u64 = 16 << 20;
/// Most vaults that are remembered of one path: rotations, mostly.
const MAX_KNOWN: usize = 64;
/// Most branches.
const MAX_BRANCHES: usize = 256;
/// Longer names of branches than git allows itself are not remembered.
const MAX_BRANCH: usize = 1024;
/// Most prints of a slot: it is another one on a few branches at most.
const MAX_PRINTS: usize = 8;
/// Most slots, also of those that are gone.
const MAX_SLOTS: usize = 1024;

#[cfg(test)]
mod tests;
