//! Bytes to structs and back, as docs/format.md has them. No keys, no files: nothing here can open anything.

pub mod slot;
pub mod text;
