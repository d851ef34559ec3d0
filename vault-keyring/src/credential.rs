//! One password, as keyring-core sees it. What it prints of itself is service and user, never the password.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use keyring_core::Result;
use keyring_core::api::{Credential, CredentialApi};
use vault_core::item::Item;

use crate::vault::Vault;

/// The password of an item, whether or not there is one now.
pub(crate) struct Password {
    vault: Arc<dyn Vault>,
    item: Item,
    found: bool,
}

impl Password {
    /// The one that a service and user name.
    pub(crate) fn specified(vault: Arc<dyn Vault>, item: Item) -> Self {
        Self { vault, item, found: false }
    }

    /// One that is in the vault: keyring-core's wrapper.
    pub(crate) fn found(vault: Arc<dyn Vault>, item: Item) -> Self {
        Self { vault, item, found: true }
    }
}

impl CredentialApi for Password {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        self.vault.set(&self.item, secret)
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        self.vault.get(&self.item)
    }

    fn get_attributes(&self) -> Result<HashMap<String, String>> {
        Ok(self.vault.meta(&self.item)?.attributes.into_iter().collect())
    }

    fn update_attributes(&self, attributes: &HashMap<&str, &str>) -> Result<()> {
        self.vault.update_attributes(&self.item, attributes)
    }

    fn delete_credential(&self) -> Result<()> {
        self.vault.remove(&self.item)
    }

    fn get_credential(&self) -> Result<Option<Arc<Credential>>> {
        self.vault.meta(&self.item)?;
        if self.found {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self::found(Arc::clone(&self.vault), self.item.clone()))))
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some((self.item.service().to_owned(), self.item.username().to_owned()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn debug_fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, user) = (self.item.service(), self.item.username());
        f.debug_struct("Password").field("service", &service).field("user", &user).finish_non_exhaustive()
    }
}
