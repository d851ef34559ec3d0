//! Words for what goes wrong when passwords are moved from a keyring.

use vault_core::keys::keyring::KeyringError;

use super::Message;
use super::catalogue::{self as kinds};
use super::text::caused;
use crate::escape::{escaped, quoted, quoted_path};
use crate::failure::SourceFailure;

/// What is said. Most of it stands before anything was stored.
pub(super) fn message(failure: &SourceFailure) -> Message {
    match failure {
        SourceFailure::Desktop { collection, error } => desktop(collection.as_deref(), error),
        SourceFailure::Python { program, error } => {
            caused(kinds::SOURCE_FAILED, &format!("cannot run {}", quoted(&program.to_string_lossy())), error)
                .hint("name the Python that has the keyring with: --python PATH")
        }
        SourceFailure::Silent(name) => Message::new(
            kinds::SOURCE_LOCKED,
            format!("cannot read {name}: it gave no answer in time"),
        )
        .hint(UNCHANGED),
        SourceFailure::Ended(name) => Message::new(
            kinds::SOURCE_FAILED,
            format!("cannot read {name}: Python ended early, or said what cannot be understood"),
        ),
        SourceFailure::Locked { name, why } => {
            Message::new(kinds::SOURCE_LOCKED, format!("cannot read {name}: {}", escaped(why)))
                .hint("unlock it first; where it has a passphrase of its own: --source-passphrase-file PATH")
                .hint(UNCHANGED)
        }
        SourceFailure::Denied { name, file } => Message::new(
            kinds::SOURCE_DENIED,
            format!("cannot read {name}: its passphrase is another ({})", quoted(file)),
        )
        .hint(UNCHANGED),
        SourceFailure::Unlisted { name, backends } => Message::new(
            kinds::SOURCE_UNLISTED,
            format!("cannot import all of {name}: {} cannot list what it holds", escaped(backends)),
        )
        .hint("name what to import: --item SERVICE USERNAME, once for each; or --items PATH"),
        SourceFailure::Ours => Message::new(
            kinds::SOURCE_NOT_FOUND,
            "cannot import from Python's keyring: it uses the vault already",
        )
        .hint("name the backend that it used before, in PYTHON_KEYRING_BACKEND; or another source: secret-service, keyrings.alt, keyrings.cryptfile"),
        SourceFailure::NoBackend(backend) => Message::new(
            kinds::SOURCE_NOT_FOUND,
            format!("cannot import from Python's keyring: it keeps nothing ({})", escaped(backend)),
        ),
        SourceFailure::Absent { name, place } => {
            Message::new(kinds::SOURCE_NOT_FOUND, format!("there is no keyring of {name} at {}", escaped(place)))
                .hint(format!("name its file: vault import PATH --from {name}"))
        }
        SourceFailure::NoModule { program, module } => Message::new(
            kinds::SOURCE_FAILED,
            format!("{} has no module {}", quoted(&program.to_string_lossy()), quoted(module)),
        )
        .hint("name the Python that has the keyring with: --python PATH"),
        SourceFailure::Failed { name, why } => {
            Message::new(kinds::SOURCE_FAILED, format!("cannot read {name}: {}", escaped(why))).hint(UNCHANGED)
        }
        SourceFailure::Pairs { path, line } => Message::new(
            kinds::IMPORT_LIST,
            format!("line {line} of {} is not a service, a tab and a user", quoted_path(path)),
        ),
        SourceFailure::NotKept(name) => Message::new(
            kinds::SOURCE_CHANGED,
            format!("{} is not what was imported: somebody changed it meanwhile", quoted(name.as_str())),
        )
        .hint("nothing was deleted from the keyring; run the command again"),
        SourceFailure::Incomplete { left, remaining } => {
            let left = (*left > 0).then(|| format!("{left} not imported"));
            let remaining = (*remaining > 0).then(|| format!("{remaining} not deleted from the keyring"));
            let text: Vec<String> = left.into_iter().chain(remaining).collect();
            Message::new(kinds::NOT_IMPORTED, format!("the import is incomplete: {}", text.join(", ")))
        }
    }
}

/// A single item that stays where it is.
pub(super) fn left(what: &str, why: &str) -> Message {
    Message::new(kinds::NOT_IMPORTED, format!("cannot import {}: {}", quoted(what), escaped(why)))
}

/// A single item that should have been deleted.
pub(super) fn remaining(what: &str, why: &str) -> Message {
    Message::new(
        kinds::NOT_IMPORTED,
        format!("imported {}, but cannot delete it from the keyring: {}", quoted(what), escaped(why)),
    )
}

fn desktop(collection: Option<&str>, error: &KeyringError) -> Message {
    let what = "cannot read the Secret Service";
    match (error, collection) {
        (KeyringError::NoSuchCollection, Some(name)) => Message::new(
            kinds::SOURCE_NOT_FOUND,
            format!("the Secret Service has no collection {}", quoted(name)),
        ),
        (KeyringError::NoCollection, _) => Message::new(kinds::SOURCE_NOT_FOUND, format!("{what}: {error}"))
            .hint("name one with: --collection NAME"),
        (KeyringError::Locked | KeyringError::Dismissed, _) => {
            Message::new(kinds::SOURCE_LOCKED, format!("{what}: {error}"))
                .hint("unlock it first")
                .hint(UNCHANGED)
        }
        (error, _) => {
            Message::new(kinds::KEYRING_UNAVAILABLE, format!("{what}: {}", escaped(&error.to_string())))
        }
    }
}

const UNCHANGED: &str = "nothing was imported";
