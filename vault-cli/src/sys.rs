//! System calls that shape the process itself.

pub(crate) mod askpass;
pub(crate) mod child;
pub(crate) mod creds;
pub(crate) mod detach;
pub(crate) mod editor;
pub(crate) mod folder;
pub(crate) mod git;
pub(crate) mod harden;
pub(crate) mod host;
pub(crate) mod login;
pub(crate) mod probe;
pub(crate) mod python;
pub(crate) mod revisions;
