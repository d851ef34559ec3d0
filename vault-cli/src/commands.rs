//! The verbs: one file each, named as the verb.

mod check;
mod compact;
mod completions;
mod copy;
mod diff;
mod doctor;
mod door;
mod edit;
mod export;
mod fork;
mod generate;
mod get;
mod help;
mod history;
mod import;
mod init;
mod keyring;
mod launch;
mod list;
mod log;
mod man;
mod pam;
mod remove;
mod rename;
mod render;
mod scan;
mod set;
mod show;
mod slots;
mod states;
mod status;
mod strength;
mod trust;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use vault_core::format::entry::{EntryName, Meta, check_field_name};
use vault_core::keys::{Credential, UnlockError, UnlockPolicy};
use vault_core::vault::{LockedVault, UnlockFailure, Value};

use crate::cli::{Cli, Command, Global};
use crate::context::{self, Config, Environment, Location};
use crate::failure::Failure;
use crate::input::StdinClaim;
use crate::message::{Exit, Voice, Warning};
use crate::output::Output;
use crate::prompt::Prompt;
use crate::session::{self, Local, PathPins, Session, SessionError, Terms};

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
    pub(crate) now: u64,
    pub(crate) config: Config,
}

/// Does what was asked for, and reports how it ended.
pub(crate) fn start(arguments: Vec<OsString>) -> std::process::ExitCode {
    let arguments = keyring::called_so(arguments);
    let guessed = Voice::guessed(arguments.iter().cloned());
    let launches = launch::is_meant(&arguments);
    let failure = |failure: Failure| if launches { failure.before_start() } else { failure };
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
        Err(error) => guessed.report(Err(failure(error.into()))),
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
        now: crate::time::now(),
    };
    let run = &mut run;
    match &cli.command {
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
        Command::Trust(arguments) => trust::run(run, arguments),
        Command::Keyring(arguments) => keyring::run(run, arguments),
        Command::Door(arguments) => door::run(run, arguments),
        Command::Completions(arguments) => completions::run(run, arguments),
        Command::Man(arguments) => man::run(run, arguments),
        Command::Help(arguments) => help::run(run, arguments),
    }
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

    /// Opens the vault at this path, wherever its keys are.
    fn open_at(&mut self, path: &Path) -> Result<Box<dyn Session>, Failure> {
        Ok(Box::new(self.unlock(path)?))
    }

    /// Unlocks the vault at this path in this process, if it is the one that is meant.
    fn unlock(&mut self, path: &Path) -> Result<Local, Failure> {
        // Read before the vault is: what was seen then is in it, whoever saves meanwhile.
        let mut pins = self.pins(path)?;
        let locked = session::open_locked(path)?;
        let id = locked.id();
        pins.check_id(id).map_err(|error| SessionError::pin(path, error))?;
        let (session, is_named) = self.unlock_any(path, locked, pins.is_named(&id))?;
        if is_named {
            pins.name_by_key();
        }
        session.with_pins(pins, self.voice)
    }

    /// Unlocks a vault, whichever it is; and whether what unlocks it names it.
    fn unlock_any(
        &mut self,
        path: &Path,
        locked: LockedVault,
        vault_is_named: bool,
    ) -> Result<(Local, bool), Failure> {
        let policy = UnlockPolicy { vault_is_named, ..session::policy(self)? };
        let locked = match session::keyring(self, &locked) {
            Some(keyring) => match self.unlock_by_keyring(path, locked, keyring, &policy)? {
                Ok(session) => return Ok((session, false)),
                Err(locked) => locked,
            },
            None => locked,
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
        for skipped in session.vault().skipped() {
            let label = skipped.label.as_str().to_owned();
            self.voice.warn(Warning::SlotUnavailable(label, skipped.why.clone()))?;
        }
        let is_named =
            credentials.all.iter().any(|credential| matches!(credential, Credential::MachineKey(_)));
        Ok((self.ready(path, session, credentials.sources), is_named))
    }

    /// Unlocks with the keyring of the system; if that is not possible, says why and gives the vault back, for somebody to be
    /// asked.
    fn unlock_by_keyring(
        &mut self,
        path: &Path,
        locked: LockedVault,
        keyring: Credential,
        policy: &UnlockPolicy,
    ) -> Result<Result<Local, LockedVault>, Failure> {
        let still = match locked.unlock(&[keyring], policy) {
            Ok(vault) => return Ok(Ok(self.ready(path, Local::of(path, vault), vec!["the OS keyring"]))),
            Err(still) => *still,
        };
        let can_go_on = matches!(
            still.reason,
            UnlockFailure::Denied(UnlockError::NoSlotMatches { .. } | UnlockError::Unavailable(_))
        );
        if !can_go_on || !session::can_ask(self, &still.vault) {
            return Err(SessionError::of_still_locked(path, still).into());
        }
        for skipped in &still.skipped {
            let label = skipped.label.as_str().to_owned();
            self.voice.warn(Warning::SlotUnavailable(label, skipped.why.clone()))?;
        }
        Ok(Err(still.vault))
    }

    /// A session that knows who is at work.
    fn ready(&self, path: &Path, session: Local, sources: Vec<&'static str>) -> Local {
        // A restart makes merges with older branches need a key, so git work trees are asked first: see `status`.
        let longest_log = if context::in_work_tree(path) { usize::MAX } else { LONGEST_LOG };
        session
            .by(self.environment.author(), self.now)
            .with_sources(sources)
            .telling(self.voice)
            .restarting_beyond(longest_log)
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
        Ok(PathPins::read(self.environment.state_folder(), path, terms))
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

/// Seals after which the log is restarted by itself, outside of git work trees. docs/format.md, "Restart".
const LONGEST_LOG: usize = 4_096;
/// Memory times passes, in KiB, that takes about a second: worth a line on the terminal.
const SLOW: u64 = 2 << 20;
/// Likeness from which on a name is worth a question.
const SIMILAR: f64 = 0.85;
