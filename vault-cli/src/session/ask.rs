//! Answers for plugins, and for ssh keys with a passphrase: they ask at the terminal, when a slot is tried and not before.

use std::sync::{Arc, Mutex, PoisonError};

use vault_core::keys::ask::{Ask, Asker, cannot_ask};
use vault_core::keys::keyring::{OsKeyring, Prompts};
use vault_core::secret::Secret;

use crate::commands::Run;
use crate::escape::escaped;
use crate::prompt::Prompt;

/// Whoever can be asked in this run.
pub(crate) fn asker(run: &mut Run<'_>) -> Asker {
    if run.prompt.can_ask() { Arc::new(AtTerminal(Mutex::new(Prompt::on_terminal()))) } else { cannot_ask() }
}

/// The keyrings of this machine: they may ask somebody to unlock them only if somebody is there.
pub(crate) fn keyrings(run: &mut Run<'_>) -> OsKeyring {
    OsKeyring::new(if run.prompt.can_ask() { Prompts::Allowed } else { Prompts::Never })
}

struct AtTerminal(Mutex<Prompt>);

impl AtTerminal {
    fn prompt(&self) -> std::sync::MutexGuard<'_, Prompt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ask for AtTerminal {
    fn show(&self, message: &str) {
        // A message that cannot be shown is no reason to fail.
        let _ = self.prompt().say(&escaped(message));
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let (message, yes) = (escaped(message), escaped(yes));
        let Some(no) = no.map(escaped) else {
            self.prompt().shown(&format!("{message} [return: {yes}] ")).ok()?;
            return Some(true);
        };
        let typed = self.prompt().shown(&format!("{message} [{yes}/{no}] ")).ok()?;
        match typed.expose() {
            typed if typed == yes.as_bytes() || typed == b"y" => Some(true),
            typed if typed == no.as_bytes() || typed == b"n" => Some(false),
            _ => None,
        }
    }

    fn text(&self, message: &str) -> Option<String> {
        let typed = self.prompt().shown(&format!("{}: ", escaped(message))).ok()?;
        String::from_utf8(typed.expose().to_vec()).ok()
    }

    fn secret(&self, message: &str) -> Option<Secret> {
        self.prompt().hidden_line(&escaped(message)).ok()
    }
}
