//! Words for what goes wrong with key slots.

use super::Message;
use super::catalogue as kinds;
use super::text::word;
use crate::escape::{escaped, quoted, quoted_path};
use crate::failure::SlotFailure;

/// What is said about a failure with key slots.
pub(super) fn message(failure: &SlotFailure) -> Message {
    match failure {
        SlotFailure::NoSuchSlot(label, labels) => {
            Message::new(kinds::SLOT_NOT_FOUND, format!("no key slot has the label {}", quoted(label)))
                .hint(format!("the key slots are: {}", escaped(&labels.join(", "))))
        }
        SlotFailure::LabelTaken(label) => label_taken(label.as_str()),
        SlotFailure::OneLabel => Message::new(
            kinds::USAGE,
            "cannot give one label to several key slots: --label is for one",
        )
        .hint("leave it out, and rename them: vault slot rename OLD NEW"),
        SlotFailure::NoKind => Message::new(kinds::USAGE, "cannot add a key slot: nothing says which kind")
            .hint("add: --age RECIPIENT, --ssh-key PATH, --from-authorized-keys PATH, --passphrase, --machine, --keyring or --recovery"),
        SlotFailure::OneOut => Message::new(
            kinds::USAGE,
            "cannot write a machine key and a recovery code into one file",
        )
        .hint("make the slots one by one"),
        SlotFailure::NothingForOut => Message::new(
            kinds::USAGE,
            "nothing to write with --out: it is for a machine key or a recovery code",
        ),
        SlotFailure::OnlySlot(label) => Message::new(
            kinds::LAST_SLOT,
            format!("refusing to remove {}: it is the only key slot, and nobody could open the vault", quoted(label)),
        )
        .hint("add another first: vault slot add"),
        SlotFailure::OnlyMachines => Message::new(
            kinds::LAST_SLOT,
            "refusing to rotate the master key: only machine keys open the vault, and the old ones would not any more",
        )
        .hint("write new ones, with: --machine-keys-out FOLDER; or add another way in first: vault slot add"),
        SlotFailure::OnlyUnknownLeft(label) => Message::new(
            kinds::LAST_SLOT,
            format!("refusing to remove {}: nothing that this version knows would open the vault", quoted(label)),
        )
        .hint("add another first: vault slot add"),
        SlotFailure::NeedsYes { what, why, option } => {
            Message::new(kinds::NEEDS_YES, format!("cannot {what} without being told twice: {why}"))
                .hint(format!("nothing was changed; if it is meant, add: {option}"))
        }
        SlotFailure::NotConfirmed(name) => Message::new(
            kinds::DECLINED,
            format!("nothing was changed: the vault's file is called {}", quoted(name)),
        ),
        SlotFailure::RecoveryNeedsOut => Message::new(
            kinds::NO_TERMINAL,
            "cannot show a recovery code: there is no terminal to show it on and to type it back",
        )
        .hint("write it into a file that only you can read: --out PATH"),
        SlotFailure::RecoveryNotTyped => Message::new(
            kinds::PROMPT_DIFFERENT,
            "nothing was changed: the code that you typed is not the one that was shown",
        )
        .hint("run the command again; it shows another code"),
        SlotFailure::NoPassphrase { label, kind } => Message::new(
            kinds::USAGE,
            format!("slot {} has no passphrase: it is of the kind {}", quoted(label), escaped(kind)),
        ),
        SlotFailure::NotOpenedBy(label) => Message::new(
            kinds::USAGE,
            format!("cannot keep the passphrase of slot {}: the vault was not unlocked with it", quoted(label)),
        )
        .hint(format!("unlock with it: --slot {}; or leave out --keep", word(label))),
        SlotFailure::ChangedMeanwhile(label) => Message::new(
            kinds::COMMIT_CONFLICT,
            format!("cannot change slot {}: another process changed it meanwhile", quoted(label)),
        )
        .hint("nothing was saved; run the command again"),
        SlotFailure::NoSshKeys(path) => Message::new(
            kinds::BAD_RECIPIENT,
            format!("no key in {} can be used: ssh-ed25519 and ssh-rsa can", quoted_path(path)),
        ),
        SlotFailure::SshKey { path, reason } => Message::new(
            kinds::BAD_RECIPIENT,
            format!("cannot use the ssh key in {}: {}", quoted_path(path), escaped(reason)),
        )
        .hint("give the public key, which ends in .pub"),
        SlotFailure::AllThere => {
            Message::new(kinds::LABEL_TAKEN, "nothing was added: there is a key slot for each of these already")
        }
        SlotFailure::KeyLost { label, error } => {
            let Message { text, causes, .. } = super::text::output(error);
            let mut message = Message::new(
                kinds::KEY_LOST,
                format!("slot {} was added, but its machine key is lost: {text}", quoted(label)),
            )
            .hint(format!("nobody has the key; make it again: vault slot remove {}", word(label)));
            message.causes = causes;
            message
        }
        SlotFailure::Rewrap(error) => {
            Message::new(kinds::SLOT_NOT_MADE, format!("cannot wrap the key slot anew: {error}"))
        }
        SlotFailure::Keyring { store, error } => Message::new(
            kinds::KEYRING_UNAVAILABLE,
            format!("cannot use the keyring {}: {}", quoted(store), escaped(&error.to_string())),
        )
        .hint("see which keyrings can be used here: vault backends"),
        SlotFailure::NoKeyring(reasons) => {
            let reasons: Vec<_> =
                reasons.iter().map(|(store, error)| format!("{store}: {}", escaped(&error.to_string()))).collect();
            Message::new(
                kinds::KEYRING_UNAVAILABLE,
                format!("no keyring can be used here: {}", reasons.join("; ")),
            )
            .hint("use another kind of slot: a machine key, a passphrase, an age or ssh key")
        }
        SlotFailure::SystemdCreds(reason) => Message::new(
            kinds::SYSTEMD_CREDS,
            format!("cannot encrypt the machine key with systemd-creds: {}", escaped(reason)),
        )
        .hint("nothing was changed"),
    }
}

/// What is said when a label is another slot's.
pub(super) fn label_taken(label: &str) -> Message {
    Message::new(kinds::LABEL_TAKEN, format!("a key slot has the label {} already", quoted(label)))
        .hint("nothing was changed; give another with --label, or rename that one: vault slot rename")
}
