//! From what the user named to what core unlocks with.

use std::ffi::OsStr;
use std::path::Path;

use vault_core::format::slot::SlotKind;
use vault_core::keys::age::{parse_identities, parse_identities_asking};
use vault_core::keys::ask::{Asker, cannot_ask};
use vault_core::keys::keyring::{OsKeyring, Prompts};
use vault_core::keys::machine::MachineKey;
use vault_core::keys::recovery::RecoveryCode;
use vault_core::keys::{Credential, Skipped, UnlockError, UnlockPolicy, VaultId};
use vault_core::secret::{Passphrase, Secret};
use vault_core::vault::{LockedVault, UnlockFailure, UnlockedVault};

use super::SessionError;
use crate::commands::Run;
use crate::context::{Environment, UnlockSource, Unlocker, unlock_sources};
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::input::{self, MAX_IDENTITIES, MAX_PASSPHRASE, Place};
use crate::message::{Voice, Warning};
use crate::prompt::{PromptError, asker};
use crate::sys::askpass::{self, AskError};

/// What to unlock with, and what named it.
pub(crate) struct Credentials {
    pub(crate) all: Vec<Credential>,
    pub(crate) sources: Vec<&'static str>,
}

/// Reads everything that was named; asks, if nothing was. Without a locked vault, it is not known what slots there are.
///
/// # Errors
/// What is named and cannot be used is an error, never skipped.
pub(crate) fn credentials(
    run: &mut Run<'_>,
    path: &Path,
    locked: Option<&LockedVault>,
) -> Result<Credentials, Failure> {
    let options = run.global.unlock.options();
    let environment = std::mem::take(&mut run.environment);
    let config = std::mem::take(&mut run.config);
    let sources = unlock_sources(&options, &environment, &config);
    let mut credentials = Credentials { all: Vec::new(), sources: Vec::new() };
    let mut result = Ok(());
    for UnlockSource { what, named_by } in sources {
        match credential(run, &environment, what, path, locked) {
            Ok(credential) => {
                credentials.all.push(credential);
                credentials.sources.push(named_by);
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    (run.environment, run.config) = (environment, config);
    result.map(|()| credentials)
}

fn credential(
    run: &mut Run<'_>,
    environment: &Environment,
    what: Unlocker<'_>,
    path: &Path,
    locked: Option<&LockedVault>,
) -> Result<Credential, Failure> {
    Ok(match what {
        Unlocker::IdentityFile(file) => {
            let (text, place) = named(run, file, "identities", MAX_IDENTITIES)?;
            identities(run, &text, place)?
        }
        Unlocker::Identities(text) => identities(run, text, Place::Variable("VAULT_IDENTITY"))?,
        Unlocker::MachineKeyFile(file) => {
            let (text, place) = named(run, file, "the machine key", MAX_IDENTITIES)?;
            machine_key(input::without_newline(text), place)?
        }
        Unlocker::MachineKey(text) => {
            machine_key(input::without_newline(text.duplicate()), Place::Variable("VAULT_MACHINE_KEY"))?
        }
        Unlocker::PassphraseFile(_) | Unlocker::PassphraseDescriptor(_) | Unlocker::Passphrase(_) => {
            Credential::Passphrase(given_passphrase(run, &what)?)
        }
        Unlocker::RecoveryCodeFile(file) => {
            let (text, place) = named(run, file, "the recovery code", MAX_PASSPHRASE)?;
            recovery_code(&text, place)?
        }
        Unlocker::Askpass(_) | Unlocker::Pinentry(_) | Unlocker::Terminal => {
            asked(run, environment, &what, path, locked)?
        }
    })
}

/// What somebody answers: the passphrase, or the recovery code of a vault that has no passphrase or of the slot that was named.
pub(super) fn asked(
    run: &mut Run<'_>,
    environment: &Environment,
    whom: &Unlocker<'_>,
    path: &Path,
    locked: Option<&LockedVault>,
) -> Result<Credential, Failure> {
    let has = |what: fn(&SlotKind) -> bool| locked.is_none_or(|locked| has_slot(run, locked, what));
    let passphrase = has(|kind| matches!(kind, SlotKind::Passphrase(_)));
    let recovery = !passphrase && has(|kind| matches!(kind, SlotKind::Recovery(_)));
    let is_program = !matches!(whom, Unlocker::Terminal);
    let somebody = run.prompt.can_ask() || is_program && run.prompt.is_allowed() && environment.has_display();
    if !(passphrase || recovery) || !somebody {
        let (path, passphrase) = (path.to_owned(), passphrase || recovery);
        return Err(SessionError::Locked { path, passphrase, empty: run.empty_variable }.into());
    }
    let (noun, asking) =
        if passphrase { ("passphrase", "the passphrase") } else { ("recovery code", "the recovery code") };
    let question = format!("{noun} for {}", quoted_path(path));
    let answer = match whom {
        Unlocker::Askpass(program) => askpass::askpass(program, &format!("{question}: "), MAX_PASSPHRASE)
            .map_err(by(program, asking))?,
        Unlocker::Pinentry(program) => {
            let terminal = if run.prompt.can_ask() { environment.terminal_type() } else { None };
            askpass::pinentry(program, &question, terminal, MAX_PASSPHRASE).map_err(by(program, asking))?
        }
        _ => run.prompt.hidden_line(&question).map_err(Failure::asking(asking))?,
    };
    if answer.expose().is_empty() {
        return Err(Failure::Prompt { error: PromptError::Empty, asking });
    }
    if passphrase {
        return Ok(Credential::Passphrase(Passphrase::new(answer.expose().to_vec())));
    }
    Ok(recovery_code(&answer, Place::Typed)?)
}

/// Whether somebody can be asked for what one of the slots wants.
pub(crate) fn can_ask(run: &mut Run<'_>, locked: &LockedVault) -> bool {
    let typed = |kind: &SlotKind| matches!(kind, SlotKind::Passphrase(_) | SlotKind::Recovery(_));
    let program = unlock_sources(&run.global.unlock.options(), &run.environment, &run.config)
        .iter()
        .any(|source| matches!(source.what, Unlocker::Askpass(_) | Unlocker::Pinentry(_)));
    let display = program && run.prompt.is_allowed() && run.environment.has_display();
    has_slot(run, locked, typed) && (display || run.prompt.can_ask())
}

fn by(program: &OsStr, asking: &'static str) -> impl FnOnce(AskError) -> Failure {
    let program = program.to_owned();
    move |error| Failure::Asker { program, error, asking }
}

/// A code that was mistyped is known as such before any work is spent on it.
pub(super) fn recovery_code(text: &Secret, place: Place) -> Result<Credential, SessionError> {
    match RecoveryCode::parse(text.expose()) {
        Ok(code) => Ok(Credential::RecoveryCode(code.passphrase())),
        Err(error) => Err(SessionError::RecoveryCode(place, error)),
    }
}

/// Whether there is a slot for a passphrase.
pub(crate) fn has_passphrase(locked: &LockedVault) -> bool {
    locked.slots().iter().any(|slot| matches!(slot.kind, SlotKind::Passphrase(_)))
}

/// Memory times passes, in KiB, that trying these credentials may cost.
pub(crate) fn work(locked: &LockedVault, credentials: &[Credential]) -> u64 {
    if !credentials.iter().any(|credential| matches!(credential, Credential::Passphrase(_))) {
        return 0;
    }
    let cost = |kind: &SlotKind| match kind {
        SlotKind::Passphrase(sealed) => u64::from(sealed.memory_kib).saturating_mul(sealed.passes.into()),
        _ => 0,
    };
    locked.slots().iter().map(|slot| cost(&slot.kind)).fold(0, u64::saturating_add)
}

/// A passphrase that is given in a file, a descriptor or a variable.
pub(super) fn given_passphrase(run: &mut Run<'_>, what: &Unlocker<'_>) -> Result<Passphrase, Failure> {
    Ok(match *what {
        Unlocker::PassphraseFile(file) => {
            let (text, place) = named(run, file, "the passphrase", MAX_PASSPHRASE)?;
            input::passphrase(text, place)?
        }
        Unlocker::PassphraseDescriptor(0) => {
            let text = run.stdin.claim("the passphrase")?.read(MAX_PASSPHRASE)?;
            input::passphrase(text, Place::Stdin)?
        }
        Unlocker::PassphraseDescriptor(number) => {
            input::passphrase(input::descriptor(number, MAX_PASSPHRASE)?, Place::Descriptor(number))?
        }
        Unlocker::Passphrase(passphrase) => Passphrase::new(passphrase.expose().to_vec()),
        _ => unreachable!("the callers give passphrases only"),
    })
}

/// A passphrase for a new slot: the one that options or variables give, or typed twice.
///
/// # Errors
/// As [`credentials`].
pub(crate) fn new_passphrase(run: &mut Run<'_>, question: &str) -> Result<Passphrase, Failure> {
    let options = run.global.unlock.options();
    let environment = std::mem::take(&mut run.environment);
    let config = std::mem::take(&mut run.config);
    let given = unlock_sources(&options, &environment, &config).into_iter().find(|source| {
        matches!(
            source.what,
            Unlocker::PassphraseFile(_) | Unlocker::PassphraseDescriptor(_) | Unlocker::Passphrase(_)
        )
    });
    let passphrase = match given {
        Some(source) => given_passphrase(run, &source.what),
        None => run.prompt.new_passphrase(question).map_err(Failure::asking("a new passphrase")),
    };
    (run.environment, run.config) = (environment, config);
    passphrase
}

/// What an unlock may cost, as the options say.
///
/// # Errors
/// [`SessionError::Label`].
pub(crate) fn policy(run: &Run<'_>) -> Result<UnlockPolicy, SessionError> {
    let mut policy = UnlockPolicy::default();
    if let Some(bytes) = run.global.unlock.max_kdf_memory {
        policy.max_kdf_memory_kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
    }
    if let Some(text) = &run.global.unlock.slot {
        policy.only_slot = Some(super::label(text)?);
    }
    policy.allow_rollback = run.global.unlock.allow_rollback;
    Ok(policy)
}

/// Whether something to unlock with was named, so that nobody has to be asked.
pub(crate) fn is_named(run: &Run<'_>) -> bool {
    let options = run.global.unlock.options();
    unlock_sources(&options, &run.environment, &run.config).iter().any(|source| !source.what.asks())
}

/// Looks at what is named, for a vault that the agent holds: what cannot be read, or is not what it should be, is an error with the
/// agent as without it. Nothing of it is tried; what says of itself which vault it opens is given, for [`fit`].
///
/// # Errors
/// As [`credentials`].
pub(crate) fn look_at_named(run: &Run<'_>) -> Result<Vec<MachineKey>, Failure> {
    let options = run.global.unlock.options();
    let mut keys = Vec::new();
    for UnlockSource { what, .. } in unlock_sources(&options, &run.environment, &run.config) {
        let read = |file: &Path, limit| Ok::<_, Failure>((input::file(file, limit)?, in_file(file)));
        let key = |text: Secret, place| {
            MachineKey::parse(&input::without_newline(text))
                .map_err(|error| SessionError::MachineKey(place, error))
        };
        match what {
            // It may be wanted for something else.
            Unlocker::IdentityFile(file)
            | Unlocker::MachineKeyFile(file)
            | Unlocker::PassphraseFile(file)
            | Unlocker::RecoveryCodeFile(file)
                if file.as_os_str() == "-" => {}
            Unlocker::IdentityFile(file) => {
                let (text, place) = read(file, MAX_IDENTITIES)?;
                parse_identities(&text).map_err(|error| SessionError::Identities(place, error))?;
            }
            Unlocker::Identities(text) => {
                let place = Place::Variable("VAULT_IDENTITY");
                parse_identities(text).map_err(|error| SessionError::Identities(place, error))?;
            }
            Unlocker::MachineKeyFile(file) => {
                let (text, place) = read(file, MAX_IDENTITIES)?;
                keys.push(key(text, place)?);
            }
            Unlocker::MachineKey(text) => {
                keys.push(key(text.duplicate(), Place::Variable("VAULT_MACHINE_KEY"))?);
            }
            Unlocker::PassphraseFile(file) => {
                let (text, place) = read(file, MAX_PASSPHRASE)?;
                input::passphrase(text, place)?;
            }
            Unlocker::RecoveryCodeFile(file) => {
                let (text, place) = read(file, MAX_PASSPHRASE)?;
                recovery_code(&text, place)?;
            }
            Unlocker::PassphraseDescriptor(_) | Unlocker::Passphrase(_) => {}
            Unlocker::Askpass(_) | Unlocker::Pinentry(_) | Unlocker::Terminal => {}
        }
    }
    Ok(keys)
}

/// Fails unless these machine keys are of this vault, where no option names it, and not of a newer state.
///
/// # Errors
/// [`SessionError::Unlock`].
pub(crate) fn fit(
    path: &Path,
    keys: &[MachineKey],
    (id, is_named): (&VaultId, bool),
    generation: u64,
) -> Result<(), SessionError> {
    let refused = |reason| SessionError::Unlock { path: path.to_owned(), reason, slots: Vec::new() };
    for key in keys {
        if !is_named {
            key.check(id).map_err(|error| refused(UnlockFailure::Denied(error)))?;
        }
        if key.vault().uuid == id.uuid && key.generation() > generation {
            return Err(refused(UnlockFailure::RolledBack { generation, pinned: key.generation() }));
        }
    }
    Ok(())
}

fn in_file(file: &Path) -> Place {
    Place::File(file.to_owned())
}

/// A file's bytes; `-` is standard input.
pub(super) fn named(
    run: &mut Run<'_>,
    file: &Path,
    purpose: &'static str,
    limit: usize,
) -> Result<(Secret, Place), Failure> {
    if file.as_os_str() == "-" {
        return Ok((run.stdin.claim(purpose)?.read(limit)?, Place::Stdin));
    }
    Ok((input::file(file, limit)?, Place::File(file.to_owned())))
}

/// Identities; who asks for the passphrase of an ssh key, or for what a plugin wants, is at the terminal.
fn identities(run: &mut Run<'_>, text: &Secret, place: Place) -> Result<Credential, SessionError> {
    let asker = slot_asker(run);
    parse_identities_asking(text, &asker)
        .map(Credential::Identities)
        .map_err(|error| SessionError::Identities(place, error))
}

/// Whoever answers what a plugin asks when a slot is made for its recipient.
pub(crate) fn slot_asker(run: &mut Run<'_>) -> Asker {
    if run.prompt.can_ask() { asker(show(run.voice)) } else { cannot_ask() }
}

/// The keyrings of this machine: one may show a prompt of its own only where there is a display for it.
pub(crate) fn keyrings(run: &Run<'_>) -> OsKeyring {
    let allowed = run.prompt.is_allowed() && run.environment.has_display();
    OsKeyring::new(if allowed { Prompts::Allowed } else { Prompts::Never })
}

/// A plugin's message is said as our own are.
fn show(voice: Voice) -> impl Fn(&str) {
    move |message| voice.report_lines(&[message.to_owned()])
}

/// Whether one of the slots that may be opened is of this kind.
pub(crate) fn has_slot(run: &Run<'_>, locked: &LockedVault, what: fn(&SlotKind) -> bool) -> bool {
    let label = run.global.unlock.slot.as_deref();
    let mut slots = locked.slots().iter();
    slots.any(|slot| label.is_none_or(|label| slot.label.as_str() == label) && what(&slot.kind))
}

/// The keyring of the system, which is used where nothing is named and a slot wants it. It may show a prompt of its own only
/// where there is a display for it.
pub(crate) fn keyring(run: &Run<'_>, locked: &LockedVault) -> Option<Credential> {
    if is_named(run) || !has_slot(run, locked, |kind| matches!(kind, SlotKind::Keyring(_))) {
        return None;
    }
    Some(Credential::Keyring(keyrings(run)))
}

/// Unlocks with the keyring of the system, where nothing is named and a slot wants it. If it does not open the vault, says why
/// and gives it back, for `somebody` to be asked.
///
/// # Errors
/// [`SessionError::Unlock`] if nobody is there to be asked.
pub(crate) fn by_keyring(
    run: &mut Run<'_>,
    path: &Path,
    locked: LockedVault,
    policy: &UnlockPolicy,
    somebody: Somebody,
) -> Result<Result<UnlockedVault, LockedVault>, Failure> {
    let keyring = if somebody == Somebody::Person { None } else { keyring(run, &locked) };
    let Some(keyring) = keyring else { return Ok(Err(locked)) };
    let still = match locked.unlock(&[keyring], policy) {
        Ok(vault) => return Ok(Ok(vault)),
        Err(still) => *still,
    };
    let can_go_on = matches!(
        still.reason,
        UnlockFailure::Denied(UnlockError::NoSlotMatches { .. } | UnlockError::Unavailable(_))
    );
    if !can_go_on || somebody == Somebody::Nobody || !can_ask(run, &still.vault) {
        return Err(SessionError::of_still_locked(path, still).into());
    }
    tell_skipped(run.voice, &still.skipped)?;
    Ok(Err(still.vault))
}

/// Says which slots could not even be tried.
///
/// # Errors
/// Warnings, with `--strict`.
pub(crate) fn tell_skipped(voice: Voice, skipped: &[Skipped]) -> Result<(), Failure> {
    for skipped in skipped {
        let label = skipped.label.as_str().to_owned();
        voice.warn(Warning::SlotUnavailable(label, skipped.why.clone()))?;
    }
    Ok(())
}

/// Who may be asked where nothing is named that unlocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Somebody {
    /// The keyring of the system, and then whoever is there.
    Anybody,
    /// The keyring alone: there may be a way without asking.
    Nobody,
    /// Whoever is there: the keyring was tried already.
    Person,
}

fn machine_key(text: Secret, place: Place) -> Result<Credential, SessionError> {
    MachineKey::parse(&text)
        .map(Credential::MachineKey)
        .map_err(|error| SessionError::MachineKey(place, error))
}
