//! One test binary; one module per concern.

mod age_tool;
mod hostile;
mod model;
mod reference;
mod tamper;
mod vectors;
