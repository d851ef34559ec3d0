//! Secret bytes: types that wipe themselves, cannot be printed, copied or serialised, and have one door, `expose`.
//!
//! What is in them may pass through registers, the stack and the cipher's own state; see docs/threat-model.md.

use std::marker::PhantomData;

use zeroize::{Zeroize, Zeroizing};

/// What a [`Key`] is for. Roles cannot be mixed up: they are different types.
pub trait Role {}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub enum $name {} impl Role for $name {})*
    };
}

roles! {
    /// The master key of a vault.
    Master,
    /// HKDF's pseudo-random key, from which the others are expanded.
    Expansion,
    /// The public commitment, before it is public.
    Commitment,
    /// HMAC key of entry ids.
    Naming,
    /// AEAD key of entries' metadata.
    MetaSealing,
    /// AEAD key of entries' secrets.
    SecretSealing,
    /// AEAD key of seals.
    LogSealing,
    /// AEAD key of the roster.
    RosterSealing,
    /// HMAC key of the tags of places.
    Tagging,
    /// AEAD key of one attachment.
    Blob,
    /// AEAD key of an identity in a slot line, derived from what opens that slot.
    Wrapping,
    /// The seed of a hybrid post-quantum identity.
    HybridSeed,
}

/// A 256-bit key with a role. Wiped when dropped; no `Debug`, `Clone` or `Serialize`.
pub struct Key<R: Role> {
    bytes: Box<[u8; 32]>,
    role: PhantomData<fn() -> R>,
}

impl<R: Role> Key<R> {
    /// A key whose bytes are filled in where they will stay.
    pub fn init_with(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut key = Self { bytes: Box::new([0; 32]), role: PhantomData };
        fill(&mut key.bytes);
        key
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl<R: Role> Drop for Key<R> {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Secret bytes of any length: a value, a serialised entry, a file of keys.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; they are wiped with the secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// A second copy, for the rare place that needs one.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.to_vec())
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

/// What a person types to open a slot. Never empty of meaning: the length is checked where it is read.
pub struct Passphrase(Secret);

impl Passphrase {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Secret::new(bytes))
    }

    /// The bytes as they were typed.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Wipes the part of this thread's stack that calls made from here have used: a cipher's last block, and what else passed through
/// without a type that wipes itself. For threads that live on, or whose stacks are kept for the next one.
#[inline(never)]
pub fn scrub_stack() {
    let mut used = [0_u8; STACK];
    used.zeroize();
    std::hint::black_box(&mut used);
}

/// Bytes of stack that opening and sealing take: measured as less than a third of that, without optimisation.
const STACK: usize = 64 << 10;

/// Compile-time proof that a type lacks a trait: the call is ambiguous, and so an error, if the type has it.
#[cfg(test)]
macro_rules! assert_not_impl {
    ($type:ty: $($bound:path),+) => { $(const _: fn() = || {
        trait AmbiguousIfImplemented<A> { fn item() {} }
        impl<T: ?Sized> AmbiguousIfImplemented<()> for T {}
        struct Implemented;
        impl<T: ?Sized + $bound> AmbiguousIfImplemented<Implemented> for T {}
        let _ = <$type as AmbiguousIfImplemented<_>>::item;
    };)+ };
}
#[cfg(test)]
pub(crate) use assert_not_impl;

#[cfg(test)]
mod tests {
    use super::*;

    assert_not_impl!(Key<Master>: std::fmt::Debug, std::fmt::Display, Clone, Copy, PartialEq, AsRef<[u8]>, std::ops::Deref);
    assert_not_impl!(Secret: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, AsRef<[u8]>, std::ops::Deref);
    assert_not_impl!(Passphrase: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, AsRef<[u8]>, std::ops::Deref);

    #[test]
    fn a_key_is_filled_in_place_and_exposed() {
        let key = Key::<Master>::init_with(|bytes| bytes.fill(7));
        assert_eq!(key.expose(), &[7; 32]);
    }
}
