//! Which texts are real: what `git merge` makes of branches, and which states a log can stand for.

use crate::fixture::Fixture;

/// Two branches of a vault that change pages of their own.
///
/// # Panics
/// If no two names of many stand in different pages.
#[must_use]
pub fn two_branches(base: &Fixture) -> (Fixture, Fixture) {
    let ours = base.set("branch/ours", b"ours");
    for i in 0..1_000 {
        let theirs = base.set(&format!("branch/theirs/{i}"), b"theirs");
        if merge_text(base, &ours, &theirs).is_some() {
            return (ours, theirs);
        }
    }
    panic!("no two names of a thousand stand in different pages");
}

/// What a text merge of two branches makes: section by section, what one side changed. `None` is a conflict.
///
/// This is coarser than git, which also merges changes of one section that do not touch: sections are what the format
/// promises.
#[must_use]
pub fn merge_text(base: &Fixture, ours: &Fixture, theirs: &Fixture) -> Option<Fixture> {
    let [base_parts, our_parts, their_parts] = [base, ours, theirs].map(|side| sections(&side.text));
    if base_parts.len() != our_parts.len() || base_parts.len() != their_parts.len() {
        return None;
    }
    let mut merged = Vec::new();
    for ((base, ours), theirs) in base_parts.iter().zip(&our_parts).zip(&their_parts) {
        if ours == base || ours == theirs {
            merged.extend_from_slice(theirs);
        } else if theirs == base {
            merged.extend_from_slice(ours);
        } else {
            return None;
        }
    }
    Some(base.with(merged))
}

/// The text in its sections, each with its fixed line: the header is the first.
#[must_use]
pub fn sections(text: &[u8]) -> Vec<Vec<u8>> {
    let mut sections = vec![Vec::new()];
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let fixed = line == b"slots\n" || line.starts_with(b"log ") || line.starts_with(b"page ");
        if fixed {
            sections.push(Vec::new());
        }
        sections.last_mut().expect("there is one from the start").extend_from_slice(line);
    }
    sections
}
