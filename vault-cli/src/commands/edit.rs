//! `vault edit NAME`.

use vault_core::format::entry::EntryName;
use vault_core::format::limits;
use vault_core::vault::Value;
use vault_core::vault::edit::{NewValue, Update};

use super::{Run, attribute_name, entry_name, field_name, found, no_entry, set, time};
use crate::cli::Edit;
use crate::failure::{EditorError, Failure};
use crate::input;
use crate::message::{Exit, Status};
use crate::session::{Change, Expect, Session};
use crate::sys::editor::Desk;

pub(super) fn run(run: &mut Run<'_>, arguments: &Edit) -> Result<Exit, Failure> {
    let name = entry_name(&arguments.name)?;
    let changes_attributes = !arguments.attributes.is_empty()
        || !arguments.remove_attributes.is_empty()
        || arguments.expires.is_some()
        || arguments.no_expiry;
    if changes_attributes { attributes(run, arguments, name) } else { value(run, arguments, name) }
}

fn attributes(run: &mut Run<'_>, arguments: &Edit, name: EntryName) -> Result<Exit, Failure> {
    let set = super::attributes(&arguments.attributes)?.into_iter().map(|(name, value)| (name, Some(value)));
    let removed = arguments.remove_attributes.iter().map(|name| Ok((attribute_name(name)?, None)));
    let removed = removed.collect::<Result<Vec<_>, Failure>>()?;
    let expires = time(arguments.expires.as_ref(), run.now)?;
    let (path, mut session) = run.open()?;
    if session.meta(&name)?.is_none() {
        return Err(no_entry(&mut session, &path, name));
    }
    let update = Update {
        attributes: removed.into_iter().chain(set).collect(),
        expires: if arguments.no_expiry { Some(None) } else { expires.map(Some) },
        ..Update::default()
    };
    set::store(run, &mut session, Change::Set { name, update, expect: Expect::Entry })
}

fn value(run: &mut Run<'_>, arguments: &Edit, name: EntryName) -> Result<Exit, Failure> {
    let field = &field_name(&arguments.field)?;
    let command = run.environment.editor().cloned().ok_or(EditorError::None)?;
    let (path, mut session) = run.open()?;
    let old = match found(&mut session, &path, &name, field)?.1 {
        Value::Inline(secret) if std::str::from_utf8(secret.expose()).is_ok() => secret,
        _ => return Err(Failure::NotEditable(name)),
    };
    run.prompt.release();
    let desk = Desk::make(run.environment.runtime_folder())?;
    let edited = desk.edit(&command, &old, limits::INLINE + 1)?;

    // Editors end the last line. A value that did not end so keeps that.
    let new = if old.expose().ends_with(b"\n") { edited } else { input::without_newline(edited) };
    if new.expose() == old.expose() {
        run.voice
            .status(&Status::Done(format!("nothing changed in {}", crate::escape::quoted(name.as_str()))));
        return Ok(Exit::Ok);
    }
    let new = match NewValue::fits_inline(new.expose().len()) {
        true => NewValue::Inline(new),
        false => return Err(Failure::NotEditable(name)),
    };
    let update = Update { fields: [(field.to_owned(), Some(new))].into(), ..Update::default() };
    let expect = Expect::Value(field.to_owned(), old);
    set::store(run, &mut session, Change::Set { name, update, expect })
}
