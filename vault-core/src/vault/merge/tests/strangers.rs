//! Two entries of one name that have nothing in common, and one entry that looks like two. First found by a random history in
//! git, seed 1488, in which a secret gave way to one of another branch.

use super::*;

/// `vault` with a field and an attribute of the entry set, and its expiry.
fn filled(vault: &Fixture, entry: &str, value: &str) -> Fixture {
    let update = Update { expires: Some(Some(value.len() as u64)), ..inline("token", value.as_bytes()) };
    let filled = vault.edit(|edit| {
        edit.set(&name(entry), update, &mut SystemRandom).unwrap();
    });
    attribute(&filled, entry, "user", value)
}

/// Every value of a field, in place and in alternatives.
fn all(vault: &Fixture, entry: &str, field: &str) -> BTreeSet<Vec<u8>> {
    let unlocked = vault.unlock();
    let meta = unlocked.meta(&name(entry)).unwrap().unwrap();
    let here = match unlocked.value(&name(entry), field).unwrap() {
        Some(Value::Inline(secret)) => Some(secret.expose().to_vec()),
        _ => None,
    };
    (0..meta.alternatives.len()).filter_map(|at| alternative(vault, entry, at, field)).chain(here).collect()
}

fn of(values: [&str; 2]) -> BTreeSet<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

/// A branch that renamed "e" to "n" and changed it, and one of its own that removed it, are merged: "n" is kept, in conflict.
fn renamed_removed_and_kept(base: &Fixture) -> Fixture {
    let renamed = rename(base, "e", "n").set("n", b"nine");
    // The last of all, so that the branches are read one after the other.
    let removed = remove(&renamed.set("x", b"1").set("x", b"2").set("x", b"3"), "n");
    let (kept, conflicts) = merged(&filled(&renamed, "n", "t"), &removed);
    assert_eq!(conflicts, ["n"]);
    kept
}

#[test]
fn a_secret_of_an_entry_that_a_merge_kept_does_not_give_way_to_another_entry_of_its_name() {
    let base = Fixture::new(Pages::Few).set("e", b"1");
    let kept = renamed_removed_and_kept(&base);
    let other = base.set("n", b"other");
    for (ours, theirs) in [(&kept, &other), (&other, &kept)] {
        let (after, conflicts) = merged(ours, theirs);
        assert_eq!(conflicts, ["n"]);
        assert_eq!(all(&after, "n", "secret"), of(["nine", "other"]));
    }
}

#[test]
fn an_entry_that_a_merge_kept_does_not_go_with_another_of_its_name_that_was_made_and_removed() {
    let base = Fixture::new(Pages::Few).set("e", b"1");
    let kept = renamed_removed_and_kept(&base);
    let fleeting = remove(&base.set("n", b"short").set("y", b""), "n");
    for (ours, theirs) in [(&kept, &fleeting), (&fleeting, &kept)] {
        assert_eq!(merged(ours, theirs).0.get("n").unwrap(), b"nine");
    }
}

#[test]
fn an_entry_that_was_renamed_and_that_a_merge_kept_is_still_that_entry() {
    let base = Fixture::new(Pages::Few).set("e", b"1");
    let kept = renamed_removed_and_kept(&base);
    let late = base.set("e", b"late");
    for (ours, theirs) in [(&kept, &late), (&late, &kept)] {
        let (after, conflicts) = merged(ours, theirs);
        assert_eq!(conflicts, ["n"]);
        assert_eq!(names(&after), ["n", "x"]);
        assert_eq!(all(&after, "n", "secret"), of(["nine", "late"]));
    }
}

#[test]
fn nothing_in_an_entry_gives_way_to_another_that_a_branch_made_under_its_name() {
    let base = filled(&Fixture::new(Pages::Few).set("a", b"kept"), "a", "first");
    // The name is made, given to "a", and freed, in this order.
    let fleeting = base.set("n", b"short");
    let renamed = rename(&base.set("z", b"1").set("z", b"2"), "a", "n");
    let fleeting = remove(&fleeting.set("y", b"1").set("y", b"2").set("y", b"3"), "n");
    let (both, conflicts) = merged(&fleeting, &renamed);
    assert!(conflicts.is_empty(), "{conflicts:?}");
    let third = filled(&base, "n", "second value");
    for (ours, theirs) in [(&both, &third), (&third, &both)] {
        let (after, conflicts) = merged(ours, theirs);
        assert_eq!(conflicts, ["n"]);
        assert_eq!(all(&after, "n", "token"), of(["first", "second value"]));
        let meta = after.unlock().meta(&name("n")).unwrap().unwrap();
        let users =
            meta.alternatives.iter().filter_map(|other| other.attributes.get("user").cloned().flatten());
        let users: BTreeSet<String> = users.chain(meta.attributes.get("user").cloned()).collect();
        assert_eq!(users, BTreeSet::from(["first".to_owned(), "second value".to_owned()]));
        let expires = meta.alternatives.iter().filter_map(|other| other.expires.flatten());
        assert_eq!(expires.chain(meta.expires).collect::<BTreeSet<u64>>(), BTreeSet::from([5, 12]));
        assert!(all(&after, "n", "secret").contains(&b"kept"[..]));
    }
}

#[test]
fn an_entry_that_two_branches_made_is_one_entry_once_they_were_merged() {
    let base = base();
    let (ours, theirs) = (base.set("n", b"ours"), base.set("n", b"theirs"));
    let both = merged(&ours, &theirs).0;
    let settled = both.edit(|edit| edit.resolve(&name("n"), Pick::Ours, &mut SystemRandom).unwrap());
    // The other branch goes on with what it has: nothing of it is a conflict again.
    let later = attribute(&theirs, "n", "user", "late");
    for (ours, theirs) in [(&settled, &later), (&later, &settled)] {
        let (after, conflicts) = merged(ours, theirs);
        assert!(conflicts.is_empty(), "{conflicts:?}");
        assert_eq!(after.get("n").unwrap(), b"ours");
        assert_eq!(after.unlock().meta(&name("n")).unwrap().unwrap().attributes["user"], "late");
    }
}
