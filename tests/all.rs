//! One test binary; one module per concern.

mod git;
