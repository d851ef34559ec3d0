//! `vault import PATH`; keyrings are in `keyring`.

mod keyring;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::CommandFactory;
use clap::error::ErrorKind;
use serde::Serialize;
use vault_core::format::entry::{DEFAULT_FIELD, EntryName};
use vault_core::format::limits;
use vault_core::secret::Secret;
use vault_core::vault::edit::{NewValue, Update};

use super::{Run, entry_name, set};
use crate::cli::{Cli, Import, ImportFormat};
use crate::codec::{self, Format};
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::input::{self, Ending, Incoming, InputError, Place};
use crate::message::{Exit, Status};
use crate::session::{Change, Committed, Expect, Session};

pub(super) fn run(run: &mut Run<'_>, arguments: &Import) -> Result<Exit, Failure> {
    let path = match (arguments.keyring.from, &arguments.path) {
        (Some(from), _) => return keyring::run(run, arguments, from),
        (None, Some(path)) => path,
        (None, None) => return Err(usage("name a file, or a keyring with --from").into()),
    };
    let format = arguments.format.map_or_else(|| by_name(path), Ok)?;
    match (format, &arguments.name) {
        (ImportFormat::File, None) if path.as_os_str() == "-" => {
            return Err(usage("standard input has no name: add --name NAME").into());
        }
        (ImportFormat::File, _) | (_, None) => {}
        _ => return Err(usage("--name is of use only with --format file").into()),
    }
    let (_, mut session) = run.open()?;
    let values = match text_format(format) {
        Some(format) => entries(run, &mut session, arguments, path, format)?,
        None => vec![whole_file(run, &mut session, arguments, path)?],
    };
    let existing = existing(&mut session, &values)?;
    may_replace(run, arguments, existing.len())?;

    let changes = values.into_iter().map(|(name, value)| {
        let field = DEFAULT_FIELD.to_owned();
        // What was new when the question was asked has to be new still.
        let expect = if existing.contains(&name) { Expect::Anything } else { Expect::NoField(field.clone()) };
        let update = Update { fields: [(field, Some(value))].into(), ..Update::default() };
        Change::Set { name, update, expect }
    });
    let changes: Vec<_> = changes.collect();
    let count = changes.len();
    let committed = commit(run, &mut session, changes)?;
    if run.global.json {
        let generation = committed.map(|committed| committed.generation);
        run.output.json(&Json { version: 1, imported: count, replaced: existing.len(), generation })?;
    }
    run.voice.status(&Status::Done(format!("imported {count} entries from {}", quoted_path(path))));
    Ok(Exit::Ok)
}

fn usage(text: &str) -> clap::Error {
    Cli::command().error(ErrorKind::ArgumentConflict, text)
}

/// Saves once, and shows how far it is.
fn commit(
    run: &Run<'_>,
    session: &mut dyn Session,
    changes: Vec<Change>,
) -> Result<Option<Committed>, Failure> {
    let (count, voice) = (changes.len(), run.voice);
    if count == 0 {
        return Ok(None);
    }
    let progress = &mut |done: usize| {
        if done.is_multiple_of(PROGRESS_STEP) {
            voice.transient(&format!("sealed {done} of {count}"));
        }
    };
    let committed = session.commit(changes, progress);
    voice.transient("");
    Ok(Some(committed?))
}

#[derive(Serialize)]
struct Json {
    version: u32,
    imported: usize,
    replaced: usize,
    generation: Option<u64>,
}

fn by_name(path: &Path) -> Result<ImportFormat, Failure> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    match name.rsplit('.').next() {
        Some("env") => Ok(ImportFormat::Dotenv),
        Some("json") => Ok(ImportFormat::Json),
        Some("yaml" | "yml") => Ok(ImportFormat::Yaml),
        Some("toml") => Ok(ImportFormat::Toml),
        _ if name.starts_with(".env.") => Ok(ImportFormat::Dotenv),
        _ => Err(Failure::ImportFormat(path.to_owned())),
    }
}

fn text_format(format: ImportFormat) -> Option<Format> {
    match format {
        ImportFormat::Dotenv => Some(Format::Dotenv),
        ImportFormat::Json => Some(Format::Json),
        ImportFormat::Yaml => Some(Format::Yaml),
        ImportFormat::Toml => Some(Format::Toml),
        ImportFormat::File => None,
    }
}

/// All entries of a text, each with its value ready to be stored.
fn entries(
    run: &mut Run<'_>,
    session: &mut dyn Session,
    arguments: &Import,
    path: &Path,
    format: Format,
) -> Result<Vec<(EntryName, NewValue)>, Failure> {
    let text = match path.as_os_str() == "-" {
        true => run.stdin.claim("the file to import")?.read(MAX_TEXT)?,
        false => input::file(&run.folder.join(path), MAX_TEXT)?,
    };
    let items =
        codec::read(format, &text).map_err(|error| Failure::Import { path: path.to_owned(), error })?;
    let mut values = Vec::with_capacity(items.len());
    let mut seen = BTreeSet::new();
    for item in items {
        let name = format!("{}{}", arguments.prefix, item.name);
        let bad =
            |error| Failure::ImportName { path: path.to_owned(), line: item.line, name: name.clone(), error };
        let parsed = EntryName::parse(&name).map_err(bad)?;
        // Two spellings of one name, which are one after normalisation.
        if !seen.insert(parsed.clone()) {
            let error =
                codec::CodecError { line: item.line, name: Some(name), problem: codec::Problem::Duplicate };
            return Err(Failure::Import { path: path.to_owned(), error });
        }
        values.push((parsed, storable(session, item.value, arguments.max_size)?));
    }
    Ok(values)
}

/// A value ready to be stored.
fn storable(session: &mut dyn Session, value: Secret, limit: u64) -> Result<NewValue, Failure> {
    match NewValue::fits_inline(value.expose().len()) {
        true => Ok(NewValue::Inline(value)),
        false => Ok(session.attach(&mut value.expose(), limit)?),
    }
}

/// One file as one secret, byte by byte.
fn whole_file(
    run: &mut Run<'_>,
    session: &mut dyn Session,
    arguments: &Import,
    path: &Path,
) -> Result<(EntryName, NewValue), Failure> {
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let name = entry_name(&format!("{}{name}", arguments.prefix))?;
    let (reader, place): (Box<dyn Read>, _) = match path.as_os_str() == "-" {
        true => (Box::new(run.stdin.claim("the file to import")?.into_reader()), Place::Stdin),
        false => match File::open(run.folder.join(path)) {
            Ok(file) => (Box::new(file), Place::File(path.to_owned())),
            Err(error) => return Err(InputError::Unreadable(Place::File(path.to_owned()), error).into()),
        },
    };
    let value: Incoming = input::incoming(reader, place, Ending::AsItIs, limits::INLINE)?;
    Ok((name, set::stored(session, value, arguments.max_size)?))
}

/// Which of the names have a secret already.
fn existing(
    session: &mut dyn Session,
    values: &[(EntryName, NewValue)],
) -> Result<BTreeSet<EntryName>, Failure> {
    // One pass over all pages is cheaper than a page for each of many names.
    let all = session.list()?;
    let wanted: BTreeSet<_> = values.iter().map(|(name, _)| name).collect();
    let has_secret = all.into_iter().filter(|meta| meta.fields.contains_key(DEFAULT_FIELD));
    Ok(has_secret.map(|meta| meta.name).filter(|name| wanted.contains(name)).collect())
}

fn may_replace(run: &mut Run<'_>, arguments: &Import, count: usize) -> Result<(), Failure> {
    if count == 0 || arguments.yes {
        return Ok(());
    }
    if !run.prompt.can_ask() {
        return Err(Failure::WouldReplace(count));
    }
    let question = format!("{count} of the entries exist already. Replace them?");
    match run.prompt.confirm(&question).map_err(Failure::asking("a confirmation"))? {
        true => Ok(()),
        false => Err(Failure::Declined),
    }
}

/// A text with 100,000 secrets of a kilobyte; what is larger is no list of secrets.
const MAX_TEXT: usize = 256 << 20;
const PROGRESS_STEP: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_the_name() {
        for (name, format) in [
            (".env", ImportFormat::Dotenv),
            ("prod.env", ImportFormat::Dotenv),
            (".env.local", ImportFormat::Dotenv),
            ("a.JSON", ImportFormat::Json),
            ("a.yml", ImportFormat::Yaml),
            ("a.b.toml", ImportFormat::Toml),
        ] {
            assert_eq!(by_name(Path::new(name)).ok(), Some(format), "{name}");
        }
        for name in ["-", "secrets", "cert.p12", ".."] {
            assert!(matches!(by_name(Path::new(name)), Err(Failure::ImportFormat(_))), "{name}");
        }
    }
}
