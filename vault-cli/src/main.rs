//! The vault command.
fn main() {}
