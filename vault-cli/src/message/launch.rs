//! Words for what goes wrong when secrets are handed to a program or into a file.

use super::catalogue as kinds;
use super::text::{caused, codec_reason, name_reason, shortened, word};
use super::{Exit, Message};
use crate::escape::{quoted, quoted_path};
use crate::failure::{LaunchError, VariableProblem};
use crate::mask::Unmaskable;
use crate::template::{FormError, ReferenceError, TemplateProblem};

pub(super) fn message(error: &LaunchError) -> Message {
    match error {
        LaunchError::Reference(text, error) => Message::new(
            kinds::BAD_REFERENCE,
            format!("{} is no reference: {}", quoted(&shortened(text)), reference(*error)),
        )
        .hint("write ENTRY or ENTRY#FIELD, and \"%23\" for a \"#\" in a name"),
        LaunchError::Template(path, error) => Message::new(
            kinds::BAD_TEMPLATE,
            format!("cannot use line {} of {}: {}", error.line, quoted_path(path), template(&error.problem)),
        )
        .hint("nothing was written; write {{ vault://ENTRY#FIELD }}, and {{{{ for two braces that are none"),
        LaunchError::EnvironmentFile { path, variable, problem } => Message::new(
            kinds::BAD_TEMPLATE,
            format!("cannot use {} of {}: {}", quoted(variable), quoted_path(path), template(problem)),
        )
        .hint("write NAME=vault://ENTRY#FIELD, or {{ vault://ENTRY#FIELD }} within text"),
        LaunchError::Dotenv(path, error) => {
            let (_, reason) = codec_reason(error.problem);
            let line = error.line.map(|line| format!("line {line} of ")).unwrap_or_default();
            Message::new(kinds::BAD_TEMPLATE, format!("cannot use {line}{}: {reason}", quoted_path(path)))
        }
        LaunchError::Form(reference, error) => {
            let reason = match error {
                FormError::NotUtf8 => "it is not UTF-8 text, and JSON holds nothing else; use base64",
                FormError::Nul => "it has a NUL, which no word of a shell can hold; use base64",
            };
            let entry = quoted(reference.entry.as_str());
            Message::new(kinds::BAD_TEMPLATE, format!("cannot write field {} of {entry} so: {reason}", quoted(&reference.field)))
                .hint("nothing was written")
        }
        LaunchError::Variable(name) => Message::new(
            kinds::BAD_VARIABLE,
            format!("{} cannot be the name of a variable", quoted(&shortened(name))),
        )
        .hint("letters, digits and \"_\" are allowed, with no digit first"),
        LaunchError::NoVariable(name) => Message::new(
            kinds::BAD_VARIABLE,
            format!("no variable can be named after the rest of {}", quoted(name.as_str())),
        )
        .hint("name the variable: --env NAME=ENTRY; and leave this entry out with a longer --prefix"),
        LaunchError::Twice(name) => {
            Message::new(kinds::BAD_VARIABLE, format!("variable {} is set twice", quoted(&shortened(name))))
        }
        LaunchError::Steering(entry, name) => Message::new(
            kinds::BAD_VARIABLE,
            format!("refusing to set {name}, which steers programs, because entry {} is named so", quoted(entry.as_str())),
        )
        .hint(format!("if that is meant: --env {name}={}", word(entry.as_str()))),
        LaunchError::NotForVariable(name, problem) => {
            let reason = match problem {
                VariableProblem::Nul => "its value has a NUL",
                VariableProblem::NotUtf8 => "its value is not UTF-8 text",
                VariableProblem::TooLong => "its value is too long for one (128 KiB with the name)",
            };
            Message::new(kinds::NOT_FOR_VARIABLE, format!("cannot set variable {}: {reason}", quoted(name)))
                .hint(format!("nothing was started; hand it over as a file: --as-file {name}=ENTRY"))
        }
        LaunchError::NothingBelow(prefix, vault) => Message::new(
            kinds::NOTHING_BELOW,
            format!("no entry's name begins with {} in vault {}", quoted(&shortened(prefix)), quoted_path(vault)),
        ),
        LaunchError::Descriptor(number) => Message::new(
            kinds::INHERITED_DESCRIPTOR,
            format!("refusing to run: the program would inherit file descriptor {number}, and with it the passphrase"),
        )
        .hint("use --passphrase-file PATH, or a pipe"),
        LaunchError::NoMemory => Message::new(
            kinds::NO_MEMORY_FOR_FILES,
            "cannot make files in memory: XDG_RUNTIME_DIR and /dev/shm are none, and the system has no nameless files",
        )
        .hint("nothing was started; to allow a disk, name a folder: --files-in FOLDER"),
        LaunchError::NoProgram(program) => Message::new(
            kinds::PROGRAM_NOT_FOUND,
            format!("cannot run {}: it was not found", quoted(&program.to_string_lossy())),
        ),
        LaunchError::Lost(program, error) => caused(
            kinds::PROGRAM_LOST,
            &format!("{} was started, and it is not known how it ended", quoted(&program.to_string_lossy())),
            error,
        ),
        LaunchError::NotExecutable(program, error) => {
            caused(kinds::NOT_EXECUTABLE, &format!("cannot run {}", quoted(&program.to_string_lossy())), error)
        }
    }
}

/// Says that a value may be seen.
pub(super) fn not_masked(what: &str, why: Unmaskable) -> Message {
    let why = match why {
        Unmaskable::Short => "it has fewer than 4 bytes",
        Unmaskable::Long => "it has more than 1 MiB",
    };
    Message::new(kinds::NOT_MASKED, format!("the value for {what} is not masked: {why}"))
}

/// How the program ends if none was started, whatever the reason.
pub(super) fn not_started(message: Message) -> Message {
    match message.exit {
        Exit::NotExecutable | Exit::NoProgram => message,
        _ => message.ending(Exit::NotStarted),
    }
}

fn reference(error: ReferenceError) -> &'static str {
    match error {
        ReferenceError::Entry(error) | ReferenceError::Field(error) => name_reason(error),
        ReferenceError::NotUtf8 => "what \"%\" spells is not UTF-8",
    }
}

fn template(problem: &TemplateProblem) -> String {
    match problem {
        TemplateProblem::Open => "there is no }} to the {{".to_owned(),
        TemplateProblem::NotAReference => "what is in {{ }} does not begin with vault://".to_owned(),
        TemplateProblem::Reference(error) => format!("the reference names nothing: {}", reference(*error)),
        TemplateProblem::Form(form) => {
            format!("there is no form {}; there are plain, json, base64, shell", quoted(&shortened(form)))
        }
    }
}
