//! `vault backends`.

use serde::Serialize;
use vault_core::crypto::random::SystemRandom;
use vault_core::keys::keyring::{Backend, OsKeyring, Prompts};

use super::Run;
use crate::cli::Backends;
use crate::failure::Failure;
use crate::message::Exit;

pub(super) fn run(run: &mut Run<'_>, _: &Backends) -> Result<Exit, Failure> {
    // Looking must not ask: a locked keyring is not viable now.
    let backends = OsKeyring::new(Prompts::Never).backends(&mut SystemRandom);
    if run.global.json {
        run.output.json(&Json { version: 1, backends: backends.iter().map(Listed::of).collect() })?;
    } else {
        run.output.lines(backends.iter().map(line))?;
    }
    Ok(Exit::Ok)
}

fn line(backend: &Backend) -> String {
    let Backend { store, description, priority, viable } = backend;
    match viable {
        Ok(()) => format!("{store} (priority {priority}): {description}"),
        Err(error) => format!("{store} (not usable here): {error}"),
    }
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    backends: Vec<Listed<'a>>,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    description: &'a str,
    viable: bool,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl<'a> Listed<'a> {
    fn of(backend: &'a Backend) -> Self {
        Self {
            name: backend.store.as_str(),
            description: backend.description,
            viable: backend.viable.is_ok(),
            priority: backend.priority,
            reason: backend.viable.as_ref().err().map(ToString::to_string),
        }
    }
}
