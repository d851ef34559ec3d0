//! Merges of texts in memory: each rule of docs/format.md, "Keyed merge", by name.

use std::collections::BTreeMap;

use super::*;
use crate::crypto::random::SystemRandom;
use crate::format::front::Pages;
use crate::vault::Value;
use crate::vault::edit::{Pick, Update};
use crate::vault::tests::{Fixture, inline, name};

mod strangers;

fn merge_of(ours: &Fixture, theirs: &Fixture, base: Option<&Fixture>) -> Result<Merged, MergeError> {
    let base = base.map(Fixture::unlock);
    let mut context = MergeContext { now: 5_000, author: "merger", random: &mut SystemRandom };
    merge(&ours.unlock(), &theirs.unlock(), base.as_ref(), &mut context)
}

/// The merged file, verified as a whole, and the names in conflict.
fn merged(ours: &Fixture, theirs: &Fixture) -> (Fixture, Vec<String>) {
    match merge_of(ours, theirs, None).unwrap() {
        Merged::Ours => (ours.with(ours.text.to_vec()), Vec::new()),
        Merged::Theirs => (theirs.with(theirs.text.to_vec()), Vec::new()),
        Merged::New(new) => {
            let after = ours.with(new.text.to_vec().unwrap());
            after.unlock().verify(&|_| ()).unwrap();
            (after, new.conflicts.iter().map(|name| name.as_str().to_owned()).collect())
        }
    }
}

fn remove(vault: &Fixture, entry: &str) -> Fixture {
    vault.edit(|edit| edit.remove(&name(entry)).unwrap())
}

fn rename(vault: &Fixture, from: &str, to: &str) -> Fixture {
    vault.edit(|edit| edit.rename(&name(from), &name(to), &mut SystemRandom).unwrap())
}

fn attribute(vault: &Fixture, entry: &str, key: &str, value: &str) -> Fixture {
    let attributes = BTreeMap::from([(key.to_owned(), Some(value.to_owned()))]);
    vault.edit(|edit| {
        edit.set(&name(entry), Update { attributes, ..Update::default() }, &mut SystemRandom).unwrap();
    })
}

fn names(vault: &Fixture) -> Vec<String> {
    vault.unlock().list().unwrap().into_iter().map(|meta| meta.name.as_str().to_owned()).collect()
}

fn alternative(vault: &Fixture, entry: &str, number: usize, field: &str) -> Option<Vec<u8>> {
    match vault.unlock().entry(&name(entry)).unwrap().unwrap().alternative(number, field)? {
        Value::Inline(secret) => Some(secret.expose().to_vec()),
        Value::Attachment(_) => None,
    }
}

fn base() -> Fixture {
    Fixture::new(Pages::Few).set("a", b"1").set("b", b"2").set("c", b"3")
}

#[test]
fn changes_to_different_entries_unite_without_a_seal_of_their_own() {
    let base = base();
    let (ours, theirs) = (base.set("x", b"ours"), base.set("y", b"theirs"));
    let Merged::New(new) = merge_of(&ours, &theirs, Some(&base)).unwrap() else { panic!("nothing new") };
    assert_eq!(new.seal, None);
    let after = base.with(new.text.to_vec().unwrap());
    let unlocked = after.unlock();
    unlocked.verify(&|_| ()).unwrap();
    assert_eq!(unlocked.tips().len(), 2);
    assert_eq!((after.get("x").unwrap(), after.get("y").unwrap()), (b"ours".to_vec(), b"theirs".to_vec()));
    // The next save names both tips.
    let next = after.set("z", b"").unlock();
    assert_eq!((next.tips().len(), next.generation()), (1, 6));
}

#[test]
fn the_side_that_knows_all_is_the_result() {
    let base = base();
    let ahead = base.set("x", b"1");
    assert!(matches!(merge_of(&ahead, &base, None), Ok(Merged::Ours)));
    assert!(matches!(merge_of(&base, &ahead, None), Ok(Merged::Theirs)));
    assert!(matches!(merge_of(&base, &base, None), Ok(Merged::Ours)));
}

#[test]
fn fields_and_attributes_of_one_entry_merge_one_by_one() {
    let base = base();
    let ours = attribute(&base.set("a", b"ours"), "a", "url", "one");
    let theirs = attribute(&base, "a", "user", "two");
    let theirs = theirs.edit(|edit| {
        edit.set(&name("a"), inline("token", b"t"), &mut SystemRandom).unwrap();
    });
    let (after, conflicts) = merged(&ours, &theirs);
    assert!(conflicts.is_empty());
    let meta = after.unlock().meta(&name("a")).unwrap().unwrap();
    assert_eq!((meta.attributes["url"].as_str(), meta.attributes["user"].as_str()), ("one", "two"));
    assert_eq!(after.get("a").unwrap(), b"ours");
    assert_eq!(meta.fields.len(), 2);
}

#[test]
fn what_both_changed_to_the_same_is_taken() {
    let base = base();
    let (after, conflicts) = merged(&base.set("a", b"same"), &base.set("a", b"same"));
    assert!(conflicts.is_empty());
    assert_eq!(after.get("a").unwrap(), b"same");
}

#[test]
fn what_both_changed_differently_is_kept_twice() {
    let base = base();
    let (after, conflicts) = merged(&base.set("a", b"ours"), &base.set("a", b"theirs"));
    assert_eq!(conflicts, ["a"]);
    assert_eq!(after.get("a").unwrap(), b"ours");
    assert_eq!(alternative(&after, "a", 0, "secret").unwrap(), b"theirs");
    for (pick, value) in [(Pick::Ours, b"ours".to_vec()), (Pick::Theirs(0), b"theirs".to_vec())] {
        let settled = after.edit(|edit| edit.resolve(&name("a"), pick, &mut SystemRandom).unwrap());
        assert!(!settled.unlock().meta(&name("a")).unwrap().unwrap().in_conflict());
        assert_eq!(settled.get("a").unwrap(), value);
    }
}

#[test]
fn an_entry_removed_here_and_changed_there_is_kept_in_conflict() {
    let base = base();
    for (ours, theirs) in
        [(remove(&base, "a"), base.set("a", b"new")), (base.set("a", b"new"), remove(&base, "a"))]
    {
        let (after, conflicts) = merged(&ours, &theirs);
        assert_eq!(conflicts, ["a"]);
        assert_eq!(after.get("a").unwrap(), b"new");
        let gone = after.edit(|edit| edit.resolve(&name("a"), Pick::Theirs(0), &mut SystemRandom).unwrap());
        assert_eq!(gone.get("a"), None);
    }
    assert_eq!(names(&merged(&remove(&base, "a"), &remove(&base, "a")).0), ["b", "c"]);
}

#[test]
fn a_change_follows_a_rename() {
    let base = base();
    for (ours, theirs) in
        [(rename(&base, "a", "z"), base.set("a", b"new")), (base.set("a", b"new"), rename(&base, "a", "z"))]
    {
        let (after, conflicts) = merged(&ours, &theirs);
        assert!(conflicts.is_empty(), "{conflicts:?}");
        assert_eq!(names(&after), ["b", "c", "z"]);
        assert_eq!(after.get("z").unwrap(), b"new");
    }
}

#[test]
fn two_names_for_one_entry_are_a_conflict() {
    let base = base();
    let (after, conflicts) = merged(&rename(&base, "a", "x"), &rename(&base, "a", "y"));
    assert_eq!(conflicts, ["x"]);
    assert_eq!(names(&after), ["b", "c", "x"]);
    let settled = after.edit(|edit| edit.resolve(&name("x"), Pick::Theirs(0), &mut SystemRandom).unwrap());
    assert_eq!(names(&settled), ["b", "c", "y"]);
    assert_eq!(settled.get("y").unwrap(), b"1");
    // Merging on: the renames of both sides and the settlement are followed.
    let later = rename(&base, "b", "w").set("a", b"late");
    let (after, conflicts) = merged(&settled, &later);
    assert!(conflicts.is_empty(), "{conflicts:?}");
    assert_eq!(names(&after), ["c", "w", "y"]);
    assert_eq!(after.get("y").unwrap(), b"late");
}

#[test]
fn an_expiry_removed_there_and_changed_here_is_kept_as_none() {
    let expiry = |vault: &Fixture, expires| {
        vault.edit(|edit| {
            let update = Update { expires: Some(expires), ..Update::default() };
            edit.set(&name("a"), update, &mut SystemRandom).unwrap();
        })
    };
    let base = expiry(&base(), Some(1));
    let (after, conflicts) = merged(&expiry(&base, Some(2)), &expiry(&base, None));
    assert_eq!(conflicts, ["a"]);
    let meta = after.unlock().meta(&name("a")).unwrap().unwrap();
    assert_eq!((meta.expires, meta.alternatives[0].expires), (Some(2), Some(None)));
}

#[test]
fn two_entries_that_get_one_name_become_one_in_conflict() {
    let base = base();
    let (after, conflicts) = merged(&rename(&base, "a", "n"), &base.set("n", b"new"));
    assert_eq!(conflicts, ["n"]);
    assert_eq!(after.get("n").unwrap(), b"1");
    assert_eq!(alternative(&after, "n", 0, "secret").unwrap(), b"new");
    assert_eq!(names(&after), ["b", "c", "n"]);
}

#[test]
fn a_name_that_was_made_and_freed_elsewhere_takes_no_entry_away() {
    // Making "n" and removing it again in one save changes no line, so that text merges let it pass beside a branch in
    // which an entry was given that name.
    let base = base();
    let fleeting = base.set("x", b"1").set("x", b"2").edit(|edit| {
        edit.set(&name("n"), inline("secret", b"fleeting"), &mut SystemRandom).unwrap();
        edit.remove(&name("n")).unwrap();
        edit.set(&name("y"), inline("secret", b""), &mut SystemRandom).unwrap();
    });
    let renamed = rename(&base, "a", "n").set("n", b"kept");
    let (both, conflicts) = merged(&fleeting, &renamed);
    assert!(conflicts.is_empty(), "{conflicts:?}");
    assert_eq!(both.get("n").unwrap(), b"kept");
    // The third branch changes the page of "n" too, so that the merge composes it anew.
    let page = |entry: &str| base.unlock().sealers.entry_id(&name(entry)).0[0];
    let beside =
        (0..).map(|number| format!("beside/{number}")).find(|other| page(other) == page("n")).unwrap();
    let base = base.set(&beside, b"");
    for third in [remove(&base, "a"), base.set("a", b"new")] {
        for (ours, theirs) in [(&both, &third), (&third, &both)] {
            let (after, _) = merged(ours, theirs);
            let kept = after.get("n").unwrap();
            assert!(kept == b"kept" || alternative(&after, "n", 0, "secret").unwrap() == b"kept");
        }
    }
}

#[test]
fn an_alternative_of_a_collision_is_settled_only_where_the_collision_was_seen() {
    let base = base();
    let ours = rename(&base, "a", "n");
    let (both, _) = merged(&ours, &base.set("n", b"new"));
    let meta = both.unlock().meta(&name("n")).unwrap().unwrap();
    assert_eq!(meta.alternatives[0].seal, both.unlock().tips()[0]);
}

#[test]
fn two_merges_of_the_same_branches_unite() {
    let base = base();
    let (a, b) = (base.set("a", b"ours"), base.set("a", b"theirs"));
    let (here, there) = (merged(&a, &b).0, merged(&b, &a).0);
    let (after, conflicts) = merged(&here, &there);
    assert_eq!(conflicts, ["a"]);
    let unlocked = after.unlock();
    let meta = unlocked.meta(&name("a")).unwrap().unwrap();
    assert_eq!(meta.alternatives.len(), 1, "each value is kept once");
    assert_eq!(alternative(&after, "a", 0, "secret").unwrap(), b"theirs");
}

#[test]
fn a_settled_conflict_does_not_come_back() {
    let base = base();
    let both = merged(&base.set("a", b"ours"), &base.set("a", b"theirs")).0;
    let settled = both.edit(|edit| edit.resolve(&name("a"), Pick::Theirs(0), &mut SystemRandom).unwrap());
    let elsewhere = both.set("b", b"other");
    for (ours, theirs) in [(&settled, &elsewhere), (&elsewhere, &settled)] {
        let (after, conflicts) = merged(ours, theirs);
        assert!(conflicts.is_empty());
        assert_eq!(after.get("a").unwrap(), b"theirs");
        assert!(!after.unlock().meta(&name("a")).unwrap().unwrap().in_conflict());
    }
}

#[test]
fn a_base_that_a_side_lacks_is_a_cherry_pick_or_a_revert() {
    let base = base();
    let middle = base.set("x", b"1");
    let picked = middle.set("y", b"2");
    assert!(matches!(merge_of(&base.set("z", b""), &picked, Some(&middle)), Err(MergeError::NotAMerge)));
    assert!(matches!(merge_of(&picked, &base, Some(&middle)), Err(MergeError::NotAMerge)));
    assert!(matches!(merge_of(&base, &Fixture::new(Pages::Few), None), Err(MergeError::OtherVault)));
}

#[test]
fn a_base_chosen_by_an_attacker_brings_no_old_value_back() {
    // The confused deputy: theirs never touched "a". A driver that compares contents with a base in which "a" has its new
    // value would believe that theirs changed it back to the old one, and seal that.
    let old = Fixture::new(Pages::Few).set("a", b"old password");
    let ours = old.set("a", b"new password");
    let theirs = old.set("b", b"harmless");
    for base in [None, Some(&old)] {
        let Merged::New(new) = merge_of(&ours, &theirs, base).unwrap() else { panic!("nothing new") };
        let after = old.with(new.text.to_vec().unwrap());
        assert_eq!(after.get("a").unwrap(), b"new password");
        assert!(new.conflicts.is_empty());
    }
    // The chosen base itself is refused: theirs lacks its seals.
    assert!(matches!(merge_of(&ours, &theirs, Some(&ours)), Err(MergeError::NotAMerge)));
}

#[test]
fn a_merge_across_a_restart_applies_the_other_side_as_one_seal() {
    let base = base();
    let side = rename(&base.set("a", b"side").set("new", b"n"), "b", "bb");
    let side = remove(&side, "c");
    let compacted = |vault: &Fixture, pages| {
        let saved = vault.unlock().compact(pages, "tester", None, 3_000, &mut SystemRandom).unwrap();
        vault.with(saved.text.to_vec().unwrap())
    };
    for pages in [Pages::Few, Pages::Many] {
        let restarted = compacted(&base.set("mine", b"m"), pages).set("later", b"l");
        for (ours, theirs) in [(&restarted, &side), (&side, &restarted)] {
            let (after, conflicts) = merged(ours, theirs);
            assert!(conflicts.is_empty(), "{conflicts:?}");
            assert_eq!(names(&after), ["a", "bb", "later", "mine", "new"]);
            assert_eq!(
                (after.get("a").unwrap(), after.get("bb").unwrap()),
                (b"side".to_vec(), b"2".to_vec())
            );
            assert_eq!(after.unlock().tips().len(), 1);
            // The other side goes on, and is merged again: what was applied is known.
            let (again, conflicts) = merged(&after, &side.set("a", b"side 2"));
            assert!(conflicts.is_empty(), "{conflicts:?}");
            assert_eq!(again.get("a").unwrap(), b"side 2");
            assert!(matches!(merge_of(&again, &side, None), Ok(Merged::Ours)));
        }
        let conflicting = compacted(&base.set("a", b"restarted"), pages);
        let (after, conflicts) = merged(&conflicting, &side);
        assert_eq!(conflicts, ["a"]);
        assert_eq!(alternative(&after, "a", 0, "secret").unwrap(), b"side");
        let twice = (compacted(&base, pages), compacted(&base, Pages::Few));
        assert!(matches!(merge_of(&twice.0, &twice.1, None), Err(MergeError::BothRestarted)));
    }
}

#[test]
fn slots_of_both_sides_unite_and_a_removal_wins() {
    use crate::format::seal::SlotOp;
    use crate::format::slot::Label;
    use crate::keys::{age::Identity, new_age_slot};

    let add = |vault: &Fixture| {
        let open = vault.unlock();
        let header = open.header();
        let parts = crate::keys::VaultHeaderParts {
            uuid: header.uuid,
            salt: header.salt,
            commitment: header.commitment,
        };
        let recipient = Identity::generate().recipient().unwrap().clone();
        let label = Label::parse("laptop").unwrap();
        let slot = new_age_slot(&parts, label, &recipient, &open.master, &mut SystemRandom).unwrap();
        vault.edit(|edit| {
            edit.add_slot(slot.clone(), "tester").unwrap();
            assert!(matches!(edit.add_slot(slot, "tester"), Err(EditError::LabelTaken(_))));
        })
    };
    let base = add(&base());
    let (here, there) = (add(&remove_laptop(&base)), add(&relabelled(&base, SlotOp::Relabel)));
    for (ours, theirs) in [(&here, &there), (&there, &here)] {
        let (after, conflicts) = merged(ours, theirs);
        assert!(conflicts.is_empty());
        let unlocked = after.unlock();
        let mut labels: Vec<&str> = unlocked.slots().iter().map(|slot| slot.label.as_str()).collect();
        labels.sort_unstable();
        assert_eq!(labels.len(), 3, "{labels:?}");
        assert_eq!(labels[0], "laptop");
        assert!(labels[1].starts_with("laptop-"), "the label of the second is made longer");
        assert_eq!(labels[2], "me");
        assert_eq!(unlocked.roster().removed.len(), 1);
    }

    fn laptop(vault: &Fixture) -> crate::format::slot::SlotLine {
        let open = vault.unlock();
        open.slots().iter().find(|slot| slot.label.as_str() == "laptop").unwrap().clone()
    }
    fn remove_laptop(vault: &Fixture) -> Fixture {
        let id = laptop(vault).id;
        vault.edit(|edit| assert!(edit.remove_slot(id, "tester").unwrap()))
    }
    fn relabelled(vault: &Fixture, op: SlotOp) -> Fixture {
        let mut slot = laptop(vault);
        slot.label = Label::parse("old-laptop").unwrap();
        vault.edit(|edit| assert!(edit.replace_slot(slot, op).unwrap()))
    }
}

#[test]
fn a_merged_entry_within_no_readers_limits_is_refused_before_it_is_written() {
    let fields = |vault: &Fixture, entry: &str, from: usize, to: usize| {
        vault.edit(|edit| {
            for i in from..to {
                edit.set(&name(entry), inline(&format!("field{i}"), b"x"), &mut SystemRandom).unwrap();
            }
        })
    };
    let base = fields(&base(), "wide", 0, 40);
    let (ours, theirs) = (fields(&base, "wide", 100, 120), fields(&base, "wide", 200, 220));
    assert!(matches!(merge_of(&ours, &theirs, None), Err(MergeError::Edit(EditError::TooLarge { .. }))));
}

#[test]
fn a_record_that_two_people_brought_across_a_restart_is_carried_once() {
    let base = base();
    let compacted = |vault: &Fixture| {
        let saved = vault.unlock().compact(Pages::Few, "tester", None, 3_000, &mut SystemRandom).unwrap();
        vault.with(saved.text.to_vec().unwrap())
    };
    let (restarted, old) = (compacted(&base), base.set("old", b"o"));
    let (one, two) = (merged(&restarted, &old).0, merged(&restarted.set("x", b""), &old).0);
    let again = compacted(&merged(&one, &two).0);
    again.unlock().verify(&|_| ()).unwrap();
    assert_eq!(again.get("old").unwrap(), b"o");
}

#[test]
fn a_fleeting_entry_takes_nothing_from_another_of_its_name_and_settles_nothing_in_it() {
    let base = Fixture::new(Pages::Few).set("a", b"kept").set("b", b"2");
    let renamed = rename(&base, "a", "n");
    let (both, conflicts) = merged(&remove(&base.set("n", b"short"), "n"), &renamed);
    assert!(conflicts.is_empty() && names(&both) == ["b", "n"], "{conflicts:?}");
    let token = renamed.edit(|edit| {
        edit.set(&name("n"), inline("token", b"t"), &mut SystemRandom).unwrap();
    });
    for (ours, theirs) in [(&both, &token), (&token, &both)] {
        let (after, conflicts) = merged(ours, theirs);
        assert!(conflicts.is_empty(), "{conflicts:?}");
        let unlocked = after.unlock();
        assert!(!unlocked.meta(&name("n")).unwrap().unwrap().in_conflict());
        let Some(Value::Inline(there)) = unlocked.value(&name("n"), "token").unwrap() else {
            panic!("no token")
        };
        assert_eq!((after.get("n").unwrap(), there.expose()), (b"kept".to_vec(), &b"t"[..]));
    }
    // Removed there, it is not put back as if nobody had.
    for (ours, theirs) in [(&both, &remove(&renamed, "n")), (&remove(&renamed, "n"), &both)] {
        assert_eq!(merged(ours, theirs).1, ["n"]);
    }
}

#[test]
fn an_entry_renamed_beside_a_fleeting_one_survives_a_third_entry_of_its_name() {
    let base = Fixture::new(Pages::Few).set("a", b"kept").set("b", b"2");
    let mut fleeting = base.set("other", b"1").set("other", b"2").set("other", b"3");
    fleeting = remove(&fleeting.set("n", b"short"), "n");
    let renamed = rename(&base, "a", "n");
    let third = base.set("n", b"third");
    let (both, _) = merged(&fleeting, &renamed);
    for (ours, theirs) in [(&both, &third), (&third, &both)] {
        let (after, conflicts) = merged(ours, theirs);
        assert_eq!(conflicts, ["n"]);
        let mut values = vec![after.get("n").unwrap(), alternative(&after, "n", 0, "secret").unwrap()];
        values.sort();
        assert_eq!(values, [b"kept".to_vec(), b"third".to_vec()]);
    }
}

#[test]
fn settling_one_conflict_does_not_settle_another() {
    let text = |vault: &Fixture, field: &str, value: &[u8]| {
        vault.edit(|edit| {
            edit.set(&name("e"), inline(field, value), &mut SystemRandom).unwrap();
        })
    };
    let base = text(&text(&Fixture::new(Pages::Few), "secret", b"0"), "user", b"0");
    let user = text(&base, "user", b"S");
    let both = merged(&text(&user, "secret", b"P"), &text(&user, "secret", b"Q")).0;
    let settled = both.edit(|edit| edit.resolve(&name("e"), Pick::Ours, &mut SystemRandom).unwrap());
    let open = merged(&text(&base, "user", b"T"), &user).0;
    let (after, conflicts) = merged(&settled, &open);
    assert_eq!(conflicts, ["e"]);
    let users: Vec<_> = (0..after.unlock().meta(&name("e")).unwrap().unwrap().alternatives.len())
        .filter_map(|number| alternative(&after, "e", number, "user"))
        .collect();
    let unlocked = after.unlock();
    let Some(Value::Inline(here)) = unlocked.value(&name("e"), "user").unwrap() else { panic!("no user") };
    let all: BTreeSet<Vec<u8>> = users.into_iter().chain([here.expose().to_vec()]).collect();
    assert_eq!(all, BTreeSet::from([b"S".to_vec(), b"T".to_vec()]));
}

#[test]
fn a_change_that_one_side_alone_made_since_a_merge_is_no_conflict() {
    let user = |vault: &Fixture, value: &[u8]| {
        vault.edit(|edit| {
            edit.set(&name("a"), inline("user", value), &mut SystemRandom).unwrap();
        })
    };
    let base = base();
    let one = user(&base, b"P1");
    let merged_once = merged(&one, &base.set("a", b"Q")).0;
    let (after, conflicts) = merged(&merged_once, &user(&one, b"C"));
    assert!(conflicts.is_empty(), "{conflicts:?}");
    let unlocked = after.unlock();
    let Some(Value::Inline(here)) = unlocked.value(&name("a"), "user").unwrap() else { panic!("no user") };
    assert_eq!((here.expose(), after.get("a").unwrap()), (&b"C"[..], b"Q".to_vec()));
}

#[test]
fn a_freed_name_that_was_given_again_brings_nothing_back() {
    let base = base();
    let (left, right) = (rename(&base, "a", "x"), rename(&base, "a", "y"));
    let both = merged(&left, &right).0;
    let settled = both.edit(|edit| edit.resolve(&name("x"), Pick::Ours, &mut SystemRandom).unwrap());
    let again = rename(&settled, "b", "y");
    // The right side still has the entry under the name that another one has now, and did nothing with it.
    let right = right.set("z", b"new");
    for (ours, theirs) in [(&again, &right), (&right, &again)] {
        let (after, conflicts) = merged(ours, theirs);
        assert!(conflicts.is_empty(), "{conflicts:?}");
        assert_eq!(names(&after), ["c", "x", "y", "z"]);
        assert_eq!((after.get("x").unwrap(), after.get("y").unwrap()), (b"1".to_vec(), b"2".to_vec()));
    }
}
