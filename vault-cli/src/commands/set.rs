//! `vault set NAME`.

use std::fs::File;

use serde::Serialize;
use vault_core::format::entry::Meta;
use vault_core::format::limits;
use vault_core::secret::Secret;
use vault_core::vault::Value;
use vault_core::vault::edit::{NewValue, Outcome, Update};

use super::{Run, attributes, entry_name, field_name, time};
use crate::cli::Set;
use crate::failure::Failure;
use crate::input::{self, Ending, Incoming, InputError, Place, Stdin};
use crate::message::{Exit, Status, Warning};
use crate::session::{Change, Expect, Session};

pub(super) fn run(run: &mut Run<'_>, arguments: &Set) -> Result<Exit, Failure> {
    refuse_arguments(arguments)?;
    let name = entry_name(&arguments.name)?;
    let field = field_name(&arguments.field)?;
    let attributes = attributes(&arguments.attributes)?;
    let expires = time(arguments.expires.as_ref(), run.now)?;

    let (_, mut session) = run.open()?;
    let value = incoming(run, arguments)?;
    let is_empty = matches!(&value, Incoming::Short(secret) if secret.expose().is_empty());
    if let Some((meta, old)) = session.entry(&name, &field)? {
        warn(run, arguments, &meta, old.is_some_and(|old| is_empty && !has_no_bytes(&old)))?;
    }
    let value = stored(&mut session, value, arguments.max_size)?;
    let update = Update {
        fields: [(field.clone(), Some(value))].into(),
        attributes: attributes.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        expires: expires.map(Some),
    };
    let expect = if arguments.new { Expect::NoField(field) } else { Expect::Anything };
    store_saying(run, &mut session, Change::Set { name, update, expect }, None, |name| match is_empty {
        true => Status::StoredEmpty(name),
        false => Status::Stored(name),
    })
}

/// What somebody who stores a value should know.
fn warn(run: &Run<'_>, arguments: &Set, meta: &Meta, empties: bool) -> Result<(), Failure> {
    let name = meta.name.as_str();
    // Typed, it was meant; and a file was named.
    if empties && !arguments.new && arguments.secret_file.is_none() && !Stdin::is_terminal() {
        run.voice.warn(Warning::EmptyReplaces(name.to_owned()))?;
    }
    match meta.expires {
        Some(expires) if expires <= run.now && arguments.expires.is_none() => {
            run.voice.warn(Warning::Expired(name.to_owned(), expires))
        }
        _ => Ok(()),
    }
}

fn has_no_bytes(value: &Value) -> bool {
    matches!(value, Value::Inline(secret) if secret.expose().is_empty())
}

/// Makes a value ready to be stored.
pub(super) fn stored(session: &mut dyn Session, value: Incoming, limit: u64) -> Result<NewValue, Failure> {
    match value {
        Incoming::Short(secret) => Ok(NewValue::Inline(secret)),
        Incoming::Long(mut reader) => Ok(session.attach(&mut reader, limit)?),
    }
}

/// Commits one entry's change, and says so.
pub(super) fn store(run: &mut Run<'_>, session: &mut dyn Session, change: Change) -> Result<Exit, Failure> {
    store_saying(run, session, change, None, |name| Status::Stored(name))
}

/// Commits one entry's change, and says so in these words. A secret is given out to programs only.
pub(super) fn store_saying(
    run: &mut Run<'_>,
    session: &mut dyn Session,
    change: Change,
    secret: Option<&Secret>,
    said: impl FnOnce(&str) -> Status<'_>,
) -> Result<Exit, Failure> {
    let name = match &change {
        Change::Set { name, .. } | Change::Remove(name) | Change::Resolve { name, .. } => {
            name.as_str().to_owned()
        }
        Change::Rename { to, .. } | Change::Copy { to, .. } => to.as_str().to_owned(),
    };
    let committed = session.commit(vec![change], &mut |_| {})?;
    let created = committed.outcomes.first() == Some(&Outcome::Created);
    if run.global.json {
        // What is given out here is made of characters.
        let secret = secret.and_then(|secret| std::str::from_utf8(secret.expose()).ok());
        let generation = committed.generation;
        run.output.json(&Json { version: 1, name: &name, created, generation, secret })?;
    }
    run.voice.status(&said(&name));
    Ok(Exit::Ok)
}

/// What a save of one entry reports.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    version: u32,
    name: &'a str,
    created: bool,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

fn refuse_arguments(arguments: &Set) -> Result<(), Failure> {
    match arguments.refused.first() {
        None => Ok(()),
        Some(first) if first.as_encoded_bytes().starts_with(b"--") => Err(Failure::UnknownOptionOfSet),
        Some(_) => Err(Failure::SecretInArgv { name: arguments.name.clone() }),
    }
}

/// The value: from the file that is named, from standard input unless it is a terminal, or typed twice.
fn incoming(run: &mut Run<'_>, arguments: &Set) -> Result<Incoming, Failure> {
    if let Some(path) = &arguments.secret_file {
        let place = Place::File(path.clone());
        if path.as_os_str() == "-" {
            let reader = run.stdin.claim("the secret")?.into_reader();
            return Ok(input::incoming(reader, Place::Stdin, Ending::AsItIs, limits::INLINE)?);
        }
        return match File::open(path) {
            Ok(file) => Ok(input::incoming(file, place, Ending::AsItIs, limits::INLINE)?),
            Err(error) => Err(InputError::Unreadable(place, error).into()),
        };
    }
    if !Stdin::is_terminal() {
        let ending = if arguments.raw { Ending::AsItIs } else { Ending::WithoutNewline };
        let reader = run.stdin.claim("the secret")?.into_reader();
        return Ok(input::incoming(reader, Place::Stdin, ending, limits::INLINE)?);
    }
    let question = format!("secret for {}", crate::escape::quoted(&arguments.name));
    Ok(Incoming::Short(run.prompt.new_secret(&question).map_err(Failure::asking("the secret"))?))
}
