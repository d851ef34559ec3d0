//! A plain model of a vault, written apart from the code under test: a map of entries for each state, and for each save the
//! list of operations made in it. It says what a merge of two states must hold.

use std::collections::{BTreeMap, BTreeSet};

/// What a vault holds, by entry name.
pub(super) type Map = BTreeMap<String, Entry>;

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) fields: BTreeMap<String, String>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) expires: Option<u64>,
    pub(super) alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alternative {
    pub(super) name: Option<String>,
    pub(super) fields: BTreeMap<String, Option<String>>,
    pub(super) attributes: BTreeMap<String, Option<String>>,
    pub(super) expires: Option<Option<u64>>,
    pub(super) removed: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Field {
        name: String,
        field: String,
        value: Option<String>,
    },
    Attribute {
        name: String,
        key: String,
        value: Option<String>,
    },
    Expiry {
        name: String,
        expires: Option<u64>,
    },
    Remove {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    /// `pick`: an alternative, or what stands in the entry. `others`: names that the alternatives bring in.
    Resolve {
        name: String,
        pick: Option<usize>,
        others: Vec<String>,
    },
    /// What a keyed merge did to these names: what exactly, only its rule says.
    Merge {
        names: BTreeSet<String>,
    },
}

/// One state of a vault: its content, and the saves that led to it.
#[derive(Clone)]
pub(super) struct State {
    pub(super) text: std::sync::Arc<Vec<u8>>,
    pub(super) map: Map,
    pub(super) saves: BTreeSet<usize>,
}

impl Op {
    pub(super) fn names(&self) -> Vec<&String> {
        match self {
            Self::Field { name, .. }
            | Self::Attribute { name, .. }
            | Self::Expiry { name, .. }
            | Self::Remove { name } => vec![name],
            Self::Rename { from, to } => vec![from, to],
            Self::Resolve { name, others, .. } => std::iter::once(name).chain(others).collect(),
            Self::Merge { names } => names.iter().collect(),
        }
    }

    pub(super) fn apply(&self, map: &mut Map) {
        match self {
            Self::Field { name, field, value } => {
                put(&mut map.entry(name.clone()).or_default().fields, field, value.as_ref());
            }
            Self::Attribute { name, key, value } => {
                put(&mut map.entry(name.clone()).or_default().attributes, key, value.as_ref());
            }
            Self::Expiry { name, expires } => map.entry(name.clone()).or_default().expires = *expires,
            Self::Remove { name } => drop(map.remove(name)),
            Self::Rename { from, to } => {
                let entry = map.remove(from).unwrap_or_default();
                map.insert(to.clone(), entry);
            }
            Self::Resolve { name, pick, .. } => resolve(map, name, *pick),
            Self::Merge { .. } => {}
        }
    }
}

fn put(map: &mut BTreeMap<String, String>, key: &str, value: Option<&String>) {
    match value {
        Some(value) => drop(map.insert(key.to_owned(), value.clone())),
        None => drop(map.remove(key)),
    }
}

fn resolve(map: &mut Map, name: &str, pick: Option<usize>) {
    let mut entry = map.remove(name).unwrap_or_default();
    let alternatives = std::mem::take(&mut entry.alternatives);
    let mut name = name.to_owned();
    if let Some(chosen) = pick.and_then(|number| alternatives.into_iter().nth(number)) {
        if chosen.removed {
            return;
        }
        for (field, value) in &chosen.fields {
            put(&mut entry.fields, field, value.as_ref());
        }
        for (key, value) in &chosen.attributes {
            put(&mut entry.attributes, key, value.as_ref());
        }
        entry.expires = chosen.expires.unwrap_or(entry.expires);
        name = chosen.name.unwrap_or(name);
    }
    map.insert(name, entry);
}

/// Every value in an entry, in place or as an alternative. All values that the tests write are different.
pub(super) fn tokens(entry: &Entry) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = entry.fields.values().chain(entry.attributes.values()).cloned().collect();
    all.extend(entry.expires.map(|at| at.to_string()));
    for alternative in &entry.alternatives {
        all.extend(alternative.fields.values().chain(alternative.attributes.values()).flatten().cloned());
        all.extend(alternative.expires.flatten().map(|at| at.to_string()));
    }
    all
}

/// What one side did since the other knew it.
struct News<'a> {
    ops: Vec<&'a Op>,
    names: BTreeSet<String>,
}

impl<'a> News<'a> {
    fn of(side: &State, other: &State, saves: &'a [Vec<Op>]) -> Self {
        let ops: Vec<&Op> = side.saves.difference(&other.saves).flat_map(|save| &saves[*save]).collect();
        let names = ops.iter().flat_map(|op| op.names()).cloned().collect();
        Self { ops, names }
    }
}

/// What a merge of two states must hold.
pub(super) struct Expected {
    /// Entries that at most one side touched, or where the rule is plain: exactly these, and no others but in `mixed`.
    pub(super) exact: Map,
    /// Groups of names, tied by renames, that both sides touched in ways that only the whole rule settles.
    mixed: Vec<BTreeSet<String>>,
    /// Every name that both sides touched, or that is tied to one.
    pub(super) both: BTreeSet<String>,
}

/// `written`: which save wrote a value first.
pub(super) fn expect(ours: &State, theirs: &State, saves: &[Vec<Op>]) -> Expected {
    let (a, b) = (News::of(ours, theirs, saves), News::of(theirs, ours, saves));
    let mut expected = Expected { exact: Map::new(), mixed: Vec::new(), both: BTreeSet::new() };
    for group in groups(ours, theirs, &a, &b) {
        let side = match (group.is_disjoint(&a.names), group.is_disjoint(&b.names)) {
            (false, false) => {
                expected.both.extend(group.iter().cloned());
                match plain_rule(&group, ours, theirs, &a, &b) {
                    Some(Some((name, entry))) => drop(expected.exact.insert(name, entry)),
                    Some(None) => {}
                    None => expected.mixed.push(group),
                }
                continue;
            }
            (false, true) => ours,
            (true, _) => theirs,
        };
        for name in group {
            if let Some(entry) = side.map.get(&name) {
                expected.exact.insert(name, entry.clone());
            }
        }
    }
    expected
}

/// All names, in groups that renames tie together.
fn groups(ours: &State, theirs: &State, a: &News, b: &News) -> Vec<BTreeSet<String>> {
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    let mut add = |names: BTreeSet<String>| {
        let (joined, apart): (Vec<_>, Vec<_>) =
            std::mem::take(&mut groups).into_iter().partition(|group| !group.is_disjoint(&names));
        groups = apart;
        groups.push(joined.into_iter().flatten().chain(names).collect());
    };
    for op in a.ops.iter().chain(&b.ops) {
        if !matches!(op, Op::Merge { .. }) {
            add(op.names().into_iter().cloned().collect());
        }
    }
    for name in a.names.iter().chain(&b.names).chain(ours.map.keys()).chain(theirs.map.keys()) {
        add(BTreeSet::from([name.clone()]));
    }
    // An entry with two names in conflict ties them.
    for (name, entry) in ours.map.iter().chain(&theirs.map) {
        for other in entry.alternatives.iter().filter_map(|alternative| alternative.name.as_ref()) {
            add(BTreeSet::from([name.clone(), other.clone()]));
        }
    }
    groups
}

/// The design's rule for one name that no side renamed, created again or merged before, and that is not in conflict.
/// `None`: not that plain. `Some(None)`: gone.
fn plain_rule(
    group: &BTreeSet<String>,
    ours: &State,
    theirs: &State,
    a: &News,
    b: &News,
) -> Option<Option<(String, Entry)>> {
    let name = group.first().filter(|_| group.len() == 1)?;
    let mine = |news: &News| -> Vec<Op> {
        news.ops.iter().filter(|op| op.names().contains(&name)).map(|op| (*op).clone()).collect()
    };
    let (a, b) = (mine(a), mine(b));
    let plain = |ops: &[Op]| {
        ops.iter().enumerate().all(|(at, op)| match op {
            Op::Field { .. } | Op::Attribute { .. } | Op::Expiry { .. } => true,
            Op::Remove { .. } => at + 1 == ops.len(),
            _ => false,
        })
    };
    let calm = |state: &State| state.map.get(name).is_none_or(|entry| entry.alternatives.is_empty());
    if !plain(&a) || !plain(&b) || !calm(ours) || !calm(theirs) {
        return None;
    }
    let result = match (ours.map.get(name), theirs.map.get(name)) {
        (None, None) => None,
        (Some(kept), None) | (None, Some(kept)) => {
            let mut kept = kept.clone();
            kept.alternatives.push(Alternative { removed: true, ..Alternative::default() });
            Some(kept)
        }
        (Some(here), Some(there)) => Some(field_by_field(here, there, &a, &b)),
    };
    Some(result.map(|entry| (name.clone(), entry)))
}

fn field_by_field(here: &Entry, there: &Entry, a: &[Op], b: &[Op]) -> Entry {
    let mut entry = here.clone();
    let mut other = Alternative::default();
    let did = |ops: &[Op], what: &dyn Fn(&Op) -> bool| ops.iter().any(what);
    let names: BTreeSet<&String> = here.fields.keys().chain(there.fields.keys()).collect();
    for name in names {
        let changes = |op: &Op| matches!(op, Op::Field { field, .. } if field == name);
        let theirs = there.fields.get(name);
        if here.fields.get(name) != theirs && did(b, &changes) {
            if did(a, &changes) {
                other.fields.insert(name.clone(), theirs.cloned());
            } else {
                put(&mut entry.fields, name, theirs);
            }
        }
    }
    let names: BTreeSet<&String> = here.attributes.keys().chain(there.attributes.keys()).collect();
    for name in names {
        let changes = |op: &Op| matches!(op, Op::Attribute { key, .. } if key == name);
        let theirs = there.attributes.get(name);
        if here.attributes.get(name) != theirs && did(b, &changes) {
            if did(a, &changes) {
                other.attributes.insert(name.clone(), theirs.cloned());
            } else {
                put(&mut entry.attributes, name, theirs);
            }
        }
    }
    let changes = |op: &Op| matches!(op, Op::Expiry { .. });
    if here.expires != there.expires && did(b, &changes) {
        if did(a, &changes) {
            other.expires = Some(there.expires);
        } else {
            entry.expires = there.expires;
        }
    }
    if other != Alternative::default() {
        entry.alternatives.push(other);
    }
    entry
}

impl Expected {
    /// Compares a merge's result. `wrote` says which save wrote a value first.
    pub(super) fn check(
        &self,
        result: &Map,
        ours: &State,
        theirs: &State,
        wrote: &dyn Fn(&str) -> usize,
    ) -> Result<(), String> {
        let loose: BTreeSet<&String> = self.mixed.iter().flatten().collect();
        for (name, entry) in &self.exact {
            if result.get(name) != Some(entry) {
                return Err(format!("{name}: expected {entry:?}, got {:?}", result.get(name)));
            }
        }
        if let Some((name, entry)) =
            result.iter().find(|(name, _)| !self.exact.contains_key(*name) && !loose.contains(name))
        {
            return Err(format!("{name} should not be there: {entry:?}"));
        }
        for group in &self.mixed {
            let of = |map: &Map| -> BTreeSet<String> {
                map.iter().filter(|(name, _)| group.contains(*name)).flat_map(|(_, e)| tokens(e)).collect()
            };
            let (a, b, result_tokens) = (of(&ours.map), of(&theirs.map), of(result));
            let new_here = a.iter().filter(|value| !theirs.saves.contains(&wrote(value)));
            let new_there = b.iter().filter(|value| !ours.saves.contains(&wrote(value)));
            if let Some(lost) = new_here
                .chain(new_there)
                .chain(a.intersection(&b))
                .find(|value| !result_tokens.contains(*value))
            {
                return Err(format!(
                    "{lost} of {group:?} is lost\nours {:?}\ntheirs {:?}\nresult {:?}",
                    only(&ours.map, group),
                    only(&theirs.map, group),
                    only(result, group)
                ));
            }
            if let Some(odd) = result_tokens.iter().find(|value| !a.contains(*value) && !b.contains(*value)) {
                return Err(format!("{odd} of {group:?} comes from nowhere"));
            }
        }
        Ok(())
    }
}

fn only<'m>(map: &'m Map, group: &BTreeSet<String>) -> Vec<(&'m String, &'m Entry)> {
    map.iter().filter(|(name, _)| group.contains(*name)).collect()
}
