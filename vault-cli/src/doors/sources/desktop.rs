//! A collection of the Secret Service: GNOME Keyring, KWallet, KeePassXC.

use vault_core::item::{SERVICE, USERNAME};
use vault_core::keys::keyring::{DesktopItem, KeyringError, OsKeyring};
use vault_core::secret::Secret;

use super::{Contents, Source, pair};
use crate::failure::SourceFailure;

/// One collection, named by its label or alias; else the default one.
pub(crate) struct Desktop {
    pub(crate) keyring: OsKeyring,
    pub(crate) collection: Option<String>,
}

impl Source for Desktop {
    fn name(&self) -> &'static str {
        "the Secret Service"
    }

    fn read(
        &mut self,
        only: &[(String, String)],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Contents, SourceFailure> {
        let collection = self.collection.as_deref();
        let mut all = self.keyring.read_desktop(collection, progress).map_err(|error| self.failed(error))?;
        // Where several are the same, the one that was changed last counts.
        all.sort_by_key(|item| std::cmp::Reverse(item.modified));
        let mut contents = Contents::default();
        if only.is_empty() {
            for item in all {
                contents.take(item.path, &item.label, item.attributes, item.secret);
            }
            return Ok(contents);
        }
        for (service, username) in only {
            match all.iter().position(|item| is(item, service, username)) {
                Some(at) => {
                    let item = all.swap_remove(at);
                    contents.take(item.path, &item.label, item.attributes, item.secret);
                }
                None => contents.leave(pair(service, username), "there is no such item"),
            }
        }
        Ok(contents)
    }

    fn remove(&mut self, items: Vec<(String, Secret)>) -> Result<Vec<Result<(), String>>, SourceFailure> {
        let outcomes = self.keyring.remove_from_desktop(items).map_err(|error| self.failed(error))?;
        Ok(outcomes.into_iter().map(|outcome| outcome.map_err(|error| error.to_string())).collect())
    }
}

impl Desktop {
    fn failed(&self, error: KeyringError) -> SourceFailure {
        SourceFailure::Desktop { collection: self.collection.clone(), error }
    }
}

fn is(item: &DesktopItem, service: &str, username: &str) -> bool {
    let has = |name: &str, value: &str| item.attributes.get(name).is_some_and(|has| has == value);
    has(SERVICE, service) && has(USERNAME, username)
}
