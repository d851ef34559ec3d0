//! Nothing: the tests are in `tests`, and `build.rs` finds those of the keyring crate.
