//! One test binary; one module per concern.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod age_tool;
mod agent;
mod container;
mod crash;
mod documents;
mod doors;
mod git;
mod gitread;
mod hostile;
mod house;
mod login;
mod model;
mod readme;
mod reference;
mod slots;
mod tamper;
mod unlocking;
mod vectors;
