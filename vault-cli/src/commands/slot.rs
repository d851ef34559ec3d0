//! `vault slot …`: who can open the vault. These commands unlock it themselves, whatever else has it open.

mod add;
mod list;
mod remove;
mod rename;
mod test;

pub(super) use list::shortened;

use std::path::{Path, PathBuf};

use vault_core::format::slot::{Label, SlotLine};

use super::Run;
use crate::cli::{Slot, SlotCommand};
use crate::failure::{Failure, SlotFailure};
use crate::message::Exit;
use crate::session::{self, Local};

pub(super) fn run(run: &mut Run<'_>, arguments: &Slot) -> Result<Exit, Failure> {
    match &arguments.command {
        SlotCommand::Add(arguments) => add::run(run, arguments),
        SlotCommand::List(arguments) => list::run(run, arguments),
        SlotCommand::Remove(arguments) => remove::run(run, arguments),
        SlotCommand::Rename(arguments) => rename::run(run, arguments),
        SlotCommand::Test(arguments) => test::run(run, arguments),
    }
}

/// The vault that is meant, unlocked in this process.
pub(super) fn open(run: &mut Run<'_>) -> Result<(PathBuf, Local), Failure> {
    let path = run.location()?.path;
    let session = run.unlock(&path)?;
    Ok((path, session))
}

/// The slot that is meant.
///
/// # Errors
/// [`SlotFailure::NoSuchSlot`], with those that there are.
pub(super) fn find(slots: &[SlotLine], label: &str) -> Result<SlotLine, Failure> {
    let slot = slots.iter().find(|slot| slot.label.as_str() == label);
    slot.cloned().ok_or_else(|| {
        let labels = slots.iter().map(|slot| slot.label.as_str().to_owned()).collect();
        SlotFailure::NoSuchSlot(label.to_owned(), labels).into()
    })
}

/// A label that was typed.
pub(super) fn label(text: &str) -> Result<Label, Failure> {
    Ok(session::label(text)?)
}

/// What needs a yes.
pub(super) struct Question<'a> {
    /// As in "cannot … without being told twice".
    pub(super) what: &'a str,
    /// Why it is asked.
    pub(super) why: &'a str,
    /// What is asked on a terminal, after the reason.
    pub(super) ask: &'a str,
    /// The option that answers.
    pub(super) option: &'a str,
}

/// Asks for a yes, unless it was given.
///
/// # Errors
/// [`Failure::Declined`]; [`SlotFailure::NeedsYes`] if there is nobody to ask.
pub(super) fn confirm(run: &mut Run<'_>, yes: bool, question: &Question<'_>) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !run.prompt.can_ask() {
        return Err(needs_yes(question).into());
    }
    let asked = run.prompt.confirm(&format!("{}. {}", question.why, question.ask));
    if asked.map_err(Failure::asking("a yes or no"))? { Ok(()) } else { Err(Failure::Declined) }
}

/// Has the name of the vault's file typed, unless it was given.
///
/// # Errors
/// [`SlotFailure::NotConfirmed`]; [`SlotFailure::NeedsYes`] if there is nobody to ask.
pub(super) fn confirm_by_name(
    run: &mut Run<'_>,
    given: Option<&str>,
    path: &Path,
    question: &Question<'_>,
) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let typed = match given {
        Some(given) => given.as_bytes().to_vec(),
        None if !run.prompt.can_ask() => return Err(needs_yes(question).into()),
        None => {
            let asked = run.prompt.shown(&format!("{}. {}", question.why, question.ask));
            asked.map_err(Failure::asking("the vault's name"))?.expose().to_vec()
        }
    };
    if typed == name.as_bytes() { Ok(()) } else { Err(SlotFailure::NotConfirmed(name).into()) }
}

fn needs_yes(question: &Question<'_>) -> SlotFailure {
    SlotFailure::NeedsYes {
        what: question.what.to_owned(),
        why: question.why.to_owned(),
        option: question.option.to_owned(),
    }
}
