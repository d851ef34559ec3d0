//! Arguments of the commands about a vault's past.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Say what differs between two states of the vault: names, never values
///
/// Without a revision, the file is compared with HEAD; with one, with that commit; with two, the first is the older state.
/// Without anything to unlock with, only what can be seen without a key is compared: slots, seals and the ids of entries.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault diff\n  vault diff HEAD~3\n  vault diff main feature --json\n  vault diff --staged\n  git config diff.vault.textconv 'vault diff --textconv'"
)]
pub(crate) struct Diff {
    /// The older state: any commit that git knows
    #[arg(conflicts_with = "textconv")]
    pub(crate) older: Option<String>,
    /// The newer state [default: the file]
    #[arg(conflicts_with_all = ["staged", "textconv"])]
    pub(crate) newer: Option<String>,
    /// The newer state is what the next commit takes
    #[arg(long, conflicts_with = "textconv")]
    pub(crate) staged: bool,
    /// Show the values that differ, too: to a terminal only
    #[arg(long, conflicts_with_all = ["textconv", "json", "no_key"])]
    pub(crate) values: bool,
    /// Compare only what can be seen without a key
    #[arg(long)]
    pub(crate) no_key: bool,
    /// Print a vault as lines that git can compare, for its setting diff.vault.textconv. Asks nothing, and never fails
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) textconv: Option<PathBuf>,
}

/// Show who changed what and when, the newest first
///
/// It comes from the log that is sealed in the vault, not from git. Names of authors are claims.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault log\n  vault log github/token\n  vault log --since 7d\n  vault log --since 2026-01-01 --json"
)]
pub(crate) struct Log {
    /// Only changes of this entry, under whatever name
    pub(crate) name: Option<String>,
    /// Only changes since a date, a time, or for the past 7d, 12h, 30m
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
}

/// List when an entry changed, and in which commit of git that is
///
/// The newest change comes first. Values are not shown; one is read with: vault get NAME --at COMMIT
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault history github/token\n  vault history github/token --json")]
pub(crate) struct History {
    /// The entry
    pub(crate) name: String,
}

/// Look for values of the vault that leaked into files
///
/// Looks for every value as it is, in base64, in hexadecimal digits, as in URLs and in JSON; of an entry in conflict, for those
/// of all its versions. Values of fewer than 8 bytes are left out; of those over 96 bytes, and of attachments, a part is looked
/// for. Places are shown, values never.
/// Exit code 6 says that something was found, 0 that nothing was.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault scan\n  vault scan src deploy.log --json\n  vault scan --staged\n  git log -p | vault scan --stdin"
)]
pub(crate) struct Scan {
    /// Files and folders [default: the current folder]
    #[arg(value_hint = ValueHint::AnyPath, conflicts_with_all = ["staged", "stdin"])]
    pub(crate) paths: Vec<PathBuf>,
    /// Look through what the next commit of git adds or changes
    #[arg(long, conflicts_with = "stdin")]
    pub(crate) staged: bool,
    /// Look through standard input
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Files, too, that .gitignore leaves out
    #[arg(long, conflicts_with_all = ["staged", "stdin"])]
    pub(crate) no_ignore: bool,
}
