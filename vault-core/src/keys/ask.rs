//! What an age plugin or the passphrase of an ssh key has to be asked for: the program answers, core has no terminal.

use std::sync::Arc;

use crate::secret::Secret;

/// Whoever can be asked while a slot is made or opened.
///
/// Messages come from plugins: they are somebody else's text and may hold control characters. `None` means that nobody
/// can be asked, or that the person declined; the two are the same for the one who asks.
pub trait Ask: Send + Sync {
    /// Shows a message: "touch your key".
    fn show(&self, message: &str);

    /// A question with one or two answers. `Some(true)` is `yes`.
    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool>;

    /// Some text that is no secret.
    fn text(&self, message: &str) -> Option<String>;

    /// A secret: a PIN, a passphrase.
    fn secret(&self, message: &str) -> Option<Secret>;
}

/// Shared by all identities of one unlock.
pub type Asker = Arc<dyn Ask>;

/// Nobody is there: every question is declined at once, and no message is shown.
pub struct CannotAsk;

impl Ask for CannotAsk {
    fn show(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn text(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&self, _: &str) -> Option<Secret> {
        None
    }
}

/// [`CannotAsk`], to be handed on.
#[must_use]
pub fn cannot_ask() -> Asker {
    Arc::new(CannotAsk)
}
