//! Unlocking: from credentials and slot lines to the master key, with all work bounded beforehand.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::crypto::kdf::{CostError, KdfCost, MAX_MEMORY_KIB};
use crate::format::slot::{KeyringIdentity, Label, SealedIdentity, SlotId, SlotKind, SlotLine, StoreName};
use crate::keys::age::{Identity, IdentityTrouble, Match};
use crate::keys::keyring::{self, KeyringError, KeyringItem, OsKeyring};
use crate::keys::machine::MachineKey;
use crate::keys::passphrase::{self, MAX_PASSPHRASE, OpenError, PassphraseKind, Place};
use crate::keys::{VaultHeaderParts, unwrap_master};
use crate::secret::{Key, Master, Passphrase, Wrapping};

/// Most passphrase slots that are tried in one unlock.
pub const MAX_PASSPHRASE_SLOTS: usize = 8;
/// Most memory of all of them together, in KiB: a measure of time, as they are tried one after another.
pub const MAX_PASSPHRASE_MEMORY_KIB: u64 = 6_291_456;

/// What somebody unlocks with. Each is tried on slots of its own kind only. No `Debug`, `Clone` or `PartialEq`.
pub enum Credential {
    /// For slots of kind `age`.
    Identities(Vec<Identity>),
    /// For slots of kind `passphrase`.
    Passphrase(Passphrase),
    /// For slots of kind `recovery`.
    RecoveryCode(Passphrase),
    /// For slots of kind `machine`, of its own vault only.
    MachineKey(MachineKey),
    /// For slots of kind `keyring`.
    Keyring(OsKeyring),
    /// For slots of kind `keyring`, where their key was got in another way.
    KeyringKey(Key<Wrapping>),
}

/// What an unlock may cost, and which slot it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlockPolicy {
    /// Most memory that one passphrase slot may ask for; less than the format's limit counts as that limit.
    pub max_kdf_memory_kib: u32,
    /// Only the slot with this label.
    pub only_slot: Option<Label>,
    /// A vault older than a machine key says is meant.
    pub allow_rollback: bool,
    /// Somebody else said that this is the vault that is meant: which one a machine key names does not matter.
    pub vault_is_named: bool,
}

impl Default for UnlockPolicy {
    fn default() -> Self {
        Self {
            max_kdf_memory_kib: MAX_MEMORY_KIB,
            only_slot: None,
            allow_rollback: false,
            vault_is_named: false,
        }
    }
}

/// The master key, and how it was come by.
pub struct Opened {
    /// It is the one that the header commits to.
    pub master: Key<Master>,
    /// The slot that gave it.
    pub slot: SlotId,
    /// The highest generation that a given machine key pins: the vault must not be older.
    pub pinned: Option<u64>,
    /// Slots that would have been tried before, but could not be.
    pub skipped: Vec<Skipped>,
}

/// A slot that could not be tried, although there was something to try on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which slot.
    pub slot: SlotId,
    /// What it is called.
    pub label: Label,
    /// Why.
    pub why: Unavailable,
}

/// Why a slot could not be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// The identity needs a passphrase or a plugin.
    Identity(IdentityTrouble),
    /// The keyring that holds its key.
    Keyring(KeyringError),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(trouble) => trouble.fmt(f),
            Self::Keyring(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unavailable {}

/// No master key: why, and which slots could not even be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: UnlockError,
    /// In the order in which they would have been tried.
    pub skipped: Vec<Skipped>,
}

impl From<UnlockError> for Refused {
    fn from(error: UnlockError) -> Self {
        Self { error, skipped: Vec::new() }
    }
}

/// Why there is no master key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnlockError {
    /// Wrong passphrase or key, or a damaged slot or header: nobody can tell.
    NoSlotMatches {
        /// How many slots were tried.
        tried: usize,
    },
    /// No slot could be tried; the first one's reason.
    Unavailable(Box<Skipped>),
    /// The vault has no slot with this label.
    NoSuchSlot {
        /// The label asked for.
        label: Label,
    },
    /// A slot asks for more memory than is allowed; no other matched.
    TooCostly {
        /// What it asks for, in KiB.
        required_kib: u32,
        /// What is allowed, in KiB.
        allowed_kib: u32,
    },
    /// A slot asks for what the format does not allow; no other matched.
    CostOutOfBounds,
    /// More passphrase slots than are tried in one unlock, or too costly together: name one. None was tried.
    TooManySlots {
        /// How many there are to try.
        slots: usize,
        /// What they ask for together, in KiB.
        required_kib: u64,
    },
    /// There is not enough memory for a slot; no other matched.
    NotEnoughMemory,
    /// The passphrase is longer than 4,096 bytes.
    PassphraseTooLong,
    /// The machine key is for a vault with another uuid.
    OtherVault {
        /// The machine key's.
        expected: [u8; 16],
        /// The file's.
        found: [u8; 16],
    },
    /// The machine key is for this vault under another master key: it was rotated, or somebody replaced the file.
    ReplacedOrRotated {
        /// The machine key's.
        expected: [u8; 32],
        /// The file's.
        found: [u8; 32],
    },
}

impl fmt::Display for UnlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlotMatches { .. } => f.write_str("wrong passphrase or key, or the key slot is damaged"),
            Self::Unavailable(skipped) => {
                write!(f, "key slot \"{}\" is unavailable: {}", skipped.label, skipped.why)
            }
            Self::NoSuchSlot { label } => write!(f, "no key slot has the label \"{label}\""),
            Self::TooCostly { required_kib, allowed_kib } => {
                write!(f, "a key slot asks for {required_kib} KiB of memory, {allowed_kib} KiB are allowed")
            }
            Self::CostOutOfBounds => f.write_str("a key slot asks for a cost outside the format's limits"),
            Self::TooManySlots { slots, .. } => {
                write!(f, "{slots} key slots match, which is too much to try at once")
            }
            Self::NotEnoughMemory => f.write_str("not enough memory to open the key slot"),
            Self::PassphraseTooLong => f.write_str("the passphrase is longer than 4,096 bytes"),
            Self::OtherVault { .. } => f.write_str("the machine key belongs to another vault"),
            Self::ReplacedOrRotated { .. } => {
                f.write_str("the vault was rotated or replaced since the machine key was made")
            }
        }
    }
}

impl std::error::Error for UnlockError {}

/// The master key, from the first slot that one of the credentials opens.
///
/// Identities come first, as they cost nothing; then keyrings; then passphrases, whose whole cost is known before any is
/// spent. A slot that cannot be tried does not keep the others from being tried.
///
/// # Errors
/// [`Refused`]
pub fn open_master(
    header: &VaultHeaderParts,
    slots: &[SlotLine],
    credentials: &[Credential],
    policy: &UnlockPolicy,
) -> Result<Opened, Refused> {
    let pinned = check_pins(header, credentials, policy)?;
    let slots = wanted_slots(slots, policy)?;
    let mut unlock = Unlock { header, tried: 0, skipped: Vec::new() };
    let opened = match unlock.cheap(&slots, credentials) {
        Some(opened) => Ok(opened),
        None => match passphrase_candidates(&slots, credentials, policy) {
            Ok((plan, refused)) => unlock.passphrases(plan).map_err(|later| refused.or(later)),
            Err(error) => Err(Some(error)),
        },
    };
    let Unlock { tried, skipped, .. } = unlock;
    match opened {
        Ok((master, slot)) => Ok(Opened { master, slot, pinned, skipped }),
        Err(refused) => {
            let unavailable = || match skipped.first() {
                Some(first) if tried == 0 => UnlockError::Unavailable(Box::new(first.clone())),
                _ => UnlockError::NoSlotMatches { tried },
            };
            Err(Refused { error: refused.unwrap_or_else(unavailable), skipped })
        }
    }
}

/// One unlock under way.
struct Unlock<'a> {
    header: &'a VaultHeaderParts,
    tried: usize,
    skipped: Vec<Skipped>,
}

impl Unlock<'_> {
    /// Identities and keyrings.
    fn cheap(&mut self, slots: &[&SlotLine], credentials: &[Credential]) -> Option<(Key<Master>, SlotId)> {
        for Candidate { slot, with: identity } in identity_candidates(slots, credentials) {
            match unwrap_master(self.header, slot.id, identity, &slot.key) {
                Ok(Some(master)) => return Some((master, slot.id)),
                Ok(None) => self.tried += 1,
                Err(trouble) => self.skip(slot, Unavailable::Identity(trouble)),
            }
        }
        // What is left for each keyring: the limit is for all slots of an unlock, whoever waits for it.
        let mut left: BTreeMap<&StoreName, Duration> = BTreeMap::new();
        for credential in credentials {
            for slot in slots {
                let SlotKind::Keyring(sealed) = &slot.kind else { continue };
                let found = match credential {
                    Credential::Keyring(keyring) => {
                        let item = KeyringItem { uuid: self.header.uuid, slot: slot.id };
                        let left = left.entry(&sealed.store).or_insert_with(|| keyring.limit());
                        match read_within(keyring, &sealed.store, &item, left) {
                            Ok(key) => self.with_keyring_key(slot, sealed, &key),
                            Err(error) => {
                                self.skip(slot, Unavailable::Keyring(error));
                                None
                            }
                        }
                    }
                    Credential::KeyringKey(key) => self.with_keyring_key(slot, sealed, key),
                    _ => None,
                };
                if let Some(master) = found {
                    return Some((master, slot.id));
                }
            }
        }
        None
    }

    fn with_keyring_key(
        &mut self,
        slot: &SlotLine,
        sealed: &KeyringIdentity,
        key: &Key<Wrapping>,
    ) -> Option<Key<Master>> {
        self.tried += 1;
        let (uuid, recipient, store) = (&self.header.uuid, &slot.recipient, &sealed.store);
        let place = keyring::Place { uuid, slot: slot.id, recipient, store };
        let identity = keyring::open(&place, &sealed.sealed, key)?;
        self.unwrap_own(slot, &identity)
    }

    /// What was planned, one after another; at the end, why a slot was not tried.
    fn passphrases(
        &mut self,
        plan: Vec<Candidate<'_, Attempt<'_>>>,
    ) -> Result<(Key<Master>, SlotId), Option<UnlockError>> {
        let mut refused = None;
        for Candidate { slot, with } in plan {
            self.tried += 1;
            let uuid = &self.header.uuid;
            let place = Place { uuid, slot: slot.id, kind: with.kind, recipient: &slot.recipient };
            match passphrase::open(&place, with.sealed, with.passphrase, with.cost) {
                Ok(identity) => {
                    if let Some(master) = self.unwrap_own(slot, &identity) {
                        return Ok((master, slot.id));
                    }
                }
                Err(OpenError::NotOpened) => {}
                Err(OpenError::NotEnoughMemory) => {
                    refused.get_or_insert(UnlockError::NotEnoughMemory);
                }
            }
        }
        Err(refused)
    }

    /// With an identity that a slot keeps for itself: there is nobody to ask.
    fn unwrap_own(&self, slot: &SlotLine, identity: &Identity) -> Option<Key<Master>> {
        unwrap_master(self.header, slot.id, identity, &slot.key).ok().flatten()
    }

    fn skip(&mut self, slot: &SlotLine, why: Unavailable) {
        self.skipped.push(Skipped { slot: slot.id, label: slot.label.clone(), why });
    }
}

/// The key of a slot from a keyring, if it comes in what is left of the time.
fn read_within(
    keyring: &OsKeyring,
    store: &StoreName,
    item: &KeyringItem,
    left: &mut Duration,
) -> Result<Key<Wrapping>, KeyringError> {
    if left.is_zero() {
        return Err(KeyringError::TooSlow);
    }
    let start = Instant::now();
    let read = keyring.with_limit(*left).read(store, item);
    *left = match &read {
        Err(KeyringError::TooSlow) => Duration::ZERO,
        _ => left.saturating_sub(start.elapsed()),
    };
    read
}

/// A machine key says which vault it expects.
fn check_pins(
    header: &VaultHeaderParts,
    credentials: &[Credential],
    policy: &UnlockPolicy,
) -> Result<Option<u64>, UnlockError> {
    let mut pinned = None;
    for credential in credentials {
        let Credential::MachineKey(key) = credential else { continue };
        let expected = key.vault();
        if policy.vault_is_named {
            // A generation says something of the vault that was meant when the key was made, and of its later rotations.
            pinned = pinned.max((expected.uuid == header.uuid).then_some(key.generation()));
            continue;
        }
        key.check(&header.vault_id())?;
        pinned = pinned.max(Some(key.generation()));
    }
    Ok(pinned)
}

fn wanted_slots<'a>(slots: &'a [SlotLine], policy: &UnlockPolicy) -> Result<Vec<&'a SlotLine>, UnlockError> {
    let Some(label) = &policy.only_slot else { return Ok(slots.iter().collect()) };
    let wanted: Vec<_> = slots.iter().filter(|slot| slot.label == *label).collect();
    if wanted.is_empty() { Err(UnlockError::NoSuchSlot { label: label.clone() }) } else { Ok(wanted) }
}

/// A slot, and what to try on it.
struct Candidate<'a, T> {
    slot: &'a SlotLine,
    with: T,
}

/// Slots whose recipient is a given identity's first, then those where only trying tells.
fn identity_candidates<'a>(
    slots: &[&'a SlotLine],
    credentials: &'a [Credential],
) -> Vec<Candidate<'a, &'a Identity>> {
    let (mut sure, mut unsure) = (Vec::new(), Vec::new());
    for credential in credentials {
        let (kind, identities) = match credential {
            Credential::Identities(identities) => (SlotKind::Age, identities.as_slice()),
            Credential::MachineKey(key) => (SlotKind::Machine, std::slice::from_ref(key.identity())),
            Credential::Passphrase(_) | Credential::RecoveryCode(_) => continue,
            Credential::Keyring(_) | Credential::KeyringKey(_) => continue,
        };
        for identity in identities {
            for slot in slots.iter().filter(|slot| slot.kind == kind) {
                match identity.matches(&slot.recipient) {
                    Match::Yes => sure.push(Candidate { slot, with: identity }),
                    Match::Unknown => unsure.push(Candidate { slot, with: identity }),
                    Match::No => {}
                }
            }
        }
    }
    sure.append(&mut unsure);
    sure
}

/// A passphrase with all that it takes to try it.
struct Attempt<'a> {
    kind: PassphraseKind,
    sealed: &'a SealedIdentity,
    passphrase: &'a Passphrase,
    cost: KdfCost,
}

type PassphrasePlan<'a> = (Vec<Candidate<'a, Attempt<'a>>>, Option<UnlockError>);

/// The slots to try, in the order of the file, and why the first of the others is left out.
fn passphrase_candidates<'a>(
    slots: &[&'a SlotLine],
    credentials: &'a [Credential],
    policy: &UnlockPolicy,
) -> Result<PassphrasePlan<'a>, UnlockError> {
    let (mut plan, mut refused) = (Vec::new(), None);
    for credential in credentials {
        let (kind, passphrase) = match credential {
            Credential::Passphrase(passphrase) => (PassphraseKind::Passphrase, passphrase),
            Credential::RecoveryCode(code) => (PassphraseKind::Recovery, code),
            Credential::Identities(_) | Credential::MachineKey(_) => continue,
            Credential::Keyring(_) | Credential::KeyringKey(_) => continue,
        };
        if passphrase.expose().len() > MAX_PASSPHRASE {
            return Err(UnlockError::PassphraseTooLong);
        }
        for slot in slots {
            let sealed = match (&slot.kind, kind) {
                (SlotKind::Passphrase(sealed), PassphraseKind::Passphrase)
                | (SlotKind::Recovery(sealed), PassphraseKind::Recovery) => sealed,
                _ => continue,
            };
            match KdfCost::new(sealed.memory_kib, sealed.passes, sealed.lanes, policy.max_kdf_memory_kib) {
                Ok(cost) => plan.push(Candidate { slot, with: Attempt { kind, sealed, passphrase, cost } }),
                // Somebody else's slot may be dearer than this machine can afford.
                Err(error) => {
                    refused.get_or_insert(error.into());
                }
            }
        }
    }
    let required_kib = plan.iter().map(|candidate| u64::from(candidate.with.cost.memory_kib())).sum();
    // One slot is always allowed what the user allowed it.
    let allowed_kib = MAX_PASSPHRASE_MEMORY_KIB.max(policy.max_kdf_memory_kib.into());
    if plan.len() > MAX_PASSPHRASE_SLOTS || required_kib > allowed_kib {
        return Err(UnlockError::TooManySlots { slots: plan.len(), required_kib });
    }
    Ok((plan, refused))
}

impl From<CostError> for UnlockError {
    fn from(error: CostError) -> Self {
        match error {
            CostError::OutOfBounds => Self::CostOutOfBounds,
            CostError::TooMuchMemory { required_kib, allowed_kib } => {
                Self::TooCostly { required_kib, allowed_kib }
            }
        }
    }
}

#[cfg(test)]
mod tests;
