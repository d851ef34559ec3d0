//! Every way in which a command can fail: the rooms' errors under one roof. `message` finds the words.

mod git;
mod slots;
mod source;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use vault_core::format::entry::{EntryName, NameError};
use vault_core::item::ItemTooLong;
use vault_core::keys::NewSlotError;
use vault_core::keys::age::RecipientError;
use vault_core::store::ReplaceError;

use crate::codec::CodecError;
use crate::context::{ConfigError, ContextError};
use crate::input::InputError;
use crate::message::Warning;
use crate::output::OutputError;
use crate::password::AlphabetError;
use crate::prompt::PromptError;
use crate::session::SessionError;
use crate::sys::askpass::AskError;
use crate::sys::revisions::GitError;
use crate::template::{FormError, Reference, ReferenceError, TemplateError, TemplateProblem};

pub(crate) use git::{GitFailure, Stopped};
pub(crate) use slots::SlotFailure;
pub(crate) use source::SourceFailure;

/// Why a command did not do what it was asked to do.
#[non_exhaustive]
pub(crate) enum Failure {
    /// Git has a conflict in the file, and is in the middle of something that is no merge.
    Stopped {
        /// What is wrong.
        failure: Box<Failure>,
        /// What git is doing.
        at: Stopped,
        /// The vault's file.
        file: OsString,
    },
    /// The command line is not understood, or asks for help.
    Usage(clap::Error),
    /// A secret was given as an argument of `set`.
    SecretInArgv {
        /// The entry's name.
        name: String,
    },
    /// The text of a key stands on the command line.
    KeyInArgv,
    /// This variable should name a file, and holds a key itself.
    KeyAsPath(&'static str),
    /// Something that looks like an option follows the name in `set`. It is not repeated: it may be a secret.
    UnknownOptionOfSet,
    /// No help on this.
    UnknownTopic(String),
    /// It is not clear which vault is meant.
    Context(ContextError),
    /// The config file cannot be used.
    Config(ConfigError),
    /// What should name vaults names none.
    VaultId(String),
    /// There is no current folder.
    CurrentFolder(io::Error),
    /// The process could not be protected.
    Hardening(io::Error),
    /// A bug of this program, at this place of its source.
    Bug(String),
    /// Reading from a file or standard input.
    Input(InputError),
    /// Asking at the terminal.
    Prompt {
        /// What went wrong.
        error: PromptError,
        /// What was asked for, as in "the passphrase".
        asking: &'static str,
    },
    /// Asking through another program.
    Asker {
        /// The program.
        program: OsString,
        /// What went wrong.
        error: AskError,
        /// What was asked for, as in "the passphrase".
        asking: &'static str,
    },
    /// A passphrase for a vault that others have copies of is easy to guess.
    WeakPassphrase,
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
    /// A name in a file to import is not one of an entry.
    ImportName {
        /// The file.
        path: PathBuf,
        /// The line, if known.
        line: Option<usize>,
        /// The name.
        name: String,
        /// What is wrong.
        error: NameError,
    },
    /// The format of a file to import is not clear.
    ImportFormat(PathBuf),
    /// An export would replace a vault, or what it was opened with.
    ExportTarget(PathBuf),
    /// No entry is what was to be exported.
    NothingToExport {
        /// What its name should have been like.
        pattern: Option<String>,
        /// What its name should have begun with, if it is not empty.
        prefix: String,
        /// The vault.
        vault: PathBuf,
    },
    /// Writing a foreign format.
    Export(CodecError),
    /// Entries cannot be files of a folder.
    ExportName {
        /// The entry.
        name: String,
        /// Why.
        problem: ExportNameProblem,
    },
    /// A file other than the vault.
    FileNotWritten {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A file other than the vault, through `store`.
    NotStored {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: ReplaceError,
    },
    /// A name is not one.
    Name {
        /// What it was to be: "entry", "field", "attribute".
        what: &'static str,
        /// The name.
        name: String,
        /// What is wrong.
        error: NameError,
    },
    /// A time is not one.
    Time(String),
    /// A time in the past is not one.
    PastTime(String),
    /// No attribute of this name.
    NoAttribute {
        /// The entry.
        name: EntryName,
        /// The attribute.
        attribute: String,
        /// The attributes that are there.
        attributes: Vec<String>,
    },
    /// No entry of this name.
    NoEntry {
        /// The name.
        name: EntryName,
        /// The vault.
        vault: PathBuf,
        /// Another name that was perhaps meant.
        similar: Option<String>,
    },
    /// No field of this name.
    NoField {
        /// The entry.
        name: EntryName,
        /// The field.
        field: String,
        /// The fields that are there.
        fields: Vec<String>,
    },
    /// What is not a recipient of age. It is repeated only if it cannot be a secret key.
    Recipient {
        /// What was given.
        text: String,
        /// What is wrong.
        error: RecipientError,
    },
    /// A slot cannot be made.
    NewSlot(NewSlotError),
    /// Argon2's memory is outside the limits.
    KdfMemory(u64),
    /// More slots than a vault can have.
    TooManySlots,
    /// The new vault was made, but its machine key could not be given out.
    KeyLost {
        /// The vault.
        path: PathBuf,
        /// Why.
        error: OutputError,
    },
    /// The same recipient was named twice.
    RecipientTwice(String),
    /// The vault that is to be made exists.
    VaultExists(PathBuf),
    /// An import would replace entries, and nobody said that it may.
    WouldReplace(usize),
    /// The user said no.
    Declined,
    /// There is no folder in memory for the editor.
    NoMemoryFolder,
    /// There is no editor, or it failed.
    Editor(EditorError),
    /// The value cannot be edited: it is no text, or too long.
    NotEditable(EntryName),
    /// No entry of a damaged file opens.
    NothingToSalvage(PathBuf),
    /// Key slots.
    Slot(SlotFailure),
    /// Something of somebody else stands where a door's file belongs.
    DoorTaken(PathBuf),
    /// What our Python module asked for is no request.
    DoorRequest,
    /// A service or user is too long to be kept.
    ItemTooLong(ItemTooLong),
    /// Python's keyring was switched off by the user.
    KeyringDisabled,
    /// Moving passwords from a keyring.
    Source(SourceFailure),
    /// Opening, changing or saving the vault.
    Session(Box<SessionError>),
    /// Asking git, merging, picking.
    Git(GitFailure),
    /// A program was not started: the failure itself, with the exit code of those.
    BeforeStart(Box<Self>),
    /// Handing secrets to a program or into a file.
    Launch(LaunchError),
    /// Git does not give what was asked for.
    Revision(GitError),
    /// A commit would take entries in conflict.
    ConflictsLeft {
        /// The vault.
        path: PathBuf,
        /// The entries.
        names: Vec<String>,
    },
    /// Values of the vault were found where they should not be.
    LeaksFound(usize),
    /// Values of secrets were to be shown, and not on a terminal.
    ValuesToProgram,
    /// A warning, with `--strict`.
    Warning(Warning),
    /// Ctrl-C.
    Interrupted,
    /// This signal came, and everything was put away first.
    Ended(u8),
}

/// Why an entry cannot be a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExportNameProblem {
    /// Its path leads out of the folder, or is none.
    Outside,
    /// An entry is named as another's field would be.
    Twice,
    /// Another entry's name is a folder of this one's, or is the same.
    Clash(String),
}

/// What happened to the editor.
#[derive(Debug)]
pub(crate) enum EditorError {
    /// Neither VISUAL nor EDITOR is set.
    None,
    /// It could not be started.
    NotStarted(io::Error),
    /// It ended with a failure.
    Failed,
}

/// Why secrets cannot be handed over.
pub(crate) enum LaunchError {
    /// A reference is none.
    Reference(String, ReferenceError),
    /// A template is not as it should be.
    Template(PathBuf, TemplateError),
    /// An environment file has a value that is not as it should be.
    EnvironmentFile {
        /// The file.
        path: PathBuf,
        /// The variable.
        variable: String,
        /// What is wrong.
        problem: TemplateProblem,
    },
    /// An environment file does not follow its format.
    Dotenv(PathBuf, CodecError),
    /// A value cannot be written in the form that a template asks for.
    Form(Reference, FormError),
    /// This cannot be the name of a variable.
    Variable(String),
    /// An entry's name makes no variable's name.
    NoVariable(EntryName),
    /// A variable is set twice.
    Twice(String),
    /// A variable that an entry's name gives would steer programs.
    Steering(EntryName, String),
    /// No variable can hold this value.
    NotForVariable(String, VariableProblem),
    /// No entry's name begins so.
    NothingBelow(String, PathBuf),
    /// The program would inherit this descriptor, and could read the passphrase from it.
    Descriptor(u32),
    /// There is no storage in memory for files.
    NoMemory,
    /// There is no such program.
    NoProgram(OsString),
    /// The program cannot be executed.
    NotExecutable(OsString, io::Error),
    /// The program was started, and how it ended is not known.
    Lost(OsString, io::Error),
}

/// What is wrong with a value for a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableProblem {
    /// It holds a NUL.
    Nul,
    /// It is not UTF-8.
    NotUtf8,
    /// It is longer than the kernel takes.
    TooLong,
}

impl Failure {
    /// Says by the exit code that no program was started.
    pub(crate) fn before_start(self) -> Self {
        match self {
            // These end in their own way.
            Self::Interrupted | Self::Ended(_) | Self::Output(OutputError::BrokenPipe) => self,
            Self::Launch(LaunchError::Lost(..)) => self,
            Self::Usage(error) if !error.use_stderr() => Self::Usage(error),
            other => Self::BeforeStart(Box::new(other)),
        }
    }

    /// Asking for `asking` went wrong. Ctrl-C ends the process by its signal.
    pub(crate) fn asking(asking: &'static str) -> impl FnOnce(PromptError) -> Self {
        move |error| match error {
            PromptError::Interrupted => Self::Interrupted,
            error => Self::Prompt { error, asking },
        }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        // Boxed, so that results stay small.
        Self::Session(Box::new(error))
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    clap::Error => Usage,
    ContextError => Context,
    ConfigError => Config,
    InputError => Input,
    OutputError => Output,
    AlphabetError => Alphabet,
    SlotFailure => Slot,
    SourceFailure => Source,
    NewSlotError => NewSlot,
    EditorError => Editor,
    GitFailure => Git,
    LaunchError => Launch,
    GitError => Revision,
}
