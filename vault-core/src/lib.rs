//! One authenticated, encrypted text file of secrets.
//!
//! This crate knows no terminal, no environment and no daemon: paths, randomness and time are arguments.
//! docs/format.md is the specification of the file, docs/architecture.md the plan of the house.

// The bans of clippy.toml are for the program; its tests make and break files of their own.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod agent;
pub mod crypto;
pub mod error;
pub mod format;
pub mod item;
pub mod keys;
pub mod secret;
pub mod source;
pub mod store;
pub mod vault;
