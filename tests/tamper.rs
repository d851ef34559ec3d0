//! Whatever is done to a file without its keys is refused, unless the result is a real state or a merge of real states.
//! An oracle that watched every save, and knows no key, says which is which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use vault_core::crypto::random::SystemRandom;
use vault_core::format::front::Pages;
use vault_core::vault::edit::Edit;
use vault_core::vault::merge::{MergeContext, MergeError, Merged, merge};
use vault_tests::fixture::{Fixture, Seeded, inline, name};
use vault_tests::oracle::{Oracle, is_fixed, merge_text, sections};
use vault_tests::probing::Probe;

const PROBE: &str = env!("CARGO_BIN_EXE_probe");
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SLOWEST: Duration = Duration::from_secs(1);
const MOST_MEMORY_KIB: u64 = 128 << 10;

/// All states that the vault was ever in, on all branches.
struct World {
    oracle: Oracle,
    states: Vec<Fixture>,
    /// What reading an entry's default field may give.
    values: BTreeMap<&'static str, BTreeSet<Option<String>>>,
}

impl World {
    fn add(&mut self, before: &[&Fixture], after: Fixture) -> Fixture {
        let before: Vec<&[u8]> = before.iter().map(|state| state.text.as_slice()).collect();
        self.oracle.watch(&before, &after.text);
        self.keep(after)
    }

    fn keep(&mut self, state: Fixture) -> Fixture {
        for name in NAMES {
            let value = state.get(name).map(|bytes| String::from_utf8(bytes).unwrap());
            self.values.entry(name).or_default().insert(value);
        }
        self.states.push(state.clone());
        state
    }

    fn edit(&mut self, before: &Fixture, change: impl FnOnce(&mut Edit<'_>)) -> Fixture {
        self.add(&[before], before.edit(change))
    }

    fn set(&mut self, before: &Fixture, entry: &str, value: &[u8]) -> Fixture {
        self.add(&[before], before.set(entry, value))
    }

    /// A history with branches, merges by text and by key, a changed slot table, a copy that went its own way, compactions.
    fn new(pages: Pages) -> Self {
        let mut world = Self { oracle: Oracle::default(), states: Vec::new(), values: BTreeMap::new() };
        let first = world.add(&[], Fixture::new(pages));
        let one = world.set(&first, "a", b"a1");
        let two = world.set(&one, "b", b"b1");
        let three = world.set(&two, "a", b"a2");
        // Branches of one repository.
        let ours = world.set(&three, "c", b"c1");
        let ours = world.set(&ours, "a", b"a3");
        let theirs = world.set(&three, "d", b"d1");
        let theirs = world.edit(&theirs, |edit| edit.remove(&name("b")).unwrap());
        if let Some(text) = merge_text(&three, &ours, &theirs) {
            let tips = world.keep(text);
            world.set(&tips, "a", b"a4");
        }
        // The same entry on both sides, merged with the keys.
        let left = world.set(&three, "a", b"left");
        let right = world.set(&three, "a", b"right");
        let mut context = MergeContext { now: 9, author: "merger", random: &mut SystemRandom };
        let Ok(Merged::New(merged)) = merge(&left.unlock(), &right.unlock(), None, &mut context) else {
            panic!("both sides are new")
        };
        let merged = left.with(merged.text.to_vec().unwrap());
        world.add(&[&left, &right], merged);
        // The slot table, and a page with it.
        let slots = world.edit(&three, |edit| {
            let me = edit.slots().iter().find(|slot| slot.label.as_str() == "me").unwrap().id;
            assert!(edit.remove_slot(me, "tester").unwrap());
            edit.set(&name("a"), inline("secret", b"a5"), &mut SystemRandom).unwrap();
        });
        drop(slots);
        // A copy of the file, changed independently.
        let copy = world.set(&one, "a", b"copy");
        world.set(&copy, "d", b"copied");
        // Restarts.
        let saved = three.unlock().compact(pages, "tester", None, 3_000, &mut SystemRandom).unwrap();
        let compacted = world.add(&[], three.with(saved.text.to_vec().unwrap()));
        world.set(&compacted, "b", b"b9");
        world
    }
}

struct Trial<'a> {
    world: &'a World,
    probe: Probe,
    refused: u64,
    real: u64,
    reasons: BTreeMap<String, u64>,
}

impl<'a> Trial<'a> {
    fn new(world: &'a World, folder: &std::path::Path) -> Self {
        let key = folder.join("key");
        std::fs::write(&key, world.states[0].keys.machine.expose()).unwrap();
        Self {
            world,
            probe: Probe::start(PROBE, &key, &NAMES),
            refused: 0,
            real: 0,
            reasons: BTreeMap::new(),
        }
    }

    fn open(&mut self, text: &[u8], what: impl Fn() -> String) {
        let judged = self.world.oracle.judge(text);
        let probed = self.probe.open(text);
        match (judged, probed.accepted) {
            (Ok(()), true) => self.real += 1,
            (Err(_), false) => {
                self.refused += 1;
                *self
                    .reasons
                    .entry(probed.why.split(|c: char| c.is_ascii_digit()).next().unwrap().to_owned())
                    .or_default() += 1;
            }
            (Ok(()), false) => panic!("{}: real, but refused: {}", what(), probed.why),
            (Err(why), true) => panic!("{}: accepted, though {why}", what()),
        }
        // One entry is read without looking at the other pages: what it gives was real all the same.
        for (name, value) in &probed.values {
            assert!(self.world.values[name.as_str()].contains(value), "{}: {name} reads {value:?}", what());
        }
    }

    fn finish(self) {
        let Probe { slowest, peak_kib, count, .. } = &self.probe;
        eprintln!(
            "{count} texts: {} refused, {} real; slowest {slowest} us, {peak_kib} KiB; {:?}",
            self.refused, self.real, self.reasons
        );
        assert!(u128::from(*slowest) < SLOWEST.as_micros(), "{slowest} us");
        assert!(*peak_kib < MOST_MEMORY_KIB, "{peak_kib} KiB");
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

#[test]
fn every_state_and_merge_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    for pages in [Pages::Few, Pages::Many] {
        let world = World::new(pages);
        let mut trial = Trial::new(&world, folder.path());
        for (number, state) in world.states.iter().enumerate() {
            trial.open(&state.text, || format!("state {number}"));
        }
        assert_eq!(trial.refused, 0);
        trial.finish();
    }
}

#[test]
fn every_line_deleted_doubled_swapped_or_moved() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(Pages::Few);
    let mut trial = Trial::new(&world, folder.path());
    // The richest of the states: both branches merged by text, and one save on top; or the last one if they met in a page.
    let most = world.states.iter().max_by_key(|state| state.text.len()).unwrap();
    let lines = lines(&most.text);
    let content: Vec<bool> = lines.iter().map(|line| !is_fixed(line) && *line != b"\n").collect();
    for at in 0..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat().concat();
        trial.open(&without, || format!("line {at} deleted"));
        let doubled = [&lines[..=at], &lines[at..]].concat().concat();
        trial.open(&doubled, || format!("line {at} doubled"));
        // Lines with content go everywhere; fixed lines only near, as there are many of them.
        let reach = if content[at] { lines.len() } else { at + 3 };
        let others = (at + 1..lines.len()).zip(&content[at + 1..]);
        for (other, _) in others.filter(|&(other, content)| other < reach || *content) {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            trial.open(&swapped.concat(), || format!("lines {at} and {other} swapped"));
            let mut moved = lines.clone();
            let line = moved.remove(at);
            moved.insert(other, line);
            trial.open(&moved.concat(), || format!("line {at} moved to {other}"));
            let mut moved = lines.clone();
            let line = moved.remove(other);
            moved.insert(at, line);
            trial.open(&moved.concat(), || format!("line {other} moved to {at}"));
        }
    }
    trial.finish();
}

#[test]
fn every_bit_flipped() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(Pages::Few);
    let mut trial = Trial::new(&world, folder.path());
    let small = &world.states[2];
    let mut text = small.text.to_vec();
    for at in 0..text.len() {
        for bit in 0..8 {
            text[at] ^= 1 << bit;
            trial.open(&text, || format!("bit {bit} of byte {at}"));
            text[at] ^= 1 << bit;
        }
    }
    assert_eq!((trial.real, trial.refused), (0, 8 * text.len() as u64));
    trial.finish();
}

#[test]
fn every_truncation() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(Pages::Few);
    let mut trial = Trial::new(&world, folder.path());
    for state in
        [world.states.last().unwrap(), world.states.iter().max_by_key(|state| state.text.len()).unwrap()]
    {
        for end in 0..state.text.len() {
            trial.open(&state.text[..end], || format!("cut at {end}"));
        }
    }
    assert_eq!(trial.real, 0);
    trial.finish();
}

/// The section's number and its lines, where two states differ.
fn differing(a: &Fixture, b: &Fixture) -> Vec<usize> {
    let (a, b) = (sections(&a.text), sections(&b.text));
    (0..a.len().min(b.len())).filter(|&number| a[number] != b[number]).collect()
}

fn union_of_lines(a: &[u8], b: &[u8]) -> Vec<u8> {
    let (first, rest) = a.split_at(a.iter().position(|&byte| byte == b'\n').map_or(a.len(), |at| at + 1));
    let seals: BTreeSet<&[u8]> =
        lines(rest).into_iter().chain(lines(&b[first.len()..])).filter(|line| *line != b"\n").collect();
    let blank = if rest.ends_with(b"\n\n") || rest == b"\n" { &b"\n"[..] } else { b"" };
    [first, &seals.into_iter().collect::<Vec<_>>().concat(), blank].concat()
}

#[test]
fn sections_seals_heads_and_entries_pasted_from_every_other_state() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(Pages::Few);
    let mut trial = Trial::new(&world, folder.path());
    let mut seeded = Seeded::new(11);
    for (i, a) in world.states.iter().enumerate() {
        for (j, b) in world.states.iter().enumerate() {
            if i == j {
                continue;
            }
            let (from, into) = (sections(&b.text), sections(&a.text));
            let differ = differing(a, b);
            // Each section alone, each pair, and each line of each.
            for &x in &differ {
                for &y in &differ {
                    let mut mixed = into.clone();
                    mixed[x].clone_from(&from[x]);
                    mixed[y].clone_from(&from[y]);
                    trial.open(&mixed.concat(), || format!("sections {x} and {y} of state {j} in state {i}"));
                }
                let (ours, theirs) = (lines(&into[x]), lines(&from[x]));
                for line in 0..ours.len().max(theirs.len()) {
                    let mut mixed = into.clone();
                    let mut edited: Vec<&[u8]> = ours.clone();
                    match (ours.get(line), theirs.get(line)) {
                        (Some(_), Some(other)) => edited[line] = other,
                        (Some(_), None) => drop(edited.remove(line)),
                        (None, Some(other)) => edited.push(other),
                        (None, None) => unreachable!("one of them is longer"),
                    }
                    mixed[x] = edited.concat();
                    trial.open(&mixed.concat(), || {
                        format!("line {line} of section {x} of state {j} in state {i}")
                    });
                }
            }
            // Any mixture of the two, with the logs as they are or united as git would.
            for round in 0..30 {
                let mut mixed = into.clone();
                for &x in &differ {
                    let log = into[x].starts_with(b"log ");
                    if log && round % 2 == 0 {
                        mixed[x] = union_of_lines(&into[x], &from[x]);
                    } else if seeded.one_in(2) {
                        mixed[x].clone_from(&from[x]);
                    }
                }
                trial.open(&mixed.concat(), || format!("mixture {round} of states {i} and {j}"));
            }
        }
    }
    // Without some, this would not have met the oracle's other answer.
    assert!(trial.real > 20, "{} real", trial.real);
    assert!(trial.refused > 1_000, "{} refused", trial.refused);
    trial.finish();
}

/// The confused deputy: whoever pushes commits chooses the base of a merge, and holds no key. Were its content an input, a
/// base that already has our new value would make theirs, which still has the old one, look like the side that changed it.
#[test]
fn a_base_that_an_attacker_chose_does_not_bring_back_an_old_value() {
    let world = World::new(Pages::Few);
    let start = Fixture::new(Pages::Few).set("a", b"old").set("b", b"b1");
    let ours = start.set("a", b"new");
    let theirs = start.set("b", b"b2");
    let twice = ours.set("a", b"newer").set("a", b"new");
    let mut refused = 0;
    let mut bases: Vec<Option<Fixture>> = world.states.iter().cloned().map(Some).collect();
    bases.extend([
        None,
        Some(start),
        Some(ours.clone()),
        Some(theirs.clone()),
        Some(twice),
        Some(Fixture::new(Pages::Few)),
    ]);
    for base in bases {
        for (left, right) in [(&ours, &theirs), (&theirs, &ours)] {
            let base = base.as_ref().map(Fixture::unlock_by_machine);
            let mut context = MergeContext { now: 9, author: "merger", random: &mut SystemRandom };
            match merge(&left.unlock(), &right.unlock(), base.as_ref(), &mut context) {
                Ok(Merged::New(merged)) => {
                    let merged = ours.with(merged.text.to_vec().unwrap());
                    merged.unlock().verify(&|_| ()).unwrap();
                    assert_eq!(merged.get("a").unwrap(), b"new");
                    assert_eq!(merged.get("b").unwrap(), b"b2");
                    assert!(merged.unlock().list().unwrap().iter().all(|meta| !meta.in_conflict()));
                }
                Ok(_) => panic!("each side has something new"),
                Err(MergeError::NotAMerge) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(refused >= 6, "{refused} bases were refused");
}

#[test]
fn the_oracle_tells_what_is_not_real() {
    let start = Instant::now();
    let world = World::new(Pages::Few);
    let state = &world.states[3];
    assert_eq!(world.oracle.judge(&state.text), Ok(()));
    let parts = sections(&state.text);
    let page = parts.iter().position(|part| part.starts_with(b"page ") && lines(part).len() > 1).unwrap();
    let mut emptied = parts.clone();
    emptied[page] = lines(&parts[page])[0].to_vec();
    assert_eq!(world.oracle.judge(&emptied.concat()), Err("a place is not as its last save left it"));
    assert_eq!(world.oracle.judge(&state.text[..state.text.len() - 1]), Err("other sections"));
    assert_eq!(world.oracle.judge(&state.text[1..]), Err("another header"));
    assert!(start.elapsed() < Duration::from_secs(60));
}
