//! What can be said of a slot from its line.

use vault_core::format::slot::SlotKind;

use super::kdf::passes;
use crate::size::shown;

/// Whether what is wrapped for a recipient withstands a quantum computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Strength {
    /// It does not.
    Classical,
    /// It does: X25519 with ML-KEM-768, or what a plugin calls post-quantum.
    Hybrid,
    /// A plugin knows.
    Unknown,
}

impl Strength {
    /// As it is shown.
    pub(in crate::commands) fn text(self) -> &'static str {
        match self {
            Self::Classical => "classical",
            Self::Hybrid => "hybrid",
            Self::Unknown => "plugin",
        }
    }
}

/// What the text of a recipient says.
pub(in crate::commands) fn strength(recipient: &str) -> Strength {
    let kind = recipient.rsplit_once('1').map_or(recipient, |(kind, _)| kind);
    match kind {
        "age1pq" | "age1tagpq" => Strength::Hybrid,
        "age" | "age1tag" => Strength::Classical,
        _ if recipient.starts_with("ssh-") => Strength::Classical,
        _ => Strength::Unknown,
    }
}

/// What a try of its passphrase costs; nothing if it has none.
pub(in crate::commands) fn cost(kind: &SlotKind) -> Option<String> {
    match kind {
        SlotKind::Passphrase(sealed) | SlotKind::Recovery(sealed) => {
            Some(format!("{}, {}", shown(u64::from(sealed.memory_kib) * 1024), passes(sealed.passes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_s_text_tells_its_strength() {
        for (recipient, expected) in [
            ("age1qqqq", Strength::Classical),
            ("age1pq1qqqq", Strength::Hybrid),
            ("age1tag1qqqq", Strength::Classical),
            ("age1tagpq1qqqq", Strength::Hybrid),
            ("age1yubikey1qqqq", Strength::Unknown),
            ("ssh-ed25519:AAAA1x", Strength::Classical),
            ("ssh-rsa:AAAA", Strength::Classical),
        ] {
            assert_eq!(strength(recipient), expected, "{recipient}");
        }
    }
}
