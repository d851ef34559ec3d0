//! What was typed: the grammar of the command line. The comments here are the help.

mod agent;
mod doors;
mod entries;
mod git;
mod launch;
mod migration;
mod past;
mod plain;
mod slots;
mod vaults;

use std::ffi::OsString;
use std::path::PathBuf;

// Not a process's command: that is another type of this name.
use clap::Command as Grammar;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

use crate::context::{RunSecret, UnlockOptions};

pub(crate) use agent::{Agent, AgentAction, Lock, Unlock};
pub(crate) use doors::{Door, Keyring, KeyringDoor, PythonDoor, Which};
pub(crate) use entries::{Copy, Edit, Generate, Get, List, Remove, Rename, Set, Show};
pub(crate) use git::{Git, GitCommand, Merge, Pick, Resolve, Revert, Setup};
pub(crate) use launch::{Doctor, PamUnlock, Render, Start};
pub(crate) use migration::KeyringSource;
pub(crate) use past::{Diff, History, Log, Scan};
pub(crate) use slots::{
    Backends, KdfOptions, NewSlots, Rewrap, Rotate, Slot, SlotAdd, SlotCommand, SlotList, SlotRemove,
    SlotRename, SlotTest,
};
pub(crate) use vaults::{
    Check, Compact, Completions, Export, ExportFormat, Fork, Help, Import, ImportFormat, Init, Man, Status,
    Trust,
};

/// Secrets in one encrypted text file that merges and cannot be forged
#[derive(Debug, Parser)]
#[command(
    name = "vault",
    version,
    styles = STYLES,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  vault init                      make secrets.vault here\n  vault set github/token          type a secret\n  vault get github/token          print it\n\nRun \"vault help COMMAND\" for a command, \"vault help exit-codes\" for the exit codes, \"vault help config\" for the config file."
)]
pub(crate) struct Cli {
    /// Options that every command knows.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What these arguments mean, the program's name first.
    ///
    /// # Errors
    /// clap's, which is help or the version, too.
    pub(crate) fn parse_typed(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        match Self::parse_plainly(&arguments).or_else(|| Self::parse_quickly(&arguments)) {
            Some(cli) => Ok(cli),
            None => Self::parse_in_full(arguments),
        }
    }

    /// The grammar with every command described, for help.
    pub(crate) fn grammar() -> Grammar {
        let mut grammar = Self::command();
        grammar.build();
        grammar
    }

    fn parse_in_full(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::grammar().try_get_matches_from(arguments)?)
    }

    /// clap gives every command a copy of every global option before it looks at an argument. Here it knows only those
    /// commands whose names were typed, whatever as: no other could have been meant. Whatever is not understood that way is
    /// left to all of them, for the right error.
    fn parse_quickly(arguments: &[OsString]) -> Option<Self> {
        let all = Command::augment_subcommands(Grammar::new("vault"));
        let typed = |command: &&Grammar| {
            std::iter::once(command.get_name())
                .chain(command.get_all_aliases())
                .any(|name| arguments.iter().any(|argument| argument == name))
        };
        let few = Grammar::new("vault").disable_help_subcommand(true).subcommand_required(true);
        let few = Global::augment_args(few).subcommands(all.get_subcommands().filter(typed).cloned());
        Self::from_arg_matches(&few.try_get_matches_from(arguments).ok()?).ok()
    }
}

/// Options that every command knows
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The vault's file [default: VAULT_FILE, the nearest secrets.vault upwards, your own vault]
    #[arg(long, short = 'f', global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Print one JSON object instead of text; errors, too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but errors
    #[arg(long, short = 'q', global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more, and the causes of errors
    #[arg(long, short = 'v', global = true)]
    pub(crate) verbose: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub(crate) color: Color,
    /// Never ask: fail instead
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Take warnings for errors
    #[arg(long, global = true)]
    pub(crate) strict: bool,
    /// Work in this process, even if an agent holds the vault
    #[arg(long, global = true)]
    pub(crate) no_agent: bool,
    /// How to unlock.
    #[command(flatten)]
    pub(crate) unlock: Unlocking,
}

/// How to unlock
#[derive(Debug, Args)]
#[command(next_help_heading = "Unlocking")]
pub(crate) struct Unlocking {
    /// Read the passphrase from a file ("-": standard input)
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase from a file descriptor
    #[arg(long, global = true, value_name = "N", conflicts_with = "passphrase_file")]
    passphrase_fd: Option<u32>,
    /// Use the age identities in a file (repeatable)
    #[arg(long, short = 'i', global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    identity: Vec<PathBuf>,
    /// Use the machine key in a file
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    machine_key_file: Option<PathBuf>,
    /// Use the recovery code in a file ("-": standard input)
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    recovery_code_file: Option<PathBuf>,
    /// Unlock with a file of /run/secrets: vault-passphrase, vault-identity, vault-machine-key or vault-recovery-code, or another
    /// one as KIND=NAME (repeatable)
    #[arg(long, global = true, value_name = "[KIND=]NAME", value_parser = RunSecret::parse)]
    run_secret: Vec<RunSecret>,
    /// Try only the slot with this label
    #[arg(long, global = true, value_name = "LABEL")]
    pub(crate) slot: Option<String>,
    /// Spend up to this much memory on a passphrase, if the vault asks for more than 1 GiB
    #[arg(long, global = true, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) max_kdf_memory: Option<u64>,
    /// Accept a vault that is older than this machine or the machine key knows
    #[arg(long, global = true)]
    pub(crate) allow_rollback: bool,
    /// Use only the vault with this id, as "vault status" shows it; several are separated by commas [default: VAULT_ID]
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) vault_id: Option<String>,
}

impl Unlocking {
    /// The sources that were named.
    pub(crate) fn options(&self) -> UnlockOptions {
        UnlockOptions {
            passphrase_file: self.passphrase_file.clone(),
            passphrase_fd: self.passphrase_fd,
            identities: self.identity.clone(),
            machine_key_file: self.machine_key_file.clone(),
            recovery_code_file: self.recovery_code_file.clone(),
            run_secrets: self.run_secret.clone(),
        }
    }
}

/// When to use colour
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs. Their help is that of their arguments, which a comment on a variant would hide.
#[derive(Debug, Subcommand)]
// Only the one that was typed is described to clap in full: the others cost a tenth of a small `get`.
#[command(defer = true)]
pub(crate) enum Command {
    Init(Init),
    #[command(alias = "add")]
    Set(Set),
    Get(Get),
    #[command(alias = "ls")]
    List(List),
    Show(Show),
    #[command(alias = "rm")]
    Remove(Remove),
    #[command(alias = "mv")]
    Rename(Rename),
    #[command(alias = "cp")]
    Copy(Copy),
    Fork(Fork),
    Edit(Edit),
    Generate(Generate),
    Slot(Slot),
    Rewrap(Rewrap),
    Rotate(Rotate),
    Backends(Backends),
    Compact(Compact),
    Import(Import),
    Export(Export),
    Check(Check),
    Run(Start),
    Render(Render),
    Doctor(Doctor),
    PamUnlock(PamUnlock),
    Diff(Diff),
    Log(Log),
    History(History),
    Scan(Scan),
    Status(Status),
    Git(Git),
    Merge(Merge),
    Resolve(Resolve),
    Pick(Pick),
    Revert(Revert),
    Unlock(Unlock),
    Lock(Lock),
    Agent(Agent),
    Trust(Trust),
    Keyring(Keyring),
    Door(Door),
    Completions(Completions),
    Man(Man),
    Help(Help),
}

/// The field that is meant when none is named.
pub(crate) const DEFAULT_FIELD: &str = "secret";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default());

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write an attribute as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        let root = Cli::grammar();
        for command in root.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
        let mut root = Cli::grammar();
        assert!(root.render_help().to_string().contains("  init         Make a new vault"));
        let set = root.find_subcommand("set").and_then(|set| set.get_long_about());
        assert!(set.is_some_and(|text| text.to_string().contains("one trailing newline")));
    }

    #[test]
    fn every_command_has_an_example() {
        let mut root = Cli::command();
        root.build();
        for command in root.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }

    #[test]
    fn the_quick_way_understands_the_same() {
        let meanings: &[&[&str]] = &[
            &["get", "a"],
            &["-f", "x.vault", "get", "a", "b", "-i", "id"],
            &["get", "list", "--file", "set"],
            &["ls", "--attr", "a=b"],
            &["add", "a", "--new"],
            &["mv", "get", "set", "--json"],
            &["help", "get"],
            &["set", "a", "get", "list"],
        ];
        for words in meanings {
            let typed: Vec<OsString> = ["vault"].iter().chain(*words).map(OsString::from).collect();
            let quick = Cli::parse_quickly(&typed).map(|cli| format!("{cli:?}"));
            assert_eq!(quick, Some(format!("{:?}", Cli::try_parse_from(&typed).unwrap())), "{words:?}");
        }
        for words in [&[][..], &["--help"], &["--version"], &["gte", "a"], &["get"], &["get", "--help"]] {
            let typed: Vec<OsString> = ["vault"].iter().chain(words).map(OsString::from).collect();
            assert!(Cli::parse_quickly(&typed).is_none(), "{words:?}");
            let message = |error: clap::Error| error.to_string();
            assert_eq!(
                Cli::parse_typed(typed.clone()).map_err(message).err(),
                Cli::parse_in_full(typed).map_err(message).err()
            );
        }
    }

    #[test]
    fn a_positional_secret_is_taken_whatever_it_looks_like() {
        for value in ["hunter2", "-x", "--raw", "--secret", "-"] {
            let cli = Cli::try_parse_from(["vault", "set", "name", value, "--more"]);
            let refused = match cli.unwrap().command {
                Command::Set(set) => set.refused,
                other => panic!("{other:?}"),
            };
            if value == "hunter2" {
                assert_eq!(refused, ["hunter2", "--more"]);
            }
        }
    }

    #[test]
    fn options_of_set_stand_before_and_after_the_name() {
        for arguments in [
            &["vault", "set", "name", "--field", "f", "--new"][..],
            &["vault", "set", "--new", "--field=f", "name"],
        ] {
            match Cli::try_parse_from(arguments).unwrap().command {
                Command::Set(set) => assert!(set.refused.is_empty() && set.new && set.field == "f"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn obvious_synonyms_are_known() {
        for synonym in ["ls", "rm x", "mv a b", "cp a b", "add x"] {
            let words = ["vault"].into_iter().chain(synonym.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{synonym}");
        }
    }

    #[test]
    fn global_options_stand_anywhere() {
        for arguments in
            [&["vault", "--file", "x", "--json", "list"][..], &["vault", "list", "--json", "-f", "x"]]
        {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert!(cli.global.json);
            assert_eq!(cli.global.file.as_deref(), Some(std::path::Path::new("x")));
        }
    }
}
