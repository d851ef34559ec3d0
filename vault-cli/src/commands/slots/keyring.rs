//! A slot that a keyring of the operating system opens: which one, and whether it keeps what it is given.

use vault_core::crypto::random::SystemRandom;
use vault_core::format::slot::StoreName;
use vault_core::keys::keyring::{KeyringError, KeyringItem};
use vault_core::secret::{Key, Wrapping};

use crate::commands::Run;
use crate::failure::{Failure, SlotFailure};
use crate::session;

/// The keyring that is named, or the best one here. What was chosen has just kept, given back and forgotten a test item.
///
/// # Errors
/// [`SlotFailure::Keyring`], [`SlotFailure::NoKeyring`] with the reason of each.
pub(in crate::commands) fn choose(run: &mut Run<'_>, named: Option<&str>) -> Result<StoreName, Failure> {
    let keyring = session::keyrings(run);
    if let Some(name) = named {
        let unavailable = |error| SlotFailure::Keyring { store: name.to_owned(), error };
        let store = StoreName::parse(name).map_err(|_| unavailable(KeyringError::UnknownStore))?;
        keyring.probe(&store, &mut SystemRandom).map_err(unavailable)?;
        return Ok(store);
    }
    let mut reasons = Vec::new();
    for backend in keyring.backends(&mut SystemRandom) {
        match backend.viable {
            Ok(()) => return Ok(backend.store),
            Err(error) => reasons.push((backend.store.as_str().to_owned(), error)),
        }
    }
    Err(SlotFailure::NoKeyring(reasons).into())
}

/// Gives the keyring the key of a slot that is about to be stored.
///
/// # Errors
/// [`SlotFailure::Keyring`].
pub(in crate::commands) fn put(
    run: &mut Run<'_>,
    store: &StoreName,
    item: &KeyringItem,
    key: &Key<Wrapping>,
) -> Result<(), Failure> {
    let unavailable = |error| SlotFailure::Keyring { store: store.as_str().to_owned(), error };
    Ok(session::keyrings(run).put(store, item, key).map_err(unavailable)?)
}
