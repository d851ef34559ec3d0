//! Doors: ways in for programs that speak another protocol than this one's. Each speaks to `session` alone.

pub(crate) mod files;
pub(crate) mod items;
pub(crate) mod keyring;
pub(crate) mod python;
pub(crate) mod sources;
