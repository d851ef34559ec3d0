//! What can be said of a slot from its line.

use vault_core::format::slot::{RecipientText, SlotKind};
use vault_core::keys::age::PostQuantum;

use super::kdf::passes;
use crate::size::shown;

/// Whether what is wrapped for a recipient withstands a quantum computer, as it is shown. Of a plugin's, only the plugin
/// knows.
pub(in crate::commands) fn strength(recipient: &RecipientText) -> &'static str {
    match recipient.post_quantum() {
        PostQuantum::Yes => "hybrid",
        PostQuantum::No => "classical",
        PostQuantum::Unknown => "plugin",
    }
}

/// What a try of its passphrase costs, or which keyring has its key; nothing of other kinds.
pub(in crate::commands) fn detail(kind: &SlotKind) -> Option<String> {
    match kind {
        SlotKind::Passphrase(sealed) | SlotKind::Recovery(sealed) => {
            Some(format!("{}, {}", shown(u64::from(sealed.memory_kib) * 1024), passes(sealed.passes)))
        }
        SlotKind::Keyring(sealed) => Some(sealed.store.as_str().to_owned()),
        _ => None,
    }
}
