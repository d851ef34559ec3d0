//! Labels for new slots.

use std::collections::BTreeSet;

use vault_core::format::slot::{Label, SlotLine};

use crate::failure::SlotFailure;

/// Labels that are taken.
#[derive(Default)]
pub(in crate::commands) struct Labels(BTreeSet<String>);

impl Labels {
    /// Those of these slots.
    pub(in crate::commands) fn of(slots: &[SlotLine]) -> Self {
        Self(slots.iter().map(|slot| slot.label.as_str().to_owned()).collect())
    }

    /// This label.
    ///
    /// # Errors
    /// [`SlotFailure::LabelTaken`].
    pub(super) fn take(&mut self, label: &Label) -> Result<Label, SlotFailure> {
        if self.0.insert(label.as_str().to_owned()) {
            Ok(label.clone())
        } else {
            Err(SlotFailure::LabelTaken(label.clone()))
        }
    }

    /// A label that is free: `age`, `age-2`, `age-3`.
    pub(super) fn next(&mut self, base: &str) -> Label {
        let base = &base[..base.len().min(MAX_BASE)];
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let free = std::iter::once(base.to_owned()).chain(numbered).find(|label| !self.0.contains(label));
        let label = free.expect("there is no end of numbers");
        self.0.insert(label.clone());
        Label::parse(&label).expect("letters, a hyphen and digits are a label")
    }
}

/// What of a text can be a label; `otherwise` if nothing can.
pub(super) fn like(text: &str, otherwise: &str) -> String {
    let kept = |character: char| match character {
        character if character.is_ascii_alphanumeric() || "._@-".contains(character) => character,
        _ => '-',
    };
    let label: String = text.chars().map(kept).take(MAX_BASE).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { otherwise.to_owned() } else { label.to_owned() }
}

/// Leaves room for a number within the 64 characters of a label.
const MAX_BASE: usize = 58;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbered_from_the_second_on() {
        let mut labels = Labels::default();
        let three: Vec<_> = (0..3).map(|_| labels.next("age").as_str().to_owned()).collect();
        assert_eq!(three, ["age", "age-2", "age-3"]);
        assert!(labels.take(&Label::parse("age-2").unwrap()).is_err());
        assert!(labels.take(&Label::parse("age-4").unwrap()).is_ok());
    }

    #[test]
    fn any_comment_becomes_a_label() {
        for (comment, label) in [
            ("alice@laptop", "alice@laptop"),
            ("Bob's key", "Bob-s-key"),
            ("  ", "ssh"),
            ("\u{202e}x", "x"),
            ("", "ssh"),
        ] {
            assert_eq!(like(comment, "ssh"), label);
        }
        let long = like(&"y".repeat(500), "ssh");
        let mut labels = Labels::default();
        for _ in 0..64 {
            labels.next(&long);
        }
    }
}
