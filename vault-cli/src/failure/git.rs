//! What can go wrong between a vault and git: asking git, merging, picking, setting up.

use std::io;
use std::path::PathBuf;

use vault_core::format::entry::EntryName;

/// What git is in the middle of that is no merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
}

/// Why something that concerns git was not done.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum GitFailure {
    /// Git cannot be run.
    NotStarted(io::Error),
    /// Git said no.
    Refused {
        /// What it was asked for.
        verb: String,
        /// The first line that it said.
        said: String,
    },
    /// This folder is in no repository.
    NoRepository(PathBuf),
    /// Git's index has no conflict in this file.
    NotInConflict(PathBuf),
    /// One side of git's conflict removed the file.
    SideRemoved(PathBuf),
    /// There is no such commit.
    NoCommit(String),
    /// The commit has several parents, or not so many, or none.
    Parents {
        /// The commit.
        commit: String,
        /// How many it has.
        parents: usize,
    },
    /// The commit, or its parent, does not have the vault's file.
    NoVaultAt {
        /// The commit.
        commit: String,
        /// The file.
        path: PathBuf,
    },
    /// Merging as text does not do it, and there is no key.
    NeedsKey(PathBuf),
    /// It was done, and these entries are in conflict.
    Conflicts {
        /// The entries.
        names: Vec<EntryName>,
        /// What to do when all are settled.
        then: Option<String>,
    },
    /// The entry has several versions, and nobody said which one is meant.
    SeveralVersions {
        /// The entry.
        name: EntryName,
        /// How many others there are.
        others: usize,
    },
    /// Neither entries nor what to do with them was said.
    NoSide,
    /// What came from the editor still has both versions in it.
    StillBoth(EntryName),
    /// Settings would be written, and nobody said that they may.
    SetupUnasked,
}
