//! `vault export`.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;
use serde::Serialize;
use vault_core::format::entry::DEFAULT_FIELD;
use vault_core::secret::Secret;
use vault_core::store::{self, Dir, Existing, ReplaceError};
use vault_core::vault::Value;

use super::get::{copy_value, in_memory};
use super::list::matches;
use super::{Run, normalised};
use crate::cli::{Cli, Export, ExportFormat};
use crate::codec::{self, Format};
use crate::context::unlock_files;
use crate::escape::{counted, quoted_path};
use crate::failure::{ExportNameProblem, Failure};
use crate::message::{Exit, Status};
use crate::output::Binary;
use crate::session::{Session, SessionError};

pub(super) fn run(run: &mut Run<'_>, arguments: &Export) -> Result<Exit, Failure> {
    let to_stdout = arguments.output.as_deref().is_none_or(|path| path.as_os_str() == "-");
    if run.global.json && to_stdout && arguments.format != ExportFormat::Files {
        return Err(json_to_stdout().into());
    }
    if to_stdout && arguments.format == ExportFormat::Files {
        return Err(files_to_stdout().into());
    }
    let (vault, mut session) = run.open()?;
    let (pattern, prefix) = (arguments.pattern.as_deref().map(normalised), normalised(&arguments.prefix));
    let wanted = |name: &str| matches(pattern.as_deref(), name) && name.starts_with(&prefix);
    let opened = session.entries(&|meta| wanted(meta.name.as_str()))?;
    if opened.is_empty() && (pattern.is_some() || !prefix.is_empty()) {
        return Err(Failure::NothingToExport { pattern, prefix, vault });
    }
    let mut values = BTreeMap::new();
    for entry in opened {
        if entry.meta.in_conflict() {
            return Err(SessionError::InConflict(entry.meta.name).into());
        }
        let base = &entry.meta.name.as_str()[prefix.len()..];
        for (field, value) in entry.values {
            let name = if field == DEFAULT_FIELD { base.to_owned() } else { format!("{base}.{field}") };
            // An entry whose name is like another's field.
            if values.insert(name.clone(), value).is_some() {
                let problem = ExportNameProblem::Twice;
                return Err(Failure::ExportName { name, problem });
            }
        }
    }
    match text_format(arguments.format) {
        Some(format) => as_text(run, arguments, &vault, format, values),
        None => as_files(run, arguments, &vault, values),
    }
}

/// Standard output can take the secrets or the report.
pub(super) fn json_to_stdout() -> clap::Error {
    let text = "--json reports about a file: add -o PATH; or, for the secrets themselves, leave --json out";
    Cli::command().error(ErrorKind::ArgumentConflict, text)
}

/// The current folder is not asked for by leaving the folder out.
fn files_to_stdout() -> clap::Error {
    let text = "--format files writes a file for each secret: name the folder with -o FOLDER";
    Cli::command().error(ErrorKind::MissingRequiredArgument, text)
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
    vault: &Path,
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
            check_target(&Precious::of(run, vault), &path, arguments.yes)?;
            store::write_file(&path, PRIVATE, existing(arguments.yes), |out| -> Result<(), ReplaceError> {
                Ok(out.write_all(text.expose())?)
            })
            .map_err(|error| Failure::NotStored { path: path.clone(), error })?;
            done(run, secrets.len(), &path)?;
        }
        given => {
            let binary = if given.is_some() { Binary::Write } else { Binary::Refuse };
            run.output.secret(&text, binary)?;
        }
    }
    Ok(Exit::Ok)
}

fn as_files(
    run: &mut Run<'_>,
    arguments: &Export,
    vault: &Path,
    values: BTreeMap<String, Value>,
) -> Result<Exit, Failure> {
    check_names(values.keys().map(String::as_str))?;
    let Some(folder) = arguments.output.as_deref().map(|folder| run.folder.join(folder)) else {
        return Err(files_to_stdout().into());
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        |error| Failure::NotStored { path, error }
    };
    let precious = Precious::of(run, vault);
    for name in values.keys() {
        check_folders(&folder, name)?;
        check_target(&precious, &folder.join(name), arguments.yes)?;
    }
    let dir = Dir::open_or_create(&folder).map_err(failed(&folder))?;
    let count = values.len();
    for (name, mut value) in values {
        dir.write_file(
            Path::new(&name),
            PRIVATE,
            existing(arguments.yes),
            |out| -> Result<(), ReplaceError> { Ok(copy_value(&mut value, out)?) },
        )
        .map_err(failed(&folder.join(&name)))?;
    }
    done(run, count, &folder)?;
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

/// Files that no export may replace: the vault, and what it was opened with.
pub(super) struct Precious(Vec<Metadata>);

impl Precious {
    pub(super) fn of(run: &Run<'_>, vault: &Path) -> Self {
        let keys = unlock_files(&run.global.unlock.options(), &run.environment, &run.config);
        let keys = keys.iter().map(|key| run.folder.join(key));
        let all: Vec<PathBuf> = keys.chain([vault.to_owned()]).collect();
        Self(all.iter().filter_map(|path| path.metadata().ok()).collect())
    }

    fn holds(&self, file: &Metadata) -> bool {
        self.0.iter().any(|known| (known.dev(), known.ino()) == (file.dev(), file.ino()))
    }
}

/// Before anything is written: the target may be, and may be replaced.
pub(super) fn check_target(precious: &Precious, path: &Path, replace: bool) -> Result<(), Failure> {
    if let Ok(file) = path.metadata()
        && (precious.holds(&file) || (file.is_file() && is_vault(path)))
    {
        return Err(Failure::ExportTarget(path.to_owned()));
    }
    let error = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(_) if !replace => ReplaceError::AlreadyExists,
        Ok(there) if there.is_dir() => ReplaceError::IsDirectory,
        Ok(_) => return Ok(()),
    };
    Err(Failure::NotStored { path: path.to_owned(), error })
}

/// Whether the file begins as a vault does, of whatever version.
fn is_vault(path: &Path) -> bool {
    let mut start = [0; VAULT.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok_and(|()| &start == VAULT)
}

/// Before anything is written: what has to be a folder is none or is one.
fn check_folders(folder: &Path, name: &str) -> Result<(), Failure> {
    for (at, _) in name.match_indices('/') {
        let path = folder.join(&name[..at]);
        if path.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
            return Err(Failure::FileNotWritten { path, error: io::ErrorKind::NotADirectory.into() });
        }
    }
    Ok(())
}

pub(super) fn existing(replace: bool) -> Existing {
    if replace { Existing::Replace } else { Existing::Keep }
}

fn done(run: &mut Run<'_>, count: usize, path: &Path) -> Result<(), Failure> {
    if run.global.json {
        run.output.json(&Json { version: 1, exported: count, to: &path.to_string_lossy() })?;
    }
    run.voice.status(&Status::Done(format!(
        "exported {} to {}",
        counted(count, "secret", "secrets"),
        quoted_path(path)
    )));
    Ok(())
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    exported: usize,
    to: &'a str,
}

/// How every vault begins.
const VAULT: &[u8; 6] = b"vault/";

pub(super) const PRIVATE: u32 = 0o600;

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
