//! `vault run … -- PROGRAM`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use vault_core::format::entry::DEFAULT_FIELD;
use vault_core::secret::Secret;
use vault_core::vault::Value;

use super::get::{copy_value, in_memory, warn};
use super::{Run, found, normalised};
use crate::buffer::WipingBuffer;
use crate::cli::{Cli, Start};
use crate::codec::{self, Format};
use crate::failure::{Failure, LaunchError, VariableProblem};
use crate::input::{self, Place};
use crate::mask::Mask;
use crate::message::{Exit, Warning};
use crate::session::{Session, SessionError};
use crate::sys::child::{self, End, NotRun, Program};
use crate::sys::folder::{NamelessFile, PrivateFolder};
use crate::template::{self, Form, Piece, Reference};

pub(super) fn run(run: &mut Run<'_>, arguments: &Start) -> Result<Exit, Failure> {
    let mut wanted = typed(run, arguments)?;
    check_descriptor(run)?;
    let (vault, mut session) = run.open()?;
    let session: &mut dyn Session = &mut session;
    if let Some(prefix) = &arguments.prefix {
        below(session, &vault, prefix, &mut wanted)?;
    }
    let mut secrets =
        Secrets { variables: Vec::new(), files: Vec::new(), given: Vec::new(), written: Vec::new() };
    for (name, pieces) in wanted.variables {
        let value = variable(run, session, &vault, &name, pieces, &mut secrets)?;
        secrets.variables.push((name, value));
    }
    for (name, reference) in wanted.files {
        let value = looked_up(run, session, &vault, &reference)?;
        secrets.files.push((name, value));
    }
    if arguments.mask {
        warn_of_unmasked(run, &mut secrets)?;
    }
    start(run, arguments, secrets)
}

/// Whether a command line that was not understood is one of `vault run`. Slow: it asks for the whole grammar.
pub(super) fn is_meant(arguments: &[OsString]) -> bool {
    let grammar = Cli::command();
    let takes_value = |is: &dyn Fn(&clap::Arg) -> bool| {
        grammar.get_arguments().any(|option| is(option) && option.get_action().takes_values())
    };
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let value_follows = match (word.strip_prefix("--"), word.strip_prefix('-')) {
            (Some(name), _) => takes_value(&|option| option.get_long() == Some(name)),
            // Of several in one word, the first that takes a value has the rest of the word for it, if there is one.
            (None, Some(letters)) => letters
                .char_indices()
                .find(|(_, letter)| takes_value(&|option| option.get_short() == Some(*letter)))
                .is_some_and(|(at, letter)| at + letter.len_utf8() == letters.len()),
            (None, None) => return word == "run",
        };
        if value_follows {
            words.next();
        }
    }
    false
}

/// What was asked for.
#[derive(Default)]
struct Wanted {
    variables: BTreeMap<String, Vec<Piece>>,
    files: BTreeMap<String, Reference>,
}

/// What was found.
struct Secrets {
    variables: Vec<(String, Secret)>,
    files: Vec<(String, Value)>,
    /// Values of their own, to be masked.
    given: Vec<Secret>,
    /// The same as a template made this program write them.
    written: Vec<Secret>,
}

/// Everything that the command line and the environment file say, before any vault is opened.
fn typed(run: &mut Run<'_>, arguments: &Start) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    if let Some(path) = &arguments.env_file {
        wanted.variables = environment_file(run, path)?;
    }
    let mut named: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
    for (name, reference) in &arguments.env {
        let piece = Piece::Value(parsed(reference)?, Form::Plain);
        if named.insert(variable_name(name)?, vec![piece]).is_some() {
            return Err(LaunchError::Twice(name.clone()).into());
        }
    }
    for (name, reference) in &arguments.as_file {
        let twice = named.contains_key(name);
        if wanted.files.insert(variable_name(name)?, parsed(reference)?).is_some() || twice {
            return Err(LaunchError::Twice(name.clone()).into());
        }
    }
    // What is typed goes before what a file says.
    wanted.variables.extend(named);
    wanted.variables.retain(|name, _| !wanted.files.contains_key(name));
    Ok(wanted)
}

fn environment_file(run: &mut Run<'_>, path: &Path) -> Result<BTreeMap<String, Vec<Piece>>, Failure> {
    let text = super::render::template(run, path)?;
    let items =
        codec::read(Format::Dotenv, &text).map_err(|error| LaunchError::Dotenv(path.to_owned(), error))?;
    let mut variables = BTreeMap::new();
    for item in items {
        let pieces = template::parse_value(&item.value).map_err(|problem| LaunchError::EnvironmentFile {
            path: path.to_owned(),
            variable: item.name.clone(),
            problem,
        })?;
        variables.insert(variable_name(&item.name)?, pieces);
    }
    Ok(variables)
}

/// Every field of the entries below a prefix, unless a variable is set otherwise.
fn below(session: &mut dyn Session, vault: &Path, prefix: &str, wanted: &mut Wanted) -> Result<(), Failure> {
    let prefix = normalised(prefix);
    let mut variables = BTreeMap::new();
    for meta in session.list()? {
        let Some(rest) = meta.name.as_str().strip_prefix(&prefix).filter(|rest| !rest.is_empty()) else {
            continue;
        };
        for field in meta.fields.keys() {
            let rest = if field == DEFAULT_FIELD { rest.to_owned() } else { format!("{rest}.{field}") };
            let name = as_variable(&rest).ok_or_else(|| LaunchError::NoVariable(meta.name.clone()))?;
            if wanted.variables.contains_key(&name) || wanted.files.contains_key(&name) {
                continue;
            }
            if steers(&name) {
                return Err(LaunchError::Steering(meta.name, name).into());
            }
            let reference = Reference { entry: meta.name.clone(), field: field.clone() };
            if variables.insert(name.clone(), vec![Piece::Value(reference, Form::Plain)]).is_some() {
                return Err(LaunchError::Twice(name).into());
            }
        }
    }
    if variables.is_empty() {
        return Err(LaunchError::NothingBelow(prefix, vault.to_owned()).into());
    }
    wanted.variables.extend(variables);
    Ok(())
}

/// A reference that was typed.
pub(super) fn parsed(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|error| LaunchError::Reference(text.to_owned(), error).into())
}

/// The value that is meant. Of an entry in conflict, none is handed on as if it were the only one: what a program or a file is
/// given is used far from here.
pub(super) fn looked_up(
    run: &Run<'_>,
    session: &mut dyn Session,
    vault: &Path,
    reference: &Reference,
) -> Result<Value, Failure> {
    let (meta, value) = found(session, vault, &reference.entry, &reference.field)?;
    if meta.in_conflict() {
        return Err(SessionError::InConflict(meta.name).into());
    }
    warn(run, &meta)?;
    Ok(value)
}

/// A variable's value. Those of which it is made are kept, as they are to be masked.
fn variable(
    run: &Run<'_>,
    session: &mut dyn Session,
    vault: &Path,
    name: &str,
    pieces: Vec<Piece>,
    secrets: &mut Secrets,
) -> Result<Secret, Failure> {
    let refuse = |problem| Err(LaunchError::NotForVariable(name.to_owned(), problem).into());
    let mut out = WipingBuffer::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend(text.expose()),
            Piece::Value(reference, form) => {
                let value = looked_up(run, session, vault, &reference)?;
                if let Value::Attachment(reader) = &value
                    && reader.length() > LONGEST_VARIABLE as u64
                {
                    return refuse(VariableProblem::TooLong);
                }
                let value = in_memory(value)?;
                let before = out.as_slice().len();
                template::write(value.expose(), form, &mut out)
                    .map_err(|error| LaunchError::Form(reference, error))?;
                secrets.written.extend(form.inside(&out.as_slice()[before..]));
                secrets.given.push(value);
            }
        }
    }
    let value = out.into_secret();
    if value.expose().contains(&0) {
        return refuse(VariableProblem::Nul);
    }
    if std::str::from_utf8(value.expose()).is_err() {
        return refuse(VariableProblem::NotUtf8);
    }
    if name.len() + value.expose().len() + "=\0".len() > LONGEST_VARIABLE {
        return refuse(VariableProblem::TooLong);
    }
    Ok(value)
}

/// Says which values the mask does not know. Values of files that it can know are taken into memory.
fn warn_of_unmasked(run: &Run<'_>, secrets: &mut Secrets) -> Result<(), Failure> {
    for value in &secrets.given {
        if let Some(why) = Mask::refuses(value.expose().len() as u64) {
            run.voice.warn(Warning::NotMasked("a variable".to_owned(), why))?;
        }
    }
    for (name, value) in &mut secrets.files {
        let length = match value {
            Value::Inline(secret) => secret.expose().len() as u64,
            Value::Attachment(reader) => reader.length(),
        };
        if let Some(why) = Mask::refuses(length) {
            run.voice.warn(Warning::NotMasked(format!("the file of {name}"), why))?;
            continue;
        }
        let whole = in_memory(std::mem::replace(value, Value::Inline(Secret::new(Vec::new()))))?;
        secrets.given.push(whole.duplicate());
        *value = Value::Inline(whole);
    }
    Ok(())
}

/// Hands everything over.
fn start(run: &mut Run<'_>, arguments: &Start, secrets: Secrets) -> Result<Exit, Failure> {
    let program = || arguments.program[0].clone();
    run.prompt.release();
    let waits = arguments.mask || !secrets.files.is_empty() || child::is_first();
    // Before there are files: whoever ends this process must not leave them behind.
    let signals =
        waits.then(child::keep_signals).transpose().map_err(|error| not_started(program(), error))?;
    let files = Files::make(run, arguments.files_in.as_deref(), secrets.files)?;
    let started = Program {
        words: &arguments.program,
        variables: secrets.variables,
        files: files.paths.clone(),
        without_input: run.stdin.is_used(),
    };
    let mask = arguments.mask.then(|| Mask::of(secrets.given.iter().chain(&secrets.written)));
    drop((secrets.given, secrets.written));
    let ended = match &signals {
        Some(signals) if mask.is_some() || files.folder.is_some() || child::is_first() => {
            started.supervise(signals, mask.as_ref())
        }
        _ => Err(started.replace_this(signals.as_ref())),
    };
    match ended {
        Ok(End::Code(code)) => Ok(Exit::Child(code)),
        Ok(End::Signal(number)) => Ok(Exit::Signal(number)),
        Err(NotRun::Ended(number)) => Err(Failure::Ended(number)),
        Err(NotRun::NotStarted(error)) => Err(not_started(program(), error).into()),
        Err(NotRun::Lost(error)) => Err(LaunchError::Lost(program(), error).into()),
    }
}

fn not_started(program: OsString, error: std::io::Error) -> LaunchError {
    match error.kind() {
        std::io::ErrorKind::NotFound => LaunchError::NoProgram(program),
        _ => LaunchError::NotExecutable(program, error),
    }
}

/// The files of a program, for as long as they are there.
struct Files {
    paths: Vec<(String, PathBuf)>,
    /// Wiped and removed with it.
    folder: Option<PrivateFolder>,
    /// Without names: gone with the last process that holds them.
    nameless: Vec<NamelessFile>,
}

impl Files {
    fn make(run: &Run<'_>, place: Option<&Path>, values: Vec<(String, Value)>) -> Result<Self, Failure> {
        let mut files = Self { paths: Vec::new(), folder: None, nameless: Vec::new() };
        if values.is_empty() {
            return Ok(files);
        }
        let not_written = |path: &Path, error| Failure::FileNotWritten { path: path.to_owned(), error };
        files.folder = match place {
            Some(place) => {
                let place = run.folder.join(place);
                Some(PrivateFolder::within(&place).map_err(|error| not_written(&place, error))?)
            }
            None => PrivateFolder::make(run.environment.runtime_folder()),
        };
        for (name, mut value) in values {
            let path = if let Some(folder) = &files.folder {
                folder
                    .write(&name, |out| copy_value(&mut value, out))
                    .map_err(|error| not_written(&folder.path().join(&name), error))?
            } else {
                let file = NamelessFile::make(&name, |out| copy_value(&mut value, out))
                    .map_err(|_| LaunchError::NoMemory)?;
                let path = file.path();
                files.nameless.push(file);
                path
            };
            files.paths.push((name, path));
        }
        Ok(files)
    }
}

/// A passphrase in a file that is open already would stay open in the program, which could read it again.
fn check_descriptor(run: &Run<'_>) -> Result<(), Failure> {
    let Some(number) = run.global.unlock.options().passphrase_fd.filter(|number| *number != 0) else {
        return Ok(());
    };
    let unreadable = |error| input::InputError::Unreadable(Place::Descriptor(number), error);
    let kind = std::fs::metadata(format!("/dev/fd/{number}")).map_err(unreadable)?.file_type();
    // What was read from a pipe is no longer in it.
    if kind.is_fifo() { Ok(()) } else { Err(LaunchError::Descriptor(number).into()) }
}

fn variable_name(name: &str) -> Result<String, Failure> {
    if is_variable(name) { Ok(name.to_owned()) } else { Err(LaunchError::Variable(name.to_owned()).into()) }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A variable's name for the rest of an entry's: itself if it is one, else in capitals with underscores.
fn as_variable(rest: &str) -> Option<String> {
    if is_variable(rest) {
        return Some(rest.to_owned());
    }
    let name: String = rest
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' })
        .collect();
    is_variable(&name).then_some(name)
}

/// Whether a variable makes programs load or run what it names. An entry that somebody else added must not do that by its name
/// alone. The list cannot be complete.
fn steers(name: &str) -> bool {
    ["LD_", "DYLD_", "BASH_FUNC_", "GIT_", "PYTHON", "NODE_", "PERL5", "RUBY", "JAVA_TOOL", "JDK_JAVA"]
        .iter()
        .any(|beginning| name.starts_with(beginning))
        || [
            "PATH",
            "IFS",
            "ENV",
            "BASH_ENV",
            "SHELLOPTS",
            "PS4",
            "HOME",
            "SHELL",
            "EDITOR",
            "VISUAL",
            "PAGER",
        ]
        .contains(&name)
}

/// Of one variable with its name, `=` and NUL: 32 pages in Linux.
const LONGEST_VARIABLE: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_become_names_of_variables() {
        for (rest, name) in [
            ("DB_URL", Some("DB_URL")),
            ("db_url", Some("db_url")),
            ("db/url", Some("DB_URL")),
            ("aws.key_id", Some("AWS_KEY_ID")),
            ("a-b c", Some("A_B_C")),
            ("1a", None),
            ("/a", Some("_A")),
        ] {
            assert_eq!(as_variable(rest).as_deref(), name, "{rest}");
        }
    }

    #[test]
    fn the_command_is_known_before_its_line_is_understood() {
        let meant = |line: &str| is_meant(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "vault run --bad",
            "vault -f x --json run",
            "vault --file=x -i id run -- get",
            "vault -qf x run",
            "vault -fx run",
        ] {
            assert!(meant(line), "{line}");
        }
        for option in Cli::command().get_arguments().filter(|option| option.get_action().takes_values()) {
            let name = option.get_long().unwrap();
            assert!(meant(&format!("vault --{name} x run --bad")), "{name}");
            assert!(!meant(&format!("vault --{name} run get")), "{name}");
        }
        for line in ["vault get run", "vault -f run get x", "vault", "vault --file run"] {
            assert!(!meant(line), "{line}");
        }
    }

    #[test]
    fn names_that_steer_programs_are_known() {
        for name in ["LD_PRELOAD", "PATH", "BASH_ENV", "PYTHONPATH", "NODE_OPTIONS", "GIT_SSH_COMMAND"] {
            assert!(steers(name), "{name}");
        }
        for name in ["DB_URL", "PATHS", "OLD_KEY", "ENVIRONMENT"] {
            assert!(!steers(name), "{name}");
        }
    }
}
