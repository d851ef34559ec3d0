//! `vault set NAME`.

use std::fs::File;

use serde::Serialize;
use vault_core::format::limits;
use vault_core::vault::edit::{NewValue, Outcome, Update};

use super::{Run, check_attributes, entry_name, field_name, time};
use crate::cli::Set;
use crate::failure::Failure;
use crate::input::{self, Ending, Incoming, InputError, Place, Stdin};
use crate::message::{Exit, Status};
use crate::session::{Change, Expect, Session};

pub(super) fn run(run: &mut Run<'_>, arguments: &Set) -> Result<Exit, Failure> {
    refuse_arguments(arguments)?;
    let name = entry_name(&arguments.name)?;
    let field = field_name(&arguments.field)?.to_owned();
    check_attributes(&arguments.attributes)?;
    let expires = time(arguments.expires.as_ref(), run.now)?;

    let (_, mut session) = run.open()?;
    let value = incoming(run, arguments)?;
    let value = stored(&mut session, value, arguments.max_size)?;
    let update = Update {
        fields: [(field.clone(), Some(value))].into(),
        attributes: arguments
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect(),
        expires: expires.map(Some),
    };
    let expect = if arguments.new { Expect::NoField(field) } else { Expect::Anything };
    store(run, &mut session, Change::Set { name, update, expect })
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
    let name = match &change {
        Change::Set { name, .. } | Change::Remove(name) => name.as_str().to_owned(),
        Change::Rename { to, .. } | Change::Copy { to, .. } => to.as_str().to_owned(),
    };
    let committed = session.commit(vec![change], &mut |_| {})?;
    let created = committed.outcomes.first() == Some(&Outcome::Created);
    if run.global.json {
        run.output.json(&Json { version: 1, name: &name, created, generation: committed.generation })?;
    }
    run.voice.status(&Status::Stored(&name));
    Ok(Exit::Ok)
}

/// What a save of one entry reports.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    version: u32,
    name: &'a str,
    created: bool,
    generation: u64,
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
