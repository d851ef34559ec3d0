//! `vault fork TO`.

use std::path::Path;

use vault_core::error::EditError;
use vault_core::vault::Value;
use vault_core::vault::edit::{NewValue, Update};

use super::slots::{self, Given};
use super::{Run, init};
use crate::cli::Fork;
use crate::escape::{counted, quoted_path};
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::{Change, Expect, Opened, Session, SessionError, attachment, open_locked};

pub(super) fn run(run: &mut Run<'_>, arguments: &Fork) -> Result<Exit, Failure> {
    let to = run.folder.join(&arguments.to);
    if to.symlink_metadata().is_ok() {
        return Err(Failure::VaultExists(to));
    }
    let from = run.location()?.path;
    let pages = open_locked(&from)?.header().pages;
    let mut source = run.unlock(&from)?;
    let wanted = slots::wanted(run, &arguments.slots, &to, Given::IsForTheOldVault)?;
    let entries = source.entries(&|_| true)?;
    let changes: Vec<_> =
        entries.into_iter().map(|entry| entry_change(&to, &from, entry)).collect::<Result<_, _>>()?;
    let count = changes.len();
    let mut fresh = slots::fresh(run, &to, pages, wanted, changes)?;
    let durable = init::create(run, &to, &mut fresh)?;
    run.voice.status(&Status::Done(format!(
        "forked {} into {}",
        counted(count, "entry", "entries"),
        quoted_path(&to)
    )));
    init::report(run, &to, &fresh, arguments.slots.out.as_deref())?;
    durable?;
    Ok(Exit::Ok)
}

/// The change that makes this entry anew. Attachments are sealed again beside the new vault.
pub(super) fn entry_change(to: &Path, from: &Path, entry: Opened) -> Result<Change, Failure> {
    let Opened { meta, values } = entry;
    if meta.in_conflict() {
        let error = EditError::InConflict(meta.name);
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
