//! From what the user named to what core unlocks with.

use std::path::Path;

use vault_core::format::slot::SlotKind;
use vault_core::keys::age::parse_identities;
use vault_core::keys::machine::MachineKey;
use vault_core::keys::{Credential, UnlockPolicy};
use vault_core::secret::{Passphrase, Secret};
use vault_core::vault::LockedVault;

use super::SessionError;
use crate::commands::Run;
use crate::context::{UnlockSource, Unlocker, unlock_sources};
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::input::{self, MAX_IDENTITIES, MAX_PASSPHRASE, Place};

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
    let sources = unlock_sources(&options, &environment);
    let mut credentials = Credentials { all: Vec::new(), sources: Vec::new() };
    let mut result = Ok(());
    for UnlockSource { what, named_by } in sources {
        match credential(run, what, path, locked) {
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
    run.environment = environment;
    result.map(|()| credentials)
}

fn credential(
    run: &mut Run<'_>,
    what: Unlocker<'_>,
    path: &Path,
    locked: Option<&LockedVault>,
) -> Result<Credential, Failure> {
    Ok(match what {
        Unlocker::IdentityFile(file) => {
            let (text, place) = named(run, file, "identities", MAX_IDENTITIES)?;
            identities(&text, place)?
        }
        Unlocker::Identities(text) => identities(text, Place::Variable("VAULT_IDENTITY"))?,
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
        Unlocker::Terminal => {
            let passphrase = locked.is_none_or(has_passphrase);
            if !passphrase || !run.prompt.can_ask() {
                return Err(SessionError::Locked {
                    path: path.to_owned(),
                    passphrase,
                    empty: run.empty_variable,
                }
                .into());
            }
            let question = format!("passphrase for {}", quoted_path(path));
            Credential::Passphrase(
                run.prompt.passphrase(&question).map_err(Failure::asking("the passphrase"))?,
            )
        }
    })
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
    let given = unlock_sources(&options, &environment).into_iter().find(|source| {
        matches!(
            source.what,
            Unlocker::PassphraseFile(_) | Unlocker::PassphraseDescriptor(_) | Unlocker::Passphrase(_)
        )
    });
    let passphrase = match given {
        Some(source) => given_passphrase(run, &source.what),
        None => run.prompt.new_passphrase(question).map_err(Failure::asking("a new passphrase")),
    };
    run.environment = environment;
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

fn identities(text: &Secret, place: Place) -> Result<Credential, SessionError> {
    parse_identities(text).map(Credential::Identities).map_err(|error| SessionError::Identities(place, error))
}

fn machine_key(text: Secret, place: Place) -> Result<Credential, SessionError> {
    MachineKey::parse(&text)
        .map(Credential::MachineKey)
        .map_err(|error| SessionError::MachineKey(place, error))
}
