//! `vault completions SHELL`.

use clap::CommandFactory;

use super::Run;
use crate::cli::{Cli, Completions};
use crate::failure::Failure;
use crate::message::Exit;

pub(super) fn run(run: &mut Run<'_>, arguments: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "vault", &mut script);
    run.output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
