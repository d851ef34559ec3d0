//! Random histories in git: branches, merges of several kinds, several rounds deep.

use std::sync::atomic::{AtomicU64, Ordering};

use vault_core::format::front::Pages;

use super::failures;
use super::model::State;
use super::repo::{Driver, Repo};
use super::world::World;

/// What happened in all histories.
#[derive(Default)]
struct Figures {
    clean: AtomicU64,
    conflicts: AtomicU64,
    operations: AtomicU64,
    driven: AtomicU64,
}

struct Walk<'f> {
    repo: Repo,
    world: World,
    figures: &'f Figures,
    /// The program is git's merge driver.
    driver: bool,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Walk<'_> {
    /// Commits on a new branch that starts where `main` is.
    fn branch(&mut self, name: &str, from: &State, budget: &mut usize) -> Vec<State> {
        self.repo.ok(&["checkout", "-q", "-B", name, "main"]);
        let mut states = vec![from.clone()];
        for _ in 0..=self.world.rng.below(3) {
            let count = (1 + self.world.rng.below(4)).min(*budget);
            if count == 0 {
                break;
            }
            *budget -= count;
            self.figures.operations.fetch_add(count as u64, Ordering::Relaxed);
            let next = self.world.random_save(&states[states.len() - 1], count);
            self.repo.commit(&next.text);
            states.push(next);
        }
        states.remove(0);
        states
    }

    /// After a command that merged `theirs` into `ours`: what came out, after a conflict was settled with the keys.
    fn outcome(&mut self, success: bool, ours: &State, theirs: &State) -> Result<State, String> {
        if self.driver {
            count(&self.figures.driven);
            if !success && !self.repo.in_conflict() {
                return Err("git failed without a conflict".to_owned());
            }
            let state = self.world.driven(ours, theirs, self.repo.read(), success)?;
            if !success {
                self.repo.ok(&["add", "-A"]);
            }
            return Ok(state);
        }
        if success {
            count(&self.figures.clean);
            return self.world.clean(ours, theirs, self.repo.read());
        }
        count(&self.figures.conflicts);
        if !self.repo.in_conflict() {
            return Err("git failed without a conflict".to_owned());
        }
        let (Some(two), Some(three)) = (self.repo.stage(2), self.repo.stage(3)) else {
            return Err("a stage is missing".to_owned());
        };
        if two != *ours.text || three != *theirs.text {
            return Err("the stages are not the two sides".to_owned());
        }
        if self.world.read(&self.repo.read()).is_ok() {
            return Err("a file with conflict markers was opened".to_owned());
        }
        // The base of a criss-cross may be a text with markers: then there is none.
        let base = self.repo.stage(1).and_then(|base| self.world.unlock(&base).ok());
        let state = self.world.keyed(ours, theirs, base.as_ref())?;
        self.repo.write(&state.text);
        self.repo.ok(&["add", "-A"]);
        Ok(state)
    }

    fn merge(&mut self, ours: &State, branch: &str, theirs: &State) -> Result<State, String> {
        let success = self.repo.run(&["merge", "-q", "--no-edit", branch]).status.success();
        let state = self.outcome(success, ours, theirs)?;
        if !success {
            self.repo.ok(&["commit", "-q", "-m", "settled"]);
        }
        Ok(state)
    }

    fn squash(&mut self, ours: &State, branch: &str, theirs: &State) -> Result<State, String> {
        let success = self.repo.run(&["merge", "-q", "--squash", branch]).status.success();
        let state = self.outcome(success, ours, theirs)?;
        self.repo.ok(&["commit", "-q", "--allow-empty", "-m", "squashed"]);
        Ok(state)
    }

    /// Rebases the branch, which is checked out, on `onto`.
    fn rebase(&mut self, onto: &str, upstream: &State, commits: &[State]) -> Result<State, String> {
        let mut done = 0;
        let mut state = upstream.clone();
        let mut success = self.repo.run(&["rebase", "-q", onto]).status.success();
        loop {
            let stopped = if success {
                commits.len()
            } else {
                let three = self.repo.stage(3).ok_or("the rebase stopped without a conflict")?;
                commits.iter().position(|commit| *commit.text == three).ok_or("an unknown commit")?
            };
            // What was replayed without a conflict up to here.
            if stopped > done {
                let text = if success { self.repo.read() } else { self.repo.stage(2).unwrap_or_default() };
                count(&self.figures.clean);
                state = self.world.clean(&state, &commits[stopped - 1], text)?;
            }
            if success {
                return Ok(state);
            }
            state = self.outcome(false, &state, &commits[stopped])?;
            done = stopped + 1;
            success = self.repo.run(&["rebase", "--continue"]).status.success();
        }
    }

    fn octopus(&mut self, first: &State, tips: &[(String, State)]) -> Result<Option<State>, String> {
        let names: Vec<&str> = tips.iter().map(|(name, _)| name.as_str()).collect();
        let args: Vec<&str> = ["merge", "-q", "--no-edit"].into_iter().chain(names).collect();
        if !self.repo.run(&args).status.success() {
            // Git gives up on an octopus with conflicts.
            self.repo.ok(&["reset", "-q", "--hard"]);
            return Ok(None);
        }
        count(&self.figures.clean);
        let text = self.repo.read();
        let (map, _) = self.world.read(&text).map_err(|why| format!("REJECTED: {why:?}"))?;
        let mut state = first.clone();
        for (_, tip) in tips {
            state = self.world.united(&state, tip)?;
        }
        if state.map != map {
            return Err("an octopus is not the sum of its branches".to_owned());
        }
        Ok(Some(State { text: text.into(), ..state }))
    }

    fn round(&mut self, main: State, budget: &mut usize) -> Result<State, String> {
        let count = 2 + self.world.rng.below(3);
        let mut branches: Vec<(String, Vec<State>)> = Vec::new();
        for number in 0..count {
            let name = format!("side{number}");
            let states = self.branch(&name, &main, budget);
            if !states.is_empty() {
                branches.push((name, states));
            }
        }
        let tips: Vec<(String, State)> = branches
            .iter()
            .filter_map(|(name, states)| Some((name.clone(), states.last()?.clone())))
            .collect();
        self.repo.ok(&["checkout", "-q", "main"]);
        let mut state = main;
        let [(first, a), (second, b), rest @ ..] = &tips[..] else {
            for (name, tip) in &tips {
                state = self.merge(&state, name, tip)?;
            }
            return Ok(state);
        };
        // Each commit of a rebase is a merge of its own with the driver, which the states here do not tell of.
        let rebases = !self.driver;
        match self.world.rng.below(6) {
            0 => {
                // Criss-cross: each takes the other's old tip, then both meet.
                self.repo.ok(&["tag", "-f", "old", first]);
                self.repo.ok(&["checkout", "-q", first]);
                let left = self.merge(a, second, b)?;
                self.repo.ok(&["checkout", "-q", second]);
                let right = self.merge(b, "old", a)?;
                let more = self.world.random_save(&right, 1);
                self.repo.commit(&more.text);
                self.repo.ok(&["checkout", "-q", first]);
                let both = self.merge(&left, second, &more)?;
                self.repo.ok(&["checkout", "-q", "main"]);
                state = self.merge(&state, first, &both)?;
                for (name, tip) in rest {
                    state = self.merge(&state, name, tip)?;
                }
            }
            1 => match self.octopus(&state, &tips)? {
                Some(merged) => state = merged,
                None => {
                    for (name, tip) in &tips {
                        state = self.merge(&state, name, tip)?;
                    }
                }
            },
            2 => {
                for (name, tip) in &tips {
                    state = self.squash(&state, name, tip)?;
                }
                // Git does not know that a squashed branch is merged; the vault does.
                state = self.merge(&state, first, a)?;
            }
            3 if rebases => {
                for (name, commits) in &branches {
                    self.repo.ok(&["checkout", "-q", name]);
                    let rebased = self.rebase("main", &state, commits)?;
                    self.repo.ok(&["checkout", "-q", "main"]);
                    state = self.merge(&state, name, &rebased)?;
                }
            }
            _ => {
                for (name, tip) in &tips {
                    state = self.merge(&state, name, tip)?;
                    if self.world.rng.one_in(3) {
                        let next = self.world.random_save(&state, 1);
                        self.repo.commit(&next.text);
                        state = next;
                    }
                }
            }
        }
        Ok(state)
    }
}

fn history(seed: u64, figures: &Figures) -> Result<(), String> {
    // Small vaults more often than large ones; many pages sometimes.
    let mut rng = super::world::Prng(seed ^ 0x5eed);
    let entries = if rng.one_in(3) { 3 + rng.below(148) } else { 3 + rng.below(30) };
    let pages = if rng.one_in(12) { Pages::Many } else { Pages::Few };
    let (world, first) = World::new(seed, pages, entries);
    let driver = match seed % 8 {
        0 => Some(Driver::Held),
        4 => Some(Driver::Keyed),
        _ => None,
    };
    let repo = match driver {
        Some(driver) => Repo::with_driver(&first, world.identity.expose(), driver),
        None => Repo::new(&first),
    };
    let mut walk = Walk { repo, world, figures, driver: driver.is_some() };
    let mut budget = 50;
    let mut state = first;
    for _ in 0..=walk.world.rng.below(3) {
        state = walk.round(state, &mut budget)?;
        if walk.repo.read() != *state.text {
            return Err("main is not what was merged".to_owned());
        }
    }
    Ok(())
}

#[test]
fn every_merge_of_random_histories_is_both_sides_changes() {
    let wanted = super::histories("VAULT_GIT_HISTORIES", 200);
    let figures = Figures::default();
    let wrong = failures(wanted, |seed| history(seed, &figures));
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (clean, conflicts) = (of(&figures.clean), of(&figures.conflicts));
    let rejected = wrong.iter().filter(|why| why.contains("REJECTED")).count();
    println!(
        "histories {} operations {} merges {} clean {clean} conflicts {conflicts} by the driver {} rejected {rejected} wrong {}",
        wanted + 1,
        of(&figures.operations),
        clean + conflicts + of(&figures.driven),
        of(&figures.driven),
        wrong.len() - rejected,
    );
    assert!(wrong.is_empty(), "{} of {wanted}: {}", wrong.len(), wrong[0]);
    if std::env::var_os("VAULT_HISTORY_SEED").is_some() {
        return; // One history alone has no figures to speak of.
    }
    assert!(
        clean > wanted && conflicts > wanted / 2 && of(&figures.driven) > wanted / 2,
        "these histories test little"
    );
}
