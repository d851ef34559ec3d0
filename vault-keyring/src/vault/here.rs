//! A vault whose keys are in this process: its file is read anew for every call, and changed under its lock.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keyring_core::{Error, Result};
use vault_core::crypto::random::SystemRandom;
use vault_core::error::EditError;
use vault_core::format::entry::{DEFAULT_FIELD, EntryName, Meta};
use vault_core::item::{Item, has_password};
use vault_core::keys::{Credential, UnlockPolicy};
use vault_core::secret::Secret;
use vault_core::source::Source;
use vault_core::store;
use vault_core::vault::edit::{Edit, NewValue, Update};
use vault_core::vault::{LockedVault, UnlockFailure, UnlockedVault, Value};
use zeroize::Zeroizing;

use super::{AUTHOR, Vault, broken, cannot, matching, no_access, platform, refuse_names};
use crate::Locked;

/// A vault whose master key is in this process.
pub(crate) struct Here {
    path: PathBuf,
    unlocked: UnlockedVault,
}

impl Here {
    /// Unlocks with the first of the credentials that opens a slot.
    ///
    /// # Errors
    /// See the crate's table.
    pub(crate) fn unlock(path: &Path, credentials: &[Credential]) -> Result<Self> {
        let path = std::path::absolute(path).map_err(no_access)?;
        let snapshot = store::read(&path).map_err(no_access)?;
        let locked = opened(Arc::new(snapshot))?;
        if credentials.is_empty() {
            return Err(no_access(Locked(path)));
        }
        let unlocked = locked
            .unlock(credentials, &UnlockPolicy::default())
            .map_err(|still| of_unlocking(still.reason))?;
        Ok(Self { path, unlocked })
    }

    /// The entry that is the item and has a password.
    fn name(&self, vault: &UnlockedVault, item: &Item) -> Result<Option<EntryName>> {
        let derived = item.entry_name();
        match vault.meta(&derived).map_err(broken)? {
            Some(meta) if has_password(&meta) => Ok(Some(derived)),
            _ => by_hand(vault, item),
        }
    }

    fn read(&self) -> Result<UnlockedVault> {
        self.same(Arc::new(store::read(&self.path).map_err(platform)?))
    }

    fn same(&self, source: Arc<dyn Source>) -> Result<UnlockedVault> {
        opened(source)?.unlock_as(&self.unlocked).map_err(|still| of_unlocking(still.reason))
    }

    fn change(&self, apply: impl FnOnce(&UnlockedVault, &mut Edit<'_>) -> Result<()>) -> Result<()> {
        let lock = store::lock_within(&self.path, PATIENCE).map_err(platform)?;
        let vault = self.same(Arc::new(lock.snapshot().map_err(platform)?))?;
        let mut edit = vault.edit(now()).map_err(cannot)?;
        apply(&vault, &mut edit)?;
        let saved = edit.finish(AUTHOR, None, &mut SystemRandom).map_err(cannot)?;
        lock.replace(&saved.text).map(drop).map_err(platform)
    }
}

impl Vault for Here {
    fn path(&self) -> &Path {
        &self.path
    }

    /// Reads one page if the entry has the derived name.
    fn get(&self, item: &Item) -> Result<Vec<u8>> {
        let vault = self.read()?;
        let value = match password(&vault, &item.entry_name())? {
            Some(value) => value,
            None => {
                let name = by_hand(&vault, item)?.ok_or(Error::NoEntry)?;
                password(&vault, &name)?.ok_or(Error::NoEntry)?
            }
        };
        match value {
            Value::Inline(secret) => Ok(secret.expose().to_vec()),
            Value::Attachment(mut reader) => {
                // Wiped if it does not verify to its end; never moved, which would leave a copy.
                let length = usize::try_from(reader.length()).unwrap_or_default();
                let mut bytes = Zeroizing::new(Vec::with_capacity(length));
                reader.read_to_end(&mut bytes).map_err(|error| Error::BadStoreFormat(error.to_string()))?;
                Ok(std::mem::take(&mut *bytes))
            }
        }
    }

    fn meta(&self, item: &Item) -> Result<Meta> {
        let vault = self.read()?;
        let name = self.name(&vault, item)?.ok_or(Error::NoEntry)?;
        vault.meta(&name).map_err(broken)?.ok_or(Error::NoEntry)
    }

    fn items(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Item>> {
        Ok(matching(&self.read()?.list().map_err(broken)?, spec))
    }

    fn set(&self, item: &Item, secret: &[u8]) -> Result<()> {
        self.change(|vault, edit| {
            let name = self.name(vault, item)?.unwrap_or_else(|| item.entry_name());
            let update = item.update(NewValue::Inline(Secret::new(secret.to_vec())));
            edit.set(&name, update, &mut SystemRandom).map(drop).map_err(cannot)
        })
    }

    fn update_attributes(&self, item: &Item, attributes: &HashMap<&str, &str>) -> Result<()> {
        refuse_names(attributes)?;
        self.change(|vault, edit| {
            let name = self.name(vault, item)?.ok_or(Error::NoEntry)?;
            let attributes =
                attributes.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
            let update = Update { attributes: attributes.collect(), ..Update::default() };
            edit.set(&name, update, &mut SystemRandom).map(drop).map_err(cannot)
        })
    }

    fn remove(&self, item: &Item) -> Result<()> {
        self.change(|vault, edit| {
            let all = vault.list().map_err(broken)?;
            let found = item.entries(&all);
            if found.is_empty() {
                return Err(Error::NoEntry);
            }
            for meta in found {
                if meta.fields.len() == 1 {
                    edit.remove(&meta.name).map_err(cannot)?;
                } else {
                    let fields = BTreeMap::from([(DEFAULT_FIELD.to_owned(), None)]);
                    let update = Update { fields, ..Update::default() };
                    edit.set(&meta.name, update, &mut SystemRandom).map_err(cannot)?;
                }
            }
            Ok(())
        })
    }
}

fn opened(source: Arc<dyn Source>) -> Result<LockedVault> {
    LockedVault::open(source).map_err(|error| Error::BadStoreFormat(error.to_string()))
}

/// An entry's password. Of an entry in conflict, no version is given out as if it were the only one.
fn password(vault: &UnlockedVault, name: &EntryName) -> Result<Option<Value>> {
    let Some(entry) = vault.entry(name).map_err(broken)? else { return Ok(None) };
    match entry.value(DEFAULT_FIELD) {
        Some(_) if entry.meta().in_conflict() => Err(cannot(EditError::InConflict(name.clone()))),
        value => Ok(value),
    }
}

/// The entry that somebody else named.
fn by_hand(vault: &UnlockedVault, item: &Item) -> Result<Option<EntryName>> {
    let all = vault.list().map_err(broken)?;
    Ok(item.entries(&all).first().map(|meta| meta.name.clone()))
}

fn of_unlocking(reason: UnlockFailure) -> Error {
    match reason {
        UnlockFailure::Denied(_) => no_access(reason),
        other => Error::BadStoreFormat(other.to_string()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the only clock of this crate")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How long another process may hold the vault.
const PATIENCE: Duration = Duration::from_secs(30);
