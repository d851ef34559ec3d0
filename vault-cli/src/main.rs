//! The vault command: parse, resolve, run, report.
// The bans of clippy.toml are for the program; its tests make and break files of their own.
#![cfg_attr(test, allow(clippy::disallowed_methods))]
mod agent;
mod buffer;
mod cli;
mod codec;
mod commands;
mod context;
mod doors;
mod escape;
mod failure;
mod input;
mod mask;
mod message;
mod output;
mod password;
mod pattern;
mod policy;
mod prompt;
mod scan;
mod session;
mod size;
mod sys;
mod template;
mod time;

fn main() -> std::process::ExitCode {
    message::report_bugs();
    commands::start(std::env::args_os().collect())
}
