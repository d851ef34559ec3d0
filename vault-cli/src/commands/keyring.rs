//! `vault keyring …`, which is also what this program does under the name `keyring`.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::Path;

use vault_core::format::limits;
use vault_core::item::Item;
use vault_core::vault::edit::NewValue;

use super::door::places;
use super::get::in_memory;
use super::{Run, set};
use crate::buffer::WipingBuffer;
use crate::cli::Keyring;
use crate::context::ContextError;
use crate::doors::files;
use crate::doors::items::{self, User};
use crate::doors::keyring::arguments::{self, HELP, Request, USAGE, UsageError};
use crate::doors::keyring::{BACKEND, DISABLED, candidates, completion, push_credential};
use crate::doors::python::{Choice, default_of};
use crate::failure::Failure;
use crate::input::{self, Ending, Incoming, Place, Stdin};
use crate::message::Exit;
use crate::output::Binary;
use crate::prompt::Prompt;
use crate::session::Purpose;

/// The command line that was meant, if this program was called by the name `keyring`.
pub(super) fn called_so(arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().and_then(|name| Path::new(name).file_name());
    if name != Some(OsStr::new("keyring")) {
        return arguments;
    }
    let words = arguments.into_iter().skip(1);
    ["vault", "keyring", "--"].into_iter().map(OsString::from).chain(words).collect()
}

pub(super) fn run(run: &mut Run<'_>, arguments: &Keyring) -> Result<Exit, Failure> {
    // Python reads such words, too, and then cannot use them; nothing stored has such a name.
    let words: Option<Vec<String>> =
        arguments.words.iter().map(|word| word.to_str().map(str::to_owned)).collect();
    let Some(words) = words else {
        return Ok(say(run, "a service or user that is not UTF-8 cannot be stored", Exit::Failed));
    };
    let request = match arguments::parse(&words) {
        Ok(request) => request,
        Err(UsageError(text)) => {
            let lines = USAGE.lines().map(str::to_owned).chain([format!("keyring: error: {text}")]);
            run.voice.report_lines(&lines.collect::<Vec<_>>());
            return Ok(Exit::Usage);
        }
    };
    match perform(run, request) {
        Ok(exit) => Ok(exit),
        // One line: it stands among the output of another program.
        Err(failure) => run.voice.briefly(failure),
    }
}

fn perform(run: &mut Run<'_>, request: Request) -> Result<Exit, Failure> {
    match request {
        Request::Help => run.output.text(&format!("{USAGE}{HELP}"))?,
        Request::Completion(shell) => run.output.text(completion::script(&shell))?,
        Request::ListBackends => return list_backends(run),
        Request::Disable => return disable(run),
        Request::Diagnose => return diagnose(run),
        Request::Get { service, username, creds, json } => return get(run, &service, username, creds, json),
        Request::Set { service, username } => return store(run, &service, &username),
        Request::Delete { service, username } => return remove(run, &service, &username),
    }
    Ok(Exit::Ok)
}

fn get(
    run: &mut Run<'_>,
    service: &str,
    username: Option<String>,
    creds: bool,
    json: bool,
) -> Result<Exit, Failure> {
    if is_disabled(run)? {
        return Ok(Exit::Failed);
    }
    ask_only_a_person(run, Stdin::is_terminal());
    let mut session = run.open_at(&run.own_location()?.path)?;
    let user = username.as_deref().map_or(User::Any, User::Named);
    let Some(found) = items::find(&mut session, &candidates(service), user)? else {
        return Ok(Exit::Failed);
    };
    let password = in_memory(found.password)?;
    let mut answer = WipingBuffer::new();
    if json {
        let Ok(text) = std::str::from_utf8(password.expose()) else {
            return Ok(say(run, "the password is not text, and JSON has only text", Exit::Failed));
        };
        push_credential(&mut answer, creds.then(|| found.item.username()), Some(text));
    } else {
        if creds {
            answer.extend(found.item.username().as_bytes());
            answer.push(b'\n');
        }
        answer.extend(password.expose());
        answer.push(b'\n');
    }
    // As Python's command: what was asked for is printed, whoever reads.
    run.output.secret(&answer.into_secret(), Binary::Write)?;
    Ok(Exit::Ok)
}

fn store(run: &mut Run<'_>, service: &str, username: &str) -> Result<Exit, Failure> {
    refuse_disabled(run)?;
    let item = Item::new(service, username).map_err(Failure::ItemTooLong)?;
    ask_only_a_person(run, true);
    run.purpose = Purpose::Change;
    let mut session = run.open_at(&run.own_location()?.path)?;
    let value = match piped(run)? {
        Some(value) => set::stored(&mut session, value, limits::ATTACHMENT_DEFAULT)?,
        // Python's command would read standard input a second time, and end with a traceback.
        None if !run.prompt.can_ask() => return Ok(say(run, "no password was given", Exit::Failed)),
        None => {
            let question = format!("Password for '{username}' in '{service}'");
            let typed = run.prompt.once(&question).map_err(Failure::asking("the password"))?;
            NewValue::Inline(typed)
        }
    };
    items::store(&mut session, &item, value)?;
    Ok(Exit::Ok)
}

/// What is piped in, without one newline at its end. Nothing at all counts as no answer, as in Python's command.
fn piped(run: &mut Run<'_>) -> Result<Option<Incoming>, Failure> {
    if Stdin::is_terminal() {
        return Ok(None);
    }
    let reader = run.stdin.claim("the password")?.into_reader();
    Ok(match input::incoming(reader, Place::Stdin, Ending::WithoutLineFeed, limits::INLINE)? {
        Incoming::Short(value) if value.expose().is_empty() => None,
        value => Some(value),
    })
}

fn remove(run: &mut Run<'_>, service: &str, username: &str) -> Result<Exit, Failure> {
    refuse_disabled(run)?;
    ask_only_a_person(run, Stdin::is_terminal());
    let missing = "no such password";
    let Ok(item) = Item::new(service, username) else { return Ok(say(run, missing, Exit::Failed)) };
    run.purpose = Purpose::Change;
    let mut session = run.open_at(&run.own_location()?.path)?;
    match items::remove(&mut session, &item)? {
        true => Ok(Exit::Ok),
        false => Ok(say(run, missing, Exit::Failed)),
    }
}

/// pip and others call this with a terminal somewhere behind them, and show nothing of what is asked there.
fn ask_only_a_person(run: &mut Run<'_>, person: bool) {
    if !person || !std::io::stderr().is_terminal() {
        run.prompt = Prompt::never();
    }
}

/// Whether `keyring --disable` was said, here or to Python.
fn is_disabled(run: &Run<'_>) -> Result<bool, Failure> {
    if let Some(backend) = run.environment.keyring_backend() {
        return Ok(backend == DISABLED);
    }
    // Without a home there is no configuration, and a vault may be named all the same.
    let Ok(places) = places(run) else { return Ok(false) };
    Ok(files::text(&places.configuration)?.is_some_and(|text| default_of(&text) == Some(DISABLED)))
}

/// Python's command would take a password to be stored, and drop it.
fn refuse_disabled(run: &Run<'_>) -> Result<(), Failure> {
    if is_disabled(run)? { Err(Failure::KeyringDisabled) } else { Ok(()) }
}

fn list_backends(run: &mut Run<'_>) -> Result<Exit, Failure> {
    let choice = places(run).and_then(|places| places.choice())?;
    let priority = match choice {
        Choice::Fallback => "4",
        Choice::Preferred => "5.5",
        Choice::Chosen | Choice::Off => "-1",
    };
    run.output.lines([format!("{BACKEND} (priority: {priority})")])?;
    Ok(Exit::Ok)
}

fn disable(run: &mut Run<'_>) -> Result<Exit, Failure> {
    let path = places(run)?.configuration;
    if path.symlink_metadata().is_ok() {
        return Ok(say(run, &format!("Refusing to overwrite {}", path.display()), Exit::Failed));
    }
    let text = format!("[backend]\ndefault-keyring={DISABLED}");
    files::write(&path, &text, vault_core::store::Existing::Keep)?;
    Ok(Exit::Ok)
}

fn diagnose(run: &mut Run<'_>) -> Result<Exit, Failure> {
    let path = places(run)?.configuration;
    let absent = if path.exists() { "" } else { " (absent)" };
    let data = run.environment.data_folder().ok_or(ContextError::NoHome)?.join("python_keyring");
    run.output.lines([
        format!("config path: {}{absent}", path.display()),
        format!("data root: {}", data.display()),
    ])?;
    Ok(Exit::Ok)
}

fn say(run: &Run<'_>, text: &str, exit: Exit) -> Exit {
    run.voice.report_lines(&[format!("keyring: {text}")]);
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_keyring_stands_for_the_command() {
        let called = |line: &[&str]| called_so(line.iter().map(OsString::from).collect());
        assert_eq!(called(&["/usr/bin/keyring", "get", "-h"]), ["vault", "keyring", "--", "get", "-h"]);
        assert_eq!(called(&["vault", "get", "keyring"]), ["vault", "get", "keyring"]);
        assert_eq!(called(&[]), [""; 0]);
    }
}
