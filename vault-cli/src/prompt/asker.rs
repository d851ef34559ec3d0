//! What age plugins and ssh keys want to know, asked at the terminal. Their words may hold anything, and are escaped.

use std::sync::{Arc, Mutex, PoisonError};

use vault_core::keys::ask::{Ask, Asker};
use vault_core::secret::Secret;

use super::{Prompt, PromptError};
use crate::escape::escaped;

/// Somebody at the terminal; messages are shown by `show`.
pub(crate) fn asker(show: impl Fn(&str) + Send + Sync + 'static) -> Asker {
    Arc::new(AtTerminal { prompt: Mutex::new(Prompt::on_terminal()), show: Box::new(show) })
}

struct AtTerminal {
    prompt: Mutex<Prompt>,
    show: Box<dyn Fn(&str) + Send + Sync>,
}

impl AtTerminal {
    fn ask<T>(&self, ask: impl FnOnce(&mut Prompt) -> Result<T, PromptError>) -> Option<T> {
        let mut prompt = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = ask(&mut prompt);
        // Whoever holds this may hold it for as long as the process lives.
        prompt.release();
        answer.ok()
    }
}

impl Ask for AtTerminal {
    fn show(&self, message: &str) {
        (self.show)(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.map(|no| format!(", else: {no}")).unwrap_or_default();
        let question = format!("{message} ({yes}{no})");
        self.ask(|prompt| prompt.confirm(&escaped(&question)))
    }

    fn text(&self, message: &str) -> Option<String> {
        let typed = self.ask(|prompt| prompt.line(&escaped(message)))?;
        Some(String::from_utf8_lossy(typed.expose()).into_owned())
    }

    fn secret(&self, message: &str) -> Option<Secret> {
        self.ask(|prompt| prompt.hidden_line(&escaped(message)))
    }
}
