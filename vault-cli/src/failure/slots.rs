//! What can go wrong with key slots.

use std::path::PathBuf;

use vault_core::format::slot::Label;
use vault_core::keys::RewrapError;
use vault_core::keys::keyring::KeyringError;

use crate::output::OutputError;

/// Why key slots were not changed, or not used.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum SlotFailure {
    /// No slot has this label; these do.
    NoSuchSlot(String, Vec<String>),
    /// Another slot has the label.
    LabelTaken(Label),
    /// `--label`, and more than one slot.
    OneLabel,
    /// Nothing says what kind of slot.
    NoKind,
    /// `--out` can hold one thing.
    OneOut,
    /// `--out`, and nothing to write there.
    NothingForOut,
    /// It is the only slot.
    OnlySlot(String),
    /// A rotation would leave nothing that opens the vault.
    OnlyMachines,
    /// What would be left, nothing here knows how to open.
    OnlyUnknownLeft(String),
    /// Somebody has to say yes, and there is nobody to ask.
    NeedsYes {
        /// What is to be done, after "cannot".
        what: String,
        /// Why somebody has to say yes.
        why: String,
        /// The option that says it.
        option: String,
    },
    /// What was typed, or given with `--confirm`, is not the vault's file name.
    NotConfirmed(String),
    /// A recovery code needs a terminal, or a file.
    RecoveryNeedsOut,
    /// The code that was typed back is not the one that was shown.
    RecoveryNotTyped,
    /// A slot of this kind has no passphrase to change.
    NoPassphrase {
        /// Its label.
        label: String,
        /// Its kind.
        kind: String,
    },
    /// `--keep`, and something else opened the vault.
    NotOpenedBy(String),
    /// The slot is not what it was when this run began.
    ChangedMeanwhile(String),
    /// No usable ssh key in the file.
    NoSshKeys(PathBuf),
    /// What is in the file is not one ssh public key.
    SshKey {
        /// The file.
        path: PathBuf,
        /// Why, in words.
        reason: String,
    },
    /// Every recipient has a slot already.
    AllThere,
    /// The slot was added, but its machine key could not be given out.
    KeyLost {
        /// The slot.
        label: String,
        /// Why.
        error: OutputError,
    },
    /// The slot's recipient cannot be wrapped for.
    Rewrap(RewrapError),
    /// A keyring that was named or found does not do.
    Keyring {
        /// Its name.
        store: String,
        /// Why.
        error: KeyringError,
    },
    /// No keyring here does, each for its reason.
    NoKeyring(Vec<(String, KeyringError)>),
    /// systemd-creds did not encrypt.
    SystemdCreds(String),
}
