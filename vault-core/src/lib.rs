//! One authenticated, encrypted text file of secrets.
//!
//! This crate knows no terminal, no environment and no daemon: paths, randomness and time are arguments.
//! docs/format.md is the specification of the file, docs/architecture.md the plan of the house.

pub mod crypto;
pub mod secret;
pub mod source;
pub mod store;
