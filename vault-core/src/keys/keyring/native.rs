//! The keyrings of macOS and Windows, through the `keyring` crate. Compiled for these systems only, and not tried yet.

use keyring::{Entry, Error};
use zeroize::Zeroizing;

use crate::keys::keyring::{DesktopItem, KeyringError, Prompts, SERVICE, Store};
use crate::secret::Secret;

/// Name, description and priority.
pub(super) const STORES: [(&str, &str, u8); 1] = [(NAME, "the keyring of this system", 20)];

#[cfg(target_os = "macos")]
const NAME: &str = "keychain";
#[cfg(windows)]
const NAME: &str = "windows";
#[cfg(not(any(target_os = "macos", windows)))]
const NAME: &str = "secret-service";

/// The systems themselves decide whether they ask.
pub(super) fn open(name: &str, _: Prompts) -> Result<Box<dyn Store>, KeyringError> {
    if name == NAME { Ok(Box::new(Native)) } else { Err(KeyringError::UnknownStore) }
}

/// These keyrings do not list what they hold.
pub(super) fn desktop_items(
    _: Option<&str>,
    _: Prompts,
    _: &mut dyn FnMut(DesktopItem),
) -> Result<(), KeyringError> {
    Err(KeyringError::UnknownStore)
}

/// Nothing was listed, so nothing is removed.
pub(super) fn remove_desktop_items(
    _: &[(String, Secret)],
    _: &mut dyn FnMut(Result<(), KeyringError>),
) -> Result<(), KeyringError> {
    Err(KeyringError::UnknownStore)
}

struct Native;

impl Store for Native {
    fn put(&self, user: &str, text: &[u8]) -> Result<(), KeyringError> {
        Entry::new(SERVICE, user).and_then(|entry| entry.set_secret(text)).map_err(translate)
    }

    fn read(&self, user: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let read = Entry::new(SERVICE, user).and_then(|entry| entry.get_secret());
        read.map(Zeroizing::new).map_err(translate)
    }

    fn delete(&self, user: &str) -> Result<(), KeyringError> {
        Entry::new(SERVICE, user).and_then(|entry| entry.delete_credential()).map_err(translate)
    }
}

fn translate(error: Error) -> KeyringError {
    match error {
        Error::NoEntry => KeyringError::NotFound,
        Error::NoStorageAccess(_) => KeyringError::Locked,
        other => KeyringError::other(other),
    }
}
