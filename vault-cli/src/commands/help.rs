//! `vault help [TOPIC]`.

use clap::CommandFactory;

use super::Run;
use crate::cli::{Cli, Help};
use crate::context::config;
use crate::failure::Failure;
use crate::message::{Exit, exit_codes};
use crate::policy;

pub(super) fn run(run: &mut Run<'_>, arguments: &Help) -> Result<Exit, Failure> {
    let words: Vec<_> = arguments.topic.iter().map(String::as_str).collect();
    let text = match words[..] {
        [] => Cli::grammar().render_long_help().to_string(),
        ["exit-codes"] => exit_codes(),
        ["config"] => config::help(),
        ["policy"] => policy::help(),
        _ => command_help(&words)?,
    };
    run.output.text(&text)?;
    Ok(Exit::Ok)
}

/// The help on a command, or on what is done with a second word: `slot add`.
fn command_help(words: &[&str]) -> Result<String, Failure> {
    let mut root = Cli::command();
    // Makes the global options known to the commands.
    root.build();
    let mut command = &mut root;
    for word in words {
        let unknown = || Failure::UnknownTopic(words.join(" "));
        command = command.find_subcommand_mut(word).ok_or_else(unknown)?;
    }
    Ok(command.render_long_help().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_explained() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command_help(&[name]).ok().unwrap();
            assert!(help.contains("Usage: vault") && help.contains("--file"), "{name}");
            for second in command.get_subcommands() {
                let help = command_help(&[name, second.get_name()]).ok().unwrap();
                assert!(help.contains(&format!("Usage: vault {name} {}", second.get_name())), "{help}");
            }
        }
        assert!(matches!(command_help(&["get", "nonsense"]), Err(Failure::UnknownTopic(_))));
        assert!(matches!(command_help(&["nonsense"]), Err(Failure::UnknownTopic(_))));
    }
}
