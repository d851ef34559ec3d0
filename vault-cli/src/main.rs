//! The vault command.
#![allow(dead_code)]
mod buffer;
mod cli;
mod codec;
mod context;
mod escape;
mod input;
mod output;
mod password;
mod prompt;
mod size;
mod sys;
mod time;
fn main() {}
