//! `vault door`: opens and closes ways in for other programs.

mod answer;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Run;
use crate::cli::{Door, KeyringDoor, PythonDoor, Which};
use crate::context::{ContextError, Location, Reason};
use crate::doors::files::{self, Link};
use crate::doors::python::{Choice, Places};
use crate::escape::{quoted, quoted_path};
use crate::failure::Failure;
use crate::message::{Exit, Status};

pub(super) fn run(run: &mut Run<'_>, arguments: &Door) -> Result<Exit, Failure> {
    match &arguments.which {
        Which::Keyring(arguments) => keyring(run, arguments),
        Which::Python(arguments) => python(run, arguments),
        Which::Answer => answer::run(run),
    }
}

fn keyring(run: &mut Run<'_>, arguments: &KeyringDoor) -> Result<Exit, Failure> {
    let folder = match &arguments.dir {
        Some(folder) => run.folder.join(folder),
        None => run.environment.home().ok_or(ContextError::NoHome)?.join(".local/bin"),
    };
    let path = folder.join(COMMAND);
    if arguments.enable {
        let program = std::env::current_exe().map_err(Failure::CurrentFolder)?;
        files::make_link(&path, &program)?;
        done(run, format!("{} is this program now", quoted_path(&path)));
        match first_on_path(run) {
            Some(first) if first == path => {}
            Some(first) => done(run, format!("but {} comes first in PATH", quoted_path(&first))),
            None => done(run, format!("add {} to PATH to have it found", quoted_path(&folder))),
        }
    } else if arguments.disable {
        let text = match files::remove_link(&path)? {
            true => format!("removed {}", quoted_path(&path)),
            false => format!("{} is no link to this program: nothing to remove", quoted_path(&path)),
        };
        done(run, text);
    }
    let target = match files::link(&path) {
        Link::Ours(target) => Some(target),
        Link::Absent | Link::Foreign => None,
    };
    let state = if target.is_some() { "enabled" } else { "disabled" };
    let target = target.map(|target| target.to_string_lossy().into_owned());
    report(
        run,
        arguments.enable || arguments.disable,
        &State { version: 1, door: COMMAND, state, path, target },
    )
}

/// The program that `keyring` runs.
fn first_on_path(run: &Run<'_>) -> Option<PathBuf> {
    let path = run.environment.search_path()?;
    std::env::split_paths(path).map(|folder| folder.join(COMMAND)).find(|path| path.is_file())
}

fn python(run: &mut Run<'_>, arguments: &PythonDoor) -> Result<Exit, Failure> {
    let places = places(run)?;
    let choice = match arguments {
        PythonDoor { enable: true, fallback: true, .. } => Some(Choice::Fallback),
        PythonDoor { enable: true, prefer: true, .. } => Some(Choice::Preferred),
        PythonDoor { enable: true, .. } => Some(Choice::Chosen),
        PythonDoor { disable: true, .. } => Some(Choice::Off),
        _ => None,
    };
    if let Some(choice) = choice {
        places.choose(choice, arguments.yes)?;
        let text = match choice {
            Choice::Chosen => format!(
                "Python's keyring uses the vault: {} says so",
                quoted_path(&places.configuration)
            ),
            Choice::Fallback => "Python's keyring uses the vault where there is no Secret Service, if our package is installed".to_owned(),
            Choice::Preferred => "Python's keyring asks the vault before Secret Service, if our package is installed".to_owned(),
            Choice::Off => "Python's keyring does not use the vault, unless PYTHON_KEYRING_BACKEND says so".to_owned(),
        };
        done(run, text);
        if choice != Choice::Off {
            say_if_missing(run)?;
        }
    }
    let state = match places.choice()? {
        Choice::Chosen => "enabled",
        Choice::Fallback => "fallback",
        Choice::Preferred => "prefer",
        Choice::Off => "disabled",
    };
    let path = places.configuration;
    report(run, choice.is_some(), &State { version: 1, door: "python", state, path, target: None })
}

/// It is chosen all the same: keyring must not take a weaker backend for as long as ours is not ready.
fn say_if_missing(run: &Run<'_>) -> Result<(), Failure> {
    let Location { path, reason } = run.own_location()?;
    if !path.exists() {
        let command = if reason == Reason::User { "vault init --user" } else { "vault init" };
        let path = quoted_path(&path);
        done(run, format!("but there is no vault at {path}; until \"{command}\" makes it, every call fails"));
    }
    Ok(())
}

/// Where the files of Python's keyring are.
pub(super) fn places(run: &Run<'_>) -> Result<Places, Failure> {
    let environment = &run.environment;
    let config = environment.config_folder().ok_or(ContextError::NoHome)?;
    let data = environment.data_folder().ok_or(ContextError::NoHome)?;
    Ok(Places::below(&config, &data))
}

/// A change was told already: then only JSON is left to print.
fn report(run: &mut Run<'_>, told: bool, state: &State) -> Result<Exit, Failure> {
    if run.global.json {
        run.output.json(state)?;
    } else if !told {
        run.output.lines([format!("{} ({})", state.state, shown(&state.path))])?;
    }
    Ok(Exit::Ok)
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn done(run: &Run<'_>, text: String) {
    run.voice.status(&Status::Done(text));
}

#[derive(Serialize)]
struct State {
    version: u32,
    door: &'static str,
    state: &'static str,
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

/// What other programs look for.
const COMMAND: &str = "keyring";
