//! Arguments of the commands about entries.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{DEFAULT_FIELD, attribute};

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
    #[arg(long, value_name = "SIZE", value_parser = super::value_size, default_value = "64MiB")]
    pub(crate) max_size: u64,
}

/// Print a secret
///
/// Writes the exact bytes. A newline is added only on a terminal, where binary is refused unless "-o -" is given.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault get github/token\n  vault get aws key_id\n  vault get tls/key -o key.pem\n  vault get github/token --at HEAD~3\n  vault get db --theirs 1         of an entry in conflict"
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
    /// Of an entry in conflict, what stands in it
    #[arg(long, conflicts_with = "theirs")]
    pub(crate) ours: bool,
    /// Of an entry in conflict, the other version, by its number in "vault show"
    #[arg(long, value_name = "N")]
    pub(crate) theirs: Option<usize>,
    /// As it was in this commit of git
    #[arg(long, value_name = "REV")]
    pub(crate) at: Option<String>,
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
    /// Only entries that somebody who was removed could read, and that were not changed since
    #[arg(long)]
    pub(crate) exposed: bool,
}

/// Show all of an entry but its secrets
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault show github/token\n  vault show github/token --json")]
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
#[command(after_help = "Examples:\n  vault rename github/token github/old-token\n  vault mv aws aws/prod")]
pub(crate) struct Rename {
    /// The entry
    pub(crate) from: String,
    /// Its new name
    pub(crate) to: String,
}

/// Copy an entry under another name
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault copy aws/prod aws/staging\n  vault cp db/password db/old-password"
)]
pub(crate) struct Copy {
    /// The entry
    pub(crate) from: String,
    /// The copy's name
    pub(crate) to: String,
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

/// Make a random password or passphrase and store it, or print it
///
/// With a name, the password is stored and not printed unless --print is given. Without one, it is printed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault generate db/password\n  vault generate db/password --length 40 --symbols\n  vault generate\n  vault generate --passphrase --words 7"
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
    /// Make a passphrase of words, for people to type
    #[arg(long, conflicts_with_all = ["length", "symbols", "characters"])]
    pub(crate) passphrase: bool,
    /// Number of words, each worth almost 13 bits
    #[arg(long, value_name = "N", default_value_t = crate::password::DEFAULT_WORDS, value_parser = clap::value_parser!(u32).range(3..=64), requires = "passphrase")]
    pub(crate) words: u32,
    /// Print the password although it is stored
    #[arg(long)]
    pub(crate) print: bool,
    /// Refuse if the field exists
    #[arg(long)]
    pub(crate) new: bool,
}
