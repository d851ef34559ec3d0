//! Slots whose key is held by the keyring of an operating system. docs/format.md, "Keyring".
//!
//! The identity is sealed under a random key W, which a keyring keeps under the service `vault` and a user made of the
//! vault's uuid and the slot's id. Every call of a keyring has a time limit, and asks nobody unless that is allowed.
//!
//! What others keep in the Secret Service can be read from here as well, to be moved into a vault.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::aead;
use crate::crypto::random::{self, Random};
use crate::format::slot::{KeyringIdentity, RecipientText, SlotId, StoreName};
use crate::format::text;
use crate::keys::age::Identity;
use crate::secret::{Key, Secret, Wrapping};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod native;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use native as system;

/// How long a call may take when nobody may be asked.
pub const LIMIT: Duration = Duration::from_secs(5);
/// How long a call may take when somebody may be asked to unlock the keyring: people type slowly.
pub const LIMIT_WITH_PROMPT: Duration = Duration::from_secs(60);

/// The service under which keyrings keep our keys.
const SERVICE: &str = "vault";
/// Most characters of somebody else's reason that are kept.
const MAX_REASON: usize = 200;

/// Whether a keyring may show a prompt to unlock itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompts {
    /// Somebody is there.
    Allowed,
    /// A locked keyring is unavailable, and says so at once.
    Never,
}

/// Which key of a keyring: that of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyringItem {
    /// The vault's.
    pub uuid: [u8; 16],
    /// The slot's.
    pub slot: SlotId,
}

impl KeyringItem {
    /// `<uuid>:<slot id>`
    fn user(&self) -> String {
        format!("{}:{}", base16ct::lower::encode_string(&self.uuid), self.slot)
    }
}

/// Why a keyring did not do what it was asked for. Each has one line of reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyringError {
    /// This version, or this system, has no keyring of that name.
    UnknownStore,
    /// There is no session bus.
    NoBus,
    /// Nobody on the session bus offers a Secret Service.
    NoService,
    /// The Secret Service has no default collection.
    NoCollection,
    /// The Secret Service has no collection of this label or alias.
    NoSuchCollection,
    /// What it holds is not what was read before.
    Changed,
    /// The keyring is locked, and nobody may be asked.
    Locked,
    /// The prompt to unlock the keyring was dismissed, or could not be shown.
    Dismissed,
    /// It does not hold this key: it is on another machine, was removed, or a reboot emptied the keyring.
    NotFound,
    /// The system calls of keyutils are forbidden here: what containers do.
    Denied,
    /// The kernel has no keyutils.
    NotSupported,
    /// keyutils holds the key but this process does not possess it.
    NotPossessed,
    /// The user's quota of keys is used up.
    Full,
    /// It gave no answer within the limit.
    TooSlow,
    /// What it holds is not a key that was put there by this program.
    Damaged,
    /// Anything else. Somebody else's text: at most 200 characters, possibly control characters.
    Other(String),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownStore => "there is no such keyring on this system",
            Self::NoBus => "there is no session bus (D-Bus)",
            Self::NoService => "no Secret Service is running on the session bus",
            Self::NoCollection => "the Secret Service has no default collection",
            Self::NoSuchCollection => "the Secret Service has no collection of this name",
            Self::Changed => "the keyring holds something else than was read before",
            Self::Locked => "the keyring is locked, and nobody can be asked",
            Self::Dismissed => "the keyring is locked, and its prompt was dismissed or could not be shown",
            Self::NotFound => "the keyring does not hold the key of this slot",
            Self::Denied => "the kernel's keyring calls are forbidden here, as in many containers",
            Self::NotSupported => "the kernel has no key retention service",
            Self::NotPossessed => "the kernel's keyring is not one of this session",
            Self::Full => "the user's quota of kernel keys is used up",
            Self::TooSlow => "the keyring gave no answer in time",
            Self::Damaged => "the keyring holds something else than a key",
            Self::Other(reason) => return write!(f, "the keyring failed: {reason:?}"),
        })
    }
}

impl std::error::Error for KeyringError {}

impl KeyringError {
    fn other(reason: impl fmt::Display) -> Self {
        Self::Other(reason.to_string().chars().take(MAX_REASON).collect())
    }
}

/// A keyring that this version knows on this system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// What it is called, also in slot lines.
    pub store: StoreName,
    /// What it is.
    pub description: &'static str,
    /// The higher, the better: what outlives a reboot comes first. 0 when it is not viable.
    pub priority: u8,
    /// Whether it can be used here and now, and if not, why.
    pub viable: Result<(), KeyringError>,
}

/// Something that a program keeps in the Secret Service.
pub struct DesktopItem {
    /// Where it is, for [`OsKeyring::remove_from_desktop`].
    pub path: String,
    /// What people see of it.
    pub label: String,
    /// What programs find it by.
    pub attributes: BTreeMap<String, String>,
    /// What it is kept for.
    pub secret: Secret,
    /// When it was last changed, in seconds since 1970.
    pub modified: u64,
}

/// The keyrings of this system.
#[derive(Debug, Clone, Copy)]
pub struct OsKeyring {
    prompts: Prompts,
    limit: Duration,
}

impl OsKeyring {
    /// With the limit that belongs to it: [`LIMIT`] or [`LIMIT_WITH_PROMPT`].
    #[must_use]
    pub fn new(prompts: Prompts) -> Self {
        let limit = match prompts {
            Prompts::Allowed => LIMIT_WITH_PROMPT,
            Prompts::Never => LIMIT,
        };
        Self { prompts, limit }
    }

    /// With another limit.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Puts a key into a keyring, or another in its place.
    ///
    /// # Errors
    /// [`KeyringError`]; after [`KeyringError::TooSlow`] it may yet get there.
    pub fn put(
        &self,
        store: &StoreName,
        item: &KeyringItem,
        key: &Key<Wrapping>,
    ) -> Result<(), KeyringError> {
        let mut text = Zeroizing::new(Vec::with_capacity(64));
        // Text, since some keyrings keep nothing else.
        text::push_base64(&mut text, key.expose());
        self.call(store, item.user(), move |store, user| store.put(user, &text))
    }

    /// How long a call may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The key of a slot.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn read(&self, store: &StoreName, item: &KeyringItem) -> Result<Key<Wrapping>, KeyringError> {
        let text = self.call(store, item.user(), |store, user| store.read(user))?;
        let mut bytes = text::base64_array::<32>(&text).map_err(|_| KeyringError::Damaged)?;
        let key = Key::init_with(|key| key.copy_from_slice(&bytes));
        bytes.zeroize();
        Ok(key)
    }

    /// Takes a key out of a keyring.
    ///
    /// # Errors
    /// [`KeyringError`], also [`KeyringError::NotFound`].
    pub fn delete(&self, store: &StoreName, item: &KeyringItem) -> Result<(), KeyringError> {
        self.call(store, item.user(), |store, user| store.delete(user))
    }

    /// Whether a keyring keeps what it is given: a random item is written, read and deleted.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn probe(&self, store: &StoreName, random: &mut dyn Random) -> Result<(), KeyringError> {
        let name: [u8; 8] = random::array(random);
        let value: [u8; 32] = random::array(random);
        let mut text = Vec::new();
        text::push_base64(&mut text, &value);
        let user = format!("probe:{}", base16ct::lower::encode_string(&name));
        self.call(store, user, move |store, user| {
            store.put(user, &text)?;
            let read = store.read(user);
            let deleted = store.delete(user);
            if read?.as_slice() != text.as_slice() {
                return Err(KeyringError::Damaged);
            }
            deleted
        })
    }

    /// Every keyring that this version knows here, each probed, best first.
    #[must_use]
    pub fn backends(&self, random: &mut dyn Random) -> Vec<Backend> {
        let mut all: Vec<Backend> = system::STORES
            .iter()
            .map(|&(name, description, priority)| {
                let store = StoreName::parse(name).expect("a constant of this file's neighbours");
                let viable = self.probe(&store, random);
                Backend { priority: if viable.is_ok() { priority } else { 0 }, store, description, viable }
            })
            .collect();
        all.sort_by_key(|backend| std::cmp::Reverse(backend.priority));
        all
    }

    /// Everything in a collection of the Secret Service: the one with this label or alias, else the default one. `progress` is
    /// told how many items were read; the time limit is that of each.
    ///
    /// # Errors
    /// [`KeyringError`]; also if a single item cannot be read.
    pub fn read_desktop(
        &self,
        collection: Option<&str>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<DesktopItem>, KeyringError> {
        let (prompts, collection) = (self.prompts, collection.map(str::to_owned));
        let mut all = Vec::new();
        self.on_thread(
            move |give| system::desktop_items(collection.as_deref(), prompts, give),
            |item| {
                all.push(item);
                progress(all.len());
            },
        )?;
        Ok(all)
    }

    /// Removes items, each only if it still holds this secret. Gives the outcomes in order.
    ///
    /// # Errors
    /// [`KeyringError`] if nothing more can be said; those of an item are its outcome.
    pub fn remove_from_desktop(
        &self,
        items: Vec<(String, Secret)>,
    ) -> Result<Vec<Result<(), KeyringError>>, KeyringError> {
        let mut outcomes = Vec::with_capacity(items.len());
        let removed = self.on_thread(
            move |give| system::remove_desktop_items(&items, give),
            |outcome| outcomes.push(outcome),
        );
        if outcomes.is_empty() { removed.map(|()| outcomes) } else { Ok(outcomes) }
    }

    /// Does something with a keyring.
    fn call<T: Send + 'static>(
        &self,
        store: &StoreName,
        user: String,
        work: impl FnOnce(&dyn Store, &str) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, KeyringError> {
        let (prompts, name) = (self.prompts, store.as_str().to_owned());
        let mut result = None;
        self.on_thread(
            move |give| {
                give(work(&*system::open(&name, prompts)?, &user)?);
                Ok(())
            },
            |value| result = Some(value),
        )?;
        result.ok_or_else(|| KeyringError::other("a thread ended early"))
    }

    /// Works on a thread of its own, which is left behind if it gives nothing for too long.
    fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), KeyringError> + Send + 'static,
        mut take: impl FnMut(T),
    ) -> Result<(), KeyringError> {
        let (to, given) = sync_channel(1);
        let thread = std::thread::Builder::new().name("keyring".to_owned());
        thread
            .spawn(move || {
                // Where nobody waits any more, values wipe themselves.
                let end = work(&mut |value| drop(to.send(Some(Ok(value)))));
                let _ = to.send(end.err().map(Err));
            })
            .map_err(KeyringError::other)?;
        loop {
            match given.recv_timeout(self.limit) {
                Ok(Some(Ok(value))) => take(value),
                Ok(Some(Err(error))) => return Err(error),
                Ok(None) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => return Err(KeyringError::TooSlow),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(KeyringError::other("a thread ended early"));
                }
            }
        }
    }
}

/// A keyring of the system, opened.
trait Store {
    fn put(&self, user: &str, text: &[u8]) -> Result<(), KeyringError>;
    fn read(&self, user: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError>;
    fn delete(&self, user: &str) -> Result<(), KeyringError>;
}

/// What an identity that is sealed under W is bound to.
pub(super) struct Place<'a> {
    pub(super) uuid: &'a [u8; 16],
    pub(super) slot: SlotId,
    pub(super) recipient: &'a RecipientText,
    pub(super) store: &'a StoreName,
}

/// `identity = nonce ‖ AEAD(W, nonce, associated data, identity text)`, and W.
pub(super) fn seal(
    place: &Place<'_>,
    identity: &Identity,
    random: &mut dyn Random,
) -> (KeyringIdentity, Key<Wrapping>) {
    let key = Key::init_with(|key| random.fill(key));
    let sealed = aead::wrap(&key, &associated(place), &identity.to_text(), random);
    (KeyringIdentity { store: place.store.clone(), sealed }, key)
}

/// What [`seal`] sealed for the same place, with its recipient checked.
pub(super) fn open(place: &Place<'_>, sealed: &[u8], key: &Key<Wrapping>) -> Option<Identity> {
    let text = aead::unwrap(key, &associated(place), sealed).ok()?;
    let identity = Identity::parse(&text).ok()?;
    let same = identity.recipient().is_some_and(|recipient| recipient.text() == *place.recipient);
    same.then_some(identity)
}

/// `"identity" ‖ 00 ‖ uuid ‖ slot id ‖ "keyring" ‖ 00 ‖ recipient ‖ 00 ‖ store`
fn associated(place: &Place<'_>) -> Vec<u8> {
    [
        b"identity\0".as_slice(),
        place.uuid,
        &place.slot.0,
        b"keyring\0",
        place.recipient.as_str().as_bytes(),
        &[0],
        place.store.as_str().as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests;
