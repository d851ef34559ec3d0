//! `vault get NAME [FIELD]`.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use vault_core::format::entry::{EntryName, Meta};
use vault_core::secret::Secret;
use vault_core::store::{self, Existing, ReplaceError};
use vault_core::vault::Value;
use zeroize::Zeroizing;

use super::{Run, entry_name, field_name, found, states};
use crate::buffer::WipingBuffer;
use crate::cli::Get;
use crate::failure::{Failure, GitFailure};
use crate::message::{Exit, Status, Warning};
use crate::output::{Binary, OutputError};
use crate::session::{Session, SessionError};

pub(super) fn run(run: &mut Run<'_>, arguments: &Get) -> Result<Exit, Failure> {
    let name = entry_name(&arguments.name)?;
    let field = &field_name(&arguments.field)?;
    let (path, mut session) = match &arguments.at {
        Some(revision) => states::open_at(run, revision)?,
        None => run.open_to_read(&name, field)?,
    };
    let (meta, value) = found(&mut session, &path, &name, field)?;
    let value = version(&mut session, arguments, &meta, field, value)?;
    warn(run, &meta)?;
    match arguments.output.as_deref() {
        Some(file) if file.as_os_str() != "-" => return write_file(run, &name, field, file, value),
        _ if run.global.json => {
            let secret = in_memory(value)?;
            let text = std::str::from_utf8(secret.expose()).ok();
            let encoded = text.is_none().then(|| Zeroizing::new(BASE64_STANDARD.encode(secret.expose())));
            let secret_base64 = encoded.as_ref().map(|encoded| encoded.as_str());
            run.output.json(&Json { version: 1, name: name.as_str(), field, secret: text, secret_base64 })?;
        }
        given => {
            let binary = if given.is_some() { Binary::Write } else { Binary::Refuse };
            match value {
                Value::Inline(secret) => run.output.secret(&secret, binary)?,
                Value::Attachment(mut reader) => run.output.secret_stream(&mut reader, binary)?,
            }
        }
    }
    Ok(Exit::Ok)
}

/// The version that was asked for. Of an entry in conflict, none is given out as if it were the only one.
fn version(
    session: &mut dyn Session,
    arguments: &Get,
    meta: &Meta,
    field: &str,
    value: Value,
) -> Result<Value, Failure> {
    let others = meta.alternatives.len();
    let name = &meta.name;
    match arguments.theirs {
        None if arguments.ours || !meta.in_conflict() => Ok(value),
        None => Err(SessionError::InConflict(name.clone()).into()),
        Some(number) if (1..=others).contains(&number) => {
            // A field that the other version does not disagree about is the same there.
            let differs = meta.alternatives[number - 1].fields.contains_key(field);
            match session.alternative(name, number - 1, field)? {
                Some(other) => Ok(other),
                None if !differs => Ok(value),
                None => {
                    Err(Failure::NoField { name: name.clone(), field: field.to_owned(), fields: Vec::new() })
                }
            }
        }
        Some(_) => Err(GitFailure::SeveralVersions { name: name.clone(), others }.into()),
    }
}

/// What somebody who uses the value should know.
pub(super) fn warn(run: &Run<'_>, meta: &Meta) -> Result<(), Failure> {
    let name = meta.name.as_str();
    match meta.expires {
        Some(expires) if expires <= run.now => run.voice.warn(Warning::Expired(name.to_owned(), expires)),
        _ => Ok(()),
    }
}

/// The whole value, for formats that need it so.
pub(super) fn in_memory(value: Value) -> Result<Secret, OutputError> {
    match value {
        Value::Inline(secret) => Ok(secret),
        Value::Attachment(mut reader) => {
            let mut buffer = WipingBuffer::new();
            let limit = usize::try_from(reader.length()).unwrap_or(usize::MAX - 1);
            buffer.read_up_to(&mut reader, limit).map_err(OutputError::Read)?;
            Ok(buffer.into_secret())
        }
    }
}

/// Writes a value into a file.
pub(super) fn copy_value(value: &mut Value, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    match value {
        Value::Inline(secret) => out.write_all(secret.expose()),
        Value::Attachment(reader) => {
            let mut chunk = Zeroizing::new(vec![0; 64 * 1024]);
            loop {
                match reader.read(&mut chunk)? {
                    0 => return Ok(()),
                    count => out.write_all(&chunk[..count])?,
                }
            }
        }
    }
}

fn write_file(
    run: &mut Run<'_>,
    name: &EntryName,
    field: &str,
    file: &Path,
    mut value: Value,
) -> Result<Exit, Failure> {
    let path = run.folder.join(file);
    store::write_file(&path, 0o600, Existing::Keep, |out| -> Result<(), ReplaceError> {
        Ok(copy_value(&mut value, out)?)
    })
    .map_err(|error| Failure::NotStored { path: path.clone(), error })?;
    if run.global.json {
        run.output.json(&Written {
            version: 1,
            name: name.as_str(),
            field,
            file: &path.to_string_lossy(),
        })?;
    }
    run.voice.status(&Status::Done(format!("wrote {}", crate::escape::quoted_path(&path))));
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    name: &'a str,
    field: &'a str,
    file: &'a str,
}

/// A secret for programs: as text if it is UTF-8.
#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    name: &'a str,
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_base64: Option<&'a str>,
}
