//! One test binary; one module per concern.

mod age_tool;
mod reference;
mod tamper;
mod vectors;
