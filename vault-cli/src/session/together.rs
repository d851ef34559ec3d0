//! Several states of one vault that are open together, here or all of them in the agent; and what is made of them.

use std::path::Path;
use std::sync::Arc;

use vault_core::format::entry::EntryName;
use vault_core::source::{Source, Text};
use vault_core::vault::UnlockedVault;
use vault_core::vault::edit::Saved;

use super::pins::{Seen, Unpinned};
use super::remote::{FromAgent, Remote};
use super::spot::{self, Deed};
use super::states::{Rollback, State, Target};
use super::{Local, Session, SessionError};
use crate::failure::Failure;

/// States that are open together, by their numbers.
pub(crate) struct Together {
    sources: Vec<Arc<dyn Source>>,
    open: Open,
}

enum Open {
    Here(Vec<Arc<UnlockedVault>>),
    There(Vec<Remote>),
}

/// How a merge is made.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'p> {
    /// As the messages call it.
    pub(crate) name: &'p Path,
    /// The file that will be written, or one beside it.
    pub(crate) place: &'p Path,
    pub(crate) rollback: Rollback,
}

/// What was made, and may be written.
pub(crate) struct Made {
    pub(crate) text: Text,
    pub(crate) which: Which,
    pub(crate) generation: u64,
    /// Entries that it left in conflict.
    pub(crate) conflicts: Vec<EntryName>,
    /// Entries that a pick changed.
    pub(crate) changed: Vec<EntryName>,
    /// The picked commit changed key slots, too.
    pub(crate) left_slots: bool,
    /// What is to be remembered once it is written.
    pub(crate) mark: Mark,
}

/// Which of the two sides of a merge it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Ours,
    Theirs,
    Both,
}

/// What is to be remembered of something that is written.
pub(crate) struct Mark {
    pub(super) what: Marked,
    /// What there is to say then: its generation, and the newer one that was seen.
    pub(super) older: Option<(u64, u64)>,
}

pub(super) enum Marked {
    /// What was read before, and how it stands to this.
    Seen(Arc<UnlockedVault>, Seen),
    /// What this was saved after.
    Saved(Arc<UnlockedVault>, Saved),
    /// The agent does that.
    There(Box<Remote>),
}

impl Together {
    pub(super) fn here(sources: Vec<Arc<dyn Source>>, states: Vec<UnlockedVault>) -> Self {
        Self { sources, open: Open::Here(states.into_iter().map(Arc::new).collect()) }
    }

    pub(super) fn there(sources: Vec<Arc<dyn Source>>, states: Vec<Remote>) -> Self {
        Self { sources, open: Open::There(states) }
    }

    /// Whether one has everything that the other one has.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn covers(&self, path: &Path, one: usize, other: usize) -> Result<bool, SessionError> {
        match &self.open {
            Open::Here(all) => spot::covers(path, &all[one], &all[other]),
            Open::There(all) => all[one].covers(&all[other]),
        }
    }

    /// What is in conflict in one of them.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn in_conflict(&mut self, path: &Path, one: usize) -> Result<Vec<EntryName>, SessionError> {
        let all = match &mut self.open {
            Open::Here(all) => Local::of(path, Arc::clone(&all[one])).list()?,
            Open::There(all) => all[one].list()?,
        };
        Ok(all.into_iter().filter(|meta| meta.in_conflict()).map(|meta| meta.name).collect())
    }

    /// Another state takes the place of one.
    ///
    /// # Errors
    /// [`SessionError::Replaced`] if its master key is another.
    pub(crate) fn renew(&mut self, path: &Path, one: usize, state: State) -> Result<(), SessionError> {
        let replaced = || SessionError::Replaced(path.to_owned());
        match &mut self.open {
            Open::Here(all) => {
                all[one] = Arc::new(state.vault.unlock_as(&all[one]).map_err(|_| replaced())?);
            }
            Open::There(all) => all[one] = all[one].in_state(&*state.source)?.ok_or_else(replaced)?,
        }
        self.sources[one] = state.source;
        Ok(())
    }

    /// Merges two of them.
    ///
    /// # Errors
    /// [`SessionError`]; warnings, with `--strict`.
    pub(crate) fn merge(
        &self,
        target: &mut Target,
        manner: Manner<'_>,
        [ours, theirs]: [usize; 2],
        base: Option<State>,
    ) -> Result<Made, Failure> {
        let work = match &self.open {
            Open::Here(all) => {
                let sides = [&all[ours], &all[theirs]];
                // A base with another master key than both sides can tell nothing of them.
                let base = base.and_then(|base| {
                    let same = sides.into_iter().find(|side| side.id() == base.vault.id())?;
                    base.vault.unlock_as(same).ok()
                });
                let (spot, maker) = target.at_work();
                let union = spot.unite((manner.name, manner.place), sides, base.as_ref(), &maker)?;
                let is_ours = Arc::ptr_eq(&union.vault, sides[0]);
                let generation = union.vault.generation();
                Work {
                    text: union.text.ok_or(if is_ours { ours } else { theirs }),
                    generation,
                    conflicts: union.conflicts,
                    changed: Vec::new(),
                    left_slots: false,
                    older: union.older,
                    unpinned: union.unpinned,
                    what: Marked::Seen(union.vault, union.seen),
                }
            }
            Open::There(all) => {
                let sides = [&all[ours], &all[theirs]];
                // What cannot be opened as a base can tell nothing, either.
                let base = base.and_then(|base| sides[0].in_state(&*base.source).ok().flatten());
                let made = Remote::merge(sides, base.as_ref(), target.path(), manner.place)?;
                let is_ours = made.state.is_same(sides[0]);
                Work::there(made, if is_ours { ours } else { theirs })
            }
        };
        self.admitted(target, manner.rollback, work, ours)
    }

    /// Does to the first of them what was done between the second and the third, or undoes it.
    ///
    /// # Errors
    /// [`SessionError`]; warnings, with `--strict`.
    pub(crate) fn pick(&self, target: &mut Target, deed: Deed<'_>) -> Result<Made, Failure> {
        let work = match &self.open {
            Open::Here(all) => {
                let (spot, maker) = target.at_work();
                let (mut picked, unpinned) = spot.pick([&all[0], &all[1], &all[2]], deed, &maker)?;
                Work {
                    text: Ok(std::mem::take(&mut picked.saved.text)),
                    generation: picked.saved.generation,
                    conflicts: picked.conflicts,
                    changed: picked.changed,
                    left_slots: picked.left_slots,
                    older: None,
                    unpinned,
                    what: Marked::Saved(Arc::clone(&all[0]), picked.saved),
                }
            }
            Open::There(all) => {
                Work::there(Remote::pick([&all[0], &all[1], &all[2]], deed, target.path())?, 0)
            }
        };
        self.admitted(target, Rollback::Refused, work, 0)
    }

    /// Fails unless it may be written.
    fn admitted(
        &self,
        target: &Target,
        rollback: Rollback,
        work: Work,
        ours: usize,
    ) -> Result<Made, Failure> {
        let Work { generation, conflicts, changed, left_slots, older, unpinned, what, .. } = work;
        let older = target.admit(generation, (older, unpinned), rollback)?;
        let (text, which) = match work.text {
            Ok(text) => (text, Which::Both),
            Err(number) => {
                let (mut text, source) = (Text::new(), &self.sources[number]);
                text.copy(source, 0..source.len());
                (text, if number == ours { Which::Ours } else { Which::Theirs })
            }
        };
        Ok(Made { text, which, generation, conflicts, changed, left_slots, mark: Mark { what, older } })
    }

    /// One of them as what stands at the place.
    ///
    /// # Errors
    /// [`SessionError::Pin`], [`SessionError::Verify`].
    pub(super) fn mark(&self, target: &mut Target, one: usize) -> Result<Mark, SessionError> {
        let what = match &self.open {
            Open::Here(all) => Marked::Seen(Arc::clone(&all[one]), target.spot.compare(&all[one])?),
            Open::There(all) => Marked::There(Box::new(all[one].again())),
        };
        Ok(Mark { what, older: None })
    }
}

/// What came out, wherever it was made.
struct Work {
    /// The text, or the state that it is.
    text: Result<Text, usize>,
    generation: u64,
    conflicts: Vec<EntryName>,
    changed: Vec<EntryName>,
    left_slots: bool,
    /// It lacks what was seen at its place: its generation, and the one that was seen.
    older: Option<(u64, u64)>,
    /// Why its place is not remembered, if that has to be said.
    unpinned: Option<Unpinned>,
    what: Marked,
}

impl Work {
    /// By the agent; `side` is the state that it is, if no text came.
    fn there(made: FromAgent, side: usize) -> Self {
        let (older, unpinned) = (made.older(), made.unpinned());
        let FromAgent { state, text, conflicts, changed, left_slots, .. } = made;
        Self {
            text: text.ok_or(side),
            generation: state.generation(),
            conflicts,
            changed,
            left_slots,
            older,
            unpinned,
            what: Marked::There(Box::new(state)),
        }
    }
}
