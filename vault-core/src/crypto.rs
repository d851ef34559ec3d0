//! Every cryptographic primitive of the format, with all parameters chosen; nothing here is configurable.
//!
//! The only module that imports RustCrypto crates. Formulas are in the notation of docs/format.md.

pub mod aead;
pub mod derive;
pub mod hash;
pub mod hybrid;
pub mod kdf;
pub mod pad;
pub mod random;
