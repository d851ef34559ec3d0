//! One test binary; one module per concern.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod age_tool;
mod hostile;
mod model;
mod reference;
mod tamper;
mod vectors;
