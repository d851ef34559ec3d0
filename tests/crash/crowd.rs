//! Many writers and readers at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::program::Home;

#[test]
fn eight_writers_lose_no_update_and_readers_never_fail() {
    let home = Home::with_vault();
    home.set("always", "here");
    let (over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let home = &home;
                scope.spawn(move || {
                    for write in 0..WRITES {
                        // Every write makes a new entry, and changes the writer's own.
                        home.set(&format!("w{writer}/{write}"), format!("{writer}-{write}"));
                        if write % 10 == 9 {
                            home.set(&format!("own/{writer}"), write.to_string());
                        }
                    }
                })
            })
            .collect();
        for _ in 0..READERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(home.get("always"), b"here");
                    home.vault(["list"]).ok();
                    reads.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|writer| writer.expect("a writer failed"));
    });
    let reads = reads.into_inner();
    println!("{} writes, {reads} reads", WRITERS * WRITES);
    assert!(reads >= 20, "{reads} reads");
    let names = home.vault(["list"]).ok();
    let names: BTreeSet<&str> = names.lines().into_iter().collect();
    assert_eq!(names.len(), WRITERS * WRITES + WRITERS + 1);
    let all = home.vault(["export"]).ok();
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    for writer in 0..WRITERS {
        for write in 0..WRITES {
            assert_eq!(all[format!("w{writer}/{write}")], format!("{writer}-{write}"));
        }
        assert_eq!(all[format!("own/{writer}")], (WRITES - 1).to_string());
    }
    home.check();
    assert_eq!(home.names(), ["secrets.vault"]);
}

const WRITERS: usize = 8;
const WRITES: usize = 50;
const READERS: usize = 2;
