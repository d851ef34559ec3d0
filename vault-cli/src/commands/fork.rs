//! `vault fork TO`.

use std::path::Path;
use std::sync::Arc;

use vault_core::crypto::random::SystemRandom;
use vault_core::secret::Key;
use vault_core::vault::edit::{NewValue, Update};
use vault_core::vault::{LockedVault, UnlockedVault, Value};

use super::{Run, init, slots};
use crate::cli::Fork;
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::input::{self, MAX_PASSPHRASE, Place};
use crate::message::{Exit, Status};
use crate::session::{Change, Expect, Local, Opened, Session, SessionError, attachment};

pub(super) fn run(run: &mut Run<'_>, arguments: &Fork) -> Result<Exit, Failure> {
    let to = run.folder.join(&arguments.to);
    if to.symlink_metadata().is_ok() {
        return Err(Failure::VaultExists(to));
    }
    let recipients = slots::recipients(&arguments.age)?;
    let cost = slots::cost(arguments.kdf_memory)?;
    let path = run.location()?.path;
    let locked = crate::session::open_locked(&path)?;
    let pages = locked.header().pages;
    let mut source = run.unlock(&path)?;
    let asks = arguments.passphrase
        || arguments.new_passphrase_file.is_some()
        || (recipients.is_empty() && !arguments.machine);
    let passphrase = if asks { Some((new_passphrase(run, arguments, &to)?, cost)) } else { None };

    let wanted = slots::Wanted { recipients: &recipients, machine: arguments.machine, passphrase };
    let (new, machine_key) = slots::new_vault(pages, wanted)?;
    let uuid = new.parts().uuid;
    let master = Key::init_with(|key| key.copy_from_slice(new.master().expose()));
    let author = run.environment.author();
    let saved = new.finish(&author, run.now, &mut SystemRandom).ok_or(Failure::TooManySlots)?;
    let empty = unlock_new(&to, &saved.text, &master)?;

    let entries = source.entries(&|_| true)?;
    let count = entries.len();
    let mut changes = Vec::with_capacity(count);
    for entry in entries {
        changes.push(entry_change(&to, &path, entry)?);
    }
    let text = if changes.is_empty() {
        saved.text
    } else {
        let session = Local::of(&to, unlock_new(&to, &saved.text, &master)?).by(author, run.now);
        session.apply(&empty, changes, &mut |_| {})?.0.text
    };
    init::create(&to, &text)?;
    run.voice.status(&Status::Done(format!("forked {count} entries into {}", quoted_path(&to))));
    init::report(run, &to, uuid, machine_key.as_ref())
}

/// The change that makes this entry anew. Attachments are sealed again beside the new vault.
pub(super) fn entry_change(to: &Path, from: &Path, entry: Opened) -> Result<Change, Failure> {
    let Opened { meta, values } = entry;
    if meta.in_conflict() {
        let error = vault_core::error::EditError::InConflict(meta.name);
        return Err(SessionError::Edit(from.to_owned(), error).into());
    }
    let mut update = Update {
        attributes: meta.attributes.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        expires: meta.expires.map(Some),
        ..Update::default()
    };
    for (field, value) in values {
        let value = match value {
            Value::Inline(secret) => NewValue::Inline(secret),
            Value::Attachment(mut reader) => attachment(to, &mut reader, u64::MAX)?,
        };
        update.fields.insert(field, Some(value));
    }
    Ok(Change::Set { name: meta.name, update, expect: Expect::Anything })
}

/// A vault that was just made, and is not stored yet.
pub(super) fn unlock_new(
    path: &Path,
    text: &vault_core::source::Text,
    master: &Key<vault_core::secret::Master>,
) -> Result<UnlockedVault, Failure> {
    let not_read = |error| Failure::FileNotWritten { path: path.to_owned(), error };
    let bytes = text.to_vec().map_err(not_read)?;
    let locked =
        LockedVault::open(Arc::new(bytes)).map_err(|error| SessionError::Format(path.to_owned(), error))?;
    locked.unlock_with_master(master).map_err(|still| {
        let path = path.to_owned();
        SessionError::Unlock { path, reason: still.reason, labels: Vec::new() }.into()
    })
}

fn new_passphrase(
    run: &mut Run<'_>,
    arguments: &Fork,
    to: &Path,
) -> Result<vault_core::secret::Passphrase, Failure> {
    match &arguments.new_passphrase_file {
        Some(file) => {
            let text = input::file(file, MAX_PASSPHRASE)?;
            Ok(input::passphrase(text, Place::File(file.clone()))?)
        }
        // Not what unlocks the old vault: that it is the same has to be somebody's decision.
        None => run.prompt.new_passphrase(&slots::question(to)).map_err(Failure::asking("a new passphrase")),
    }
}
