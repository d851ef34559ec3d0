//! `vault help [TOPIC]`.

use clap::CommandFactory;

use super::Run;
use crate::cli::{Cli, Help};
use crate::context::config;
use crate::failure::Failure;
use crate::message::{Exit, exit_codes};
use crate::policy;

pub(super) fn run(run: &mut Run<'_>, arguments: &Help) -> Result<Exit, Failure> {
    let text = match arguments.topic.as_deref() {
        None => Cli::grammar().render_long_help().to_string(),
        Some("exit-codes") => exit_codes(),
        Some("config") => config::help(),
        Some("policy") => policy::help(),
        Some(topic) => command_help(topic)?,
    };
    run.output.text(&text)?;
    Ok(Exit::Ok)
}

fn command_help(topic: &str) -> Result<String, Failure> {
    let mut root = Cli::command();
    // Makes the global options known to the commands.
    root.build();
    let unknown = || Failure::UnknownTopic(topic.to_owned());
    let command = root.find_subcommand_mut(topic).ok_or_else(unknown)?;
    Ok(command.render_long_help().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_explained() {
        for command in Cli::command().get_subcommands() {
            let help = command_help(command.get_name()).ok().unwrap();
            assert!(help.contains("Usage: vault") && help.contains("--file"), "{}", command.get_name());
        }
        assert!(matches!(command_help("nonsense"), Err(Failure::UnknownTopic(_))));
    }
}
