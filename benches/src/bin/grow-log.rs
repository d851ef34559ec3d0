//! `grow-log VAULT IDENTITY SEALS OUT`: the vault after as many saves, each of one entry, as give its log so many seals.
//!
//! In memory and without syncing, so that ten thousand take minutes and not an hour.
#![expect(clippy::print_stderr, reason = "it takes long enough to say how far it is")]

use std::error::Error;
use std::sync::Arc;

use vault_core::crypto::random::SystemRandom;
use vault_core::format::entry::EntryName;
use vault_core::keys::age::parse_identities;
use vault_core::keys::{Credential, UnlockPolicy};
use vault_core::secret::Secret;
use vault_core::vault::edit::{NewValue, Update};
use vault_core::vault::{LockedVault, UnlockedVault};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, vault, identity, seals, out] = &arguments[..] else {
        return Err("usage: grow-log VAULT IDENTITY SEALS OUT".into());
    };
    let seals = seals.parse()?;
    let identities = parse_identities(&Secret::new(std::fs::read(identity)?)).map_err(|e| e.to_string())?;
    let mut text = Arc::new(std::fs::read(vault)?);
    let mut vault = LockedVault::open(Arc::<Vec<u8>>::clone(&text))?
        .unlock(&[Credential::Identities(identities)], &UnlockPolicy::default())
        .map_err(|still| still.reason.to_string())?;
    // Entries that exist, so that the file grows by seals alone.
    let names: Vec<EntryName> = vault.list()?.into_iter().map(|meta| meta.name).collect();
    for name in names.iter().cycle() {
        if vault.seals() >= seals {
            break;
        }
        text = Arc::new(saved(&vault, name)?);
        vault = LockedVault::open(Arc::<Vec<u8>>::clone(&text))?
            .unlock_as(&vault)
            .map_err(|still| still.reason.to_string())?;
        if vault.seals().is_multiple_of(1000) {
            eprintln!("{} seals", vault.seals());
        }
    }
    std::fs::write(out, &*text)?;
    Ok(())
}

fn saved(vault: &UnlockedVault, name: &EntryName) -> Result<Vec<u8>, Box<dyn Error>> {
    let random = &mut SystemRandom;
    let mut edit = vault.edit(1_800_000_000).map_err(|error| error.to_string())?;
    let value = NewValue::Inline(Secret::new(vec![b'x'; 32]));
    let update = Update { fields: [("secret".to_owned(), Some(value))].into(), ..Update::default() };
    edit.set(name, update, random).map_err(|error| error.to_string())?;
    let saved = edit.finish("bench", None, random).map_err(|error| error.to_string())?;
    Ok(saved.text.to_vec()?)
}
