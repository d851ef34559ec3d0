//! The vault command.
#![allow(dead_code)]
mod buffer;
mod codec;
mod escape;
mod input;
mod output;
mod password;
mod prompt;
mod size;
mod sys;
mod time;
fn main() {}
