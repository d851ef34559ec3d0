//! What the end-to-end tests share: vaults in memory, the reader in Python, and one description that both readers give.

pub mod canonical;
pub mod fixture;
pub mod oracle;
pub mod probing;
pub mod python;
