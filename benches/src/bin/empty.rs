//! An empty program, built as `vault` is: what starting a process costs at least.

fn main() {}
