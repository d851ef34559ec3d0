//! One test binary; one module per concern.

mod reference;
mod vectors;
