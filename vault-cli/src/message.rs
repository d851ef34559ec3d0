//! Standard error and exit codes. The only place where text meets errors; no secret ever comes here.

mod agent;
mod catalogue;
mod git;
mod launch;
mod session;
mod slots;
mod source;
mod text;
mod usage;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use clap::error::ErrorKind;
use serde::Serialize;
use vault_core::keys::Unavailable;
use vault_core::vault::pin::SlotNews;

pub(crate) use agent::wire;
pub(crate) use catalogue::{Exit, Kind, exit_codes};
pub(crate) use text::word;

use crate::cli::{Cli, Color, Global};
use crate::escape::{escaped, quoted};
use crate::failure::Failure;
use crate::mask::Unmaskable;
use crate::output::{Output, OutputError};
use crate::session::Unpinned;
use crate::sys::harden;

/// What is said about a failure.
pub(crate) struct Message {
    kind: &'static Kind,
    exit: Exit,
    text: String,
    hints: Vec<String>,
    causes: Vec<String>,
    /// What the text says, piece by piece, for programs.
    parts: Vec<String>,
}

impl Message {
    fn new(kind: &'static Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            exit: kind.exit,
            text: text.into(),
            hints: Vec::new(),
            causes: Vec::new(),
            parts: Vec::new(),
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Ends the program in another way than the kind's.
    fn ending(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    fn parts(mut self, parts: &[String]) -> Self {
        self.parts = parts.to_vec();
        self
    }

    /// For `--verbose`.
    fn cause(mut self, cause: &dyn std::error::Error) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }
}

/// From now on a bug ends the program as one: with a message that asks for a report, and its own exit code.
pub(crate) fn report_bugs() {
    harden::end_on_panic(|place| {
        let _ = Voice::guessed(std::env::args_os()).failure(&Failure::Bug(place.to_owned()));
        Exit::Internal.number()
    });
}

/// A success that is worth a line: said in the past tense.
pub(crate) enum Status<'a> {
    /// A secret or attribute was stored.
    Stored(&'a str),
    /// A secret was stored in place of another.
    Replaced(&'a str),
    /// A secret of no bytes was stored.
    StoredEmpty(&'a str),
    /// Anything else that this program says in its own words; names in it are quoted by [`quoted`].
    Done(String),
}

/// Something that is not as it should be, but the command goes on.
pub(crate) enum Warning {
    /// The entry is past its expiry.
    Expired(String, u64),
    /// Nothing was read, and it replaces the entry's secret.
    EmptyReplaces(String),
    /// A value cannot be masked.
    NotMasked(String, Unmaskable),
    /// Entries have several versions after a merge.
    InConflict {
        /// The vault.
        path: PathBuf,
        /// The entries.
        names: Vec<String>,
    },
    /// Several entries are the same item of a keyring.
    SameItem {
        /// Its service.
        service: String,
        /// The entries' names, the one that counts first.
        entries: Vec<String>,
    },
    /// The agent speaks another version, so it is not used.
    OtherAgent,
    /// The vault lacks something that this machine has seen of it.
    OlderThanSeen {
        /// The vault.
        path: PathBuf,
        /// Its generation.
        generation: u64,
        /// The generation that was seen.
        seen: u64,
    },
    /// This machine cannot remember the vault.
    Unpinned(PathBuf, Unpinned),
    /// A slot could not be tried, and another way is used: its label, and why.
    SlotUnavailable(String, Unavailable),
    /// The passphrase of a new slot is easy to guess.
    WeakPassphrase,
    /// Slots were added or removed since this machine last looked.
    SlotsChanged(PathBuf, Vec<SlotNews>),
    /// Something of a keyring was not imported: what, and why.
    NotImported(String, String),
    /// Something was imported, and is still in its keyring: what, and why.
    NotDeleted(String, String),
    /// The line that keeps git from changing line ends is not there.
    NoAttributes(String),
}

/// How this run speaks to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice {
    json: bool,
    quiet: bool,
    verbose: bool,
    strict: bool,
    color: Color,
}

impl Voice {
    /// As the options say.
    pub(crate) fn of(global: &Global) -> Self {
        let Global { json, quiet, verbose, strict, color, .. } = *global;
        // `set` takes everything after a secret on the command line for a part of it, to refuse it.
        let json = json || Self::guessed(std::env::args_os()).json;
        Self { json, quiet, verbose, strict, color }
    }

    /// Before the options are understood. JSON is asked for if the word is there.
    pub(crate) fn guessed(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Self {
        let json =
            arguments.by_ref().take_while(|argument| argument != "--").any(|argument| argument == "--json");
        Self { json, quiet: false, verbose: false, strict: false, color: Color::Auto }
    }

    /// Says what changed.
    pub(crate) fn status(self, status: &Status<'_>) {
        if self.quiet || self.json {
            return;
        }
        let text = match status {
            Status::Stored(name) => format!("stored {}", quoted(name)),
            Status::Replaced(name) => format!("replaced the value of {}", quoted(name)),
            Status::StoredEmpty(name) => format!("stored {} (empty)", quoted(name)),
            Status::Done(text) => text.clone(),
        };
        self.line(&text);
    }

    /// Says what is no error and must not be missed: `--quiet` does not silence it.
    pub(crate) fn report_lines(self, lines: &[String]) {
        lines.iter().for_each(|line| self.line(&escaped(line)));
    }

    /// Shows a line that the next one replaces, on a terminal; an empty one erases it.
    pub(crate) fn transient(self, text: &str) {
        if self.quiet || self.json || !std::io::stderr().is_terminal() {
            return;
        }
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
    }

    /// Whether somebody hears a warning.
    pub(crate) fn is_heard(self) -> bool {
        self.json || self.strict || !self.quiet
    }

    /// Says a warning, which is an error if those are wanted.
    ///
    /// # Errors
    /// [`Failure::Warning`] with `--strict`.
    pub(crate) fn warn(self, warning: Warning) -> Result<(), Failure> {
        if self.strict {
            return Err(Failure::Warning(warning));
        }
        let Message { kind, text, hints, parts, .. } = text::warning(&warning);
        if self.json {
            let (id, text, parts, hints) = (kind.id, &text, &parts, &hints);
            self.object(&Json { version: 1, warning: true, id, text, parts, hints, exit: 0 });
        } else if !self.quiet {
            self.labelled("warning", YELLOW, &text);
            hints.iter().for_each(|hint| self.labelled("hint", CYAN, hint));
        }
        Ok(())
    }

    /// Reports how the run ended, and gives the process's exit code.
    pub(crate) fn report(self, result: Result<Exit, Failure>) -> ExitCode {
        match result {
            Ok(exit) => exit.code(),
            Err(failure) => self.failure(&failure),
        }
    }

    /// Reports a failure in one line, without hints: for commands that other programs run.
    ///
    /// # Errors
    /// What is reported in another way: Ctrl-C, a closed pipe.
    pub(crate) fn briefly(self, failure: Failure) -> Result<Exit, Failure> {
        if self.json
            || matches!(
                failure,
                Failure::Output(OutputError::BrokenPipe) | Failure::Interrupted | Failure::Ended(_)
            )
        {
            return Err(failure);
        }
        let message = text::message(&failure);
        self.labelled(message.kind.label(), RED, &message.text);
        Ok(message.exit)
    }

    fn failure(self, failure: &Failure) -> ExitCode {
        match failure {
            // The shell shows the same for a program that was killed by the signal.
            Failure::Output(OutputError::BrokenPipe) => return Exit::Signal(13).code(),
            Failure::Interrupted => return harden::die_interrupted(),
            Failure::Ended(number) => return Exit::Signal(*number).code(),
            Failure::Usage(error) if !error.use_stderr() => {
                return match Output::of_process().text(&error.render().to_string()) {
                    Ok(()) => Exit::Ok.code(),
                    Err(error) => self.failure(&Failure::Output(error)),
                };
            }
            Failure::Usage(error) if lacks_command(error) && !self.json => {
                self.line(Cli::grammar().render_help().to_string().trim_end());
                return Exit::Usage.code();
            }
            _ => {}
        }
        let message = text::message(failure);
        if self.json {
            let Message { kind, exit, text, parts, hints, .. } = &message;
            let (id, exit) = (kind.id, exit.number());
            self.object(&Json { version: 1, warning: false, id, text, parts, hints, exit });
        } else {
            self.labelled(message.kind.label(), RED, &message.text);
            if self.verbose {
                message.causes.iter().for_each(|cause| self.labelled("cause", Style::new(), cause));
            }
            message.hints.iter().for_each(|hint| self.labelled("hint", CYAN, hint));
        }
        message.exit.code()
    }

    fn labelled(self, label: &str, style: Style, text: &str) {
        self.line(&format!("vault: {style}{label}:{style:#} {text}"));
    }

    fn line(self, text: &str) {
        let choice = match self.color {
            Color::Auto => AutoStream::choice(&std::io::stderr()),
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        // There is nowhere left to tell that standard error cannot be written.
        let _ = writeln!(AutoStream::new(std::io::stderr().lock(), choice), "{text}");
    }

    fn object(self, object: &Json<'_>) {
        if let Ok(text) = serde_json::to_string(object) {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

/// The id of what is said about a failure.
pub(crate) fn id(failure: &Failure) -> &'static str {
    text::message(failure).kind.id
}

/// How many of some entries are there already.
pub(crate) fn exist(count: usize) -> String {
    if count == 1 { "one of the entries exists".to_owned() } else { format!("{count} of the entries exist") }
}

/// Whether no command was typed at all.
fn lacks_command(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand)
}

/// An error or warning for programs.
#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    warning: bool,
    id: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    parts: &'a [String],
    hints: &'a [String],
    exit: u8,
}

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();
