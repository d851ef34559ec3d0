//! The request that unlocks a vault: it waits for its turn, since keys are derived one at a time, and is in vain if a lock comes
//! meanwhile, or nobody waits for it any more.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, MutexGuard, TryLockError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vault_core::agent::message;
use vault_core::keys::age::parse_identities;
use vault_core::keys::machine::MachineKey;
use vault_core::keys::{Credential, UnlockPolicy};
use vault_core::secret::Passphrase;
use vault_core::store;
use vault_core::vault::LockedVault;

use super::{Conversation, Refusal, facts, told};
use crate::agent::clock::{End, Reading};
use crate::agent::held::{Held, Memory, lock_keys, real};
use crate::agent::server::NotHeld;
use crate::input::Place;
use crate::session::{Local, SessionError, label};

impl Conversation<'_> {
    pub(super) fn unlock(&mut self, unlock: message::Unlock) -> Result<(), Refusal> {
        let path = unlock.vault.path().to_owned();
        let credentials =
            unlock.credentials.into_iter().map(credential).collect::<Result<Vec<_>, SessionError>>()?;
        let mut policy = UnlockPolicy::default();
        if let Some(kib) = unlock.max_kdf_memory {
            policy.max_kdf_memory_kib = kib;
        }
        policy.only_slot = unlock.slot.as_deref().map(label).transpose()?;
        policy.allow_rollback = unlock.allow_rollback.is_some();
        let failed = |error| SessionError::Store(path.clone(), error);
        let Some(real) = real(&path) else { return Err(failed(store::StoreError::NotFound).into()) };
        self.connection.is_about(&real);
        self.connection.unlocks();
        let by_key = credentials.iter().any(|credential| matches!(credential, Credential::MachineKey(_)));
        let memory = Memory {
            named_by_key: by_key,
            allow_rollback: policy.allow_rollback,
            ..self.server.memory.clone()
        };
        let pins = memory.pins(&path);
        // It is this vault that may be older, and none that comes later.
        let memory = Memory { allow_rollback: false, ..memory };
        let snapshot = Arc::new(store::read(&real).map_err(failed)?);
        let locked = LockedVault::open(Arc::clone(&snapshot) as _)
            .map_err(|error| SessionError::Format(path.clone(), error))?;
        pins.check_id(locked.id()).map_err(|error| SessionError::pin(&path, error))?;
        let session = {
            let _turn = self.turn(&path)?;
            Local::unlock(&path, locked, &credentials, &policy)?
        };
        let (session, older) = session.with_pins_untold(pins)?;
        let vault = session.into_vault();
        drop(credentials);
        if !lock_keys(&vault) {
            self.server.keys_are_not_locked();
        }
        // Whoever asked may have given up, and told somebody that the vault is not unlocked.
        if has_gone(self.frames.stream()) {
            return Err(Refusal::Gone);
        }
        let result = facts(&vault, older);
        let now = Reading::now();
        let lease = unlock.lease.map(|seconds| End::after(&now, seconds));
        let idle = unlock.idle.map(|seconds| (seconds, End::after(&now, seconds)));
        let held = Held::new(vault, snapshot, (memory, older), lease, idle);
        self.server.hold(self.connection, real, held).map_err(|why| match why {
            NotHeld::Locked => locked_meanwhile(&path),
            NotHeld::Ending => told("agent-lost", 1, "the agent is about to end"),
            NotHeld::Full => told("agent-busy", 7, "the agent holds as many vaults as it can"),
        })?;
        self.result(&result)
    }

    /// Waits until no other key is being derived, as long as there is somebody to do it for.
    fn turn(&self, path: &Path) -> Result<MutexGuard<'_, ()>, Refusal> {
        self.connection.while_waiting(|| {
            loop {
                let turn = match self.server.kdf.try_lock() {
                    Ok(turn) => Some(turn),
                    Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                    Err(TryLockError::WouldBlock) => None,
                };
                if has_gone(self.frames.stream()) {
                    return Err(Refusal::Gone);
                }
                if self.connection.unlocks_in_vain() {
                    return Err(locked_meanwhile(path));
                }
                match turn {
                    Some(turn) => return Ok(turn),
                    None => std::thread::sleep(LOOK),
                }
            }
        })
    }
}

/// Whether the client closed its end.
fn has_gone(stream: &UnixStream) -> bool {
    let mut ready = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
        && ready[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

fn locked_meanwhile(path: &Path) -> Refusal {
    told("agent-locked", 4, format!("it was to be locked meanwhile: {}", crate::escape::quoted_path(path)))
}

fn credential(credential: message::Credential) -> Result<Credential, SessionError> {
    let place = Place::Variable("the request");
    Ok(match credential {
        message::Credential::Passphrase(secret) => {
            Credential::Passphrase(Passphrase::new(secret.expose().to_vec()))
        }
        message::Credential::RecoveryCode(secret) => {
            Credential::RecoveryCode(Passphrase::new(secret.expose().to_vec()))
        }
        message::Credential::Identities(text) => parse_identities(&text)
            .map(Credential::Identities)
            .map_err(|error| SessionError::Identities(place, error))?,
        message::Credential::MachineKey(text) => MachineKey::parse(&text)
            .map(Credential::MachineKey)
            .map_err(|error| SessionError::MachineKey(place, error))?,
    })
}

/// How often whoever waits for a turn looks whether it has come, and whether the client is still there.
const LOOK: Duration = Duration::from_millis(20);
