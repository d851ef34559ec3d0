//! Which texts are real: what a text merge makes of branches, and which texts a set of known saves can stand for.
//!
//! Nothing here opens anything or knows a key. The oracle watches every save, and later decides by bytes alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::fixture::Fixture;

/// Two branches of a vault that change pages of their own.
///
/// # Panics
/// If no two names of many stand in different pages.
#[must_use]
pub fn two_branches(base: &Fixture) -> (Fixture, Fixture) {
    let ours = base.set("branch/ours", b"ours");
    for i in 0..1_000 {
        let theirs = base.set(&format!("branch/theirs/{i}"), b"theirs");
        if merge_text(base, &ours, &theirs).is_some() {
            return (ours, theirs);
        }
    }
    panic!("no two names of a thousand stand in different pages");
}

/// What a text merge of two branches makes: section by section, what one side changed. `None` is a conflict.
///
/// This is coarser than git, which also merges changes of one section that do not touch: sections are what the format
/// promises.
#[must_use]
pub fn merge_text(base: &Fixture, ours: &Fixture, theirs: &Fixture) -> Option<Fixture> {
    let [base_parts, our_parts, their_parts] = [base, ours, theirs].map(|side| sections(&side.text));
    if base_parts.len() != our_parts.len() || base_parts.len() != their_parts.len() {
        return None;
    }
    let mut merged = Vec::new();
    for ((base, ours), theirs) in base_parts.iter().zip(&our_parts).zip(&their_parts) {
        if ours == base || ours == theirs {
            merged.extend_from_slice(theirs);
        } else if theirs == base {
            merged.extend_from_slice(ours);
        } else {
            return None;
        }
    }
    Some(base.with(merged))
}

/// The text in its sections, each with its fixed line: the header is the first.
#[must_use]
pub fn sections(text: &[u8]) -> Vec<Vec<u8>> {
    let mut sections = vec![Vec::new()];
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if is_fixed(line) {
            sections.push(Vec::new());
        }
        sections.last_mut().expect("there is one from the start").extend_from_slice(line);
    }
    sections
}

/// A line that begins a section.
#[must_use]
pub fn is_fixed(line: &[u8]) -> bool {
    line == b"slots\n" || line.starts_with(b"log ") || line.starts_with(b"page ")
}

/// A seal, by the word in its line.
type Id = Vec<u8>;

/// What one save did.
struct Save {
    /// The seal's line, and the section of the log that has it.
    line: Vec<u8>,
    log: usize,
    parents: BTreeSet<Id>,
    /// By section: the last saves of it before, and what the section was after.
    places: BTreeMap<usize, (BTreeSet<Id>, Vec<u8>)>,
}

/// All saves of a vault, on all its branches and copies, and its header lines.
#[derive(Default)]
pub struct Oracle {
    headers: BTreeSet<Vec<u8>>,
    saves: BTreeMap<Id, Save>,
    /// By header: how many sections a file has.
    shapes: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// A text, taken apart without judging it.
struct Parts {
    header: Vec<u8>,
    /// Slot table and pages, by the number of their section.
    places: BTreeMap<usize, Vec<u8>>,
    /// By the number of the section of the log, its lines after the fixed one.
    log: BTreeMap<usize, Vec<Vec<u8>>>,
    fixed: Vec<Vec<u8>>,
}

fn take_apart(text: &[u8]) -> Parts {
    let all = sections(text);
    let mut parts =
        Parts { header: all[0].clone(), places: BTreeMap::new(), log: BTreeMap::new(), fixed: Vec::new() };
    for (number, section) in all.into_iter().enumerate().skip(1) {
        let end = section.iter().position(|&byte| byte == b'\n').map_or(section.len(), |at| at + 1);
        parts.fixed.push(section[..end].to_vec());
        if section.starts_with(b"log ") {
            let lines = section[end..].split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec);
            parts.log.insert(number, lines.collect());
        } else {
            parts.places.insert(number, section[end..].to_vec());
        }
    }
    parts
}

fn id_of(line: &[u8]) -> Option<Id> {
    line.split(|&byte| byte == b' ').nth(1).map(<[u8]>::to_vec)
}

/// The seal that a place's head names.
fn head_of(section: &[u8]) -> Option<Id> {
    section.starts_with(b"head ").then(|| id_of(section)).flatten()
}

impl Oracle {
    /// Watches a save: `after` was made from the united seals of these texts. A restart has none before it.
    ///
    /// # Panics
    /// If `after` has not exactly one new seal.
    pub fn watch(&mut self, before: &[&[u8]], after: &[u8]) {
        let after = take_apart(after);
        self.headers.insert(after.header.clone());
        self.shapes.insert(after.header.clone(), after.fixed.clone());
        let mut ours: BTreeSet<Id> = BTreeSet::new();
        for text in before {
            ours.extend(take_apart(text).log.values().flatten().filter_map(|line| id_of(line)));
        }
        let new: Vec<(usize, &Vec<u8>, Id)> = after
            .log
            .iter()
            .flat_map(|(section, lines)| lines.iter().map(move |line| (*section, line)))
            .filter_map(|(section, line)| id_of(line).map(|id| (section, line, id)))
            .filter(|(_, line, id)| line.starts_with(b"seal ") && !self.saves.contains_key(id))
            .collect();
        let [(log, line, id)] = &new[..] else { panic!("{} new seals", new.len()) };
        let places = after
            .places
            .iter()
            .filter(|(_, section)| head_of(section).as_ref() == Some(id))
            .map(|(place, section)| (*place, (self.last(&ours, *place), section.clone())))
            .collect();
        let save = Save { line: line.to_vec(), log: *log, parents: self.tips(&ours), places };
        self.saves.insert(id.clone(), save);
    }

    fn tips(&self, seals: &BTreeSet<Id>) -> BTreeSet<Id> {
        let named: BTreeSet<&Id> = seals.iter().flat_map(|id| &self.saves[id].parents).collect();
        seals.iter().filter(|id| !named.contains(id)).cloned().collect()
    }

    /// The last of these saves that changed a place.
    fn last(&self, seals: &BTreeSet<Id>, place: usize) -> BTreeSet<Id> {
        let members: BTreeSet<&Id> =
            seals.iter().filter(|id| self.saves[*id].places.contains_key(&place)).collect();
        let named: BTreeSet<&Id> = members.iter().flat_map(|id| &self.saves[*id].places[&place].0).collect();
        members.into_iter().filter(|id| !named.contains(id)).cloned().collect()
    }

    /// Whether the text is a real state, or what merging real states gives: its seals contain all their parents, and every
    /// place is as the last of them left it. What is wrong, if not.
    ///
    /// # Errors
    /// A sentence.
    pub fn judge(&self, text: &[u8]) -> Result<(), &'static str> {
        let parts = take_apart(text);
        let Some(fixed) = self.shapes.get(&parts.header) else { return Err("another header") };
        if *fixed != parts.fixed {
            return Err("other sections");
        }
        let mut seals = BTreeSet::new();
        for (section, lines) in &parts.log {
            // The blank line before the pages stands in the last section of the log.
            let last = parts.log.keys().next_back() == Some(section);
            let (lines, blank) = match lines.split_last() {
                Some((end, rest)) if last && end == b"\n" => (rest, true),
                _ => (&lines[..], false),
            };
            if blank != last {
                return Err("no blank line after the log");
            }
            if !lines.is_sorted_by(|a, b| a < b) {
                return Err("seals in another order");
            }
            for line in lines {
                let id = id_of(line).ok_or("not a seal")?;
                let save = self.saves.get(&id).ok_or("an unknown seal")?;
                if save.line != *line || save.log != *section {
                    return Err("another seal line, or elsewhere");
                }
                seals.insert(id);
            }
        }
        if seals.iter().any(|id| !self.saves[id].parents.is_subset(&seals)) {
            return Err("a parent is missing");
        }
        if seals.iter().filter(|id| self.saves[*id].parents.is_empty()).count() != 1 {
            return Err("not one root");
        }
        for (place, section) in &parts.places {
            let last: Vec<Id> = self.last(&seals, *place).into_iter().collect();
            let right = match &last[..] {
                [] => &b""[..],
                [one] => &self.saves[one].places[place].1,
                _ => return Err("merged without a key"),
            };
            if section != right {
                return Err("a place is not as its last save left it");
            }
        }
        Ok(())
    }
}
