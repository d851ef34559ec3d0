//! Arguments of "import" that are about keyrings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// From which keyring, what of it, and what becomes of it there.
#[derive(Debug, Args)]
#[command(next_help_heading = "Moving from a keyring")]
pub(crate) struct Migration {
    /// Bring in the passwords of a keyring, into the vault that doors use: --file, VAULT_FILE or your own
    #[arg(long, value_name = "KEYRING", conflicts_with_all = ["format", "prefix", "name"])]
    pub(crate) from: Option<KeyringSource>,
    /// Only this password; may be repeated
    #[arg(long, num_args = 2, value_names = ["SERVICE", "USERNAME"], requires = "from")]
    pub(crate) item: Vec<String>,
    /// Only these: a file with a service, a tab and a user in each line
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, requires = "from")]
    pub(crate) items: Option<PathBuf>,
    /// The collection of the Secret Service, by its label or alias [default: the default one]
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(crate) collection: Option<String>,
    /// The Python that has the keyring installed
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::CommandName, default_value = "python3")]
    pub(crate) python: OsString,
    /// Open an encrypted keyring with the passphrase in this file, instead of being asked for it
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, requires = "from")]
    pub(crate) source_passphrase_file: Option<PathBuf>,
    /// Read everything back from the saved vault, and compare
    #[arg(long, requires = "from")]
    pub(crate) verify: bool,
    /// Delete from the keyring what was read back from the saved vault and is equal
    #[arg(long, requires = "from")]
    pub(crate) delete_source: bool,
    /// Only say what would be done
    #[arg(long, requires = "from", conflicts_with = "delete_source")]
    pub(crate) dry_run: bool,
}

/// Keyrings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyringSource {
    /// Whatever Python's keyring uses
    Keyring,
    /// The files of keyrings.alt, plain and encrypted; PATH names another one
    #[value(name = "keyrings.alt")]
    Alt,
    /// The file of keyrings.cryptfile; PATH names another one
    #[value(name = "keyrings.cryptfile")]
    Cryptfile,
    /// GNOME Keyring, KWallet, KeePassXC
    SecretService,
}
