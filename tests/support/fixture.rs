//! Vaults in memory, with a slot of each kind, and the few operations that most tests are made of.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vault_core::crypto::kdf::{KdfCost, MIN_MEMORY_KIB};
use vault_core::crypto::random::{Random, SystemRandom};
use vault_core::format::entry::EntryName;
use vault_core::format::front::Pages;
use vault_core::format::slot::Label;
use vault_core::keys::age::{self, Identity};
use vault_core::keys::machine::MachineKey;
use vault_core::keys::passphrase::PassphraseKind;
use vault_core::keys::{
    Credential, UnlockError, UnlockPolicy, new_age_slot, new_machine_slot, new_passphrase_slot,
};
use vault_core::secret::{Key, Passphrase, Secret};
use vault_core::source::Source;
use vault_core::vault::create::NewVault;
use vault_core::vault::edit::{Edit, NewValue, Update};
use vault_core::vault::{LockedVault, UnlockFailure, UnlockedVault, Value};

use crate::canonical;

/// What opens a [`Fixture`].
pub struct Keys {
    /// The text of an age identity.
    pub identity: Secret,
    /// The text of a machine key.
    pub machine: Secret,
    /// Empty if the vault has no passphrase slot.
    pub passphrase: Vec<u8>,
}

/// A vault's text and what opens it.
#[derive(Clone)]
pub struct Fixture {
    /// The file's content.
    pub text: Arc<Vec<u8>>,
    /// What opens it.
    pub keys: Arc<Keys>,
}

/// The cheapest cost that the format allows.
///
/// # Panics
/// Never.
#[must_use]
pub fn cheapest() -> KdfCost {
    KdfCost::new(MIN_MEMORY_KIB, 1, 1, MIN_MEMORY_KIB).expect("these are the limits")
}

/// A name.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn name(text: &str) -> EntryName {
    EntryName::parse(text).expect("tests use valid names")
}

/// An update that sets one inline field.
#[must_use]
pub fn inline(field: &str, value: &[u8]) -> Update {
    let value = NewValue::Inline(Secret::new(value.to_vec()));
    Update { fields: BTreeMap::from([(field.to_owned(), Some(value))]), ..Update::default() }
}

/// Random bytes that are the same in every run with the same seed: for tests, not for secrets.
#[derive(Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).expect("less than a usize")
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let value = self.number().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
    }
}

/// How a vault was not opened, or not verified.
#[derive(Debug)]
pub enum Refusal {
    /// Not a real state: exit code 6.
    Refused(String),
    /// No slot opened: exit code 5.
    Denied(String),
}

impl Fixture {
    /// A vault with an age slot and a machine slot.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(pages: Pages) -> Self {
        Self::with_passphrase(pages, b"")
    }

    /// A vault with an age slot, a machine slot and, unless it is empty, a passphrase slot.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn with_passphrase(pages: Pages, passphrase: &[u8]) -> Self {
        let mut random = SystemRandom;
        let identity = Identity::generate_x25519();
        let mut new = NewVault::generate(pages, &mut random);
        let label = |text| Label::parse(text).expect("a label");
        let slot = new_age_slot(
            &new.parts(),
            label("me"),
            identity.recipient().expect("X25519"),
            new.master(),
            &mut random,
        )
        .expect("an age slot");
        let (machine, key) = new_machine_slot(&new.parts(), label("machine"), 1, new.master(), &mut random)
            .expect("a machine slot");
        if !passphrase.is_empty() {
            let slot = new_passphrase_slot(
                &new.parts(),
                PassphraseKind::Passphrase,
                label("phrase"),
                &Passphrase::new(passphrase.to_vec()),
                cheapest(),
                new.master(),
                &mut random,
            )
            .expect("a passphrase slot");
            new.add_slot(slot);
        }
        new.add_slot(slot);
        new.add_slot(machine);
        let saved = new.finish("tester", 1_000, &mut random).expect("a vault with slots");
        let keys =
            Keys { identity: identity.to_text(), machine: key.to_text(), passphrase: passphrase.to_vec() };
        Self { text: Arc::new(saved.text.to_vec().expect("in memory")), keys: Arc::new(keys) }
    }

    /// Opens it with the machine key, which stays when the identity's slot goes.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn unlock_by_machine(&self) -> UnlockedVault {
        let credential = machine_key_file(self.keys.machine.expose()).expect("a machine key");
        unlock(&self.text, credential).unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// The same keys, another text.
    #[must_use]
    pub fn with(&self, text: Vec<u8>) -> Self {
        Self { text: Arc::new(text), keys: Arc::clone(&self.keys) }
    }

    /// Opens it with the identity.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn unlock(&self) -> UnlockedVault {
        self.try_unlock().unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// Opens it with the identity.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn try_unlock(&self) -> Result<UnlockedVault, Refusal> {
        unlock(&self.text, identities(&self.keys.identity))
    }

    /// Changes it, and gives the result.
    ///
    /// # Panics
    /// If nothing changes.
    #[must_use]
    pub fn edit(&self, change: impl FnOnce(&mut Edit<'_>)) -> Self {
        let vault = self.unlock();
        let mut edit = vault.edit(2_000).expect("it verifies");
        change(&mut edit);
        let saved = edit.finish("tester", None, &mut SystemRandom).expect("something changed");
        self.with(saved.text.to_vec().expect("in memory"))
    }

    /// Sets the default field.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn set(&self, entry: &str, value: &[u8]) -> Self {
        self.edit(|edit| {
            edit.set(&name(entry), inline("secret", value), &mut SystemRandom).expect("it can be set");
        })
    }

    /// The default field.
    ///
    /// # Panics
    /// If the vault does not verify.
    #[must_use]
    pub fn get(&self, entry: &str) -> Option<Vec<u8>> {
        self.unlock_by_machine().value(&name(entry), "secret").expect("it verifies").map(bytes_of)
    }
}

/// All bytes of a value.
///
/// # Panics
/// If an attachment does not verify.
#[must_use]
pub fn bytes_of(value: Value) -> Vec<u8> {
    match value {
        Value::Inline(secret) => secret.expose().to_vec(),
        Value::Attachment(mut reader) => {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).expect("it verifies");
            bytes
        }
    }
}

/// The identity as a credential.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn identities(text: &Secret) -> Credential {
    let identity = Identity::parse(text).expect("an identity");
    Credential::Identities(vec![identity])
}

/// Opens a text.
///
/// # Errors
/// [`Refusal`], with what the user is told.
pub fn unlock(text: &Arc<Vec<u8>>, credential: Credential) -> Result<UnlockedVault, Refusal> {
    let source: Arc<dyn Source> = Arc::<Vec<u8>>::clone(text);
    let locked = LockedVault::open(source).map_err(|error| Refusal::Refused(error.to_string()))?;
    locked.unlock(&[credential], &UnlockPolicy::default()).map_err(|still| {
        let said = still.reason.to_string();
        match still.reason {
            UnlockFailure::Denied(UnlockError::OtherVault { .. } | UnlockError::ReplacedOrRotated { .. }) => {
                Refusal::Refused(said)
            }
            UnlockFailure::Denied(_) => Refusal::Denied(said),
            _ => Refusal::Refused(said),
        }
    })
}

/// What Rust makes of a text: the same object as [`crate::python::Reader::read`].
#[must_use]
pub fn read(text: &Arc<Vec<u8>>, credential: Result<Credential, String>) -> Json {
    let found = match credential {
        Ok(credential) => unlock(text, credential),
        // The file is looked at before the key, as a program would.
        Err(why) => match LockedVault::open(Arc::<Vec<u8>>::clone(text)) {
            Ok(_) => Err(Refusal::Denied(why)),
            Err(error) => Err(Refusal::Refused(error.to_string())),
        },
    };
    let found = found
        .and_then(|vault| canonical::describe(&vault).map_err(|error| Refusal::Refused(error.to_string())));
    match found {
        Ok(vault) => json!({ "outcome": "ok", "vault": vault }),
        Err(Refusal::Refused(why)) => json!({ "outcome": "refused", "why": why }),
        Err(Refusal::Denied(why)) => json!({ "outcome": "denied", "why": why }),
    }
}

/// A file of identities, as a program reads it.
///
/// # Errors
/// What is wrong with it.
pub fn identity_file(bytes: &[u8]) -> Result<Credential, String> {
    age::parse_identities(&Secret::new(bytes.to_vec()))
        .map(Credential::Identities)
        .map_err(|error| error.to_string())
}

/// A file with the key of a slot of kind `keyring`, in base64.
///
/// # Errors
/// What is wrong with it.
pub fn keyring_file(bytes: &[u8]) -> Result<Credential, String> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let key = vault_core::format::text::base64_array::<32>(text).map_err(|_| "no key".to_owned())?;
    Ok(Credential::KeyringKey(Key::init_with(|bytes| bytes.copy_from_slice(&key))))
}

/// A file with a machine key.
///
/// # Errors
/// What is wrong with it.
pub fn machine_key_file(bytes: &[u8]) -> Result<Credential, String> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    MachineKey::parse(&Secret::new(line.to_vec()))
        .map(Credential::MachineKey)
        .map_err(|error| error.to_string())
}

/// The bytes of a file with a passphrase.
#[must_use]
pub fn passphrase_file(bytes: &[u8]) -> Passphrase {
    Passphrase::new(bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec())
}
