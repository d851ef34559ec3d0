//! Secret Service where there is one, else a vault: chosen by the application itself, which says which of them answered.
//!
//! Run with VAULT_FILE set, and a service and a user as arguments; prints the password. The vault is read through the agent that
//! holds it, or else opened with VAULT_PASSPHRASE.
#![expect(clippy::disallowed_methods, reason = "an application reads its environment as it likes")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error, Result};
use vault_core::keys::Credential;
use vault_core::secret::Passphrase;

fn main() -> Result<()> {
    let store = choose()?;
    let mut stderr = std::io::stderr().lock();
    // Nothing depends on whether this is seen.
    let _ = writeln!(stderr, "answered by: {store:?}");
    keyring_core::set_default_store(store);

    let words: Vec<String> = std::env::args().skip(1).collect();
    let [service, user] = &words[..] else {
        return Err(Error::Invalid("arguments".to_owned(), "SERVICE USER".to_owned()));
    };
    let password = Entry::new(service, user)?.get_password()?;
    writeln!(std::io::stdout(), "{password}").map_err(|error| Error::PlatformFailure(Box::new(error)))
}

fn choose() -> Result<Arc<CredentialStore>> {
    // That a service can be reached says nothing of its being unlocked: so it is asked for something.
    let service = zbus_secret_service_keyring_store::Store::new().and_then(|store| {
        let store: Arc<CredentialStore> = store;
        match store.build("vault-keyring example", "probe", None)?.get_password() {
            Ok(_) | Err(Error::NoEntry) => Ok(store),
            Err(error) => Err(error),
        }
    });
    match service {
        Ok(store) => Ok(store),
        Err(_) => vault(),
    }
}

fn vault() -> Result<Arc<CredentialStore>> {
    let missing = |name: &str| Error::Invalid(name.to_owned(), "it is not set".to_owned());
    let path = std::env::var_os("VAULT_FILE").ok_or_else(|| missing("VAULT_FILE"))?;
    let passphrase = std::env::var("VAULT_PASSPHRASE").ok().map(|text| Passphrase::new(text.into_bytes()));
    let credentials: Vec<Credential> = passphrase.into_iter().map(Credential::Passphrase).collect();
    Ok(vault_keyring::Store::open(Path::new(&path), &vault_keyring::agents(), &credentials)?)
}
