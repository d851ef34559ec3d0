//! The `vault` binary from outside.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "all of this is test code, helpers too"
)]

#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/entries.rs"]
mod entries;
#[path = "cli/formats.rs"]
mod formats;
#[path = "cli/guards.rs"]
mod guards;
#[path = "cli/integrity.rs"]
mod integrity;
#[path = "cli/launch.rs"]
mod launch;
#[path = "cli/pins.rs"]
mod pins;
#[path = "cli/reports.rs"]
mod reports;
#[path = "cli/secrecy.rs"]
mod secrecy;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/unlocking.rs"]
mod unlocking;
