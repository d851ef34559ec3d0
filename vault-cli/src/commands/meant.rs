//! Which command a line is of that was not understood: its error depends on it.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;

/// The command's name, and what follows it in one that has commands of its own. Slow: it asks for the whole grammar.
pub(super) fn command(arguments: &[OsString]) -> Option<Vec<String>> {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    let mut found = Vec::new();
    let mut words =
        arguments.iter().skip(1).map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    while let Some(word) = words.next() {
        if word.starts_with('-') && word.len() > 1 {
            if takes_next(command, &word) {
                words.next();
            }
            continue;
        }
        match command.find_subcommand(&*word) {
            Some(next) => command = next,
            None => break,
        }
        found.push(command.get_name().to_owned());
    }
    (!found.is_empty()).then_some(found)
}

/// Whether the next word is this option's value.
fn takes_next(command: &Command, word: &str) -> bool {
    let takes_value = |is: &dyn Fn(&Arg) -> bool| {
        command.get_arguments().any(|option| is(option) && option.get_action().takes_values())
    };
    match word.strip_prefix("--") {
        Some(name) => takes_value(&|option| option.get_long() == Some(name)),
        // Of several in one word, the first that takes a value has the rest of the word for it, if there is one.
        None => word
            .char_indices()
            .skip(1)
            .find(|(_, letter)| takes_value(&|option| option.get_short() == Some(*letter)))
            .is_some_and(|(at, letter)| at + letter.len_utf8() == word.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_known_before_its_line_is_understood() {
        let meant = |line: &str| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            command(&words).unwrap_or_default().join(" ")
        };
        for (line, wanted) in [
            ("vault run --bad", "run"),
            ("vault -f x --json run", "run"),
            ("vault --file=x -i id run -- get", "run"),
            ("vault -qf x run", "run"),
            ("vault -fx run", "run"),
            ("vault get run", "get"),
            ("vault -f run get x", "get"),
            ("vault ls --attr", "list"),
            ("vault slot --json add --kdf-time x", "slot add"),
            ("vault agent stop x", "agent stop"),
            ("vault", ""),
            ("vault --file run", ""),
            ("vault -- run", ""),
        ] {
            assert_eq!(meant(line), wanted, "{line}");
        }
        for option in Cli::command().get_arguments().filter(|option| option.get_action().takes_values()) {
            let name = option.get_long().unwrap();
            assert_eq!(meant(&format!("vault --{name} x run --bad")), "run", "{name}");
            assert_eq!(meant(&format!("vault --{name} run get")), "get", "{name}");
        }
    }
}
