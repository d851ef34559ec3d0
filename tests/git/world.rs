//! One vault and everything that happens to it in a test: real states made through vault-core, and the model beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex};

use vault_core::crypto::random::Random;
use vault_core::format::entry::EntryName;
use vault_core::format::front::Pages;
use vault_core::format::id::SealId;
use vault_core::format::slot::Label;
use vault_core::keys::age::Identity;
use vault_core::keys::{Credential, UnlockPolicy, new_age_slot};
use vault_core::secret::Secret;
use vault_core::vault::create::NewVault;
use vault_core::vault::edit::{Edit, NewValue, Pick, Update};
use vault_core::vault::merge::{MergeContext, MergeError, Merged, merge};
use vault_core::vault::{Entry as OpenEntry, LockedVault, UnlockFailure, UnlockedVault, Value};

use super::model::{Alternative, Entry, Map, Op, State, expect};

/// splitmix64: small, and the same everywhere.
pub(super) struct Prng(pub(super) u64);

impl Prng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n` - 1.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("less than n")
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

impl Random for Prng {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.next().to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }
}

/// Why a text is not a state of the vault.
#[derive(Debug)]
#[allow(dead_code, reason = "what is inside is printed by failing tests")]
pub(super) enum Refusal {
    Format(vault_core::format::lines::FormatError),
    Unlock(UnlockFailure),
    Verify(vault_core::error::VerifyError),
}

pub(super) struct World {
    key: UnlockedVault,
    /// What opens the vault, as a file of identities has it.
    pub(super) identity: Secret,
    pub(super) rng: Prng,
    pub(super) saves: Vec<Vec<Op>>,
    seals: Vec<SealId>,
    /// Which save wrote a value.
    written: BTreeMap<String, usize>,
    values: u64,
    /// New entries take one of so many names, beyond those that exist.
    pub(super) fresh_names: usize,
}

impl World {
    /// A vault with so many entries in it, made by two saves.
    pub(super) fn new(seed: u64, pages: Pages, entries: usize) -> (Self, State) {
        let mut rng = Prng(seed);
        let identity = Identity::generate_x25519();
        let text_of_identity = identity.to_text();
        let mut new = NewVault::generate(pages, &mut rng);
        let label = Label::parse("me").unwrap();
        let slot =
            new_age_slot(&new.parts(), label, identity.recipient().unwrap(), new.master(), &mut rng).unwrap();
        new.add_slot(slot);
        let saved = new.finish("tester", 1_000, &mut rng).unwrap();
        let text = Arc::new(saved.text.to_vec().unwrap());
        let locked = LockedVault::open(Arc::<Vec<u8>>::clone(&text)).unwrap();
        let Ok(key) = locked.unlock(&[Credential::Identities(vec![identity])], &UnlockPolicy::default())
        else {
            panic!("a new vault opens")
        };
        let mut world = Self {
            key,
            identity: text_of_identity,
            rng,
            saves: vec![Vec::new()],
            seals: vec![saved.seal],
            written: BTreeMap::new(),
            values: 1_000_000,
            fresh_names: 20,
        };
        let state = State { text, map: Map::new(), saves: BTreeSet::from([0]) };
        let ops: Vec<Op> = (0..entries)
            .map(|number| Op::Field {
                name: format!("entry/{number}"),
                field: "secret".to_owned(),
                value: Some(world.value()),
            })
            .collect();
        let state = if ops.is_empty() { state } else { world.save(&state, ops) };
        (world, state)
    }

    fn value(&mut self) -> String {
        self.values += 1;
        self.values.to_string()
    }

    pub(super) fn unlock(&self, text: &[u8]) -> Result<UnlockedVault, Refusal> {
        let locked = LockedVault::open(Arc::new(text.to_vec())).map_err(Refusal::Format)?;
        locked.unlock_as(&self.key).map_err(|still| match still.reason {
            UnlockFailure::Verify(error) => Refusal::Verify(error),
            other => Refusal::Unlock(other),
        })
    }

    /// What a text holds, after it was verified as a whole with every check there is.
    pub(super) fn read(&self, text: &[u8]) -> Result<(Map, BTreeSet<SealId>), Refusal> {
        let vault = self.unlock(text)?;
        vault.verify(&|_| ()).map_err(Refusal::Verify)?;
        let all = Mutex::new(Map::new());
        vault
            .each_entry(&|entry| {
                let name = entry.meta().name.as_str().to_owned();
                all.lock().unwrap().insert(name, plain(&entry));
            })
            .map_err(Refusal::Verify)?;
        let known = vault.known_seals().map_err(Refusal::Verify)?;
        vault.lock().check().map_err(Refusal::Format)?;
        Ok((all.into_inner().unwrap(), known))
    }

    pub(super) fn save(&mut self, state: &State, ops: Vec<Op>) -> State {
        let vault = self.unlock(&state.text).unwrap();
        let mut edit = vault.edit(2_000).unwrap();
        let mut map = state.map.clone();
        let number = self.saves.len();
        for op in &ops {
            edit_op(&mut edit, op, &mut self.rng);
            op.apply(&mut map);
            for value in written(op) {
                self.written.insert(value, number);
            }
        }
        let saved = edit.finish("tester", None, &mut self.rng).unwrap();
        self.saves.push(ops);
        self.seals.push(saved.seal);
        let saves = state.saves.iter().copied().chain([number]).collect();
        State { text: Arc::new(saved.text.to_vec().unwrap()), map, saves }
    }

    /// A save of so many random operations, each of which leaves a trace: one that came to nothing is no change of lines, and
    /// text merges need not notice it.
    pub(super) fn random_save(&mut self, state: &State, count: usize) -> State {
        loop {
            let mut map = state.map.clone();
            let mut ops: Vec<Op> = Vec::new();
            while ops.len() < count {
                let op = self.random_op(&map);
                op.apply(&mut map);
                ops.push(op);
            }
            let names = |op: &Op| op.names().into_iter().cloned().collect::<Vec<_>>();
            if ops.iter().flat_map(names).all(|name| map.get(&name) != state.map.get(&name)) {
                return self.save(state, ops);
            }
        }
    }

    /// Any random operations, also such that come to nothing.
    pub(super) fn wild_save(&mut self, state: &State, count: usize) -> State {
        let mut map = state.map.clone();
        let mut ops = Vec::new();
        for _ in 0..count {
            let op = self.random_op(&map);
            op.apply(&mut map);
            if self.rng.one_in(5)
                && let Op::Field { name, .. } = &op
            {
                let gone = Op::Remove { name: name.clone() };
                gone.apply(&mut map);
                ops.extend([op, gone]);
            } else {
                ops.push(op);
            }
        }
        let name = format!("mark/{}", self.rng.below(1_000));
        ops.push(Op::Field { name, field: "secret".to_owned(), value: Some(self.value()) });
        self.save(state, ops)
    }

    fn random_op(&mut self, map: &Map) -> Op {
        let fresh = format!("new/{}", self.rng.below(self.fresh_names));
        let field = ["secret", "token"][self.rng.below(2)].to_owned();
        let Some(name) = map.keys().nth(self.rng.below(map.len().max(1))).cloned() else {
            return Op::Field { name: fresh, field, value: Some(self.value()) };
        };
        let entry = &map[&name];
        if !entry.alternatives.is_empty() {
            return self.settle(map, name);
        }
        match self.rng.below(20) {
            0..=8 => Op::Field { name, field, value: Some(self.value()) },
            9 if entry.fields.contains_key(&field) => Op::Field { name, field, value: None },
            9..=11 => {
                let value = (!self.rng.one_in(4)).then(|| self.value());
                Op::Attribute { name, key: ["url", "user"][self.rng.below(2)].to_owned(), value }
            }
            12 => {
                let expires = (!self.rng.one_in(3)).then(|| self.value().parse().expect("a number"));
                Op::Expiry { name, expires }
            }
            13 | 14 => Op::Remove { name },
            15 | 16 if !map.contains_key(&fresh) => Op::Rename { from: name, to: fresh },
            15 | 16 => {
                let gone = format!("entry/{}", self.rng.below(6));
                if map.contains_key(&gone) {
                    Op::Remove { name: gone }
                } else {
                    Op::Rename { from: name, to: gone }
                }
            }
            _ => match map.get(&fresh) {
                Some(entry) if !entry.alternatives.is_empty() => self.settle(map, fresh),
                _ => Op::Field { name: fresh, field, value: Some(self.value()) },
            },
        }
    }

    fn settle(&mut self, map: &Map, name: String) -> Op {
        let alternatives = &map[&name].alternatives;
        let free = |number: usize| {
            alternatives[number].name.as_ref().is_none_or(|other| *other != name && !map.contains_key(other))
        };
        let pick = Some(self.rng.below(alternatives.len() + 1))
            .filter(|number| *number < alternatives.len() && free(*number));
        if pick.is_some_and(|number| alternatives[number].removed) {
            return Op::Remove { name };
        }
        let others = alternatives.iter().filter_map(|alternative| alternative.name.clone()).collect();
        Op::Resolve { name, pick, others }
    }

    /// The state that git merged as text: it verifies, knows the seals of both, and equals the changes of both sides.
    pub(super) fn clean(&self, ours: &State, theirs: &State, text: Vec<u8>) -> Result<State, String> {
        let (map, known) = self.read(&text).map_err(|why| format!("REJECTED: {why:?}"))?;
        let expected = expect(ours, theirs, &self.saves);
        if !expected.both.is_empty()
            && !ours.saves.is_subset(&theirs.saves)
            && !theirs.saves.is_subset(&ours.saves)
        {
            // Both touched it and git saw no conflict: only when they did so in the same bytes.
            if ours.map != map && theirs.map != map {
                return Err(format!("{:?} was changed on both sides and merged as text", expected.both));
            }
        }
        expected.check(&map, ours, theirs, &|value| self.written[value])?;
        self.state(map, &known, text, ours, theirs)
    }

    /// The model's state of two that changed different entries; its text is not made.
    pub(super) fn united(&self, ours: &State, theirs: &State) -> Result<State, String> {
        let expected = expect(ours, theirs, &self.saves);
        if !expected.both.is_empty() && !ours.saves.is_subset(&theirs.saves) {
            return Err(format!("{:?} was changed on both sides and merged as text", expected.both));
        }
        let saves = ours.saves.union(&theirs.saves).copied().collect();
        Ok(State { text: Arc::clone(&ours.text), map: expected.exact, saves })
    }

    fn state(
        &self,
        map: Map,
        known: &BTreeSet<SealId>,
        text: Vec<u8>,
        ours: &State,
        theirs: &State,
    ) -> Result<State, String> {
        let saves: BTreeSet<usize> = ours.saves.union(&theirs.saves).copied().collect();
        let wanted: BTreeSet<SealId> = saves.iter().map(|save| self.seals[*save]).collect();
        if wanted.is_subset(known) && known.len() <= wanted.len() + 1 {
            Ok(State { text: Arc::new(text), map, saves })
        } else {
            Err("the seals are not those of both sides".to_owned())
        }
    }

    /// The keyed merge, compared with the model. The result is a state of its own.
    pub(super) fn keyed(
        &mut self,
        ours: &State,
        theirs: &State,
        base: Option<&UnlockedVault>,
    ) -> Result<State, String> {
        let (a, b) = (self.unlock(&ours.text).unwrap(), self.unlock(&theirs.text).unwrap());
        let mut context = MergeContext { now: 3_000, author: "merger", random: &mut self.rng };
        let new = match merge(&a, &b, base, &mut context).map_err(|error| format!("not merged: {error}"))? {
            Merged::Ours if theirs.saves.is_subset(&ours.saves) => return Ok(ours.clone()),
            Merged::Theirs if ours.saves.is_subset(&theirs.saves) => return Ok(theirs.clone()),
            Merged::New(new) => new,
            _ => return Err("one side was taken, and does not have what the other has".to_owned()),
        };
        let text = new.text.to_vec().unwrap();
        let (map, known) = self.read(&text).map_err(|why| format!("the keyed merge is REJECTED: {why:?}"))?;
        let expected = expect(ours, theirs, &self.saves);
        expected
            .check(&map, ours, theirs, &|value| self.written[value])
            .map_err(|why| format!("the keyed merge is WRONG: {why}"))?;
        let in_conflict =
            |name: &&EntryName| map.get(name.as_str()).is_some_and(|e| !e.alternatives.is_empty());
        if let Some(name) = new.conflicts.iter().find(|name| !in_conflict(name)) {
            return Err(format!("{name:?} is said to be in conflict and is not"));
        }
        let mut state = self.state(map, &known, text, ours, theirs)?;
        if let Some(seal) = new.seal {
            state.saves.insert(self.saves.len());
            // Names that entries in conflict may get back are part of what the merge did.
            let names = expected.both.clone();
            self.saves.push(vec![Op::Merge { names }]);
            self.seals.push(seal);
        }
        self.nothing_left(&state, ours)?;
        self.nothing_left(&state, theirs)?;
        Ok(state)
    }

    /// What the program left as git's merge driver, compared with the model. `settled`: it said that nothing is in conflict.
    pub(super) fn driven(
        &mut self,
        ours: &State,
        theirs: &State,
        text: Vec<u8>,
        settled: bool,
    ) -> Result<State, String> {
        for (side, other) in [(ours, theirs), (theirs, ours)] {
            if other.saves.is_subset(&side.saves) {
                return if *side.text == text {
                    Ok(side.clone())
                } else {
                    Err("a side was rewritten".to_owned())
                };
            }
        }
        let (map, known) =
            self.read(&text).map_err(|why| format!("the driver's merge is REJECTED: {why:?}"))?;
        let expected = expect(ours, theirs, &self.saves);
        expected
            .check(&map, ours, theirs, &|value| self.written[value])
            .map_err(|why| format!("the driver's merge is WRONG: {why}"))?;
        let in_conflict = |state: &Map| -> BTreeSet<String> {
            state
                .iter()
                .filter(|(_, entry)| !entry.alternatives.is_empty())
                .map(|(name, _)| name.clone())
                .collect()
        };
        let before: BTreeSet<String> =
            in_conflict(&ours.map).union(&in_conflict(&theirs.map)).cloned().collect();
        if settled && !in_conflict(&map).is_subset(&before) {
            return Err("entries are in conflict, and the driver said nothing".to_owned());
        }
        if !settled && in_conflict(&map).is_empty() {
            return Err("the driver says that there is a conflict, and there is none".to_owned());
        }
        let mut state = self.state(map, &known, text, ours, theirs)?;
        let ids: BTreeSet<SealId> = state.saves.iter().map(|save| self.seals[*save]).collect();
        if let Some(seal) = known.difference(&ids).next() {
            state.saves.insert(self.saves.len());
            self.saves.push(vec![Op::Merge { names: expected.both.clone() }]);
            self.seals.push(*seal);
        }
        Ok(state)
    }

    /// Merging with a side again gives what is there.
    fn nothing_left(&mut self, merged: &State, side: &State) -> Result<(), String> {
        let (a, b) = (self.unlock(&merged.text).unwrap(), self.unlock(&side.text).unwrap());
        let mut context = MergeContext { now: 3_000, author: "merger", random: &mut self.rng };
        match merge(&a, &b, None, &mut context) {
            Ok(Merged::Ours) => Ok(()),
            Ok(_) => Err("merging again does something".to_owned()),
            Err(error) => Err(format!("merging again: {error}")),
        }
    }

    /// What a merge of these says, for tests of refusals.
    pub(super) fn refused_merge(&mut self, ours: &State, theirs: &[u8], base: &[u8]) -> Option<MergeError> {
        let (a, b) = (self.unlock(&ours.text).unwrap(), self.unlock(theirs).unwrap());
        let base = self.unlock(base).unwrap();
        let mut context = MergeContext { now: 3_000, author: "merger", random: &mut self.rng };
        merge(&a, &b, Some(&base), &mut context).err()
    }

    /// The vault with its log restarted.
    pub(super) fn compact(&mut self, state: &State, pages: Pages) -> State {
        let vault = self.unlock(&state.text).unwrap();
        let saved = vault.compact(pages, "tester", None, 2_500, &mut self.rng).unwrap();
        let saves = state.saves.iter().copied().chain([self.saves.len()]).collect();
        self.saves.push(Vec::new());
        self.seals.push(saved.seal);
        State { text: Arc::new(saved.text.to_vec().unwrap()), map: state.map.clone(), saves }
    }
}

fn written(op: &Op) -> Vec<String> {
    match op {
        Op::Field { value: Some(value), .. } | Op::Attribute { value: Some(value), .. } => {
            vec![value.clone()]
        }
        Op::Expiry { expires: Some(at), .. } => vec![at.to_string()],
        _ => Vec::new(),
    }
}

fn name(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

fn edit_op(edit: &mut Edit<'_>, op: &Op, rng: &mut Prng) {
    match op {
        Op::Field { name: entry, field, value } => {
            let value = value.as_ref().map(|value| NewValue::Inline(Secret::new(value.as_bytes().to_vec())));
            let update = Update { fields: BTreeMap::from([(field.clone(), value)]), ..Update::default() };
            edit.set(&name(entry), update, rng).unwrap();
        }
        Op::Attribute { name: entry, key, value } => {
            let attributes = BTreeMap::from([(key.clone(), value.clone())]);
            edit.set(&name(entry), Update { attributes, ..Update::default() }, rng).unwrap();
        }
        Op::Expiry { name: entry, expires } => {
            edit.set(&name(entry), Update { expires: Some(*expires), ..Update::default() }, rng).unwrap();
        }
        Op::Remove { name: entry } => edit.remove(&name(entry)).unwrap(),
        Op::Rename { from, to } => edit.rename(&name(from), &name(to), rng).unwrap(),
        Op::Resolve { name: entry, pick, .. } => {
            edit.resolve(&name(entry), pick.map_or(Pick::Ours, Pick::Theirs), rng).unwrap();
        }
        Op::Merge { .. } => panic!("merges are no edits"),
    }
}

fn text(value: Value) -> String {
    let bytes = match value {
        Value::Inline(secret) => secret.expose().to_vec(),
        Value::Attachment(mut reader) => {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        }
    };
    String::from_utf8(bytes).unwrap()
}

fn plain(entry: &OpenEntry) -> Entry {
    let meta = entry.meta();
    let alternatives = meta.alternatives.iter().enumerate().map(|(number, alternative)| Alternative {
        name: alternative.name.as_ref().map(|name| name.as_str().to_owned()),
        fields: alternative
            .fields
            .keys()
            .map(|field| (field.clone(), entry.alternative(number, field).map(text)))
            .collect(),
        attributes: alternative.attributes.clone(),
        expires: alternative.expires,
        removed: alternative.removed,
    });
    Entry {
        fields: meta.fields.keys().map(|field| (field.clone(), text(entry.value(field).unwrap()))).collect(),
        attributes: meta.attributes.clone().into_iter().collect(),
        expires: meta.expires,
        alternatives: alternatives.collect(),
    }
}
