//! clap's errors in this program's shape. What was typed is repeated only where it cannot be a secret.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Message;
use super::catalogue as kinds;
use crate::escape::escaped;

/// What is said about a command line that is not understood.
pub(super) fn message(error: &clap::Error) -> Message {
    let rendered = error.render().to_string();
    let mut message = Message::new(kinds::USAGE, text(error, &rendered));
    // A tip to pass what was typed as a value repeats it.
    let tips = rendered.lines().filter_map(|line| line.trim_start().strip_prefix("tip: "));
    for tip in tips.filter(|tip| !tip.starts_with("to pass ")) {
        message = message.hint(escaped(tip));
    }
    let usage = rendered.lines().find_map(|line| line.strip_prefix("Usage: "));
    match usage {
        Some(usage) => message.hint(format!("usage: {}", escaped(usage))),
        // clap shows no usage where a value is wrong; which command was meant is known all the same.
        None => match error.get(ContextKind::Custom) {
            Some(ContextValue::String(command)) => message.hint(format!("see: vault help {command}")),
            _ => message.hint("see: vault --help"),
        },
    }
}

fn text(error: &clap::Error, rendered: &str) -> String {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(argument))) => match argument
            .strip_prefix("--")
        {
            Some(option) => {
                format!("unexpected option \"--{}\"", escaped(option.split('=').next().unwrap_or_default()))
            }
            // It may be a secret, typed where none is taken.
            None if !argument.starts_with('-') => "unexpected further argument".to_owned(),
            None => "unexpected short option".to_owned(),
        },
        (ErrorKind::TooManyValues, Some(ContextValue::String(option))) => {
            format!("unexpected value for {}, which takes none", escaped(option))
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(ContextValue::String(option))) => {
            let reason = match (error.get(ContextKind::ValidValue), std::error::Error::source(error)) {
                (Some(ContextValue::Strings(values)), _) if !values.is_empty() => {
                    format!("it is one of {}", values.join(", "))
                }
                (_, Some(reason)) => reason.to_string(),
                _ => "it needs another one".to_owned(),
            };
            format!("cannot use the value of {}: {}", escaped(option), escaped(&reason))
        }
        _ => first_paragraph(rendered),
    }
}

fn first_paragraph(rendered: &str) -> String {
    let lines: Vec<_> = rendered.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    escaped(text).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn said(arguments: &[&str]) -> (String, Vec<String>) {
        let error = Cli::try_parse_from(["vault"].iter().chain(arguments)).unwrap_err();
        let message = message(&error);
        assert_eq!(message.kind.exit.number(), 2);
        (message.text, message.hints)
    }

    #[test]
    fn clap_s_errors_have_this_program_s_shape() {
        let (text, hints) = said(&["get"]);
        assert!(text.starts_with("the following required arguments were not provided: <NAME>"), "{text}");
        assert!(hints.last().unwrap().starts_with("usage: vault get"), "{hints:?}");
        let (text, hints) = said(&["lisst"]);
        assert!(text.contains("'lisst'"), "{text}");
        assert!(hints.iter().any(|hint| hint.contains("'list'")), "{hints:?}");
        assert_eq!(said(&["list", "--colour=x"]).0, "unexpected option \"--colour\"");
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for arguments in [
            &["generate", "name", "hunter2"][..],
            &["get", "name", "field", "hunter2"],
            &["edit", "name", "hunter2"],
            &["edit", "name", "-phunter2"],
            &["init", "--pass=hunter2"],
            &["set", "name", "--raw=hunter2"],
            &["set", "--raw=hunter2", "name"],
            &["init", "--passphrase=hunter2"],
            &["generate", "name", "--print=hunter2"],
            &["list", "--attr", "hunter2"],
            &["edit", "name", "--attr", "hunter2"],
            &["list", "--token=hunter2"],
            &["list", "--color=hunter2"],
            &["list", "--passphrase-fd=hunter2"],
        ] {
            let (text, hints) = said(arguments);
            assert!(!text.contains("hunter2") && !hints.concat().contains("hunter2"), "{text} {hints:?}");
        }
    }

    #[test]
    fn control_characters_of_arguments_are_escaped() {
        let (text, _) = said(&["\x1b[2J\u{202e}gte"]);
        assert!(!text.contains(['\x1b', '\u{202e}']) && text.contains("\\u{202e}"), "{text}");
    }
}
