//! `vault remove NAME…`.

use serde::Serialize;
use vault_core::vault::edit::Update;

use super::{Run, entry_name, field_name, no_entry};
use crate::cli::Remove;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::{Change, Expect, Session};

pub(super) fn run(run: &mut Run<'_>, arguments: &Remove) -> Result<Exit, Failure> {
    let mut names = Vec::new();
    for name in &arguments.names {
        let name = entry_name(name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let field = arguments.field.as_deref().map(field_name).transpose()?;
    let field = field.as_deref();
    let (path, mut session) = run.open()?;
    for name in &names {
        if session.meta(name)?.is_none() {
            return Err(no_entry(&mut session, &path, name.clone()));
        }
    }
    let changes = names.iter().cloned().map(|name| match field {
        None => Change::Remove(name),
        Some(field) => {
            let update = Update { fields: [(field.to_owned(), None)].into(), ..Update::default() };
            Change::Set { name, update, expect: Expect::Entry }
        }
    });
    let committed = session.commit(changes.collect(), &mut |_| {})?;
    if run.global.json {
        let removed = names.iter().map(|name| name.as_str()).collect();
        run.output.json(&Json { version: 1, removed, field, generation: committed.generation })?;
    }
    for name in &names {
        let name = crate::escape::quoted(name.as_str());
        run.voice.status(&Status::Done(match field {
            None => format!("removed {name}"),
            Some(field) => format!("removed field {} of {name}", crate::escape::quoted(field)),
        }));
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    removed: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    generation: u64,
}
