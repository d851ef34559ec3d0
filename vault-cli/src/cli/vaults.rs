//! Arguments of the commands about whole vaults, and about the program.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::migration::Migration;
use super::slots::NewSlots;

/// Make a new vault
///
/// Without further options, it asks for a passphrase. Inside a git work tree, .gitattributes gets a line that keeps git
/// from changing the file's line ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault init\n  vault init --recovery\n  vault init --age age1… --age age1…\n  vault init --machine > machine.key\n  vault init --user"
)]
pub(crate) struct Init {
    /// Make your own vault, which is used where there is no nearer one
    #[arg(long)]
    pub(crate) user: bool,
    /// Who can open it.
    #[command(flatten)]
    pub(crate) slots: NewSlots,
    /// Number of pages: 4096 takes 70 KiB more, and lets branches that change several entries merge
    ///
    /// [default: 4096 inside a git work tree, 256 elsewhere]
    #[arg(long, value_name = "N", value_parser = ["256", "4096"])]
    pub(crate) pages: Option<String>,
    /// Do not touch .gitattributes
    #[arg(long)]
    pub(crate) no_gitattributes: bool,
}

/// Make a new vault with the same entries, another master key and no history
///
/// Nothing in the new vault tells that it came from the old one. Its slots are those that are named here.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault fork team.vault --age age1…\n  vault fork copy.vault --new-passphrase-file phrase"
)]
pub(crate) struct Fork {
    /// The new vault's file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) to: PathBuf,
    /// Who can open it.
    #[command(flatten)]
    pub(crate) slots: NewSlots,
}

/// Drop the log's past and start it anew
///
/// The file gets smaller. Who merges with a branch from before needs the key to do it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault compact\n  vault compact --pages 4096")]
pub(crate) struct Compact {
    /// Change the number of pages
    #[arg(long, value_name = "N", value_parser = ["256", "4096"])]
    pub(crate) pages: Option<String>,
}

/// Bring in secrets from a file, or from a keyring
///
/// All entries are stored at once, or none. Names in maps within maps are joined by slashes. Numbers and booleans are
/// stored as they are written; lists and null are refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault import .env --prefix app/\n  vault import secrets.yaml\n  vault import cert.p12 --format file --name tls/cert\n  sops -d old.json | vault import - --format json\n  vault import --from secret-service --dry-run\n  vault import --from keyrings.alt --verify --delete-source"
)]
pub(crate) struct Import {
    /// The file ("-": standard input)
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "from")]
    pub(crate) path: Option<PathBuf>,
    /// The format [default: by the file's name]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<ImportFormat>,
    /// Put this before every name
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,
    /// The entry, with --format file [default: the file's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Replace entries that exist, without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Refuse a value of more bytes than this, up to 1GiB
    #[arg(long, value_name = "SIZE", value_parser = super::value_size, default_value = "64MiB")]
    pub(crate) max_size: u64,
    /// Keyrings instead of files.
    #[command(flatten)]
    pub(crate) keyring: Migration,
}

/// What is brought in
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// NAME=value lines
    Dotenv,
    /// An object
    Json,
    /// A mapping
    Yaml,
    /// A table
    Toml,
    /// The file's bytes as one secret
    File,
}

/// Write secrets in another format
///
/// Anyone who reads what is written here reads the secrets. Text formats hold text only; use --format files for binary.
/// A further field of an entry is written as ENTRY.FIELD.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault export --format dotenv --prefix app/ -o .env\n  vault export --format json | jq .\n  vault export --format files -o folder 'tls/*'"
)]
pub(crate) struct Export {
    /// Only names that match, as in list
    pub(crate) pattern: Option<String>,
    /// The format
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub(crate) format: ExportFormat,
    /// Only names that begin so, and without it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,
    /// The file [default: standard output]; --format files needs it, and takes a folder
    #[arg(long, short = 'o', value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What is written
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// NAME='value' lines
    Dotenv,
    /// An object
    Json,
    /// A mapping
    Yaml,
    /// A table
    Toml,
    /// A file for each secret
    Files,
}

/// Look for damage and tampering
///
/// Without anything to unlock with, the file's form is checked; otherwise every tag, every link and every value, too, and
/// entries that a merge left in conflict are named: --strict makes that an error, exit code 7.
/// The rules of vault.toml beside the vault are checked as far as they can be seen: vault help policy
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault check\n  vault check --no-input --file copy.vault\n  vault check --need-key --strict\n  vault check --staged\n  vault check --salvage rescued.vault"
)]
pub(crate) struct Check {
    /// Check the form only, without unlocking
    #[arg(long, conflicts_with = "salvage")]
    pub(crate) no_key: bool,
    /// Fail with exit code 4 if nothing unlocks the vault, instead of checking the form only
    #[arg(long, conflicts_with_all = ["no_key", "salvage"])]
    pub(crate) need_key: bool,
    /// Check what the next commit of git takes, as a hook does: nobody is asked
    #[arg(long, conflicts_with = "salvage")]
    pub(crate) staged: bool,
    /// Bring what still opens into a new vault, and list what cannot be trusted
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) salvage: Option<PathBuf>,
    /// Who can open the new vault.
    #[command(flatten)]
    pub(crate) slots: NewSlots,
}

/// Say which vault is used and why, and how it would be unlocked
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault status\n  vault status --json --file team.vault")]
pub(crate) struct Status {}

/// Accept a vault that was rotated or replaced, or an older state of it
///
/// This machine remembers which vault is at which path. Ask whoever rotated the vault whether the new id is the right one:
/// "vault rotate" and "vault status" show it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault trust\n  vault trust --yes")]
pub(crate) struct Trust {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault completions bash > ~/.local/share/bash-completion/completions/vault\n  vault completions fish > ~/.config/fish/completions/vault.fish"
)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Write the man pages into a folder
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault man ~/.local/share/man/man1\n  vault man /usr/local/share/man/man1"
)]
pub(crate) struct Man {
    /// The folder
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

/// Explain a command, the exit codes, the config file or vault.toml
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault help set\n  vault help slot add\n  vault help exit-codes\n  vault help config\n  vault help policy"
)]
pub(crate) struct Help {
    /// A command, "exit-codes", "config" or "policy"
    pub(crate) topic: Vec<String>,
}
