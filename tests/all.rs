//! One test binary; one module per concern.

mod documents;
mod house;
mod readme;
