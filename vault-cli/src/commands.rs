//! The verbs: one file each, named as the verb.

mod agent;
mod backends;
mod check;
mod compact;
mod completions;
mod copy;
mod diff;
mod doctor;
mod door;
mod edit;
mod export;
mod exposed;
mod fork;
mod generate;
mod get;
mod git;
mod help;
mod history;
mod import;
mod init;
mod keyring;
mod launch;
mod list;
mod lock;
mod log;
mod man;
mod meant;
mod merge;
mod pam;
mod pick;
mod remove;
mod rename;
mod render;
mod resolve;
mod rewrap;
mod rotate;
mod scan;
mod set;
mod show;
mod slot;
mod slots;
mod states;
mod status;
mod stopped;
mod strength;
mod trust;
mod unlock;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use vault_core::format::entry::{EntryName, Meta, check_field_name};
use vault_core::format::slot::Label;
use vault_core::keys::{Credential, UnlockPolicy};
use vault_core::vault::{LockedVault, Value};

use crate::cli::{Cli, Command, Global, SlotCommand};
use crate::context::{self, Config, Environment, Location};
use crate::failure::Failure;
use crate::input::StdinClaim;
use crate::message::{Exit, Voice, Warning};
use crate::output::Output;
use crate::prompt::Prompt;
use crate::session::{
    self, Local, PathPins, PinError, Purpose, Remote, Session, SessionError, Somebody, Terms,
};

/// What every command works with.
pub(crate) struct Run<'a> {
    pub(crate) global: &'a Global,
    pub(crate) environment: Environment,
    pub(crate) empty_variable: Option<&'static str>,
    pub(crate) folder: PathBuf,
    pub(crate) stdin: StdinClaim,
    pub(crate) prompt: Prompt,
    pub(crate) output: Output,
    pub(crate) voice: Voice,
    /// What the vault is opened for.
    pub(crate) purpose: Purpose,
    pub(crate) now: u64,
    pub(crate) config: Config,
}

/// Does what was asked for, and reports how it ended.
pub(crate) fn start(arguments: Vec<OsString>) -> std::process::ExitCode {
    let arguments = keyring::called_so(arguments);
    let guessed = Voice::guessed(arguments.iter().cloned());
    let typed = arguments.clone();
    let failure = |failure: Failure| {
        if meant::command(&typed).is_some_and(|words| words[0] == "run") {
            failure.before_start()
        } else {
            failure
        }
    };
    // Before anything of it can be repeated in an error.
    if arguments.iter().any(|argument| context::holds_key(argument)) {
        return guessed.report(Err(failure(Failure::KeyInArgv)));
    }
    match Cli::parse_typed(arguments) {
        Ok(cli) => {
            let voice = Voice::of(&cli.global);
            let launches = matches!(cli.command, Command::Run(_));
            voice.report(
                run(&cli, voice).map_err(|failure| if launches { failure.before_start() } else { failure }),
            )
        }
        Err(mut error) => {
            if let Some(command) = meant::command(&typed) {
                error.insert(ContextKind::Custom, ContextValue::String(command.join(" ")));
            }
            guessed.report(Err(failure(error.into())))
        }
    }
}

/// # Errors
/// Every [`Failure`].
fn run(cli: &Cli, voice: Voice) -> Result<Exit, Failure> {
    crate::sys::harden::process().map_err(Failure::Hardening)?;
    let environment = Environment::of_process();
    if let Some(variable) = environment.key_as_path() {
        return Err(Failure::KeyAsPath(variable));
    }
    let mut run = Run {
        global: &cli.global,
        config: Config::read(environment.config_file().as_deref())?,
        empty_variable: environment.empty_variable(),
        environment,
        folder: std::env::current_dir().map_err(Failure::CurrentFolder)?,
        stdin: StdinClaim::of_process(),
        prompt: if cli.global.no_input { Prompt::never() } else { Prompt::on_terminal() },
        output: Output::of_process(),
        voice,
        purpose: purpose(&cli.command),
        now: crate::time::now(),
    };
    let run = &mut run;
    let result = match &cli.command {
        Command::Init(arguments) => init::run(run, arguments),
        Command::Set(arguments) => set::run(run, arguments),
        Command::Get(arguments) => get::run(run, arguments),
        Command::List(arguments) => list::run(run, arguments),
        Command::Show(arguments) => show::run(run, arguments),
        Command::Remove(arguments) => remove::run(run, arguments),
        Command::Rename(arguments) => rename::run(run, arguments),
        Command::Copy(arguments) => copy::run(run, arguments),
        Command::Fork(arguments) => fork::run(run, arguments),
        Command::Edit(arguments) => edit::run(run, arguments),
        Command::Generate(arguments) => generate::run(run, arguments),
        Command::Slot(arguments) => slot::run(run, arguments),
        Command::Rewrap(arguments) => rewrap::run(run, arguments),
        Command::Rotate(arguments) => rotate::run(run, arguments),
        Command::Backends(arguments) => backends::run(run, arguments),
        Command::Compact(arguments) => compact::run(run, arguments),
        Command::Import(arguments) => import::run(run, arguments),
        Command::Export(arguments) => export::run(run, arguments),
        Command::Check(arguments) => check::run(run, arguments),
        Command::Run(arguments) => launch::run(run, arguments),
        Command::Render(arguments) => render::run(run, arguments),
        Command::Doctor(arguments) => doctor::run(run, arguments),
        Command::Diff(arguments) => diff::run(run, arguments),
        Command::Log(arguments) => log::run(run, arguments),
        Command::History(arguments) => history::run(run, arguments),
        Command::Scan(arguments) => scan::run(run, arguments),
        Command::PamUnlock(arguments) => pam::run(run, arguments),
        Command::Status(arguments) => status::run(run, arguments),
        Command::Git(arguments) => git::run(run, arguments),
        Command::Merge(arguments) => merge::run(run, arguments),
        Command::Resolve(arguments) => resolve::run(run, arguments),
        Command::Pick(arguments) => pick::apply(run, arguments),
        Command::Revert(arguments) => pick::undo(run, arguments),
        Command::Unlock(arguments) => unlock::run(run, arguments),
        Command::Lock(arguments) => lock::run(run, arguments),
        Command::Agent(arguments) => agent::run(run, arguments),
        Command::Trust(arguments) => trust::run(run, arguments),
        Command::Keyring(arguments) => keyring::run(run, arguments),
        Command::Door(arguments) => door::run(run, arguments),
        Command::Completions(arguments) => completions::run(run, arguments),
        Command::Man(arguments) => man::run(run, arguments),
        Command::Help(arguments) => help::run(run, arguments),
    };
    result.map_err(|failure| stopped::explained(run, &cli.command, failure))
}

/// What a command opens its vault for; those of doors know it later.
fn purpose(command: &Command) -> Purpose {
    let changes = match command {
        Command::Set(_) | Command::Remove(_) | Command::Rename(_) | Command::Copy(_) | Command::Edit(_) => {
            true
        }
        Command::Compact(_) | Command::Rewrap(_) | Command::Rotate(_) => true,
        Command::Pick(_) | Command::Revert(_) => true,
        Command::Generate(arguments) => arguments.name.is_some(),
        Command::Import(arguments) => !arguments.keyring.dry_run,
        Command::Resolve(arguments) => arguments.all || !arguments.names.is_empty(),
        Command::Slot(arguments) => !matches!(arguments.command, SlotCommand::List(_) | SlotCommand::Test(_)),
        _ => false,
    };
    if changes { Purpose::Change } else { Purpose::Read }
}

impl Run<'_> {
    /// Which vault is meant, and why.
    fn location(&self) -> Result<Location, Failure> {
        Ok(context::vault(self.global.file.as_deref(), &self.environment, &self.folder)?)
    }

    /// Which vault is meant by a program that goes through a door, and why.
    fn own_location(&self) -> Result<Location, Failure> {
        Ok(context::own_vault(self.global.file.as_deref(), &self.environment, &self.folder)?)
    }

    /// Opens the vault that is meant, wherever its keys are.
    fn open(&mut self) -> Result<(PathBuf, Box<dyn Session>), Failure> {
        let path = self.location()?.path;
        let session = self.open_at(&path)?;
        Ok((path, session))
    }

    /// As [`Run::open`], where it is known what will be read.
    fn open_to_read(
        &mut self,
        name: &EntryName,
        field: &str,
    ) -> Result<(PathBuf, Box<dyn Session>), Failure> {
        let path = self.location()?.path;
        let session: Box<dyn Session> = match self.of_agent_to_read(&path, Some((name, field)))? {
            Some(session) => Box::new(session),
            None => Box::new(self.unlock(&path)?),
        };
        Ok((path, session))
    }

    /// Opens the vault at this path, wherever its keys are.
    fn open_at(&mut self, path: &Path) -> Result<Box<dyn Session>, Failure> {
        Ok(match self.of_agent(path)? {
            Some(session) => Box::new(session),
            None => Box::new(self.unlock(path)?),
        })
    }

    /// The agent's session of this vault: if one holds it, and no option says how to unlock here. docs/decisions/0034.
    pub(crate) fn of_agent(&self, path: &Path) -> Result<Option<Remote>, Failure> {
        self.of_agent_to_read(path, None)
    }

    /// Whether no option says how to unlock here.
    pub(crate) fn may_use_agent(&self) -> bool {
        let unlock = &self.global.unlock;
        !self.global.no_agent
            && unlock.options().is_empty()
            && unlock.slot.is_none()
            && !unlock.allow_rollback
    }

    fn of_agent_to_read(
        &self,
        path: &Path,
        first: Option<(&EntryName, &str)>,
    ) -> Result<Option<Remote>, Failure> {
        if !self.may_use_agent() {
            return Ok(None);
        }
        let unlock = &self.global.unlock;
        if unlock.vault_id.is_some() || self.environment.vault_id().is_some() {
            let id = session::open_locked(path)?.id();
            self.pins(path)?.check_id(id).map_err(|error| SessionError::pin(path, error))?;
        }
        match Remote::find(crate::agent::places(&self.environment), path, self.environment.author(), first) {
            Ok(session) => {
                if let Some(session) = &session {
                    let keys = session::look_at_named(self)?;
                    if !keys.is_empty() {
                        let id = session::open_locked(path)?.id();
                        let is_named = self.pins(path)?.is_named(&id);
                        session::fit(path, &keys, (&id, is_named), session.facts().generation)?;
                    }
                }
                if let Some((generation, seen)) = session.as_ref().and_then(Remote::older) {
                    if self.purpose == Purpose::Change {
                        return Err(SessionError::pin(path, PinError::Older { generation, seen }).into());
                    }
                    self.voice.warn(Warning::OlderThanSeen { path: path.to_owned(), generation, seen })?;
                }
                Ok(session)
            }
            Err(error) if error.is_version() => {
                self.voice.warn(Warning::OtherAgent)?;
                Ok(None)
            }
            Err(error) => Err(SessionError::from(error).into()),
        }
    }

    /// Unlocks the vault at this path in this process, if it is the one that is meant.
    fn unlock(&mut self, path: &Path) -> Result<Local, Failure> {
        Ok(self.unlock_with(path, None)?.0)
    }

    /// Unlocks by this slot only, if one is named. Gives also what it was tried with.
    fn unlock_with(&mut self, path: &Path, only: Option<Label>) -> Result<(Local, Vec<Credential>), Failure> {
        // Read before the vault is: what was seen then is in it, whoever saves meanwhile.
        let mut pins = self.pins(path)?;
        let locked = session::open_locked(path)?;
        let id = locked.id();
        pins.check_id(id).map_err(|error| SessionError::pin(path, error))?;
        let (session, credentials) = self.unlock_any(path, locked, pins.is_named(&id), only)?;
        if credentials.iter().any(|credential| matches!(credential, Credential::MachineKey(_))) {
            pins.name_by_key();
        }
        Ok((session.with_pins(pins, self.voice)?, credentials))
    }

    /// Unlocks a vault, whichever it is, by this slot only if one is named. Gives also what it was tried with.
    fn unlock_any(
        &mut self,
        path: &Path,
        locked: LockedVault,
        vault_is_named: bool,
        only: Option<Label>,
    ) -> Result<(Local, Vec<Credential>), Failure> {
        let mut policy = UnlockPolicy { vault_is_named, ..session::policy(self)? };
        policy.only_slot = only.or(policy.only_slot);
        let locked = match session::by_keyring(self, path, locked, &policy, Somebody::Anybody)? {
            Ok(vault) => {
                let session = self.ready(Local::of(path, vault), vec!["the OS keyring"]);
                return Ok((session, Vec::new()));
            }
            Err(locked) => locked,
        };
        let credentials = session::credentials(self, path, Some(&locked))?;
        let is_slow = session::work(&locked, &credentials.all) > SLOW;
        if is_slow {
            self.voice.transient("trying the passphrase, which takes a while on purpose");
        }
        let session = Local::unlock(path, locked, &credentials.all, &policy);
        if is_slow {
            self.voice.transient("");
        }
        let session = session?;
        session::tell_skipped(self.voice, session.vault().skipped())?;
        Ok((self.ready(session, credentials.sources), credentials.all))
    }

    /// A session that knows who is at work.
    fn ready(&self, session: Local, sources: Vec<&'static str>) -> Local {
        session
            .by(self.environment.author(), self.now)
            .with_sources(sources)
            .telling(self.voice)
            .restarting_beyond(context::longest_log)
    }

    /// Whether an option or a variable names what to unlock with, so that nobody is asked.
    fn is_unlocked_by_name(&self) -> bool {
        let options = self.global.unlock.options();
        let sources = context::unlock_sources(&options, &self.environment, &self.config);
        !sources.iter().any(|source| source.what.asks())
    }

    /// A path below the current folder, which the system gives without links, as the shell named that: with them.
    fn as_named(&self, path: &Path) -> PathBuf {
        let shell = self.environment.shell_folder().filter(|folder| **folder != self.folder);
        let below = shell.and_then(|shell| Some((shell, path.strip_prefix(&self.folder).ok()?)));
        match below {
            Some((shell, below)) if shell.canonicalize().is_ok_and(|real| real == self.folder) => {
                shell.join(below)
            }
            _ => path.to_owned(),
        }
    }

    /// What this machine remembers of the vault at this path.
    pub(crate) fn pins(&self, path: &Path) -> Result<PathPins, Failure> {
        let named = match self.global.unlock.vault_id.as_deref().or(self.environment.vault_id()) {
            Some(text) => context::vault_ids(text).map_err(Failure::VaultId)?,
            None => Vec::new(),
        };
        let terms = Terms {
            required: self.config.require_pin,
            allow_rollback: self.global.unlock.allow_rollback,
            named,
            named_by_key: false,
            now: self.now,
        };
        let pins = PathPins::read(self.environment.state_folder(), &self.as_named(path), terms);
        Ok(pins.for_purpose(self.purpose))
    }
}

/// Git must leave the vault's line ends alone.
fn warn_of_line_ends(run: &Run<'_>, vault: &Path) -> Result<(), Failure> {
    context::attributes::lacking(vault).map_or(Ok(()), |line| run.voice.warn(Warning::NoAttributes(line)))
}

/// An entry's name that was typed.
fn entry_name(name: &str) -> Result<EntryName, Failure> {
    EntryName::parse(name).map_err(|error| Failure::Name { what: "an entry", name: name.to_owned(), error })
}

/// Text as names are stored: in NFC. What is no name stays as it is.
fn normalised(text: &str) -> String {
    EntryName::parse(text).map_or_else(|_| text.to_owned(), |name| name.as_str().to_owned())
}

/// A field's name that was typed.
fn field_name(name: &str) -> Result<String, Failure> {
    let field = normalised(name);
    match check_field_name(&field) {
        Ok(()) => Ok(field),
        Err(error) => Err(Failure::Name { what: "a field", name: name.to_owned(), error }),
    }
}

/// The name of an attribute that was typed.
fn attribute_name(name: &str) -> Result<String, Failure> {
    let attribute = normalised(name);
    match check_field_name(&attribute) {
        Ok(()) => Ok(attribute),
        Err(error) => Err(Failure::Name { what: "an attribute", name: name.to_owned(), error }),
    }
}

/// Attributes that were typed.
fn attributes(typed: &[(String, String)]) -> Result<Vec<(String, String)>, Failure> {
    typed.iter().map(|(name, value)| Ok((attribute_name(name)?, value.clone()))).collect()
}

/// A time that was typed.
fn time(text: Option<&String>, now: u64) -> Result<Option<u64>, Failure> {
    text.map(|text| crate::time::parse(text, now).ok_or_else(|| Failure::Time(text.clone()))).transpose()
}

/// The failure to find an entry, with the name that was perhaps meant.
fn no_entry(session: &mut dyn Session, vault: &Path, name: EntryName) -> Failure {
    // Looking for a similar one is a service; its failure is not what the user asked about.
    let names = session.list().unwrap_or_default();
    let similar = names
        .iter()
        .map(|meta| (strsim::jaro_winkler(meta.name.as_str(), name.as_str()), meta.name.as_str()))
        .filter(|(likeness, _)| *likeness > SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, similar)| similar.to_owned());
    Failure::NoEntry { name, vault: vault.to_owned(), similar }
}

/// A field that is there, with the rest of what there is to say about its entry.
fn found(
    session: &mut dyn Session,
    vault: &Path,
    name: &EntryName,
    field: &str,
) -> Result<(Meta, Value), Failure> {
    match session.entry(name, field)? {
        Some((meta, Some(value))) => Ok((meta, value)),
        Some((meta, None)) => {
            let fields = meta.fields.into_keys().collect();
            Err(Failure::NoField { name: name.clone(), field: field.to_owned(), fields })
        }
        None => Err(no_entry(session, vault, name.clone())),
    }
}

/// Memory times passes, in KiB, that takes about a second: worth a line on the terminal.
const SLOW: u64 = 2 << 20;
/// Likeness from which on a name is worth a question.
const SIMILAR: f64 = 0.85;
