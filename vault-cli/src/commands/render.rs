//! `vault render TEMPLATE -o FILE`.

use std::path::Path;

use serde::Serialize;
use vault_core::secret::Secret;
use vault_core::store::{self, ReplaceError};
use vault_core::vault::Value;

use super::Run;
use super::export::{PRIVATE, Precious, check_target, existing, json_to_stdout};
use super::get::in_memory;
use super::launch::looked_up;
use crate::buffer::WipingBuffer;
use crate::cli::Render;
use crate::escape::quoted_path;
use crate::failure::{Failure, LaunchError};
use crate::input;
use crate::message::{Exit, Status};
use crate::output::Binary;
use crate::template::{self, Piece};

pub(super) fn run(run: &mut Run<'_>, arguments: &Render) -> Result<Exit, Failure> {
    if run.global.json && arguments.output.as_deref().is_none_or(|path| path.as_os_str() == "-") {
        return Err(json_to_stdout().into());
    }
    let text = template(run, &arguments.template)?;
    let pieces = template::parse(text.expose())
        .map_err(|error| LaunchError::Template(arguments.template.clone(), error))?;
    let (vault, mut session) = run.open()?;
    let mut references = 0;
    // Everything is found before anything is written.
    let mut values: Vec<Option<Value>> = Vec::with_capacity(pieces.len());
    for piece in &pieces {
        values.push(match piece {
            Piece::Text(_) => None,
            Piece::Value(reference, _) => {
                references += 1;
                Some(looked_up(run, &mut session, &vault, reference)?)
            }
        });
    }
    let mut out = WipingBuffer::new();
    for (piece, value) in pieces.into_iter().zip(values) {
        match (piece, value) {
            (Piece::Value(reference, form), Some(value)) => {
                template::write(in_memory(value)?.expose(), form, &mut out)
                    .map_err(|error| LaunchError::Form(reference, error))?;
            }
            (Piece::Text(text), _) => out.extend(text.expose()),
            (Piece::Value(..), None) => {}
        }
    }
    let out = out.into_secret();
    match arguments.output.as_deref() {
        Some(file) if file.as_os_str() != "-" => {
            let path = run.folder.join(file);
            check_target(&Precious::of(run, &vault), &path, arguments.yes)?;
            store::write_file(&path, PRIVATE, existing(arguments.yes), |file| -> Result<(), ReplaceError> {
                Ok(file.write_all(out.expose())?)
            })
            .map_err(|error| Failure::NotStored { path: path.clone(), error })?;
            if run.global.json {
                run.output.json(&Json { version: 1, references, file: &path.to_string_lossy() })?;
            }
            run.voice.status(&Status::Done(format!("wrote {}", quoted_path(&path))));
        }
        given => run.output.secret(&out, if given.is_some() { Binary::Write } else { Binary::Refuse })?,
    }
    Ok(Exit::Ok)
}

/// The text of a template or an environment file.
pub(super) fn template(run: &mut Run<'_>, path: &Path) -> Result<Secret, Failure> {
    if path.as_os_str() == "-" {
        return Ok(run.stdin.claim("the template")?.read(MAX_TEMPLATE)?);
    }
    Ok(input::file(&run.folder.join(path), MAX_TEMPLATE)?)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    references: usize,
    file: &'a str,
}

const MAX_TEMPLATE: usize = 16 * 1024 * 1024;
