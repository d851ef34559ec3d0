//! How often branches that change different entries merge as text.

use std::process::Command;

use vault_core::format::front::Pages;

use super::model::Op;
use super::world::{Prng, World};

const ENTRIES: usize = 200;

/// The share of clean merges, in tenths of a per cent, with so many changed entries a side: none of them the same.
fn clean_share(pages: Pages, changes: usize, trials: usize) -> usize {
    let (mut world, base) = World::new(11, pages, ENTRIES);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("base"), &*base.text).unwrap();
    let mut rng = Prng(12);
    let mut clean = 0;
    for trial in 0..trials {
        let mut free: Vec<usize> = (0..ENTRIES).collect();
        let sides = ["ours", "theirs"].map(|side| {
            let ops = (0..changes).map(|_| {
                let number = free.swap_remove(rng.below(free.len()));
                let value = Some(rng.next().to_string());
                Op::Field { name: format!("entry/{number}"), field: "secret".to_owned(), value }
            });
            // One save for each change, as a person makes them.
            let state = ops.fold(base.clone(), |state, op| world.save(&state, vec![op]));
            std::fs::write(path(side), &*state.text).unwrap();
            state
        });
        let output = Command::new("git")
            .args(["merge-file", "-p", "-q"])
            .args([path("ours"), path("base"), path("theirs")])
            .output()
            .unwrap();
        if output.status.success() {
            clean += 1;
            // The random histories read every result; here a tenth will do.
            if trial % 10 == 0 {
                let merged = world.clean(&sides[0], &sides[1], output.stdout);
                assert!(merged.is_ok(), "{:?}", merged.err());
            }
        }
    }
    clean * 1_000 / trials
}

#[test]
fn one_change_a_side_merges_cleanly_with_256_pages() {
    let share = clean_share(Pages::Few, 1, 300);
    println!("256 pages, one change a side: {share} of 1,000 merge as text");
    assert!(share >= 970, "{share} of 1,000");
}

#[test]
fn five_changes_a_side_merge_cleanly_with_4096_pages() {
    let share = clean_share(Pages::Many, 5, 150);
    println!("4,096 pages, five changes a side: {share} of 1,000 merge as text");
    assert!(share >= 970, "{share} of 1,000");
}
