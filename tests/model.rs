//! A vault against a plain map: many random operations, with the file verified, listed and written again on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use vault_core::error::EditError;
use vault_core::format::front::{Front, Pages};
use vault_core::format::page::{Look, Page};
use vault_core::format::pages::PageIndex;
use vault_core::format::text;
use vault_core::secret::Secret;
use vault_core::source::Source;
use vault_core::vault::blob::BlobWriter;
use vault_core::vault::edit::{NewValue, Outcome, Pick, Update};
use vault_core::vault::merge::{MergeContext, Merged, merge};
use vault_core::vault::{Entry, LockedVault, UnlockedVault};
use vault_tests::fixture::{Fixture, Seeded, bytes_of, name};

/// Operations of all runs together.
const OPERATIONS: usize = 100_000;
/// Runs with a seed of their own each; the last one's is random.
const RUNS: usize = 10;
/// The others run on so many threads.
const THREADS: u64 = 3;
/// Operations of one save, at most.
const SAVE: usize = 120;
const NAMES: usize = 60;
const FIELDS: [&str; 4] = ["secret", "pin", "token", "\u{fc}"];
const ATTRIBUTES: [&str; 4] = ["url", "user", "bb", "a"];

#[derive(Clone, Debug, Default, PartialEq)]
struct Item {
    fields: BTreeMap<String, Vec<u8>>,
    attributes: BTreeMap<String, String>,
    expires: Option<u64>,
}

type Model = BTreeMap<String, Item>;

/// How often each operation was done: one that never happens tests nothing.
#[derive(Default, Debug)]
struct Done(BTreeMap<&'static str, usize>);

impl Done {
    fn count(&mut self, operation: &'static str) {
        *self.0.entry(operation).or_default() += 1;
    }

    fn changes(&self) -> usize {
        self.0.values().sum()
    }
}

/// A branch: a vault and what must be in it.
#[derive(Clone)]
struct Branch {
    text: Arc<Vec<u8>>,
    model: Model,
    /// By entry, what was set or removed since the branches parted, to whatever: that is what the log says.
    touched: BTreeMap<String, BTreeSet<String>>,
}

/// Touched as a whole: removed.
const WHOLE: &str = "whole";

struct Run {
    random: Seeded,
    /// Opened once; later texts are opened with its master key.
    opener: UnlockedVault,
    done: Done,
    now: u64,
}

impl Run {
    fn open(&self, text: &Arc<Vec<u8>>) -> UnlockedVault {
        let source: Arc<dyn Source> = Arc::<Vec<u8>>::clone(text);
        LockedVault::open(source)
            .unwrap_or_else(|error| panic!("{error}"))
            .unlock_as(&self.opener)
            .unwrap_or_else(|still| panic!("{}", still.reason))
    }

    fn a_name(&mut self) -> String {
        let number = self.random.below(NAMES);
        if number.is_multiple_of(7) { format!("caf\u{e9}/{number}") } else { format!("entry/{number}") }
    }

    fn a_value(&mut self) -> Vec<u8> {
        let length = match self.random.below(20) {
            0 => 0,
            1 => self.random.below(16_384),
            _ => self.random.below(40),
        };
        let mut value = vec![0; length];
        vault_core::crypto::random::Random::fill(&mut self.random, &mut value);
        value
    }

    fn an_update(&mut self, item: &mut Item) -> Update {
        let mut update = Update::default();
        for _ in 0..1 + self.random.below(3) {
            let field = FIELDS[self.random.below(FIELDS.len())].to_owned();
            match self.random.below(8) {
                0 if item.fields.contains_key(&field) && !update.fields.contains_key(&field) => {
                    self.done.count("remove a field");
                    item.fields.remove(&field);
                    update.fields.insert(field, None);
                }
                1 => {
                    self.done.count("set an attribute");
                    let attribute = ATTRIBUTES[self.random.below(ATTRIBUTES.len())].to_owned();
                    let value = "v".repeat(self.random.below(30));
                    item.attributes.insert(attribute.clone(), value.clone());
                    update.attributes.insert(attribute, Some(value));
                }
                2 => {
                    self.done.count("remove an attribute");
                    let attribute = ATTRIBUTES[self.random.below(ATTRIBUTES.len())].to_owned();
                    item.attributes.remove(&attribute);
                    update.attributes.insert(attribute, None);
                }
                3 => {
                    self.done.count("change the expiry");
                    item.expires = self.random.one_in(2).then(|| self.random.number() >> 8);
                    update.expires = Some(item.expires);
                }
                how => {
                    self.done.count("set a field");
                    let value = self.a_value();
                    item.fields.insert(field.clone(), value.clone());
                    let value = if how == 4 && self.random.one_in(4) {
                        self.done.count("attach");
                        let mut lines = Vec::new();
                        let blob = BlobWriter::write(&mut &value[..], 1 << 20, &mut lines, &mut self.random)
                            .unwrap();
                        NewValue::Attachment(blob.finish(Arc::new(lines), 0))
                    } else {
                        NewValue::Inline(Secret::new(value))
                    };
                    update.fields.insert(field, Some(value));
                }
            }
        }
        update
    }

    /// One save with several operations, in the vault and in the model.
    fn save(&mut self, branch: &mut Branch) {
        self.now += 1;
        let vault = self.open(&branch.text);
        let mut edit = vault.edit(self.now).unwrap();
        let model = &mut branch.model;
        for _ in 0..1 + self.random.below(SAVE) {
            let entry = self.a_name();
            match self.random.below(10) {
                0 => {
                    self.done.count("remove");
                    let result = edit.remove(&name(&entry));
                    if model.remove(&entry).is_some() {
                        result.unwrap();
                    } else {
                        assert!(matches!(result, Err(EditError::NoEntry(_))));
                    }
                }
                1 => {
                    self.done.count("rename");
                    let to = self.a_name();
                    let result = edit.rename(&name(&entry), &name(&to), &mut self.random);
                    match (model.contains_key(&entry), model.contains_key(&to)) {
                        (false, _) => assert!(matches!(result, Err(EditError::NoEntry(_)))),
                        (true, true) => assert!(matches!(result, Err(EditError::Exists(_)))),
                        (true, false) => {
                            result.unwrap();
                            let item = model.remove(&entry).unwrap();
                            model.insert(to, item);
                        }
                    }
                }
                _ => {
                    let mut item = model.get(&entry).cloned().unwrap_or_default();
                    let update = self.an_update(&mut item);
                    let outcome = edit.set(&name(&entry), update, &mut self.random).unwrap();
                    let existed = model.insert(entry, item).is_some();
                    assert_eq!(outcome == Outcome::Changed, existed);
                }
            }
        }
        match edit.finish("model", None, &mut self.random) {
            Ok(saved) => branch.text = Arc::new(saved.text.to_vec().unwrap()),
            Err(EditError::NothingChanged) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn compact(&mut self, branch: &mut Branch) {
        self.done.count("compact");
        let vault = self.open(&branch.text);
        let pages = if self.random.one_in(8) { Pages::Many } else { Pages::Few };
        let saved = vault.compact(pages, "model", None, self.now, &mut self.random).unwrap();
        branch.text = Arc::new(saved.text.to_vec().unwrap());
    }

    /// Merges theirs into ours. Where only one side changed something, the result has it; everything else is in conflict,
    /// and settled by taking a side, which the model is then told.
    fn merge(&mut self, ours: &mut Branch, theirs: &Branch, base: &Branch) {
        self.done.count("merge");
        let (left, right) = (self.open(&ours.text), self.open(&theirs.text));
        let parent = self.open(&base.text);
        let mut context = MergeContext { now: self.now, author: "model", random: &mut self.random };
        let merged = match merge(&left, &right, Some(&parent), &mut context)
            .unwrap_or_else(|error| panic!("{error}"))
        {
            Merged::Ours => return self.expect_ours(base, theirs),
            Merged::Theirs => {
                *ours = theirs.clone();
                return;
            }
            Merged::New(merged) => merged,
        };
        let text = Arc::new(merged.text.to_vec().unwrap());
        let vault = self.open(&text);
        let names: BTreeSet<&String> =
            ours.model.keys().chain(theirs.model.keys()).chain(base.model.keys()).collect();
        let mut conflicts = 0;
        for entry in names {
            let [left, right] =
                [&*ours, theirs].map(|side| (side.model.get(entry), side.touched.contains_key(entry)));
            let in_conflict = vault.meta(&name(entry)).unwrap().is_some_and(|meta| meta.in_conflict());
            let now = item_of(&vault, entry);
            match (left, right) {
                ((left, _), (_, false)) => {
                    assert_eq!(now.as_ref(), left, "{entry}: theirs did not change it")
                }
                ((_, false), (right, _)) => {
                    assert_eq!(now.as_ref(), right, "{entry}: ours did not change it")
                }
                ((Some(left), _), (Some(right), _)) => {
                    assert_united(entry, &now.expect("neither removed it"), (left, ours), (right, theirs));
                }
                ((None, _), (None, _)) => assert!(now.is_none(), "{entry}: both removed it"),
                ((Some(kept), _), (None, _)) | ((None, _), (Some(kept), _)) => {
                    assert_eq!(now.as_ref(), Some(kept), "{entry}: one side removed it");
                    assert!(in_conflict, "{entry}: removed and changed");
                }
            }
            assert!(!in_conflict || left.1 && right.1, "{entry}: in conflict, but only one side changed it");
            conflicts += usize::from(in_conflict);
        }
        self.done.0.entry("conflict").and_modify(|count| *count += conflicts).or_insert(conflicts);
        let mut edit = vault.edit(self.now).unwrap();
        let mut settled = false;
        for entry in &merged.conflicts {
            let alternatives = edit.meta(entry).unwrap().unwrap().alternatives.len();
            let pick = if self.random.one_in(2) {
                Pick::Ours
            } else {
                Pick::Theirs(self.random.below(alternatives))
            };
            self.done.count("resolve");
            edit.resolve(entry, pick, &mut self.random).unwrap();
            settled = true;
        }
        ours.text = if settled {
            Arc::new(edit.finish("model", None, &mut self.random).unwrap().text.to_vec().unwrap())
        } else {
            text
        };
        // From here on the model follows what was settled, which was checked above.
        let vault = self.open(&ours.text);
        ours.model = vault
            .list()
            .unwrap()
            .into_iter()
            .map(|meta| {
                assert!(!meta.in_conflict(), "it was settled");
                let entry = meta.name.as_str().to_owned();
                let item = item_of(&vault, &entry).unwrap();
                (entry, item)
            })
            .collect();
    }

    fn expect_ours(&self, base: &Branch, theirs: &Branch) {
        assert_eq!(base.model, theirs.model, "theirs has nothing new");
    }

    /// The file verifies, holds what the model does, and is written again as it was.
    fn check(&self, branch: &Branch) {
        let vault = self.open(&branch.text);
        let counts = vault.verify(&|_| ()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(counts.entries, branch.model.len() as u64);
        let listed = vault.list().unwrap();
        assert!(listed.iter().map(|meta| meta.name.as_str()).eq(branch.model.keys()));
        vault
            .each_entry(&|entry| {
                let name = entry.meta().name.as_str();
                assert_eq!(Some(&item_from(&entry)), branch.model.get(name), "{name}");
            })
            .unwrap();
        assert!(written_again(&branch.text) == *branch.text, "it is written as it was parsed");
    }
}

/// Each field, each attribute and the expiry is that of a side, and of the side that changed it if only one did.
fn assert_united(entry: &str, now: &Item, left: (&Item, &Branch), right: (&Item, &Branch)) {
    let check = |what: String, now: &Option<Vec<u8>>, ours: Option<Vec<u8>>, theirs: Option<Vec<u8>>| {
        let touched =
            |side: &Branch| side.touched[entry].contains(&what) || side.touched[entry].contains(WHOLE);
        let right = match (touched(left.1), touched(right.1)) {
            (true, true) => *now == ours || *now == theirs,
            (false, true) => *now == theirs,
            // What neither touched is the same on both sides.
            _ => *now == ours,
        };
        assert!(right, "{entry}: {what}");
    };
    for field in FIELDS {
        let [now, ours, theirs] = [now, left.0, right.0].map(|item| item.fields.get(field).cloned());
        check(format!("field {field}"), &now, ours, theirs);
    }
    for attribute in ATTRIBUTES {
        let of = |item: &Item| item.attributes.get(attribute).map(|value| value.clone().into_bytes());
        check(format!("attribute {attribute}"), &of(now), of(left.0), of(right.0));
    }
    let of = |item: &Item| item.expires.map(|time| time.to_be_bytes().to_vec());
    check("expiry".to_owned(), &of(now), of(left.0), of(right.0));
}

fn item_of(vault: &UnlockedVault, entry: &str) -> Option<Item> {
    vault.entry(&name(entry)).unwrap().map(|entry| item_from(&entry))
}

fn item_from(entry: &Entry) -> Item {
    let meta = entry.meta();
    let fields =
        meta.fields.keys().map(|field| (field.clone(), bytes_of(entry.value(field).unwrap()))).collect();
    Item { fields, attributes: meta.attributes.clone().into_iter().collect(), expires: meta.expires }
}

/// The text, from what parsing it gave.
fn written_again(text: &Arc<Vec<u8>>) -> Vec<u8> {
    let index = |at: u64| usize::try_from(at).unwrap();
    let source: &Vec<u8> = text;
    let front = Front::parse(source).unwrap();
    let pages = front.header.pages;
    let mut out = front.header.write();
    out.extend_from_slice(&front.table.write());
    for section in std::iter::once(None).chain((0..pages.count()).map(Some)) {
        let fixed =
            section.map_or("log slots\n".to_owned(), |number| format!("log {}\n", pages.digits(number)));
        out.extend_from_slice(fixed.as_bytes());
        for seal in front.seals.iter().filter(|seal| seal.section == section) {
            out.extend_from_slice(format!("seal {} ", seal.id).as_bytes());
            text::push_base64(&mut out, &seal.links);
            out.push(b' ');
            out.extend_from_slice(&source[index(seal.changes.start)..index(seal.changes.end)]);
            out.push(b'\n');
        }
    }
    out.push(b'\n');
    let starts = PageIndex::build(source, &front).unwrap();
    for number in 0..pages.count() {
        let page = Page::parse(source, pages, number, starts.start(number), Look::Canonical).unwrap();
        out.extend_from_slice(Page::fixed_line(pages, number).as_bytes());
        out.extend(page.head.iter().flat_map(vault_core::format::front::Head::write));
        for entry in &page.entries {
            let mut at = entry.all.start;
            for file in &entry.files {
                out.extend_from_slice(&page.lines[at..file.line.end]);
                out.extend_from_slice(&source[index(file.blobs.start)..index(file.blobs.end)]);
                at = file.line.end;
            }
            out.extend_from_slice(&page.lines[at..entry.all.end]);
        }
    }
    out
}

fn run(seed: u64, operations: usize) -> Done {
    let start = Fixture::new(Pages::Few);
    let mut run =
        Run { random: Seeded::new(seed), opener: start.unlock(), done: Done::default(), now: 2_000 };
    let mut branch = Branch { text: Arc::clone(&start.text), model: Model::new(), touched: BTreeMap::new() };
    while run.done.changes() < operations {
        match run.random.below(14) {
            0 => run.compact(&mut branch),
            1..3 => {
                // Two branches, either of which may be compacted, and their merge.
                branch.touched.clear();
                let base = branch.clone();
                let mut theirs = branch.clone();
                run.change_without_renames(&mut branch);
                run.change_without_renames(&mut theirs);
                if run.random.one_in(6) {
                    run.compact(&mut branch);
                }
                run.merge(&mut branch, &theirs, &base);
                run.check(&branch);
            }
            _ => {
                run.save(&mut branch);
                if run.random.one_in(4) {
                    run.check(&branch);
                }
            }
        }
    }
    run.check(&branch);
    run.done
}

impl Run {
    /// Sets and removes: merges that renames take part in are vault-core's own tests.
    fn change_without_renames(&mut self, branch: &mut Branch) {
        for _ in 0..1 + self.random.below(3) {
            self.now += 1;
            let vault = self.open(&branch.text);
            let mut edit = vault.edit(self.now).unwrap();
            for _ in 0..1 + self.random.below(6) {
                let entry = self.a_name();
                if self.random.one_in(6) && branch.model.contains_key(&entry) {
                    self.done.count("remove");
                    edit.remove(&name(&entry)).unwrap();
                    branch.model.remove(&entry);
                    branch.touched.entry(entry).or_default().insert(WHOLE.to_owned());
                } else {
                    let mut item = branch.model.get(&entry).cloned().unwrap_or_default();
                    let update = self.an_update(&mut item);
                    let touched = branch.touched.entry(entry.clone()).or_default();
                    touched.extend(update.fields.keys().map(|field| format!("field {field}")));
                    touched
                        .extend(update.attributes.keys().map(|attribute| format!("attribute {attribute}")));
                    touched.extend(update.expires.map(|_| "expiry".to_owned()));
                    edit.set(&name(&entry), update, &mut self.random).unwrap();
                    branch.model.insert(entry, item);
                }
            }
            match edit.finish("model", None, &mut self.random) {
                Ok(saved) => branch.text = Arc::new(saved.text.to_vec().unwrap()),
                Err(EditError::NothingChanged) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_vault_is_a_map_with_fixed_seeds() {
    let mut all = BTreeMap::<&str, usize>::new();
    let each = (RUNS as u64 - 1) / THREADS;
    let seeds = move |thread: u64| thread * each..(thread + 1) * each;
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope
                    .spawn(move || seeds(thread).map(|seed| run(seed, OPERATIONS / RUNS)).collect::<Vec<_>>())
            })
            .collect();
        for done in runs
            .into_iter()
            .flat_map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        {
            for (operation, count) in done.0 {
                *all.entry(operation).or_default() += count;
            }
        }
    });
    eprintln!("{all:?}");
    assert!(all.values().sum::<usize>() >= OPERATIONS / RUNS * (RUNS - 1));
    for operation in [
        "remove",
        "rename",
        "set a field",
        "remove a field",
        "attach",
        "compact",
        "merge",
        "conflict",
        "resolve",
    ] {
        assert!(all.get(operation).is_some_and(|&count| count > 20), "{operation}: {all:?}");
    }
}

#[test]
fn a_vault_is_a_map_with_a_random_seed() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = std::env::var("VAULT_TEST_SEED").map_or_else(
        |_| u64::try_from(now & u128::from(u64::MAX)).unwrap(),
        |seed| seed.parse().expect("VAULT_TEST_SEED is a number"),
    );
    eprintln!("VAULT_TEST_SEED={seed}");
    let done = run(seed, OPERATIONS / RUNS);
    assert!(done.changes() >= OPERATIONS / RUNS);
}
