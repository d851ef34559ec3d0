//! Everything that programs keep in a collection of the Secret Service, read to be kept elsewhere.

use secret_service::blocking::{Collection, Item, SecretService};
use secret_service::{EncryptionType, Error};
use zeroize::Zeroizing;

use super::of_service;
use crate::keys::keyring::{DesktopItem, KeyringError, Prompts};
use crate::secret::Secret;

/// Gives each item of the collection with this label or alias, else of the default one.
pub(in crate::keys::keyring) fn desktop_items(
    name: Option<&str>,
    prompts: Prompts,
    give: &mut dyn FnMut(DesktopItem),
) -> Result<(), KeyringError> {
    let service = connect()?;
    let collection = match name {
        Some(name) => named(&service, name)?,
        None => service.get_default_collection().map_err(|error| of_service(&error))?,
    };
    if collection.is_locked().map_err(|error| of_service(&error))? {
        unlocked(prompts, || collection.unlock())?;
    }
    for item in collection.get_all_items().map_err(|error| of_service(&error))? {
        // Some services lock items by themselves.
        if item.is_locked().map_err(|error| of_service(&error))? {
            unlocked(prompts, || item.unlock())?;
        }
        give(read(&item).map_err(|error| of_service(&error))?);
    }
    Ok(())
}

/// Removes each item that still holds what it is said to hold, and gives what became of it.
pub(in crate::keys::keyring) fn remove_desktop_items(
    items: &[(String, Secret)],
    give: &mut dyn FnMut(Result<(), KeyringError>),
) -> Result<(), KeyringError> {
    let service = connect()?;
    for (path, secret) in items {
        give(remove(&service, path, secret));
    }
    Ok(())
}

fn remove(service: &SecretService<'_>, path: &str, secret: &Secret) -> Result<(), KeyringError> {
    let path = path.try_into().map_err(KeyringError::other)?;
    let item = service.get_item_by_path(path).map_err(|error| of_service(&error))?;
    let now = item.get_secret().map(Zeroizing::new).map_err(|error| of_service(&error))?;
    if now.as_slice() != secret.expose() {
        return Err(KeyringError::Changed);
    }
    item.delete().map_err(|error| of_service(&error))
}

fn connect() -> Result<SecretService<'static>, KeyringError> {
    SecretService::connect(EncryptionType::Dh).map_err(|error| of_service(&error))
}

fn named<'s>(service: &'s SecretService<'s>, name: &str) -> Result<Collection<'s>, KeyringError> {
    for collection in service.get_all_collections().map_err(|error| of_service(&error))? {
        if collection.get_label().is_ok_and(|label| label == name) {
            return Ok(collection);
        }
    }
    service.get_collection_by_alias(name).map_err(|error| match error {
        Error::NoResult => KeyringError::NoSuchCollection,
        error => of_service(&error),
    })
}

fn unlocked(prompts: Prompts, unlock: impl FnOnce() -> Result<(), Error>) -> Result<(), KeyringError> {
    match prompts {
        Prompts::Allowed => unlock().map_err(|error| of_service(&error)),
        Prompts::Never => Err(KeyringError::Locked),
    }
}

fn read(item: &Item<'_>) -> Result<DesktopItem, Error> {
    Ok(DesktopItem {
        path: item.item_path.to_string(),
        label: item.get_label()?,
        attributes: item.get_attributes()?.into_iter().collect(),
        secret: Secret::new(item.get_secret()?),
        modified: item.get_modified()?,
    })
}
