//! `vault export`.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use vault_core::format::entry::DEFAULT_FIELD;
use vault_core::secret::Secret;
use vault_core::store::{self, Dir, Existing, ReplaceError};
use vault_core::vault::Value;

use super::Run;
use super::get::{copy_value, in_memory};
use super::list::matches;
use crate::cli::{Export, ExportFormat};
use crate::codec::{self, Format};
use crate::escape::quoted_path;
use crate::failure::{ExportNameProblem, Failure};
use crate::message::{Exit, Status};
use crate::output::Binary;
use crate::session::Session;

pub(super) fn run(run: &mut Run<'_>, arguments: &Export) -> Result<Exit, Failure> {
    let (_, mut session) = run.open()?;
    let wanted =
        |name: &str| matches(arguments.pattern.as_deref(), name) && name.starts_with(&arguments.prefix);
    let opened = session.entries(&|meta| wanted(meta.name.as_str()))?;
    let mut values = BTreeMap::new();
    for entry in opened {
        let base = &entry.meta.name.as_str()[arguments.prefix.len()..];
        for (field, value) in entry.values {
            let name = if field == DEFAULT_FIELD { base.to_owned() } else { format!("{base}.{field}") };
            // An entry whose name is like another's field.
            if values.insert(name.clone(), value).is_some() {
                let problem = ExportNameProblem::Clash(name.clone());
                return Err(Failure::ExportName { name, problem });
            }
        }
    }
    match text_format(arguments.format) {
        Some(format) => as_text(run, arguments, format, values),
        None => as_files(run, arguments, values),
    }
}

fn text_format(format: ExportFormat) -> Option<Format> {
    match format {
        ExportFormat::Dotenv => Some(Format::Dotenv),
        ExportFormat::Json => Some(Format::Json),
        ExportFormat::Yaml => Some(Format::Yaml),
        ExportFormat::Toml => Some(Format::Toml),
        ExportFormat::Files => None,
    }
}

fn as_text(
    run: &mut Run<'_>,
    arguments: &Export,
    format: Format,
    values: BTreeMap<String, Value>,
) -> Result<Exit, Failure> {
    let mut secrets: Vec<(String, Secret)> = Vec::with_capacity(values.len());
    for (name, value) in values {
        secrets.push((name, in_memory(value)?));
    }
    let items = secrets.iter().map(|(name, secret)| (name.as_str(), secret));
    let text = codec::write(format, items).map_err(Failure::Export)?;
    match arguments.output.as_deref() {
        Some(file) if file.as_os_str() != "-" => {
            let path = run.folder.join(file);
            store::write_file(&path, PRIVATE, existing(arguments), |out| -> Result<(), ReplaceError> {
                Ok(out.write_all(text.expose())?)
            })
            .map_err(|error| Failure::NotStored { path: path.clone(), error })?;
            done(run, secrets.len(), &path);
        }
        given => {
            let binary = if given.is_some() { Binary::Write } else { Binary::Refuse };
            run.output.secret(&text, binary)?;
        }
    }
    Ok(Exit::Ok)
}

fn as_files(run: &mut Run<'_>, arguments: &Export, values: BTreeMap<String, Value>) -> Result<Exit, Failure> {
    check_names(values.keys().map(String::as_str))?;
    let folder = run.folder.join(arguments.output.as_deref().unwrap_or(Path::new(".")));
    let failed = |path: &Path| {
        let path = path.to_owned();
        |error| Failure::NotStored { path, error }
    };
    let dir = Dir::open_or_create(&folder).map_err(failed(&folder))?;
    let count = values.len();
    for (name, mut value) in values {
        dir.write_file(Path::new(&name), PRIVATE, existing(arguments), |out| -> Result<(), ReplaceError> {
            Ok(copy_value(&mut value, out)?)
        })
        .map_err(failed(&folder.join(&name)))?;
    }
    done(run, count, &folder);
    Ok(Exit::Ok)
}

/// Before anything is written: every name is a path below the folder, and none is a folder of another.
fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let fail = |name: &str, problem| Err(Failure::ExportName { name: name.to_owned(), problem });
    let names: std::collections::BTreeSet<&str> = names.collect();
    for name in &names {
        let path = Path::new(name);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)))
            && name.split('/').all(|part| !part.is_empty() && part != ".")
            && !name.contains('\0');
        if !inside {
            return fail(name, ExportNameProblem::Outside);
        }
        let mut folders = name.match_indices('/').map(|(at, _)| &name[..at]);
        if let Some(folder) = folders.find(|folder| names.contains(folder)) {
            return fail(name, ExportNameProblem::Clash(folder.to_owned()));
        }
    }
    Ok(())
}

fn existing(arguments: &Export) -> Existing {
    if arguments.yes { Existing::Replace } else { Existing::Keep }
}

fn done(run: &Run<'_>, count: usize, path: &Path) {
    run.voice.status(&Status::Done(format!("exported {count} secrets to {}", quoted_path(path))));
}

const PRIVATE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_outside_or_clash_are_refused() {
        for name in ["..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "a/./b", ".", "a\0b"] {
            let checked = check_names(["ok", name].into_iter());
            assert!(
                matches!(&checked, Err(Failure::ExportName { problem: ExportNameProblem::Outside, .. })),
                "{name}"
            );
        }
        let clash = check_names(["a", "a-b", "a/b"].into_iter());
        assert!(matches!(
            clash,
            Err(Failure::ExportName { problem: ExportNameProblem::Clash(folder), .. }) if folder == "a"
        ));
        assert!(check_names(["a", "b/c", "b/d", "...", "-x"].into_iter()).is_ok());
    }
}
