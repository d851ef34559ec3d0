//! `vault init`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::Serialize;
use vault_core::format::front::Pages;
use vault_core::secret::Secret;
use vault_core::store::{self, Existing, ReplaceError};
use zeroize::Zeroizing;

use super::Run;
use super::slots::{self, Fresh, Given};
use crate::cli::Init;
use crate::context::{self, Reason, attributes};
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::message::{Exit, Status, Warning};
use crate::output::{Binary, OutputError};
use crate::session::{Durable, SessionError};

pub(super) fn run(run: &mut Run<'_>, arguments: &Init) -> Result<Exit, Failure> {
    let location =
        context::new_vault(run.global.file.as_deref(), arguments.user, &run.environment, &run.folder)?;
    let path = location.path;
    // Asked now rather than after a passphrase was typed twice; `create` looks again.
    if path.symlink_metadata().is_ok() {
        return Err(Failure::VaultExists(path));
    }
    let wanted = slots::wanted(run, &arguments.slots, &path, Given::IsForTheNewVault)?;
    let in_work_tree = context::in_work_tree(&path);
    // Five edits a side meet in one of 256 pages in every fifth merge, and in one of 4,096 in every hundredth.
    let pages = match &arguments.pages {
        Some(text) => pages(text),
        None if in_work_tree => Pages::Many,
        None => Pages::Few,
    };
    let mut fresh = slots::fresh(run, &path, pages, wanted, Vec::new())?;

    if location.reason == Reason::User {
        make_folder(&path)?;
    }
    let durable = create(run, &path, &mut fresh)?;
    run.voice.status(&Status::Done(format!("made vault {}", quoted_path(&path))));
    // The key first: whatever goes wrong after this is no reason to lose it.
    report(run, &path, &fresh, arguments.slots.out.as_deref())?;
    if in_work_tree && !arguments.no_gitattributes {
        keep_line_ends(run, &path)?;
    }
    durable?;
    Ok(Exit::Ok)
}

/// Stores a new vault, and remembers it; an existing one is never replaced. The inner result says whether it outlives a power
/// cut: its keys have to be given out before that is said.
pub(super) fn create(run: &Run<'_>, path: &Path, fresh: &mut Fresh) -> Result<Durable, Failure> {
    let durable = match store::create(path, &fresh.text, PRIVATE) {
        Ok(_) => Ok(()),
        Err(error @ ReplaceError::FolderNotSynced(_)) => Err(SessionError::Save(path.to_owned(), error)),
        Err(ReplaceError::AlreadyExists) => return Err(Failure::VaultExists(path.to_owned())),
        Err(error) => return Err(Failure::NotStored { path: path.to_owned(), error }),
    };
    if let Some(file) = fresh.file.take() {
        file.stay(run.voice);
    }
    // Whatever was at this path before: this is the vault that was asked for. If it cannot be remembered, the first save
    // says so.
    run.pins(path)?.accept(&fresh.sighting);
    Ok(durable)
}

/// The machine key is the command's result: it is given out once.
pub(super) fn report(
    run: &mut Run<'_>,
    path: &Path,
    fresh: &Fresh,
    out: Option<&Path>,
) -> Result<Exit, Failure> {
    let machine_key = fresh.machine_key.as_ref();
    if run.global.json {
        let machine_key = machine_key.map(|key| String::from_utf8_lossy(key.expose()));
        let id = fresh.sighting.id;
        let uuid = vault_core::format::id::SealId(id.uuid).to_string();
        let key_lost = machine_key.is_some();
        let json = Json {
            version: 1,
            file: &path.to_string_lossy(),
            vault_id: id.to_string(),
            uuid,
            machine_key,
            key_file: out.map(|out| run.folder.join(out).to_string_lossy().into_owned()),
        };
        return match run.output.json(&json) {
            Err(error) if key_lost => Err(Failure::KeyLost { path: path.to_owned(), error }),
            result => Ok(result.map(|()| Exit::Ok)?),
        };
    }
    report_key(run, path, fresh)?;
    Ok(Exit::Ok)
}

/// Gives out the machine key, once.
pub(super) fn report_key(run: &mut Run<'_>, path: &Path, fresh: &Fresh) -> Result<(), Failure> {
    match &fresh.machine_key {
        Some(key) => print_key(run, key).map_err(|error| Failure::KeyLost { path: path.to_owned(), error }),
        None => Ok(()),
    }
}

/// Prints a machine key.
pub(super) fn print_key(run: &mut Run<'_>, key: &Secret) -> Result<(), OutputError> {
    let newline: &[u8] = if key.expose().ends_with(b"\n") { b"" } else { b"\n" };
    let line = Zeroizing::new([key.expose(), newline].concat());
    run.output.secret(&Secret::from(line), Binary::Refuse)?;
    run.voice.status(&Status::Done(
        "the machine key above is shown once: keep it where the machine reads it".to_owned(),
    ));
    Ok(())
}

/// What `--pages` says.
pub(super) fn pages(text: &str) -> Pages {
    if text == "4096" { Pages::Many } else { Pages::Few }
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    file: &'a str,
    vault_id: String,
    uuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_key: Option<std::borrow::Cow<'a, str>>,
    /// Where what opens the vault was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::FileNotWritten { path: folder.to_owned(), error })
}

/// Inside a git work tree, git must leave the file's line ends alone, whatever it does elsewhere.
fn keep_line_ends(run: &Run<'_>, vault: &Path) -> Result<(), Failure> {
    let (Some(folder), Some(name)) = (vault.parent(), vault.file_name()) else { return Ok(()) };
    let line = attributes::line(name);
    let path = folder.join(".gitattributes");
    let mut text = match path.symlink_metadata() {
        Ok(_) => match store::read_small(&path, MAX_ATTRIBUTES) {
            Ok(text) => text,
            Err(_) => return run.voice.warn(Warning::NoAttributes(line)),
        },
        Err(_) => Vec::new(),
    };
    if text.split(|byte| *byte == b'\n').any(|old| old.trim_ascii() == line.as_bytes()) {
        return Ok(());
    }
    run.voice.status(&Status::Done(format!("adding to {}: {line}", quoted_path(&path))));
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
    let written = store::write_file(&path, PUBLIC, Existing::Replace, |out| -> Result<(), ReplaceError> {
        Ok(out.write_all(&text)?)
    });
    // The vault is made; that is what was asked for.
    written.or_else(|_| run.voice.warn(Warning::NoAttributes(line)))
}

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
const MAX_ATTRIBUTES: u64 = 1024 * 1024;
