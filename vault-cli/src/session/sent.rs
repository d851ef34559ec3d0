//! What unlocks, as it is sent to the agent: read from the same places as for this process, and checked before it is sent.

use std::path::Path;

use vault_core::agent::message::Credential as Sent;
use vault_core::keys::Credential;
use vault_core::keys::age::parse_identities;
use vault_core::keys::machine::MachineKey;
use vault_core::secret::Secret;
use vault_core::vault::LockedVault;

use super::SessionError;
use super::unlock::{asked, given_passphrase, named, recovery_code};
use crate::commands::Run;
use crate::context::{Environment, Unlocker, unlock_sources};
use crate::failure::Failure;
use crate::input::{self, MAX_IDENTITIES, MAX_PASSPHRASE, Place};

/// Everything that was named, or what is typed. With `stdin`, the passphrase that comes there, and nothing else.
///
/// # Errors
/// As for unlocking in this process.
pub(crate) fn to_be_sent(
    run: &mut Run<'_>,
    path: &Path,
    locked: &LockedVault,
    stdin: bool,
) -> Result<Vec<Sent>, Failure> {
    if stdin {
        let text = run.stdin.claim("the passphrase")?.read(MAX_PASSPHRASE)?;
        let passphrase = input::passphrase(text, Place::Stdin)?;
        return Ok(vec![Sent::Passphrase(Secret::new(passphrase.expose().to_vec()))]);
    }
    let options = run.global.unlock.options();
    let environment = std::mem::take(&mut run.environment);
    let config = std::mem::take(&mut run.config);
    let sources = unlock_sources(&options, &environment, &config);
    let sent = sources.into_iter().map(|source| one(run, &environment, source.what, path, locked)).collect();
    (run.environment, run.config) = (environment, config);
    sent
}

fn one(
    run: &mut Run<'_>,
    environment: &Environment,
    what: Unlocker<'_>,
    path: &Path,
    locked: &LockedVault,
) -> Result<Sent, Failure> {
    Ok(match what {
        Unlocker::IdentityFile(file) => {
            let (text, place) = named(run, file, "identities", MAX_IDENTITIES)?;
            identities(text, place)?
        }
        Unlocker::Identities(text) => identities(text.duplicate(), Place::Variable("VAULT_IDENTITY"))?,
        Unlocker::MachineKeyFile(file) => {
            let (text, place) = named(run, file, "the machine key", MAX_IDENTITIES)?;
            machine_key(text, place)?
        }
        Unlocker::MachineKey(text) => machine_key(text.duplicate(), Place::Variable("VAULT_MACHINE_KEY"))?,
        Unlocker::PassphraseFile(_) | Unlocker::PassphraseDescriptor(_) | Unlocker::Passphrase(_) => {
            Sent::Passphrase(Secret::new(given_passphrase(run, &what)?.expose().to_vec()))
        }
        Unlocker::RecoveryCodeFile(file) => {
            let (text, place) = named(run, file, "the recovery code", MAX_PASSPHRASE)?;
            typed(recovery_code(&text, place)?)?
        }
        Unlocker::Askpass(_) | Unlocker::Pinentry(_) | Unlocker::Terminal => {
            typed(asked(run, environment, &what, path, Some(locked))?)?
        }
    })
}

fn typed(credential: Credential) -> Result<Sent, SessionError> {
    match credential {
        Credential::RecoveryCode(code) => Ok(Sent::RecoveryCode(Secret::new(code.expose().to_vec()))),
        Credential::Passphrase(passphrase) => Ok(Sent::Passphrase(Secret::new(passphrase.expose().to_vec()))),
        _ => unreachable!("what is typed is one of these"),
    }
}

fn identities(text: Secret, place: Place) -> Result<Sent, SessionError> {
    match parse_identities(&text) {
        Ok(_) => Ok(Sent::Identities(text)),
        Err(error) => Err(SessionError::Identities(place, error)),
    }
}

fn machine_key(text: Secret, place: Place) -> Result<Sent, SessionError> {
    let text = input::without_newline(text);
    match MachineKey::parse(&text) {
        Ok(_) => Ok(Sent::MachineKey(text)),
        Err(error) => Err(SessionError::MachineKey(place, error)),
    }
}
