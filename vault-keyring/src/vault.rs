//! The vault behind the store, wherever its keys are: in this process, or in an agent.

mod held;
mod here;

use std::collections::HashMap;
use std::path::Path;

use keyring_core::{Error, Result};
use vault_core::error::{EditError, VerifyError};
use vault_core::format::entry::Meta;
use vault_core::item::{Item, SERVICE, USERNAME, has_password};

pub(crate) use held::Held;
pub(crate) use here::Here;

/// What the store asks of a vault. Every call sees the file as it is then.
pub(crate) trait Vault: Send + Sync {
    /// Its file.
    fn path(&self) -> &Path;

    /// The item's password.
    fn get(&self, item: &Item) -> Result<Vec<u8>>;

    /// What there is to say about the item's entry.
    fn meta(&self, item: &Item) -> Result<Meta>;

    /// The items whose entries have all these attributes.
    fn items(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Item>>;

    /// Stores the item's password: in the entry that is the item already, whatever its name, else in a new one.
    fn set(&self, item: &Item, secret: &[u8]) -> Result<()>;

    /// Adds and changes attributes; those that name the item are refused.
    fn update_attributes(&self, item: &Item, attributes: &HashMap<&str, &str>) -> Result<()>;

    /// Removes every entry that is the item; one with further fields loses its password only.
    fn remove(&self, item: &Item) -> Result<()>;
}

/// Of all entries, the items whose entries have all these attributes.
fn matching(all: &[Meta], spec: &HashMap<&str, &str>) -> Vec<Item> {
    let matches = |meta: &Meta| {
        spec.iter().all(|(key, value)| meta.attributes.get(key).is_some_and(|there| there == value))
    };
    let items = all.iter().filter_map(|meta| {
        let item = Item::of_entry(meta)?;
        // Of two entries that are the same item, the one that counts.
        let counts = item.entries(all).first().is_some_and(|first| first.name == meta.name);
        (has_password(meta) && counts && matches(meta)).then_some(item)
    });
    items.collect()
}

/// Refuses to change what makes the item which it is.
fn refuse_names(attributes: &HashMap<&str, &str>) -> Result<()> {
    match attributes.keys().find(|key| [SERVICE, USERNAME].contains(key)) {
        Some(key) => {
            Err(Error::Invalid((*key).to_owned(), "it names the password, and cannot be changed".to_owned()))
        }
        None => Ok(()),
    }
}

fn cannot(error: EditError) -> Error {
    match error {
        EditError::Verify(error) => broken(error),
        EditError::NoEntry(_) => Error::NoEntry,
        EditError::TooLarge { what, .. } => Error::Invalid("entry".to_owned(), what.to_owned()),
        other => platform(other),
    }
}

fn broken(error: VerifyError) -> Error {
    Error::BadStoreFormat(error.to_string())
}

fn platform(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::PlatformFailure(Box::new(error))
}

fn no_access(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::NoStorageAccess(Box::new(error))
}

/// What the log says of who changed the vault.
const AUTHOR: &str = "vault-keyring";
