//! A credential store for [`keyring_core`] that keeps passwords in a vault.
//!
//! It asks the agent that holds the vault, if one does; else the vault is unlocked in this process, once, with whatever opens
//! one of its key slots. Every call then sees the file as it is, so what other programs and other doors store is seen, and
//! the reverse. There is one entry of a service and user: [`Error::Ambiguous`] never happens. docs/keyring.md of the
//! repository says which entries are items.
//!
//! ```no_run
//! use std::path::Path;
//! use vault_core::keys::Credential;
//! use vault_core::secret::Passphrase;
//!
//! let passphrase = Passphrase::new(b"correct horse".to_vec());
//! let credentials = [Credential::Passphrase(passphrase)];
//! let store = vault_keyring::Store::open(Path::new("default.vault"), &vault_keyring::agents(), &credentials)?;
//! keyring_core::set_default_store(store);
//! let entry = keyring_core::Entry::new("service", "user")?;
//! entry.set_password("password")?;
//! # Ok::<(), keyring_core::Error>(())
//! ```
//!
//! [`Store::unlock`] never looks for an agent, and [`Store::held`] takes nothing else. Which it is, is decided once: a store
//! that went through an agent finds the vault locked when that one forgets it, and goes on when an agent holds it again.
//!
//! | what happened | error |
//! |---|---|
//! | no agent holds the vault, and nothing was given that could open it | [`Error::NoStorageAccess`], of [`Locked`] |
//! | no slot opens, or the vault was rotated since | [`Error::NoStorageAccess`] |
//! | the file is no vault, damaged, or not a real state of it | [`Error::BadStoreFormat`] |
//! | there is no such password | [`Error::NoEntry`] |
//! | the entry has several versions after a merge | [`Error::PlatformFailure`], of `EditError::InConflict` |
//! | reading or saving failed, another process changes the vault, or the agent ended meanwhile | [`Error::PlatformFailure`] |

mod credential;
mod vault;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyring_core::api::{CredentialPersistence, CredentialStoreApi};
use keyring_core::{Entry, Error, Result};
use vault_core::agent::link::LinkError;
use vault_core::agent::place::Places;
use vault_core::format::limits;
use vault_core::item::Item;
use vault_core::keys::Credential;

use crate::credential::Password;
use crate::vault::{Held, Here, Vault};

/// A vault as a credential store.
pub struct Store {
    vault: Arc<dyn Vault>,
    keys: Keys,
}

/// Where the keys of a store's vault are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// An agent has them, and answers.
    Agent,
    /// This process.
    Here,
}

/// No agent holds the vault at this path, and nothing was given that could open it.
#[derive(Debug)]
pub struct Locked(PathBuf);

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is locked: no agent holds it", self.0)
    }
}

impl std::error::Error for Locked {}

/// Where agents of this user may be, as `VAULT_AGENT_SOCK` and `XDG_RUNTIME_DIR` say.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the only place where this crate reads the environment")]
pub fn agents() -> Places {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    Places::new(PROGRAM, path("VAULT_AGENT_SOCK").as_deref(), path("XDG_RUNTIME_DIR").as_deref())
}

impl Store {
    /// The vault at this path: through an agent that holds it, else unlocked here with the first of the credentials that opens
    /// a slot. There may be none.
    ///
    /// # Errors
    /// As [`Store::unlock`] if no agent holds it; what is wrong with the place of an agent, or what that one says.
    pub fn open(path: &Path, agents: &Places, credentials: &[Credential]) -> Result<Arc<Self>> {
        match Held::find(agents, path) {
            Ok(Some(held)) => Ok(Self::of(held, Keys::Agent)),
            Ok(None) => Self::unlock(path, credentials),
            // An agent of another version is none, for whoever can do without.
            Err(Error::NoStorageAccess(why))
                if !credentials.is_empty()
                    && why.downcast_ref::<LinkError>().is_some_and(LinkError::is_version) =>
            {
                Self::unlock(path, credentials)
            }
            Err(error) => Err(error),
        }
    }

    /// Unlocks the vault at this path in this process, with the first of the credentials that opens a slot.
    ///
    /// # Errors
    /// [`Error::NoStorageAccess`] if none does, or the file cannot be read; [`Error::BadStoreFormat`].
    pub fn unlock(path: &Path, credentials: &[Credential]) -> Result<Arc<Self>> {
        Ok(Self::of(Here::unlock(path, credentials)?, Keys::Here))
    }

    /// The vault at this path through an agent that holds it: no key is ever in this process.
    ///
    /// # Errors
    /// [`Error::NoStorageAccess`] of [`Locked`] if none does; what is wrong with the place of an agent, or what that one says.
    pub fn held(path: &Path, agents: &Places) -> Result<Arc<Self>> {
        let held = Held::find(agents, path)?;
        let held = held.ok_or_else(|| Error::NoStorageAccess(Box::new(Locked(path.to_owned()))))?;
        Ok(Self::of(held, Keys::Agent))
    }

    /// Where the keys are.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.keys
    }

    fn of(vault: impl Vault + 'static, keys: Keys) -> Arc<Self> {
        Arc::new(Self { vault: Arc::new(vault), keys })
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
        f.debug_struct("Store")
            .field("vendor", &self.vendor())
            .field("id", &self.id())
            .field("keys", &self.keys)
            .finish()
    }
}

/// Name and version, for the agent.
const PROGRAM: &str = concat!("vault-keyring ", env!("CARGO_PKG_VERSION"));
