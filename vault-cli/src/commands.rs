//! The verbs: one file each, named as the verb.

mod completions;
mod generate;
mod help;
mod man;

use std::path::PathBuf;

use crate::cli::{Cli, Command, Global};
use crate::context::Environment;
use crate::failure::Failure;
use crate::input::StdinClaim;
use crate::message::{Exit, Voice};
use crate::output::Output;
use crate::prompt::Prompt;

/// What every command works with.
pub(crate) struct Run<'a> {
    pub(crate) global: &'a Global,
    pub(crate) environment: Environment,
    pub(crate) folder: PathBuf,
    pub(crate) stdin: StdinClaim,
    pub(crate) prompt: Prompt,
    pub(crate) output: Output,
    pub(crate) voice: Voice,
    pub(crate) now: u64,
}

/// Does what was asked for.
///
/// # Errors
/// Every [`Failure`].
pub(crate) fn run(cli: &Cli, voice: Voice) -> Result<Exit, Failure> {
    crate::sys::harden::process().map_err(Failure::Hardening)?;
    let mut run = Run {
        global: &cli.global,
        environment: Environment::of_process(),
        folder: std::env::current_dir().map_err(Failure::CurrentFolder)?,
        stdin: StdinClaim::of_process(),
        prompt: if cli.global.no_input { Prompt::never() } else { Prompt::on_terminal() },
        output: Output::of_process(),
        voice,
        now: crate::time::now(),
    };
    match &cli.command {
        Command::Generate(arguments) => generate::run(&mut run, arguments),
        Command::Completions(arguments) => completions::run(&mut run, arguments),
        Command::Man(arguments) => man::run(&mut run, arguments),
        Command::Help(arguments) => help::run(&mut run, arguments),
        _ => todo!(),
    }
}
