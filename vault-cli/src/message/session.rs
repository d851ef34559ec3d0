//! Words for what goes wrong with the vault itself.

use std::path::Path;

use vault_core::error::{EditError, VerifyError};
use vault_core::format::lines::FormatError;
use vault_core::keys::{Unavailable, UnlockError};
use vault_core::store::{ReplaceError, StoreError};
use vault_core::vault::UnlockFailure;
use vault_core::vault::pin::SlotNews;
use vault_core::vault::salvage::SalvageError;

use super::catalogue::{self as kinds, Kind};
use super::text::{caused, word};
use super::{Message, git, slots};
use crate::context::attributes;
use crate::escape::{escaped, quoted, quoted_path};
use crate::failure::SlotFailure;
use crate::input::Place;
use crate::policy::{PolicyError, Problem};
use crate::session::{PinError, SessionError, Unpinned};
use crate::size::shown;

/// What is said when a vault cannot be used.
pub(super) fn message(error: &SessionError) -> Message {
    match error {
        SessionError::Store(path, error) => store(path, error),
        SessionError::Format(path, error) => format(path, error),
        SessionError::Verify(path, error) => verify(path, error),
        SessionError::Unlock { path, reason, slots } => unlock(path, reason, slots),
        SessionError::OtherState { path, reason, slots } => unlock(path, reason, slots).hint(
            "this is an older state: if the vault was rotated since, only what opened it then opens it",
        ),
        SessionError::Locked { path, passphrase, empty } => {
            let message = locked(path, *passphrase);
            match empty {
                Some(name) => message.hint(format!("{name} is set but empty, which counts as not set")),
                None => message,
            }
        }
        SessionError::Identities(place, error) => Message::new(
            kinds::BAD_IDENTITIES,
            format!("cannot use the identities in {}: {error}", from(place)),
        ),
        SessionError::MachineKey(place, error) => Message::new(
            kinds::BAD_IDENTITIES,
            format!("cannot use the machine key in {}: {error}", from(place)),
        ),
        SessionError::RecoveryCode(place, error) => Message::new(
            kinds::BAD_IDENTITIES,
            format!("cannot use the recovery code in {}: {error}", from(place)),
        )
        .hint("nothing was tried; compare it with the paper, group by group"),
        SessionError::Rotate(path, error) => {
            let message = Message::new(
                kinds::SLOT_NOT_MADE,
                format!("cannot rotate vault {}: {}", quoted_path(path), escaped(&error.to_string())),
            );
            message.hint(
                "nothing was changed; a slot that cannot be wrapped for can be removed: vault slot remove",
            )
        }
        SessionError::Slot(error) => {
            Message::new(kinds::SLOT_NOT_MADE, format!("cannot make a key slot: {error}"))
        }
        SessionError::Label(label) => {
            Message::new(kinds::BAD_LABEL, format!("{} cannot be the label of a key slot", quoted(label)))
                .hint("a label has 1 to 64 letters, digits, and \".\", \"_\", \"@\", \"-\"")
        }
        SessionError::Replaced(path) => Message::new(
            kinds::COMMIT_CONFLICT,
            format!("cannot change vault {}: it was rotated or replaced meanwhile", quoted_path(path)),
        )
        .hint("nothing was saved; run the command again"),
        SessionError::SlotChanged(label) => slots::message(&SlotFailure::ChangedMeanwhile(label.clone())),
        SessionError::ChangedMeanwhile(name) => Message::new(
            kinds::COMMIT_CONFLICT,
            format!(
                "cannot store {}: another process changed it while you were editing",
                quoted(name.as_str())
            ),
        )
        .hint("your value was not saved; run the command again"),
        SessionError::InConflict(name) => Message::new(
            kinds::IN_CONFLICT,
            format!("cannot give out {}: it has several versions after a merge", quoted(name.as_str())),
        )
        .hint(format!(
            "see them with: vault show {name}; settle it with: vault resolve {name}; or read one: vault get {name} --ours, --theirs 1",
            name = word(name.as_str())
        )),
        SessionError::FieldExists(name, field) => Message::new(
            kinds::ENTRY_EXISTS,
            format!("cannot store {}: its field {} exists already", quoted(name.as_str()), quoted(field)),
        )
        .hint("nothing was changed"),
        SessionError::Edit(path, error) => edit(path, error),
        SessionError::Merge { path, error } => git::merge(path, error),
        SessionError::Pick { path, deed, error } => git::pick(path, deed, error),
        SessionError::Save(path, error) => save(path, error),
        SessionError::Pin(path, error) => pin(path, error),
        SessionError::Salvage(path, SalvageError::Format(error)) => format(path, error),
        SessionError::Salvage(path, SalvageError::Denied(error)) => {
            unlock(path, &UnlockFailure::Denied(error.clone()), &[])
        }
        SessionError::Salvage(path, error) => {
            Message::new(kinds::NOTHING_TO_SALVAGE, format!("cannot salvage {}: {error}", quoted_path(path)))
        }
        SessionError::Agent(error) => super::agent::message(error),
        SessionError::Policy(error) => policy(error),
        SessionError::AgainstPolicy { path, policy, broken } => Message::new(
            kinds::AGAINST_POLICY,
            format!("vault {} is against {}: {}", quoted_path(path), quoted_path(policy), broken.join("; ")),
        )
        .parts(broken)
        .hint("see the rules with: vault help policy"),
        SessionError::ValueTooLarge(limit) => Message::new(
            kinds::TOO_LARGE,
            format!("cannot store the value: it has more than {}", shown(*limit)),
        )
        .hint("nothing was stored; up to 1 GiB can be allowed with --max-size"),
    }
}

fn pin(path: &Path, error: &PinError) -> Message {
    let vault = quoted_path(path);
    match error {
        PinError::NotNamed { found } => Message::new(
            kinds::OTHER_VAULT,
            format!("cannot use vault {vault}: it is not the one that VAULT_ID or --vault-id names"),
        )
        .hint(format!("its id is {found}"))
        .hint("if it was rotated on purpose, name the new id; else somebody replaced it: compare with git or a backup"),
        PinError::OtherVault { pinned, found } => Message::new(
            kinds::OTHER_VAULT,
            format!("cannot use vault {vault}: it was rotated or replaced since this machine last saw it"),
        )
        .hint(format!("it was {pinned}"))
        .hint(format!("now it is {found}"))
        .hint("if a colleague says that this is right, accept it with: vault trust"),
        PinError::Older { generation, seen } => older(path, *generation, *seen, true),
        PinError::Unpinned(why) => unpinned(path, why),
    }
}

/// What is said of a vault that lacks something that was seen.
pub(super) fn older(path: &Path, generation: u64, seen: u64, changing: bool) -> Message {
    let vault = quoted_path(path);
    let it = if changing { format!("cannot change vault {vault}: it") } else { format!("vault {vault}") };
    let text = if generation < seen {
        format!("{it} is older than the last one seen here (generation {generation}, seen {seen})")
    } else {
        format!("{it} lacks changes that were seen here (generation {generation}, seen {seen})")
    };
    Message::new(kinds::ROLLED_BACK, text)
        .hint("a checkout or a reset to an older commit does this, and a restored backup; so does whoever withholds changes, or has a master key that was rotated away")
        .hint("if it is meant, say so with: --allow-rollback")
}

/// What is said when this machine cannot remember a vault.
pub(super) fn unpinned(path: &Path, why: &Unpinned) -> Message {
    let vault = quoted_path(path);
    let text = match why {
        Unpinned::Damaged(file) => {
            let file = quoted_path(file);
            return Message::new(
                kinds::NOT_PINNED,
                format!(
                    "what this machine remembered of vault {vault} cannot be read, and begins anew ({file})"
                ),
            );
        }
        Unpinned::Apart => {
            return Message::new(
                kinds::UNKNOWN_STATE,
                format!("vault {vault} is about to be changed, and has nothing of the states that were seen here"),
            )
            .hint("a branch from an older commit has not; nor has an older state, if somebody planted git's files beside it")
            .hint("if it is meant, say so with: --allow-rollback");
        }
        other => other.text(),
    };
    Message::new(kinds::NOT_PINNED, format!("nothing is remembered of vault {vault} on this machine: {text}"))
        .hint("an older or another vault in its place would not be noticed; name it with VAULT_ID, as \"vault status\" shows it")
}

/// What is said of a slot that could not be tried, while another one opened.
pub(super) fn slot_unavailable(label: &str, why: &Unavailable) -> Message {
    Message::new(kinds::SLOT_UNAVAILABLE, unavailable(label, why))
}

/// The reason may be another program's words.
fn unavailable(label: &str, why: &Unavailable) -> String {
    format!("key slot {} is unavailable: {}", quoted(label), escaped(&why.to_string()))
}

/// What is said when slots were added or removed.
pub(super) fn slots_changed(path: &Path, news: &[SlotNews]) -> Message {
    let mut message = Message::new(
        kinds::SLOTS_CHANGED,
        format!("who can open vault {} has changed since this machine last looked", quoted_path(path)),
    );
    for one in news {
        let (what, label, kind, by, time) = match one {
            SlotNews::Added { label, kind, by, time } => ("added", label, kind, by, time),
            SlotNews::Removed { label, kind, by, time } => ("removed", label, kind, by, time),
            SlotNews::Changed { label, kind } => {
                let label = quoted(label);
                message =
                    message.hint(format!("slot {label} ({kind}) has another key or passphrase than before"));
                continue;
            }
        };
        let (label, by, time) = (quoted(label), quoted(by), crate::time::shown(*time));
        message = message.hint(format!("slot {label} ({kind}) was {what} by {by} on {time}"));
    }
    message
}

fn policy(error: &PolicyError) -> Message {
    let line = error.line.map(|line| format!(" in line {line}")).unwrap_or_default();
    let cannot = |why: String| {
        let path = quoted_path(&error.path);
        Message::new(kinds::BAD_POLICY, format!("cannot use the rules in {path}{line}: {why}"))
            .hint("see what can be in it with: vault help policy")
    };
    match &error.problem {
        Problem::Unreadable(io) => {
            caused(kinds::BAD_POLICY, &format!("cannot read {}", quoted_path(&error.path)), io)
        }
        Problem::NoText => cannot("it is no text of at most 1 MiB".to_owned()),
        Problem::Syntax => cannot("this is no TOML".to_owned()),
        Problem::Unknown(key) => cannot(format!("there is no rule {}", quoted(key))),
        Problem::Wrong { key, expected } => cannot(format!("{} has to be {expected}", quoted(key))),
        Problem::Version => cannot("it lacks the line: version = 1".to_owned()),
    }
}

pub(super) fn from(place: &Place) -> String {
    match place {
        Place::Stdin => "standard input".to_owned(),
        Place::File(path) => quoted_path(path),
        Place::Descriptor(number) => format!("file descriptor {number}"),
        Place::Variable(name) => format!("the variable {name}"),
        Place::Typed => "what you typed".to_owned(),
    }
}

fn store(path: &Path, error: &StoreError) -> Message {
    let path = quoted_path(path);
    match error {
        StoreError::NotFound => Message::new(kinds::VAULT_NOT_FOUND, format!("no vault at {path}"))
            .hint("make one with: vault init; or name another with --file PATH"),
        StoreError::Busy => {
            Message::new(kinds::BUSY, format!("cannot change vault {path}: another process is changing it"))
        }
        StoreError::Unstable => Message::new(
            kinds::BUSY,
            format!("cannot lock vault {path}: the path leads to another file every time"),
        ),
        StoreError::TooLarge { .. } => {
            Message::new(kinds::DAMAGED, format!("cannot read vault {path}: it is larger than 4 GiB"))
        }
        StoreError::PermissionDenied(error) | StoreError::Io(error) => {
            caused(kinds::VAULT_UNREADABLE, &format!("cannot read vault {path}"), error)
        }
        other => Message::new(kinds::VAULT_UNREADABLE, format!("cannot read vault {path}: {other}")),
    }
}

fn format(path: &Path, error: &FormatError) -> Message {
    let vault = quoted_path(path);
    let file = word(&path.to_string_lossy());
    let damaged =
        |reason: String| Message::new(kinds::DAMAGED, format!("cannot read vault {vault}: {reason}"));
    match error {
        FormatError::Io(error) => caused(kinds::VAULT_UNREADABLE, &format!("cannot read vault {vault}"), error),
        FormatError::NotAVault => Message::new(kinds::NOT_A_VAULT, format!("{vault} is not a vault")),
        FormatError::UnsupportedVersion => {
            Message::new(kinds::NOT_A_VAULT, format!("cannot read vault {vault}: its version is not known here"))
                .hint("a newer version of this program may read it")
        }
        FormatError::CarriageReturn { .. } => {
            damaged("its line ends were changed, as git does without .gitattributes".to_owned()).hint(format!(
                "nothing is lost: add this line to .gitattributes: {}; then, if the file has no changes to keep: rm {file} && git checkout -- {file}",
                attributes::line(path.file_name().unwrap_or_default())
            ))
        }
        FormatError::ConflictMarkers { .. } => Message::new(
            kinds::CONFLICT_MARKERS,
            format!("cannot read vault {vault}: a merge left its conflict in the file"),
        )
        .hint("settle it with the key: vault merge; or have both sides as they were: git merge --abort")
        .hint(format!(
            "all changes of the other side are lost if you take one side: git checkout --ours -- {file}, or --theirs"
        )),
        FormatError::FileTooLarge => damaged("it is larger than 4 GiB".to_owned()),
        FormatError::Limit { offset, what } => {
            damaged(format!("beyond a limit at byte {offset}: {what}")).hint(SALVAGE_HINT)
        }
        FormatError::Malformed { offset, expected } => {
            damaged(format!("it is damaged at byte {offset}, where {expected} should be")).hint(SALVAGE_HINT)
        }
        other => damaged(other.to_string()).hint(SALVAGE_HINT),
    }
}

pub(super) fn verify(path: &Path, error: &VerifyError) -> Message {
    let vault = quoted_path(path);
    match error {
        VerifyError::Format(error) => format(path, error),
        VerifyError::MissingParent { .. } => Message::new(
            kinds::MISSING_PARENT,
            format!(
                "cannot trust vault {vault}: its log lacks a seal, as after a cherry-pick, a revert, or a conflict settled by taking one side"
            ),
        )
        .cause(error)
        .hint("take that commit back (git reset --keep HEAD~1), and do the same with: vault pick COMMIT, or vault revert COMMIT")
        .hint(format!(
            "nothing was written; look for a good state with: git log -- {file}; and take it with: git checkout COMMIT -- {file}",
            file = word(&path.to_string_lossy())
        )),
        VerifyError::History(_) | VerifyError::Roots => Message::new(
            kinds::TAMPERED,
            format!("cannot trust vault {vault}: changes to the same part were put together without the key"),
        )
        .cause(error)
        .hint(TAMPERED_HINT),
        error => Message::new(
            kinds::TAMPERED,
            format!("cannot trust vault {vault}: the file was damaged or altered outside vault ({error})"),
        )
        .hint(TAMPERED_HINT),
    }
}

const SALVAGE_HINT: &str =
    "take an earlier state from git or a backup, or save what opens with: vault check --salvage PATH";
const TAMPERED_HINT: &str = "nothing was written; compare with an earlier state in git or a backup, or save what opens with: vault check --salvage PATH";

fn unlock(path: &Path, failure: &UnlockFailure, slots: &[(String, String)]) -> Message {
    let slots = slots
        .iter()
        .map(|(label, kind)| if label == kind { label.clone() } else { format!("{label} ({kind})") });
    let slots = slots.collect::<Vec<_>>().join(", ");
    let vault = quoted_path(path);
    let cannot =
        |kind: &'static Kind, reason: String| Message::new(kind, format!("cannot unlock {vault}: {reason}"));
    match failure {
        UnlockFailure::Verify(error) => verify(path, error),
        UnlockFailure::RolledBack { generation, pinned } => Message::new(
            kinds::ROLLED_BACK,
            format!("cannot use vault {vault}: it is older than its machine key (generation {generation}, seen {pinned})"),
        )
        .hint("if you restored a backup on purpose, accept it with: --allow-rollback"),
        UnlockFailure::Denied(error) => match error {
            UnlockError::NoSlotMatches { .. } => {
                let message = cannot(
                    kinds::UNLOCK_NO_SLOT_MATCHES,
                    "wrong passphrase or key, or the key slot is damaged".to_owned(),
                );
                if slots.is_empty() { message } else { message.hint(format!("the key slots are: {slots}")) }
            }
            UnlockError::Unavailable(skipped) => {
                cannot(kinds::SLOT_UNAVAILABLE, unavailable(skipped.label.as_str(), &skipped.why))
                    .hint(format!("the key slots are: {slots}"))
            }
            UnlockError::NoSuchSlot { label } => {
                cannot(kinds::NO_SUCH_SLOT, format!("no key slot has the label {}", quoted(label.as_str())))
                    .hint(format!("the key slots are: {slots}"))
            }
            UnlockError::TooCostly { required_kib, allowed_kib } => {
                let [required, allowed] = [required_kib, allowed_kib].map(|kib| shown(u64::from(*kib) * 1024));
                Message::new(
                    kinds::KDF_TOO_COSTLY,
                    format!("vault {vault} asks for {required} of memory to unlock; the limit is {allowed}"),
                )
                .hint(format!("if you trust the file, retry with: --max-kdf-memory {}", required.replace(' ', "")))
            }
            UnlockError::CostOutOfBounds => {
                cannot(kinds::KDF_TOO_COSTLY, "a key slot asks for a cost that the format does not allow".to_owned())
            }
            UnlockError::TooManySlots { slots, .. } => cannot(
                kinds::TOO_MANY_PASSPHRASE_SLOTS,
                format!("there are {slots} passphrase slots to try, which is too much at once"),
            )
            .hint("name one with: --slot LABEL"),
            UnlockError::NotEnoughMemory => {
                cannot(kinds::NOT_ENOUGH_MEMORY, "there is not enough memory, or can be no further thread".to_owned())
            }
            UnlockError::OtherVault { .. } => {
                cannot(kinds::OTHER_VAULT, "the machine key belongs to another vault".to_owned())
            }
            UnlockError::ReplacedOrRotated { .. } => {
                cannot(kinds::OTHER_VAULT, "it was rotated or replaced since the machine key was made".to_owned())
                    .hint("if it was rotated on purpose, make a new machine key")
            }
            other => cannot(kinds::UNLOCK_NO_SLOT_MATCHES, other.to_string()),
        },
        other => cannot(kinds::UNLOCK_NO_SLOT_MATCHES, other.to_string()),
    }
}

fn locked(path: &Path, passphrase: bool) -> Message {
    let vault = quoted_path(path);
    if passphrase {
        let text = format!("vault {vault} is locked and there is no terminal to ask for the passphrase");
        return Message::new(kinds::LOCKED_NO_TERMINAL, text).hint(
            "run \"vault unlock\" first, or pass --passphrase-file PATH, --identity PATH or --machine-key-file PATH, or set VAULT_PASSPHRASE_FILE, VAULT_IDENTITY_FILE, VAULT_MACHINE_KEY_FILE or VAULT_PASSPHRASE",
        );
    }
    Message::new(kinds::LOCKED_NO_TERMINAL, format!("vault {vault} is locked and has no passphrase to ask for"))
        .hint("pass --identity PATH or --machine-key-file PATH, or set VAULT_IDENTITY_FILE or VAULT_MACHINE_KEY_FILE")
}

pub(super) fn edit(path: &Path, error: &EditError) -> Message {
    let vault = quoted_path(path);
    match error {
        EditError::Verify(error) => verify(path, error),
        EditError::NoEntry(name) => Message::new(
            kinds::ENTRY_NOT_FOUND,
            format!("no entry named {} in vault {vault}", quoted(name.as_str())),
        ),
        EditError::Exists(name) => Message::new(
            kinds::ENTRY_EXISTS,
            format!("an entry named {} exists in vault {vault}", quoted(name.as_str())),
        )
        .hint("nothing was changed"),
        EditError::NoField { entry, field } => Message::new(
            kinds::FIELD_NOT_FOUND,
            format!("entry {} has no field {}", quoted(entry.as_str()), quoted(field)),
        ),
        EditError::InConflict(name) => Message::new(
            kinds::IN_CONFLICT,
            format!("cannot change {}: it has several versions after a merge", quoted(name.as_str())),
        )
        .hint(format!(
            "see them with: vault show {name}; settle it with: vault resolve {name}",
            name = word(name.as_str())
        )),
        EditError::TooLarge { entry, what } => Message::new(
            kinds::TOO_LARGE,
            format!("cannot store {}: the limit is {what}", quoted(entry.as_str())),
        )
        .hint("nothing was stored"),
        EditError::TooManyChanges | EditError::Full => {
            Message::new(kinds::TOO_LARGE, format!("cannot change vault {vault}: {error}"))
                .hint("nothing was stored; compacting may make room: vault compact")
        }
        EditError::LabelTaken(label) => slots::label_taken(label.as_str()),
        EditError::NothingChanged => {
            Message::new(kinds::NOTHING_CHANGED, format!("cannot change vault {vault}: nothing would change"))
        }
        EditError::Io(error) => caused(kinds::NOT_SAVED, "cannot read a value, or put it aside", error),
        other => Message::new(kinds::NOT_SAVED, format!("cannot change vault {vault}: {other}")),
    }
}

fn save(path: &Path, error: &ReplaceError) -> Message {
    match error {
        ReplaceError::FolderNotSynced(_) => Message::new(
            kinds::MAYBE_NOT_DURABLE,
            format!(
                "vault {} was saved, but may not survive a power cut: its folder cannot be synced",
                quoted_path(path)
            ),
        )
        .cause(error),
        ReplaceError::ChangedMeanwhile => Message::new(
            kinds::COMMIT_CONFLICT,
            format!("cannot save vault {}: another program changed the file meanwhile", quoted_path(path)),
        )
        .hint("nothing was saved; run the command again"),
        error => {
            let message =
                not_saved(kinds::NOT_SAVED, &format!("cannot save vault {}", quoted_path(path)), error);
            message.hint("nothing was saved; the vault is as it was")
        }
    }
}

/// What is said about a file other than the vault.
pub(super) fn not_stored(path: &Path, error: &ReplaceError) -> Message {
    let what = format!("cannot write {}", quoted_path(path));
    match error {
        ReplaceError::AlreadyExists => {
            Message::new(kinds::ENTRY_EXISTS, format!("{what}: it exists already")).hint("it was not changed")
        }
        error => not_saved(kinds::FILE_NOT_WRITTEN, &what, error),
    }
}

fn not_saved(kind: &'static Kind, what: &str, error: &ReplaceError) -> Message {
    match error {
        ReplaceError::MountPoint(_) => Message::new(kind, format!("{what}: the file itself is mounted"))
            .hint("mount its folder instead: a file that is a mount point cannot be replaced"),
        ReplaceError::HardLinks(_) => Message::new(kind, format!("{what}: {error}"))
            .hint("the other names would keep the old content; remove them"),
        ReplaceError::NoSpace(_) => Message::new(kind, format!("{what}: no space left")),
        ReplaceError::NotSynced(error) | ReplaceError::Io(error) => caused(kind, what, error),
        error => Message::new(kind, format!("{what}: {error}")).cause(error),
    }
}
