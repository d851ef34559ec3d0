//! `vault man FOLDER`.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use serde::Serialize;
use vault_core::store::{Dir, Existing, ReplaceError};

use super::Run;
use crate::cli::{Cli, Man};
use crate::failure::Failure;
use crate::message::{Exit, Status};

pub(super) fn run(run: &mut Run<'_>, arguments: &Man) -> Result<Exit, Failure> {
    let folder = run.folder.join(&arguments.folder);
    let pages = write_pages(&folder)?;
    if run.global.json {
        run.output.json(&Json { version: 1, pages, folder: &folder.to_string_lossy() })?;
    }
    run.voice.status(&Status::Done(format!(
        "wrote {pages} man pages into {}",
        crate::escape::quoted_path(&folder)
    )));
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    pages: usize,
    folder: &'a str,
}

/// One page for the program, and one for each command.
fn write_pages(folder: &Path) -> Result<usize, Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |error| Failure::NotStored { path, error }
    };
    #[expect(clippy::disallowed_methods, reason = "no vault and no secret is written there")]
    fs::create_dir_all(folder).map_err(|error| Failure::FileNotWritten { path: folder.to_owned(), error })?;
    let dir = Dir::open_or_create(folder).map_err(failed(folder))?;
    let mut root = Cli::command();
    root.build();
    let mut pages = 0;
    for command in std::iter::once(&root).chain(root.get_subcommands()) {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let page = clap_mangen::Man::new(command.clone()).title(&name);
        let file = format!("{name}.1");
        dir.write_file(Path::new(&file), PUBLIC, Existing::Replace, |out| -> Result<(), ReplaceError> {
            Ok(page.render(out)?)
        })
        .map_err(failed(&folder.join(&file)))?;
        pages += 1;
    }
    Ok(pages)
}

const PUBLIC: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_the_program_and_every_command() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a fresh/home");
        let pages = write_pages(&folder).ok().unwrap();
        assert_eq!(pages, 1 + Cli::command().get_subcommands().count());
        let page = fs::read_to_string(folder.join("vault-set.1")).unwrap();
        assert!(page.contains(".TH vault-set 1") && page.contains("secret\\-file"), "{page}");
        assert!(folder.join("vault.1").exists());
    }
}
