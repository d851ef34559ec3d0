//! How often branches that change different entries merge as text.

use std::process::Command;

use vault_core::format::front::Pages;

use super::model::Op;
use super::world::{Prng, World};

const ENTRIES: usize = 200;
const TRIALS: usize = 300;

/// The share of clean merges, in per cent, with so many changed entries a side: none of them the same.
fn clean_share(pages: Pages, changes: usize, seed: u64) -> usize {
    let (mut world, base) = World::new(seed, pages, ENTRIES);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("base"), &*base.text).unwrap();
    let mut rng = Prng(seed ^ 1);
    let mut clean = 0;
    for _ in 0..TRIALS {
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
            let merged = world.clean(&sides[0], &sides[1], output.stdout);
            assert!(merged.is_ok(), "{:?}", merged.err());
        }
    }
    clean * 100 / TRIALS
}

#[test]
fn one_change_a_side_merges_cleanly_with_256_pages() {
    let share = clean_share(Pages::Few, 1, 11);
    println!("256 pages, one change a side: {share} % of {TRIALS} merge as text");
    assert!(share >= 97, "{share} %");
}

#[test]
fn five_changes_a_side_merge_cleanly_with_4096_pages() {
    let share = clean_share(Pages::Many, 5, 12);
    println!("4,096 pages, five changes a side: {share} % of {TRIALS} merge as text");
    assert!(share >= 97, "{share} %");
}
