//! The keyrings of Linux: the Secret Service of a desktop, and the kernel's keyutils.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use keyring_core::{CredentialStore, Entry, Error};
use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use secret_service::EncryptionType;
use secret_service::blocking::SecretService;
use zeroize::Zeroizing;

use crate::keys::keyring::{KeyringError, Prompts, SERVICE, Store};

mod desktop;

pub(super) use desktop::{desktop_items, remove_desktop_items};

/// Name, description and priority of each.
pub(super) const STORES: [(&str, &str, u8); 2] = [
    (SECRET_SERVICE, "Secret Service of the desktop (GNOME Keyring, KWallet, KeePassXC), over D-Bus", 20),
    // It loses everything at a reboot, and what is unused for three days.
    (KEYUTILS, "the kernel's keyring of this user, in memory until the next reboot", 10),
];

const SECRET_SERVICE: &str = "secret-service";
const KEYUTILS: &str = "keyutils";

pub(super) fn open(name: &str, prompts: Prompts) -> Result<Box<dyn Store>, KeyringError> {
    match name {
        SECRET_SERVICE => {
            let ours = SecretService::connect(EncryptionType::Dh).map_err(|error| of_service(&error))?;
            let store = zbus_secret_service_keyring_store::Store::new().map_err(translate)?;
            Ok(Box::new(Desktop { ours, store, prompts }))
        }
        KEYUTILS => {
            // A process without a session keyring of its own would get a new, anonymous one in the middle of the first
            // operation, and with it lose what it had just written. So it gets one first.
            KeyRing::from_special_id(KeyRingIdentifier::Session, true).map_err(|error| of_kernel(&error))?;
            let store = linux_keyutils_keyring_store::Store::new().map_err(translate)?;
            Ok(Box::new(Kernel { store }))
        }
        _ => Err(KeyringError::UnknownStore),
    }
}

/// The Secret Service. `ours` is a connection to look before anything is done: the store itself would always prompt.
struct Desktop {
    ours: SecretService<'static>,
    store: Arc<zbus_secret_service_keyring_store::Store>,
    prompts: Prompts,
}

impl Desktop {
    fn entry(&self, user: &str) -> Result<Entry, KeyringError> {
        let store: Arc<CredentialStore> = self.store.clone();
        Entry::new_in_store(&store, SERVICE, user).map_err(translate)
    }

    /// Whether there is such an item, and that it can be had without asking anybody who may not be asked.
    fn look(&self, user: &str) -> Result<(), KeyringError> {
        if self.finds(user)? {
            return Ok(());
        }
        // Some services do not say what a locked collection holds.
        let collection = self.ours.get_default_collection().map_err(|error| of_service(&error))?;
        if !collection.is_locked().map_err(|error| of_service(&error))? {
            return Err(KeyringError::NotFound);
        }
        if self.prompts == Prompts::Never {
            return Err(KeyringError::Locked);
        }
        collection.unlock().map_err(|error| of_service(&error))?;
        match self.finds(user)? {
            true => Ok(()),
            false if collection.is_locked().map_err(|error| of_service(&error))? => Err(KeyringError::Locked),
            false => Err(KeyringError::NotFound),
        }
    }

    fn finds(&self, user: &str) -> Result<bool, KeyringError> {
        let wanted = HashMap::from([("service", SERVICE), ("username", user)]);
        let found = self.ours.search_items(wanted).map_err(|error| of_service(&error))?;
        match (found.unlocked.is_empty(), found.locked.is_empty()) {
            (true, true) => Ok(false),
            (true, false) if self.prompts == Prompts::Never => Err(KeyringError::Locked),
            _ => Ok(true),
        }
    }

    /// That something can be put into the default collection without asking anybody.
    fn unlocked(&self) -> Result<(), KeyringError> {
        let collection = self.ours.get_default_collection().map_err(|error| of_service(&error))?;
        let locked = collection.is_locked().map_err(|error| of_service(&error))?;
        if locked && self.prompts == Prompts::Never { Err(KeyringError::Locked) } else { Ok(()) }
    }
}

impl Store for Desktop {
    fn put(&self, user: &str, text: &[u8]) -> Result<(), KeyringError> {
        self.unlocked()?;
        self.entry(user)?.set_secret(text).map_err(translate)
    }

    fn read(&self, user: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        self.look(user)?;
        self.entry(user)?.get_secret().map(Zeroizing::new).map_err(translate)
    }

    fn delete(&self, user: &str) -> Result<(), KeyringError> {
        self.look(user)?;
        self.entry(user)?.delete_credential().map_err(translate)
    }
}

/// keyutils. It never prompts.
struct Kernel {
    store: Arc<linux_keyutils_keyring_store::Store>,
}

impl Kernel {
    fn entry(&self, user: &str) -> Result<Entry, KeyringError> {
        let store: Arc<CredentialStore> = self.store.clone();
        Entry::new_in_store(&store, SERVICE, user).map_err(translate)
    }
}

impl Store for Kernel {
    fn put(&self, user: &str, text: &[u8]) -> Result<(), KeyringError> {
        self.entry(user)?.set_secret(text).map_err(translate)
    }

    fn read(&self, user: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        self.entry(user)?.get_secret().map(Zeroizing::new).map_err(translate)
    }

    fn delete(&self, user: &str) -> Result<(), KeyringError> {
        self.entry(user)?.delete_credential().map_err(translate)
    }
}

fn translate(error: Error) -> KeyringError {
    match error {
        Error::NoEntry => KeyringError::NotFound,
        Error::PlatformFailure(inner) | Error::NoStorageAccess(inner) => of_platform(&*inner),
        Error::BadEncoding(bytes) | Error::BadDataFormat(bytes, _) => {
            drop(Zeroizing::new(bytes));
            KeyringError::Damaged
        }
        Error::Ambiguous(_) => KeyringError::Damaged,
        other => KeyringError::other(other),
    }
}

fn of_platform(error: &(dyn StdError + Send + Sync + 'static)) -> KeyringError {
    if let Some(error) = error.downcast_ref::<secret_service::Error>() {
        of_service(error)
    } else if let Some(error) = error.downcast_ref::<KeyError>() {
        of_kernel(error)
    } else {
        KeyringError::other(error)
    }
}

fn of_service(error: &secret_service::Error) -> KeyringError {
    use secret_service::Error as E;
    match error {
        E::Locked => KeyringError::Locked,
        E::NoResult => KeyringError::NoCollection,
        E::Prompt | E::PromptDisconnected => KeyringError::Dismissed,
        E::Unavailable => KeyringError::NoBus,
        E::Zbus(_) | E::ZbusFdo(_) => of_bus(&error.to_string()),
        other => KeyringError::other(other),
    }
}

/// zbus keeps a bus's own errors as text; these names are D-Bus's.
fn of_bus(text: &str) -> KeyringError {
    let any = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if any(&["ServiceUnknown", "NameHasNoOwner", "Spawn.", ".service files"]) {
        KeyringError::NoService
    } else if any(&["IsLocked"]) {
        KeyringError::Locked
    } else if any(&["No such file", "Connection refused", "address", "Address", "ENOENT"]) {
        KeyringError::NoBus
    } else if any(&["NoReply", "Timeout", "TimedOut"]) {
        KeyringError::TooSlow
    } else {
        KeyringError::other(text)
    }
}

fn of_kernel(error: &KeyError) -> KeyringError {
    /// "Function not implemented", as the crate leaves it.
    const ENOSYS: i32 = 38;
    match error {
        KeyError::PermissionDenied => KeyringError::Denied,
        KeyError::AccessDenied => KeyringError::NotPossessed,
        KeyError::Unknown(ENOSYS) | KeyError::OperationNotSupported => KeyringError::NotSupported,
        KeyError::QuotaExceeded => KeyringError::Full,
        KeyError::KeyDoesNotExist
        | KeyError::KeyExpired
        | KeyError::KeyRevoked
        | KeyError::KeyringDoesNotExist => KeyringError::NotFound,
        other => KeyringError::other(other),
    }
}
