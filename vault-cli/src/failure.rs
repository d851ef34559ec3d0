//! Every way in which a command can fail: the rooms' errors under one roof. `message` finds the words.

use std::io;
use std::path::PathBuf;

use crate::codec::CodecError;
use crate::context::ContextError;
use crate::input::InputError;
use crate::message::Warning;
use crate::output::OutputError;
use crate::password::AlphabetError;
use crate::prompt::PromptError;

/// Why a command did not do what it was asked to do.
#[non_exhaustive]
pub(crate) enum Failure {
    /// The command line is not understood, or asks for help.
    Usage(clap::Error),
    /// A secret was given as an argument of `set`.
    SecretInArgv {
        /// The entry's name.
        name: String,
    },
    /// Something that looks like an option follows the name in `set`. It is not repeated: it may be a secret.
    UnknownOptionOfSet,
    /// No help on this.
    UnknownTopic(String),
    /// It is not clear which vault is meant.
    Context(ContextError),
    /// There is no current folder.
    CurrentFolder(io::Error),
    /// The process could not be protected.
    Hardening(io::Error),
    /// Reading from a file or standard input.
    Input(InputError),
    /// Asking at the terminal.
    Prompt {
        /// What went wrong.
        error: PromptError,
        /// What was asked for, as in "the passphrase".
        asking: &'static str,
    },
    /// Writing the result.
    Output(OutputError),
    /// No password can be made of these characters.
    Alphabet(AlphabetError),
    /// Reading a foreign format.
    Import {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: CodecError,
    },
    /// Writing a foreign format.
    Export(CodecError),
    /// A file other than the vault.
    FileNotWritten {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A warning, with `--strict`.
    Warning(Warning),
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    /// Asking for `asking` went wrong. Ctrl-C ends the process by its signal.
    pub(crate) fn asking(asking: &'static str) -> impl FnOnce(PromptError) -> Self {
        move |error| match error {
            PromptError::Interrupted => Self::Interrupted,
            error => Self::Prompt { error, asking },
        }
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from!(ContextError => Context, InputError => Input, OutputError => Output, AlphabetError => Alphabet);
