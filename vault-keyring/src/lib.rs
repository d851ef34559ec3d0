//! A credential store for [`keyring_core`] that keeps passwords in a vault.
//!
//! The vault is unlocked once, with whatever opens one of its key slots; every call then reads the file as it is, so what
//! other programs and other doors store is seen, and the reverse. There is one entry of a service and user:
//! [`Error::Ambiguous`] never happens. docs/keyring.md of the repository says which entries are items.
//!
//! ```no_run
//! use std::path::Path;
//! use vault_core::keys::Credential;
//! use vault_core::secret::Passphrase;
//!
//! let passphrase = Passphrase::new(b"correct horse".to_vec());
//! let store = vault_keyring::Store::unlock(Path::new("default.vault"), &[Credential::Passphrase(passphrase)])?;
//! keyring_core::set_default_store(store);
//! let entry = keyring_core::Entry::new("service", "user")?;
//! entry.set_password("password")?;
//! # Ok::<(), keyring_core::Error>(())
//! ```
//!
//! | what happened | error |
//! |---|---|
//! | no slot opens, or the vault was rotated since | [`Error::NoStorageAccess`] |
//! | the file is no vault, damaged, or not a real state of it | [`Error::BadStoreFormat`] |
//! | there is no such password | [`Error::NoEntry`] |
//! | the entry has several versions after a merge | [`Error::PlatformFailure`], of `EditError::InConflict` |
//! | reading or saving failed, or another process changes the vault | [`Error::PlatformFailure`] |

mod credential;
mod vault;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use keyring_core::api::{CredentialPersistence, CredentialStoreApi};
use keyring_core::{Entry, Error, Result};
use vault_core::format::limits;
use vault_core::item::Item;
use vault_core::keys::Credential;

use crate::credential::Password;
use crate::vault::Vault;

/// A vault as a credential store.
pub struct Store {
    vault: Arc<Vault>,
}

impl Store {
    /// Unlocks the vault at this path with the first of the credentials that opens a slot.
    ///
    /// # Errors
    /// [`Error::NoStorageAccess`] if none does, or the file cannot be read; [`Error::BadStoreFormat`].
    pub fn unlock(path: &Path, credentials: &[Credential]) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { vault: Arc::new(Vault::unlock(path, credentials)?) }))
    }
}

impl CredentialStoreApi for Store {
    fn vendor(&self) -> String {
        "Vault file, https://crates.io/crates/vault-keyring".to_owned()
    }

    fn id(&self) -> String {
        format!("vault-keyring {}, {}", env!("CARGO_PKG_VERSION"), self.vault.path().display())
    }

    fn build(&self, service: &str, user: &str, modifiers: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        if let Some(key) = modifiers.and_then(|modifiers| modifiers.keys().next()) {
            return Err(Error::Invalid((*key).to_owned(), "this store has no modifiers".to_owned()));
        }
        let item = Item::new(service, user).map_err(|error| {
            let limit = u32::try_from(limits::ATTRIBUTE).expect("a few KiB");
            Error::TooLong(error.0.to_owned(), limit)
        })?;
        let password = Password::specified(Arc::clone(&self.vault), item);
        Ok(Entry::new_with_credential(Arc::new(password)))
    }

    /// All items that have these attributes with exactly these values; without any, all items.
    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let items = self.vault.items(spec)?;
        let wrapped = items.into_iter().map(|item| Password::found(Arc::clone(&self.vault), item));
        Ok(wrapped.map(|password| Entry::new_with_credential(Arc::new(password))).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn persistence(&self) -> CredentialPersistence {
        CredentialPersistence::UntilDelete
    }

    fn debug_fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("vendor", &self.vendor()).field("id", &self.id()).finish()
    }
}
