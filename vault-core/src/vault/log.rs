//! The verified log: which seals there are, how they hang together, and which one is the last of each place.
//! docs/format.md, "When a file verifies", rules 2 and 3.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::aead::Sealer;
use crate::error::VerifyError;
use crate::format::front::{Front, Head, SealLine};
use crate::format::id::SealId;
use crate::format::limits;
use crate::format::seal::{Changes, Links, Place};
use crate::format::text;
use crate::source::Source;
use crate::vault::read::{in_parallel, processors};

/// Which part of a seal, in its associated data.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Links = 0,
    Changes = 1,
}

/// `seal id ‖ part`: the place of a seal's part.
pub(crate) fn seal_place(id: SealId, part: Part) -> [u8; 17] {
    let mut place = [0; 17];
    place[..16].copy_from_slice(&id.0);
    place[16] = part as u8;
    place
}

/// All seals of a file, opened and found to hang together.
pub(crate) struct Log {
    seals: BTreeMap<SealId, Links>,
    tips: Vec<SealId>,
    /// By place index: the members that no other member names as previous.
    last: Vec<Vec<SealId>>,
    root: SealId,
}

impl Log {
    /// Opens the links of all seals and checks rule 2, and what of rule 3 concerns the log alone.
    pub(crate) fn verify(front: &Front, sealer: &Sealer) -> Result<Self, VerifyError> {
        let mut seals = BTreeMap::new();
        for (line, links) in front.seals.iter().zip(open_all(&front.seals, sealer)?) {
            if seals.insert(line.id, links).is_some() {
                return Err(VerifyError::Seal(line.id));
            }
        }
        Self::of(seals, usize::from(front.header.pages.count()) + 1)
    }

    /// Checks that these seals hang together, in a vault with so many places.
    pub(crate) fn of(seals: BTreeMap<SealId, Links>, places: usize) -> Result<Self, VerifyError> {
        let mut named = Vec::with_capacity(seals.len());
        let mut roots = Vec::new();
        for (id, links) in &seals {
            let mut largest = 0;
            for parent in &links.parents {
                let parent_links =
                    seals.get(parent).ok_or(VerifyError::MissingParent { seal: *id, parent: *parent })?;
                largest = largest.max(parent_links.generation);
                named.push(*parent);
            }
            if links.parents.is_empty() {
                roots.push(*id);
            }
            // A restart continues the count of what it replaced; any other first seal begins it.
            let right = if links.restart {
                links.parents.is_empty()
            } else {
                largest.checked_add(1) == Some(links.generation)
            };
            if !right {
                return Err(VerifyError::Generation(*id));
            }
        }
        let [root] = roots[..] else { return Err(VerifyError::Roots) };
        let last = last_seals(&seals, places)?;
        named.sort_unstable();
        let tips = seals.keys().filter(|id| named.binary_search(id).is_err()).copied().collect();
        Ok(Self { seals, tips, last, root })
    }

    /// The seals that no other names as parent, ascending.
    pub(crate) fn tips(&self) -> &[SealId] {
        &self.tips
    }

    /// The one seal without parents.
    pub(crate) fn root(&self) -> SealId {
        self.root
    }

    /// The largest generation.
    pub(crate) fn generation(&self) -> u64 {
        self.seals.values().map(|links| links.generation).max().unwrap_or_default()
    }

    pub(crate) fn seals(&self) -> &BTreeMap<SealId, Links> {
        &self.seals
    }

    /// The last seals of a place: none if no seal lists it, several after a merge that nobody has sealed.
    pub(crate) fn last(&self, place: Place) -> &[SealId] {
        self.last.get(place.index()).map_or(&[], Vec::as_slice)
    }

    /// Rule 3 for one place: its head is the one that the log says.
    pub(crate) fn check_head(&self, place: Place, head: Option<&Head>) -> Result<(), VerifyError> {
        match (self.last(place), head) {
            ([], None) => Ok(()),
            ([last], Some(head)) => {
                let tag = self.seals[last].place(place).map(|link| link.tag);
                if head.seal == *last && tag == Some(head.tag) {
                    Ok(())
                } else {
                    Err(VerifyError::Head(place))
                }
            }
            ([] | [_], _) => Err(VerifyError::Head(place)),
            _ => Err(VerifyError::History(place)),
        }
    }

    /// The seals that neither this set contains nor any of them replaces, oldest first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SealId> + '_ {
        self.seals.keys().copied()
    }
}

/// For each place, the members of S that no other member names; every name must be in S and older.
fn last_seals(seals: &BTreeMap<SealId, Links>, places: usize) -> Result<Vec<Vec<SealId>>, VerifyError> {
    let mut members: Vec<Vec<SealId>> = vec![Vec::new(); places];
    let mut named: Vec<Vec<SealId>> = vec![Vec::new(); places];
    for (id, links) in seals {
        for link in &links.places {
            members.get_mut(link.place.index()).ok_or(VerifyError::Seal(*id))?.push(*id);
            for previous in &link.previous {
                let older = seals.get(previous).is_some_and(|other| {
                    other.place(link.place).is_some() && other.generation < links.generation
                });
                if !older {
                    return Err(VerifyError::History(link.place));
                }
                named[link.place.index()].push(*previous);
            }
        }
    }
    for (members, named) in members.iter_mut().zip(&mut named) {
        named.sort_unstable();
        members.retain(|id| named.binary_search(id).is_err());
    }
    Ok(members)
}

/// From how many seals on a second thread is worth starting.
const WORTH_A_THREAD: usize = 256;

/// The links of all seals, in their order, opened by all processors if there are many.
fn open_all(lines: &[SealLine], sealer: &Sealer) -> Result<Vec<Links>, VerifyError> {
    let open = |lines: &[SealLine]| -> Result<Vec<Links>, VerifyError> {
        lines.iter().map(|line| open_links(line, sealer)).collect()
    };
    if lines.len() < WORTH_A_THREAD {
        return open(lines);
    }
    let threads = processors();
    let parts: Vec<&[SealLine]> = lines.chunks(lines.len().div_ceil(threads)).collect();
    let parts: Vec<Vec<Links>> = in_parallel(parts.len(), threads, |number| open(parts[number]))?;
    let mut all = Vec::with_capacity(lines.len());
    for mut part in parts {
        all.append(&mut part);
    }
    Ok(all)
}

fn open_links(line: &SealLine, sealer: &Sealer) -> Result<Links, VerifyError> {
    let wrong = || VerifyError::Seal(line.id);
    let plain = sealer.open(&seal_place(line.id, Part::Links), &line.links).map_err(|_| wrong())?;
    let links = Links::decode(plain.expose()).map_err(|_| wrong())?;
    if links.id == line.id && links.section() == line.section { Ok(links) } else { Err(wrong()) }
}

/// Opens what a seal says was changed.
pub(crate) fn open_changes(
    source: &dyn Source,
    line: &SealLine,
    sealer: &Sealer,
) -> Result<Changes, VerifyError> {
    let wrong = || VerifyError::Seal(line.id);
    let length = usize::try_from(line.changes.end - line.changes.start).map_err(|_| wrong())?;
    let mut encoded = vec![0; length];
    source.read_exact_at(&mut encoded, line.changes.start)?;
    let sealed = text::base64(&encoded, limits::SEAL_LINE).map_err(|_| wrong())?;
    let plain = sealer.open_here(&seal_place(line.id, Part::Changes), sealed).map_err(|_| wrong())?;
    Changes::decode(plain.expose()).map_err(|_| wrong())
}

/// `T`: all seals, and those that they replace.
pub(crate) fn known(log: &Log, changes: &BTreeMap<SealId, Changes>) -> BTreeSet<SealId> {
    log.ids().chain(changes.values().flat_map(|changes| changes.replaces.iter().copied())).collect()
}
