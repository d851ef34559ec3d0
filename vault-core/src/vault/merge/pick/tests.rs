//! Picks and reverts of texts in memory.

use std::collections::BTreeMap;

use super::*;
use crate::crypto::random::SystemRandom;
use crate::format::front::Pages;
use crate::vault::Value;
use crate::vault::edit::{NewValue, Pick, Update};
use crate::vault::merge::{Merged, merge};
use crate::vault::tests::{Fixture, name};

fn pick_of(
    present: &Fixture,
    before: &Fixture,
    after: &Fixture,
    direction: Direction,
) -> Result<(Fixture, Picked), MergeError> {
    let mut context = MergeContext { now: 5_000, author: "picker", random: &mut SystemRandom };
    let picked = pick(
        &present.unlock(),
        &before.unlock(),
        &after.unlock(),
        direction,
        Some("pick 1a2b3c4"),
        &mut context,
    )?;
    let fixture = present.with(picked.saved.text.to_vec().unwrap());
    fixture.unlock().verify(&|_| ()).unwrap();
    Ok((fixture, picked))
}

fn apply(present: &Fixture, before: &Fixture, after: &Fixture) -> (Fixture, Vec<String>) {
    let (fixture, picked) = pick_of(present, before, after, Direction::Apply).unwrap();
    (fixture, text(&picked.conflicts))
}

fn undo(present: &Fixture, before: &Fixture, after: &Fixture) -> (Fixture, Vec<String>) {
    let (fixture, picked) = pick_of(present, before, after, Direction::Undo).unwrap();
    (fixture, text(&picked.conflicts))
}

fn text(names: &[EntryName]) -> Vec<String> {
    names.iter().map(|name| name.as_str().to_owned()).collect()
}

fn names(vault: &Fixture) -> Vec<String> {
    vault.unlock().list().unwrap().into_iter().map(|meta| meta.name.as_str().to_owned()).collect()
}

fn remove(vault: &Fixture, entry: &str) -> Fixture {
    vault.edit(|edit| edit.remove(&name(entry)).unwrap())
}

fn rename(vault: &Fixture, from: &str, to: &str) -> Fixture {
    vault.edit(|edit| edit.rename(&name(from), &name(to), &mut SystemRandom).unwrap())
}

fn attribute(vault: &Fixture, entry: &str, key: &str, value: Option<&str>) -> Fixture {
    let attributes = BTreeMap::from([(key.to_owned(), value.map(str::to_owned))]);
    vault.edit(|edit| {
        edit.set(&name(entry), Update { attributes, ..Update::default() }, &mut SystemRandom).unwrap();
    })
}

fn other(vault: &Fixture, entry: &str) -> Option<Vec<u8>> {
    match vault.unlock().entry(&name(entry)).unwrap()?.alternative(0, "secret")? {
        Value::Inline(secret) => Some(secret.expose().to_vec()),
        Value::Attachment(_) => None,
    }
}

fn base() -> Fixture {
    Fixture::new(Pages::Few).set("a", b"1").set("b", b"2").set("c", b"3")
}

#[test]
fn a_pick_takes_one_commit_of_a_branch_and_nothing_before_it() {
    let base = base();
    let first = base.set("a", b"first");
    let second = first.set("b", b"second");
    let main = base.set("x", b"main");
    let (picked, conflicts) = apply(&main, &first, &second);
    assert!(conflicts.is_empty());
    assert_eq!(picked.get("b").unwrap(), b"second");
    assert_eq!(picked.get("a").unwrap(), b"1");
    assert_eq!(picked.get("x").unwrap(), b"main");
    let record = picked.unlock().log().unwrap().pop().unwrap();
    assert_eq!(
        (record.changes.author.as_str(), record.changes.reason.as_deref()),
        ("picker", Some("pick 1a2b3c4"))
    );
    // Merged later with the branch that it came from: the same twice is no conflict.
    let mut context = MergeContext { now: 6_000, author: "merger", random: &mut SystemRandom };
    let Merged::New(new) = merge(&picked.unlock(), &second.unlock(), None, &mut context).unwrap() else {
        panic!("both have something new")
    };
    assert!(new.conflicts.is_empty());
    let merged = picked.with(new.text.to_vec().unwrap());
    assert_eq!((merged.get("a").unwrap(), merged.get("b").unwrap()), (b"first".to_vec(), b"second".to_vec()));
}

#[test]
fn what_was_changed_here_since_is_kept_beside_what_is_picked() {
    let base = base();
    let (ours, theirs) = (base.set("a", b"ours"), base.set("a", b"theirs"));
    let (picked, conflicts) = apply(&ours, &base, &theirs);
    assert_eq!(conflicts, ["a"]);
    assert_eq!(picked.get("a").unwrap(), b"ours");
    assert_eq!(other(&picked, "a").unwrap(), b"theirs");
    let settled = picked.edit(|edit| edit.resolve(&name("a"), Pick::Theirs(0), &mut SystemRandom).unwrap());
    assert_eq!(settled.get("a").unwrap(), b"theirs");
}

#[test]
fn a_revert_of_an_older_commit_takes_back_that_commit_alone() {
    let base = base();
    let bad = attribute(&base.set("a", b"bad"), "b", "url", Some("bad"));
    let later = bad.set("c", b"later").set("a2", b"later");
    let (reverted, conflicts) = undo(&later, &base, &bad);
    assert!(conflicts.is_empty());
    assert_eq!(reverted.get("a").unwrap(), b"1");
    assert_eq!(reverted.get("c").unwrap(), b"later");
    assert!(reverted.unlock().meta(&name("b")).unwrap().unwrap().attributes.is_empty());
    // And what was changed again since is kept, too.
    let (reverted, conflicts) = undo(&later.set("a", b"newest"), &base, &bad);
    assert_eq!(conflicts, ["a"]);
    assert_eq!(
        (reverted.get("a").unwrap(), other(&reverted, "a").unwrap()),
        (b"newest".to_vec(), b"1".to_vec())
    );
}

#[test]
fn creations_removals_and_renames_are_picked_and_reverted() {
    let base = base();
    let main = base.set("x", b"");
    let created = base.set("new", b"n");
    let (after, _) = apply(&main, &base, &created);
    assert_eq!(after.get("new").unwrap(), b"n");
    let (after, _) = undo(&after, &base, &created);
    assert_eq!(names(&after), ["a", "b", "c", "x"]);

    let removed = remove(&base, "a");
    let (after, _) = apply(&main, &base, &removed);
    assert_eq!(names(&after), ["b", "c", "x"]);
    let (after, _) = undo(&after, &base, &removed);
    assert_eq!(after.get("a").unwrap(), b"1");

    let renamed = rename(&base, "a", "z");
    let (after, _) = apply(&main.set("a", b"other"), &base, &renamed);
    assert_eq!((after.get("z").unwrap(), names(&after).len()), (b"other".to_vec(), 4));
    let (after, _) = undo(&after, &base, &renamed);
    assert_eq!(after.get("a").unwrap(), b"other");
    // An entry that was renamed here meanwhile is found.
    let (after, conflicts) = apply(&rename(&main, "a", "y"), &base, &base.set("a", b"changed"));
    assert!(conflicts.is_empty());
    assert_eq!(after.get("y").unwrap(), b"changed");
}

#[test]
fn removed_here_and_changed_there_is_kept_in_conflict_and_the_other_way_round() {
    let base = base();
    let (after, conflicts) = apply(&remove(&base, "a"), &base, &base.set("a", b"there"));
    assert_eq!((after.get("a").unwrap(), conflicts), (b"there".to_vec(), vec!["a".to_owned()]));
    let (after, conflicts) = apply(&base.set("a", b"here"), &base, &remove(&base, "a"));
    assert_eq!((after.get("a").unwrap(), conflicts), (b"here".to_vec(), vec!["a".to_owned()]));
    assert!(after.unlock().meta(&name("a")).unwrap().unwrap().alternatives[0].removed);
}

#[test]
fn a_new_entry_of_a_name_that_the_commit_freed_is_another_one() {
    let base = base();
    let moved = rename(&base, "a", "old").set("a", b"new");
    let (after, conflicts) = apply(&base.set("x", b""), &base, &moved);
    assert!(conflicts.is_empty());
    assert_eq!((after.get("old").unwrap(), after.get("a").unwrap()), (b"1".to_vec(), b"new".to_vec()));
    let (after, conflicts) = undo(&after, &base, &moved);
    assert!(conflicts.is_empty());
    assert_eq!((after.get("a").unwrap(), after.get("old")), (b"1".to_vec(), None));
}

#[test]
fn names_that_change_places_are_kept_as_they_are_and_put_in_conflict() {
    let base = base();
    let swapped = rename(&rename(&rename(&base, "a", "t"), "b", "a"), "t", "b");
    let (after, conflicts) = apply(&base.set("x", b""), &base, &swapped);
    assert_eq!(conflicts, ["a", "b"]);
    assert_eq!((after.get("a").unwrap(), after.get("b").unwrap()), (b"1".to_vec(), b"2".to_vec()));
}

#[test]
fn large_values_come_with_their_attachments() {
    let base = base();
    let large = vec![7; 100_000];
    let with = base.edit(|edit| {
        let value = NewValue::Inline(crate::secret::Secret::new(large.clone()));
        let fields = BTreeMap::from([("secret".to_owned(), Some(value))]);
        edit.set(&name("a"), Update { fields, ..Update::default() }, &mut SystemRandom).unwrap();
    });
    let (after, _) = apply(&base.set("x", b""), &base, &with);
    assert_eq!(after.get("a").unwrap(), large);
    let (after, _) = undo(&after, &base, &with);
    assert_eq!(after.get("a").unwrap(), b"1");
}

#[test]
fn what_is_so_already_and_what_is_no_step_forward_is_refused() {
    let base = base();
    let after = base.set("a", b"2");
    assert!(matches!(
        pick_of(&after, &base, &after, Direction::Apply),
        Err(MergeError::Edit(EditError::NothingChanged))
    ));
    assert!(matches!(pick_of(&base, &after, &base, Direction::Apply), Err(MergeError::NotAhead)));
    assert!(matches!(
        pick_of(&Fixture::new(Pages::Few), &base, &after, Direction::Apply),
        Err(MergeError::OtherVault)
    ));
    let (both, _) = apply(&base.set("a", b"ours"), &base, &after);
    assert!(matches!(
        pick_of(&both, &after, &after.set("a", b"3"), Direction::Apply),
        Err(MergeError::Edit(EditError::InConflict(entry))) if entry == name("a")
    ));
}
