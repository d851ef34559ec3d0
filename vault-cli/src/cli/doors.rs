//! Arguments of the commands about doors.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Be the "keyring" command that pip, uv, pipx and scripts run
///
/// Takes the same words as the command of Python's keyring, after any options of vault: get, set, del, diagnose, and its
/// options anywhere. Uses --file, VAULT_FILE or your own vault, and never a vault that happens to lie in the current folder.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:\n  vault keyring set https://pypi.example.org/simple/ bob\n  vault keyring get https://pypi.example.org/simple/ bob\n  vault keyring get https://pypi.example.org/simple/ --mode creds"
)]
pub(crate) struct Keyring {
    /// Words of Python's keyring
    #[arg(value_name = "WORDS", allow_hyphen_values = true, trailing_var_arg = true)]
    pub(crate) words: Vec<OsString>,
}

/// Open or close a way in for other programs
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault door keyring --enable\n  vault door python --enable\n  vault door python --disable"
)]
pub(crate) struct Door {
    /// Which door.
    #[command(subcommand)]
    pub(crate) which: Which,
}

/// The doors. Their help is that of their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Which {
    Keyring(KeyringDoor),
    Python(PythonDoor),
    /// Answer one request of our Python module, from standard input
    #[command(hide = true)]
    Answer,
}

/// Be found as the "keyring" command: a link to this program
///
/// Without an option, says what is the case.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault door keyring --enable\n  vault door keyring --enable --dir /usr/local/bin"
)]
pub(crate) struct KeyringDoor {
    /// Make the link
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Remove the link
    #[arg(long)]
    pub(crate) disable: bool,
    /// The folder of the link [default: ~/.local/bin]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// Be the backend of Python's keyring
///
/// Without an option, says what is the case. --enable alone chooses this backend in keyringrc.cfg, which goes before every
/// priority.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault door python --enable\n  vault door python --enable --fallback   use it where there is no Secret Service\n  vault door python --enable --prefer     use it before Secret Service, beside other backends"
)]
pub(crate) struct PythonDoor {
    /// Let Python's keyring use the vault
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Undo it
    #[arg(long)]
    pub(crate) disable: bool,
    /// Only where there is no Secret Service
    #[arg(long, requires = "enable", conflicts_with = "prefer")]
    pub(crate) fallback: bool,
    /// Before Secret Service, and without keeping other backends from being asked
    #[arg(long, requires = "enable")]
    pub(crate) prefer: bool,
    /// Replace a keyringrc.cfg that somebody else wrote; --disable brings it back
    #[arg(long, requires = "enable")]
    pub(crate) yes: bool,
}
