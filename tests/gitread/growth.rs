//! How much a repository grows by a change of one entry: a vault, and what others keep in git, simulated.
//!
//! `scripts/git-growth.sh` runs it with more commits, and prints the figures of docs/performance.md.

use std::path::Path;
use std::time::Duration;

use vault_core::crypto::random::Random;
use vault_core::format::front::Pages;
use vault_core::format::text::push_base64;
use vault_tests::fixture::{Fixture, Seeded, inline, name};

use super::work::Work;
use crate::crash::program::Home;

/// What keeps the same entries in a file.
trait Keeper {
    fn change(&mut self, entry: usize, value: &[u8]);
    fn text(&self) -> Vec<u8>;
}

struct Vault(Fixture);

impl Keeper for Vault {
    fn change(&mut self, entry: usize, value: &[u8]) {
        self.0 = self.0.set(&entry_name(entry), value);
    }
    fn text(&self) -> Vec<u8> {
        self.0.text.to_vec()
    }
}

/// As sops writes YAML: each value sealed by itself, and kept as it is if it does not change; a MAC over all, a time.
struct Yaml {
    random: Seeded,
    values: Vec<String>,
    saves: u64,
}

impl Yaml {
    fn sealed(&mut self, length: usize) -> String {
        let mut part = |length: usize| {
            let mut bytes = vec![0; length];
            self.random.fill(&mut bytes);
            let mut text = Vec::new();
            push_base64(&mut text, &bytes);
            String::from_utf8(text).unwrap()
        };
        format!("ENC[AES256_GCM,data:{},iv:{},tag:{},type:str]", part(length), part(32), part(16))
    }
}

impl Keeper for Yaml {
    fn change(&mut self, entry: usize, value: &[u8]) {
        self.values[entry] = self.sealed(value.len());
        self.saves += 1;
    }
    fn text(&self) -> Vec<u8> {
        let mut again = Yaml { random: Seeded::new(self.saves), values: Vec::new(), saves: 0 };
        let mut text = String::new();
        for (entry, value) in self.values.iter().enumerate() {
            text.push_str(&format!("{}: {value}\n", entry_name(entry)));
        }
        let time = format!("2026-11-26T{:02}:{:02}:00Z", self.saves / 60 % 24, self.saves % 60);
        text.push_str(&format!("sops:\n    lastmodified: \"{time}\"\n    mac: {}\n", again.sealed(128)));
        text.push_str("    version: 3.11.0\n");
        text.into_bytes()
    }
}

/// One age file of lines: all of it is another after every save.
struct AgeFile {
    random: Seeded,
    length: usize,
}

impl Keeper for AgeFile {
    fn change(&mut self, _: usize, _: &[u8]) {
        self.random.number();
    }
    fn text(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        Seeded::new(self.random.clone().number()).fill(&mut bytes);
        bytes
    }
}

fn entry_name(entry: usize) -> String {
    format!("service-{entry:03}/token")
}

/// Bytes of all objects.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let each = entries.map(|entry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { size(&entry.path()) } else { metadata.len() }
    });
    each.sum()
}

fn packed(work: &Work) -> u64 {
    work.git(["gc", "-q", "--prune=now"]).within(PATIENCE).ok();
    size(&work.path(".git/objects"))
}

/// Bytes that a commit of one changed entry adds, on average.
#[derive(Debug, Clone, Copy)]
struct Growth {
    /// As `git gc` leaves it.
    usual: f64,
    /// As `git repack` leaves it with the settings of `vault git setup --small-packs`.
    small: f64,
    /// Bytes of all objects of the first commit.
    first: f64,
}

fn growth(keeper: &mut dyn Keeper, commits: usize) -> Growth {
    let work = Work { home: Home::empty() };
    work.git(["init", "-q", "--template=", "-b", "main"]).ok();
    for (key, value) in [("core.fsync", "none"), ("gc.auto", "0"), ("maintenance.auto", "false")] {
        work.git(["config", key, value]).ok();
    }
    let mut random = Seeded::new(3);
    work.write("secrets.vault", keeper.text());
    work.commit("first");
    let before = packed(&work);
    for _ in 0..commits {
        let mut value = [0; 32];
        random.fill(&mut value);
        keeper.change(random.below(ENTRIES), &value);
        work.write("secrets.vault", keeper.text());
        work.git(["commit", "-q", "-a", "-m", "change"]).ok();
    }
    let usual = packed(&work);
    work.vault(["git", "setup", "--yes", "--no-hook", "--small-packs"]).ok();
    work.git(["repack", "-adFq"]).within(PATIENCE).ok();
    let small = size(&work.path(".git/objects"));
    let [usual, small] = [usual, small].map(|after| (after - before) as f64 / commits as f64);
    Growth { usual, small, first: before as f64 }
}

fn vault(pages: Pages) -> Vault {
    Vault(Fixture::new(pages).edit(|edit| {
        for entry in 0..ENTRIES {
            let value = [u8::try_from(entry).unwrap(); 32];
            edit.set(&name(&entry_name(entry)), inline("secret", &value), &mut Seeded::new(entry as u64))
                .unwrap();
        }
    }))
}

fn commits(usual: usize) -> usize {
    std::env::var("VAULT_GROWTH_COMMITS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

#[test]
fn a_commit_of_one_changed_entry_adds_little_to_the_repository() {
    let commits = commits(60);
    let mut yaml = Yaml { random: Seeded::new(5), values: Vec::new(), saves: 0 };
    yaml.values = (0..ENTRIES).map(|_| yaml.sealed(32)).collect();
    let age = (0..ENTRIES).map(|entry| entry_name(entry).len() + 32 + 2).sum::<usize>() + 200;
    let all: [(&str, Box<dyn Keeper + Send>); 4] = [
        ("vault, 4,096 pages", Box::new(vault(Pages::Many))),
        ("vault, 256 pages", Box::new(vault(Pages::Few))),
        ("YAML and MAC", Box::new(yaml)),
        ("age file", Box::new(AgeFile { random: Seeded::new(9), length: age })),
    ];
    let figures: Vec<(&str, Growth)> = std::thread::scope(|scope| {
        let start = |(what, mut keeper): (&'static str, Box<dyn Keeper + Send>)| {
            (what, scope.spawn(move || growth(&mut *keeper, commits)))
        };
        let running: Vec<_> = all.into_iter().map(start).collect();
        running.into_iter().map(|(what, thread)| (what, thread.join().unwrap())).collect()
    });
    for (what, Growth { usual, small, .. }) in &figures {
        eprintln!("{what}: {usual:.0} bytes a commit, of {commits}; with --small-packs: {small:.0}");
    }
    let [many, few, _, age] = figures[..] else { panic!("there are four") };
    for (what, vault) in [many, few] {
        let count = commits as f64;
        // The newest state is whole; each other one is its difference from the next.
        let least = COMMIT + DIFFERENCE + SEAL;
        // A whole copy stands where a chain ends, and where the part of another thread begins. None is larger than the first
        // state, with all the seals that came.
        let whole = |chains: f64| chains * (vault.first + SEAL * count) / count;
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        assert!(vault.small <= least + whole((count / 1_000.0).floor()), "{what}: {figures:?}");
        assert!(vault.small <= LIMIT, "{what}: {figures:?}");
        assert!(vault.usual <= 2.0 * least + whole(count / 50.0 + threads), "{what}: {figures:?}");
    }
    assert!(age.1.usual > LIMIT, "an age file does worse: {figures:?}");
}

/// Packing 1,000 states takes seconds, and minutes where much else is going on.
const PATIENCE: Duration = Duration::from_secs(900);
const ENTRIES: usize = 200;
/// 1.5 KiB.
const LIMIT: f64 = 1536.0;
/// The commit and its tree, both compressed, and the places of three objects in the pack's indexes.
const COMMIT: f64 = 420.0;
/// A difference: the entry that was replaced, and its page's head, neither of which gets smaller (208 and 48 bytes), and where
/// the rest is to be taken from.
const DIFFERENCE: f64 = 420.0;
/// What a seal takes in a whole copy: its id, and what is sealed.
const SEAL: f64 = 300.0;
