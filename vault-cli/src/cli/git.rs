//! Arguments of the commands for vaults in git repositories.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Make git know the vault: merges with the key, no plain text in diffs, a check before commits
///
/// Run it once in each clone. The line in .gitattributes is committed; the settings and the hooks stay in the clone.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault git setup          show what would be written, and ask\n  vault git setup --yes\n  vault git setup --remove"
)]
pub(crate) struct Git {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: GitCommand,
}

/// What `vault git` does.
#[derive(Debug, Subcommand)]
pub(crate) enum GitCommand {
    /// Write .gitattributes, settings of this clone, and the hooks before commits and merges
    #[command(
        after_help = "Examples:\n  vault git setup\n  vault git setup --yes --no-hook\n  vault git setup --yes --small-packs\n  vault git setup --remove --yes"
    )]
    Setup(Setup),
}

/// Write .gitattributes, settings of this clone, and the hooks before commits and merges
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Take back what was written
    #[arg(long)]
    pub(crate) remove: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Leave out the hooks pre-commit and pre-merge-commit
    #[arg(long)]
    pub(crate) no_hook: bool,
    /// Also set how git packs this clone: a long history of the vault takes half the room or less
    ///
    /// "git gc" then makes chains of up to 1,000 differences, with one thread: for a repository that is about secrets and
    /// configuration, not for a large one of source code.
    #[arg(long)]
    pub(crate) small_packs: bool,
}

/// Merge two states of a vault with the key
///
/// Without operands, it settles the conflict that git left in the vault's file: both sides are in git's index. With
/// operands, the result replaces OURS. What both sides changed differently is kept twice; see "vault resolve".
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault merge                              after \"git merge\" reported a conflict\n  vault merge base.vault ours.vault theirs.vault -o merged.vault\n  vault merge ours.vault theirs.vault"
)]
pub(crate) struct Merge {
    /// OURS and THEIRS, or BASE, OURS and THEIRS
    #[arg(value_name = "FILE", num_args = 2..=3, value_hint = ValueHint::FilePath)]
    pub(crate) sides: Vec<PathBuf>,
    /// Write the result here instead ("-": standard output)
    #[arg(long, short = 'o', value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Be git's merge driver for the file at this path: merge as text where there is no key
    #[arg(long, value_name = "PATH", requires = "sides", conflicts_with = "output")]
    pub(crate) driver: Option<PathBuf>,
}

/// Settle entries that both sides of a merge changed
///
/// Without a name and --all, it lists what is in conflict. "--theirs" without a number means the only other version.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault resolve                            list what is in conflict\n  vault resolve db/password --theirs\n  vault resolve db/password --theirs 2\n  vault resolve db/password --edit\n  vault resolve --all --ours"
)]
pub(crate) struct Resolve {
    /// The entries
    pub(crate) names: Vec<String>,
    /// All entries in conflict
    #[arg(long, conflicts_with_all = ["names", "edit"])]
    pub(crate) all: bool,
    /// Keep what stands in the entry
    #[arg(long, group = "side")]
    pub(crate) ours: bool,
    /// Take the other version, by its number in "vault show"
    #[arg(long, group = "side", value_name = "N", num_args = 0..=1, default_missing_value = "0")]
    pub(crate) theirs: Option<usize>,
    /// See both versions in an editor, and write what is right
    #[arg(long, group = "side")]
    pub(crate) edit: bool,
}

/// Do again what a commit changed in the vault
///
/// For what git's cherry-pick can only do as text, which loses the key holder's seals. Nothing is committed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault pick 1a2b3c4\n  vault pick feature~2 && git commit -a")]
pub(crate) struct Pick {
    /// The commit
    pub(crate) commit: String,
    /// The parent to compare a merge with, from 1
    #[arg(long, short = 'm', value_name = "N")]
    pub(crate) mainline: Option<usize>,
}

/// Take back what a commit changed in the vault
///
/// For what git's revert can only do as text, which loses the key holder's seals. Nothing is committed. The history still
/// has the old values.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault revert 1a2b3c4\n  vault revert HEAD && git commit -a")]
pub(crate) struct Revert {
    /// The commit
    pub(crate) commit: String,
    /// The parent to compare a merge with, from 1
    #[arg(long, short = 'm', value_name = "N")]
    pub(crate) mainline: Option<usize>,
}
