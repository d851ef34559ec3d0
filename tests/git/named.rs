//! What git can do to a vault, one case each.

use vault_core::error::VerifyError;
use vault_core::format::front::Pages;
use vault_core::format::lines::FormatError;
use vault_core::vault::merge::MergeError;

use super::model::{Op, State};
use super::repo::Repo;
use super::world::{Refusal, World};

/// A vault of 40 entries in a repository. Entries 10, 20 and 30 stand in different pages, far from each other.
struct Case {
    repo: Repo,
    world: World,
    main: State,
}

impl Case {
    fn new() -> Self {
        let (world, main) = World::new(7, Pages::Few, 40);
        Self { repo: Repo::new(&main), world, main }
    }

    /// A commit on the branch that is checked out.
    fn set(&mut self, state: &State, entry: &str, value: &str) -> State {
        let (name, field) = (entry.to_owned(), "secret".to_owned());
        let next = self.world.save(state, vec![Op::Field { name, field, value: Some(value.to_owned()) }]);
        self.repo.commit(&next.text);
        next
    }

    fn branch(&self, name: &str) {
        self.repo.ok(&["checkout", "-q", "-b", name, "main"]);
    }

    fn checkout(&self, name: &str) {
        self.repo.ok(&["checkout", "-q", name]);
    }

    /// The file as it is, which must be the clean merge of these two.
    fn clean(&self, ours: &State, theirs: &State) -> State {
        self.world.clean(ours, theirs, self.repo.read()).unwrap()
    }
}

#[test]
fn a_cherry_pick_that_loses_a_parent_is_refused() {
    let mut case = Case::new();
    let main = case.main.clone();
    case.branch("side");
    let first = case.set(&main, "entry/1", "1");
    let second = case.set(&first, "entry/2", "2");
    case.checkout("main");
    let ours = case.set(&main, "entry/3", "3");
    let output = case.repo.run(&["cherry-pick", "side"]);
    assert!(output.status.success(), "as text it goes through");
    assert!(matches!(
        case.world.read(&case.repo.read()),
        Err(Refusal::Verify(VerifyError::MissingParent { .. }))
    ));
    // Nor does the keyed merge take it: the picked commit's parent, as its base, has seals that ours lacks.
    let refused = case.world.refused_merge(&ours, &second.text, &first.text);
    assert!(matches!(refused, Some(MergeError::NotAMerge)));
    // The way out: merge the branch.
    case.repo.ok(&["reset", "-q", "--hard", "HEAD~1"]);
    case.repo.ok(&["merge", "-q", "--no-edit", "side"]);
    case.clean(&ours, &second);
}

#[test]
fn a_cherry_pick_of_the_first_commit_of_a_branch_verifies() {
    let mut case = Case::new();
    let main = case.main.clone();
    case.branch("side");
    let first = case.set(&main, "entry/1", "1");
    case.set(&first, "entry/2", "2");
    case.checkout("main");
    let ours = case.set(&main, "entry/3", "3");
    case.repo.ok(&["cherry-pick", "side~1"]);
    case.clean(&ours, &first);
}

#[test]
fn a_revert_of_an_older_commit_is_refused() {
    let mut case = Case::new();
    let main = case.main.clone();
    let first = case.set(&main, "entry/1", "1");
    let second = case.set(&first, "entry/2", "2");
    case.repo.ok(&["revert", "--no-edit", "HEAD~1"]);
    assert!(matches!(
        case.world.read(&case.repo.read()),
        Err(Refusal::Verify(VerifyError::MissingParent { .. }))
    ));
    // In git's terms a revert merges the commit's parent, with the commit as base.
    let refused = case.world.refused_merge(&second, &main.text, &first.text);
    assert!(matches!(refused, Some(MergeError::NotAMerge)));
}

#[test]
fn a_revert_of_the_newest_commit_is_the_state_before() {
    let mut case = Case::new();
    let main = case.main.clone();
    let first = case.set(&main, "entry/1", "1");
    case.set(&first, "entry/1", "2");
    case.repo.ok(&["revert", "--no-edit", "HEAD"]);
    assert_eq!(case.repo.read(), *first.text);
    assert!(case.world.read(&case.repo.read()).is_ok(), "only what a machine remembers can tell");
}

#[test]
fn an_old_commit_reads() {
    let mut case = Case::new();
    let main = case.main.clone();
    let first = case.set(&main, "entry/1", "1");
    let commit = case.repo.head();
    case.set(&first, "entry/1", "2");
    assert_eq!(case.repo.at(&commit), first.text);
    case.checkout(&commit);
    assert_eq!(case.world.read(&case.repo.read()).unwrap().0, first.map);
}

#[test]
fn a_rebase_over_other_entries_is_clean() {
    let mut case = Case::new();
    let main = case.main.clone();
    case.branch("side");
    let first = case.set(&main, "entry/1", "1");
    let second = case.set(&first, "entry/2", "2");
    case.checkout("main");
    let ours = case.set(&main, "entry/3", "3");
    case.checkout("side");
    case.repo.ok(&["rebase", "-q", "main"]);
    case.clean(&ours, &second);
}

#[test]
fn a_squashed_branch_is_known_when_it_is_merged_again() {
    let mut case = Case::new();
    let main = case.main.clone();
    case.branch("side");
    let first = case.set(&main, "entry/1", "1");
    let second = case.set(&first, "entry/2", "2");
    case.checkout("main");
    let ours = case.set(&main, "entry/3", "3");
    case.repo.ok(&["merge", "-q", "--squash", "side"]);
    let squashed = case.clean(&ours, &second);
    case.repo.ok(&["commit", "-q", "-m", "squashed"]);
    let ours = case.set(&squashed, "entry/1", "newer");
    let merge = case.repo.run(&["merge", "-q", "--no-edit", "side"]);
    assert!(!merge.status.success(), "git does not know that the branch is merged");
    let settled = case.world.keyed(&ours, &second, None).unwrap();
    assert_eq!(settled.text, ours.text, "the vault does");
}

#[test]
fn a_stash_comes_back_over_another_change() {
    let mut case = Case::new();
    let main = case.main.clone();
    let stashed = case.set(&main, "entry/1", "1");
    case.repo.ok(&["reset", "-q", "--hard", "HEAD~1"]);
    case.repo.write(&stashed.text);
    case.repo.ok(&["stash"]);
    let ours = case.set(&main, "entry/3", "3");
    case.repo.ok(&["stash", "pop"]);
    case.clean(&ours, &stashed);
}

#[test]
fn an_octopus_of_three_branches_is_all_of_them() {
    let mut case = Case::new();
    let main = case.main.clone();
    let mut tips = Vec::new();
    for entry in ["1", "2", "3"] {
        case.branch(entry);
        tips.push(case.set(&main, &format!("entry/{entry}"), &format!("9{entry}")));
    }
    case.checkout("main");
    let ours = case.set(&main, "entry/4", "4");
    case.repo.ok(&["merge", "-q", "--no-edit", "1", "2", "3"]);
    let (map, _) = case.world.read(&case.repo.read()).unwrap();
    let all = tips.iter().fold(ours, |state, tip| case.world.united(&state, tip).unwrap());
    assert_eq!(map, all.map);
}

#[test]
fn branches_merge_go_on_and_merge_again() {
    let mut case = Case::new();
    let main = case.main.clone();
    case.branch("side");
    let side = case.set(&main, "entry/1", "1");
    case.checkout("main");
    let ours = case.set(&main, "entry/3", "3");
    case.repo.ok(&["merge", "-q", "--no-edit", "side"]);
    let merged = case.clean(&ours, &side);
    let ours = case.set(&merged, "entry/1", "4");
    case.checkout("side");
    let side = case.set(&side, "entry/5", "5");
    case.checkout("main");
    case.repo.ok(&["merge", "-q", "--no-edit", "side"]);
    let merged = case.clean(&ours, &side);
    assert_eq!(merged.map["entry/1"].fields["secret"], "4");
}

#[test]
fn conflict_markers_and_carriage_returns_are_named() {
    let mut case = Case::new();
    let main = case.main.clone();
    case.branch("side");
    case.set(&main, "entry/1", "1");
    case.checkout("main");
    let ours = case.set(&main, "entry/1", "2");
    assert!(!case.repo.run(&["merge", "-q", "--no-edit", "side"]).status.success());
    let markers = |refusal: Refusal| match refusal {
        Refusal::Format(error) | Refusal::Verify(VerifyError::Format(error)) => Some(error),
        _ => None,
    };
    let refused = case.world.read(&case.repo.read()).err().and_then(markers);
    assert!(matches!(refused, Some(FormatError::ConflictMarkers { .. })), "{refused:?}");

    // Without .gitattributes a checkout with autocrlf changes the line ends; with it, it does not.
    case.repo.ok(&["reset", "-q", "--hard"]);
    let checkout = |case: &Case| {
        std::fs::remove_file(case.repo.path(super::repo::VAULT)).unwrap();
        let output =
            case.repo.run_with(&[("core.autocrlf", "true")], &["checkout", "-q", "--", "secrets.vault"]);
        assert!(output.status.success());
    };
    checkout(&case);
    assert_eq!(case.repo.read(), *ours.text);
    std::fs::remove_file(case.repo.path(".gitattributes")).unwrap();
    case.repo.ok(&["rm", "-q", "--cached", ".gitattributes"]);
    checkout(&case);
    let refused = case.world.read(&case.repo.read()).err().and_then(markers);
    assert!(matches!(refused, Some(FormatError::CarriageReturn { .. })), "{refused:?}");
}

#[test]
fn compaction_beside_a_new_entry_is_refused_as_text_and_merged_with_the_keys() {
    // A restart touches every page that has lines, and drops the seals that the other side builds on. A new entry in a
    // page that was empty is no conflict of text, so git lets it through; the missing parent is noticed.
    let mut case = Case::new();
    let main = case.main.clone();
    case.branch("side");
    let (mut side, mut compacted) = (main.clone(), main.clone());
    for number in 0.. {
        // Each new name until one lies in a page of its own, which the merge below shows.
        side = case.set(&main, &format!("alone/{number}"), &format!("77{number}"));
        case.checkout("main");
        compacted = case.world.compact(&main, Pages::Few);
        case.repo.commit(&compacted.text);
        if case.repo.run(&["merge", "-q", "--no-edit", "side"]).status.success() {
            break;
        }
        case.repo.ok(&["reset", "-q", "--hard", "HEAD~1"]);
        case.repo.ok(&["checkout", "-q", "-B", "side", "main"]);
    }
    assert!(matches!(
        case.world.read(&case.repo.read()),
        Err(Refusal::Verify(VerifyError::MissingParent { .. }))
    ));
    let merged = case.world.keyed(&compacted, &side, None).unwrap();
    assert_eq!(merged.map, side.map);
}
