//! What was typed: the grammar of the command line. The comments here are the help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::context::UnlockOptions;

/// Secrets in one encrypted text file that merges and cannot be forged
#[derive(Debug, Parser)]
#[command(
    name = "vault",
    version,
    styles = STYLES,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  vault init                      make secrets.vault here\n  vault set github/token          type a secret\n  vault get github/token          print it\n\nRun \"vault help COMMAND\" for a command, \"vault help exit-codes\" for the exit codes."
)]
pub(crate) struct Cli {
    /// Options that every command knows.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
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
    /// How to unlock.
    #[command(flatten)]
    pub(crate) unlock: Unlock,
}

/// How to unlock
#[derive(Debug, Args)]
#[command(next_help_heading = "Unlocking")]
pub(crate) struct Unlock {
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
    /// Try only the slot with this label
    #[arg(long, global = true, value_name = "LABEL")]
    pub(crate) slot: Option<String>,
    /// Spend up to this much memory on a passphrase, if the vault asks for more than 1 GiB
    #[arg(long, global = true, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) max_kdf_memory: Option<u64>,
    /// Accept a vault that is older than the machine key says
    #[arg(long, global = true)]
    pub(crate) allow_rollback: bool,
}

impl Unlock {
    /// The sources that were named.
    pub(crate) fn options(&self) -> UnlockOptions {
        UnlockOptions {
            passphrase_file: self.passphrase_file.clone(),
            passphrase_fd: self.passphrase_fd,
            identities: self.identity.clone(),
            machine_key_file: self.machine_key_file.clone(),
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

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new vault
    Init(Init),
    /// Store a secret: typed, piped in, or from a file
    #[command(alias = "add")]
    Set(Set),
    /// Print a secret
    Get(Get),
    /// List the entries' names
    #[command(alias = "ls")]
    List(List),
    /// Show all of an entry but its secrets
    Show(Show),
    /// Remove an entry, or one of its fields
    #[command(alias = "rm")]
    Remove(Remove),
    /// Give an entry another name
    #[command(alias = "mv")]
    Rename(Rename),
    /// Copy an entry under another name
    #[command(alias = "cp")]
    Copy(Copy),
    /// Make a new vault with the same entries, another master key and no history
    Fork(Fork),
    /// Change an entry's attributes, expiry, or a secret in your editor
    Edit(Edit),
    /// Make a random password and store it, or print it
    Generate(Generate),
    /// Drop the log's past and start it anew
    Compact(Compact),
    /// Bring in secrets from a file
    Import(Import),
    /// Write secrets in another format
    Export(Export),
    /// Look for damage and tampering
    Check(Check),
    /// Say which vault is used and why, and how it would be unlocked
    Status(Status),
    /// Print completions for a shell
    Completions(Completions),
    /// Write the man pages into a folder
    Man(Man),
    /// Explain a command, or the exit codes
    Help(Help),
}

/// Who can open a new vault
#[derive(Debug, Args)]
pub(crate) struct NewSlots {
    /// Add a slot for an age recipient (repeatable)
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) age: Vec<String>,
    /// Add a slot for a machine, and print its key once
    #[arg(long)]
    pub(crate) machine: bool,
    /// Add a slot for a passphrase, beside --age or --machine
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Read the new vault's passphrase from a file
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Memory that each try of a passphrase costs, from 19MiB
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse, default_value = "256MiB")]
    pub(crate) kdf_memory: u64,
}

impl NewSlots {
    /// Whether any was named.
    pub(crate) fn is_named(&self) -> bool {
        !self.age.is_empty() || self.machine || self.passphrase || self.new_passphrase_file.is_some()
    }
}

/// Make a new vault
///
/// Without further options, it asks for a passphrase. Inside a git work tree, .gitattributes gets a line that keeps git
/// from changing the file's line ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault init\n  vault init --age age1… --age age1…\n  vault init --machine > machine.key\n  vault init --user"
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

/// Store a secret: typed, piped in, or from a file
///
/// From standard input, one trailing newline is removed unless --raw is given; a file is stored as it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault set github/token\n  pass show old | vault set github/token\n  vault set tls/key --secret-file key.pem\n  vault set aws --field key_id --attr account=prod"
)]
pub(crate) struct Set {
    /// The entry
    pub(crate) name: String,
    /// A secret would be seen by other programs and kept in the shell's history. Taken here to refuse it in these words.
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    pub(crate) refused: Vec<OsString>,
    /// The field
    #[arg(long, value_name = "FIELD", default_value = DEFAULT_FIELD)]
    pub(crate) field: String,
    /// Store a file's bytes
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) secret_file: Option<PathBuf>,
    /// Keep a trailing newline of standard input
    #[arg(long, conflicts_with = "secret_file")]
    pub(crate) raw: bool,
    /// Refuse if the field exists
    #[arg(long)]
    pub(crate) new: bool,
    /// Set an attribute, too (repeatable)
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, String)>,
    /// Set an expiry: a date, a time, or a span such as 90d
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Refuse a value of more bytes than this, up to 1GiB
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse, default_value = "64MiB")]
    pub(crate) max_size: u64,
}

/// Print a secret
///
/// Writes the exact bytes. A newline is added only on a terminal, where binary is refused unless "-o -" is given.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault get github/token\n  vault get aws key_id\n  vault get tls/key -o key.pem"
)]
pub(crate) struct Get {
    /// The entry
    pub(crate) name: String,
    /// The field
    #[arg(default_value = DEFAULT_FIELD)]
    pub(crate) field: String,
    /// Write into a new file with mode 0600 ("-": standard output, binary or not)
    #[arg(long, short = 'o', value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

/// List the entries' names
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault list\n  vault list 'github/*'\n  vault list --attr account=prod --json"
)]
pub(crate) struct List {
    /// Only names that match: "*" is any text, "?" one character; without these, names that contain it
    pub(crate) pattern: Option<String>,
    /// Only entries with this attribute (repeatable)
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, String)>,
    /// Only entries past their expiry
    #[arg(long)]
    pub(crate) expired: bool,
    /// Only entries in conflict after a merge
    #[arg(long)]
    pub(crate) conflicts: bool,
}

/// Show all of an entry but its secrets
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vault show github/token")]
pub(crate) struct Show {
    /// The entry
    pub(crate) name: String,
}

/// Remove an entry, or one of its fields
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault remove github/token\n  vault remove aws --field key_id")]
pub(crate) struct Remove {
    /// The entries
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Remove only this field
    #[arg(long, value_name = "FIELD")]
    pub(crate) field: Option<String>,
}

/// Give an entry another name
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vault rename github/token github/old-token")]
pub(crate) struct Rename {
    /// The entry
    pub(crate) from: String,
    /// Its new name
    pub(crate) to: String,
}

/// Copy an entry under another name
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vault copy aws/prod aws/staging")]
pub(crate) struct Copy {
    /// The entry
    pub(crate) from: String,
    /// The copy's name
    pub(crate) to: String,
}

/// Make a new vault with the same entries, another master key and no history
///
/// Nothing in the new vault tells that it came from the old one. Its slots are those that are named here.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vault fork team.vault --age age1…")]
pub(crate) struct Fork {
    /// The new vault's file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) to: PathBuf,
    /// Who can open it.
    #[command(flatten)]
    pub(crate) slots: NewSlots,
}

/// Change an entry's attributes, expiry, or a secret in your editor
///
/// Without options, the secret is opened in VISUAL or EDITOR, through a private folder in memory that is wiped afterwards.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault edit notes\n  vault edit aws --attr account=prod --remove-attr owner\n  vault edit aws --expires 90d"
)]
pub(crate) struct Edit {
    /// The entry
    pub(crate) name: String,
    /// The field to open in the editor
    #[arg(long, value_name = "FIELD", default_value = DEFAULT_FIELD, conflicts_with_all = ["attributes", "remove_attributes", "expires", "no_expiry"])]
    pub(crate) field: String,
    /// Set an attribute (repeatable)
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, String)>,
    /// Remove an attribute (repeatable)
    #[arg(long = "remove-attr", value_name = "NAME")]
    pub(crate) remove_attributes: Vec<String>,
    /// Set an expiry: a date, a time, or a span such as 90d
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Remove the expiry
    #[arg(long, conflicts_with = "expires")]
    pub(crate) no_expiry: bool,
}

/// Make a random password and store it, or print it
///
/// With a name, the password is stored and not printed unless --print is given. Without one, it is printed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault generate db/password\n  vault generate db/password --length 40 --symbols\n  vault generate"
)]
pub(crate) struct Generate {
    /// The entry
    pub(crate) name: Option<String>,
    /// The field
    #[arg(long, value_name = "FIELD", default_value = DEFAULT_FIELD)]
    pub(crate) field: String,
    /// Number of characters
    #[arg(long, value_name = "N", default_value_t = crate::password::DEFAULT_LENGTH, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) length: u16,
    /// Symbols, too, beside letters and digits
    #[arg(long)]
    pub(crate) symbols: bool,
    /// Exactly these characters
    #[arg(long, value_name = "CHARACTERS", conflicts_with = "symbols")]
    pub(crate) characters: Option<String>,
    /// Print the password although it is stored
    #[arg(long)]
    pub(crate) print: bool,
    /// Refuse if the field exists
    #[arg(long)]
    pub(crate) new: bool,
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

/// Bring in secrets from a file
///
/// All entries are stored at once, or none. Names in maps within maps are joined by slashes. Numbers and booleans are
/// stored as they are written; lists and null are refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault import .env --prefix app/\n  vault import secrets.yaml\n  vault import cert.p12 --format file --name tls/cert\n  sops -d old.json | vault import - --format json"
)]
pub(crate) struct Import {
    /// The file ("-": standard input)
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) path: PathBuf,
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
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse, default_value = "64MiB")]
    pub(crate) max_size: u64,
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
    /// The file or, for --format files, the folder [default: standard output]
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
/// Without anything to unlock with, the file's form is checked; otherwise every tag, every link and every value, too.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault check\n  vault check --no-input --file copy.vault\n  vault check --salvage rescued.vault"
)]
pub(crate) struct Check {
    /// Check the form only, without unlocking
    #[arg(long, conflicts_with = "salvage")]
    pub(crate) no_key: bool,
    /// Bring what still opens into a new vault, and list what cannot be trusted
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) salvage: Option<PathBuf>,
    /// Who can open the new vault.
    #[command(flatten)]
    pub(crate) slots: NewSlots,
}

/// Say which vault is used and why, and how it would be unlocked
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vault status")]
pub(crate) struct Status {}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vault completions bash > ~/.local/share/bash-completion/completions/vault"
)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Write the man pages into a folder
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vault man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

/// Explain a command, or the exit codes
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault help set\n  vault help exit-codes")]
pub(crate) struct Help {
    /// A command, or "exit-codes"
    pub(crate) topic: Option<String>,
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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
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
