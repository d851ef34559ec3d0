//! Hybrid post-quantum encryption to a public key: HPKE in base mode over X-Wing, as age's `mlkem768x25519` recipients use it.
//!
//! X-Wing is X25519 with ML-KEM-768 (draft-connolly-cfrg-xwing-kem, the KEM 0x647a of HPKE), HPKE is RFC 9180 with
//! HKDF-SHA256 and ChaCha20-Poly1305. Written out here, as no crate for it fits beside `age`: docs/decisions/0013.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use ml_kem::kem::{Decapsulate, DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, EncapsulateDeterministic, EncodedSizeUser, KemCore, MlKem768, MlKem768Params};
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Sha3_256, Shake256};
use x25519_dalek::{PublicKey as X25519Public, StaticSecret, x25519};
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::aead::{NotAuthentic, TAG};
use crate::crypto::hash::Hasher;
use crate::crypto::random::Random;
use crate::secret::{HybridSeed, Key, Secret};

/// Bytes of a public key: ML-KEM-768's, then X25519's.
pub const PUBLIC: usize = MLKEM_PUBLIC + X25519;
/// Bytes of what is sent beside a ciphertext: ML-KEM-768's, then X25519's.
pub const ENCAPSULATED: usize = MLKEM_CIPHERTEXT + X25519;

const MLKEM_PUBLIC: usize = 1184;
const MLKEM_CIPHERTEXT: usize = 1088;
const X25519: usize = 32;

/// The KEM, key derivation and cipher, as HPKE numbers them.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";
/// X-Wing's label, a drawing of itself.
const XWING_LABEL: &[u8] = b"\\.//^\\";

/// Why something did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HybridError {
    /// A share of X25519 whose result is always zero: nobody honest sends one.
    LowOrder,
    /// For another key, or altered.
    NotAuthentic,
}

impl From<NotAuthentic> for HybridError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

/// A public key, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Box<[u8; PUBLIC]>);

/// A private key, with what is made from its seed.
pub struct PrivateKey {
    seed: Key<HybridSeed>,
    mlkem: DecapsulationKey<MlKem768Params>,
    x25519: StaticSecret,
    public: PublicKey,
}

impl PublicKey {
    /// The key with these bytes. `None` if ML-KEM does not spell its part so (FIPS 203, section 7.2).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: Box<[u8; PUBLIC]> = Box::new(bytes.try_into().ok()?);
        let key = Self(bytes);
        (key.mlkem().as_bytes().as_slice() == key.mlkem_bytes()).then_some(key)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC] {
        &self.0
    }

    fn mlkem_bytes(&self) -> &[u8] {
        &self.0[..MLKEM_PUBLIC]
    }

    fn x25519_bytes(&self) -> &[u8; X25519] {
        self.0.last_chunk().expect("a public key is longer than 32 bytes")
    }

    fn mlkem(&self) -> EncapsulationKey<MlKem768Params> {
        EncapsulationKey::from_bytes(&self.mlkem_bytes().try_into().expect("the part's length"))
    }

    /// `HPKE.SealBase(pkR, info, aad = "", plaintext)`: the encapsulated key, and the ciphertext with its tag.
    ///
    /// `None` if this key, which somebody else chose, is one of the few points of X25519 whose result is always zero.
    #[must_use]
    pub fn seal(
        &self,
        info: &[u8],
        plaintext: &[u8],
        random: &mut dyn Random,
    ) -> Option<([u8; ENCAPSULATED], Vec<u8>)> {
        let mut message = Zeroizing::new([0; 32]);
        let mut ephemeral = Zeroizing::new([0; X25519]);
        random.fill(&mut *message);
        random.fill(&mut *ephemeral);
        self.seal_with(info, plaintext, &message, &ephemeral)
    }

    fn seal_with(
        &self,
        info: &[u8],
        plaintext: &[u8],
        message: &[u8; 32],
        ephemeral: &[u8; X25519],
    ) -> Option<([u8; ENCAPSULATED], Vec<u8>)> {
        let mut coins = B32::from(*message);
        let (ciphertext, mut mlkem_shared) =
            self.mlkem().encapsulate_deterministic(&coins).expect("encapsulating cannot fail");
        coins.zeroize();
        let ephemeral = StaticSecret::from(*ephemeral);
        let sent = X25519Public::from(&ephemeral);
        let shared = ephemeral.diffie_hellman(&X25519Public::from(*self.x25519_bytes()));
        if !shared.was_contributory() {
            return None;
        }
        let secret = combine(&mlkem_shared, shared.as_bytes(), sent.as_bytes(), self.x25519_bytes());
        mlkem_shared.zeroize();

        let mut encapsulated = [0; ENCAPSULATED];
        encapsulated[..MLKEM_CIPHERTEXT].copy_from_slice(&ciphertext);
        encapsulated[MLKEM_CIPHERTEXT..].copy_from_slice(sent.as_bytes());
        let (cipher, nonce) = context(&secret, info);
        let mut sealed = plaintext.to_vec();
        let tag = cipher
            .encrypt_inout_detached(&nonce, &[], sealed.as_mut_slice().into())
            .expect("what is sealed is shorter than 256 GiB");
        sealed.extend_from_slice(&tag);
        Some((encapsulated, sealed))
    }
}

impl PrivateKey {
    /// A new key.
    #[must_use]
    pub fn generate(random: &mut dyn Random) -> Self {
        Self::from_seed(Key::init_with(|seed| random.fill(seed)))
    }

    /// X-Wing's key pair of this seed: `SHAKE256(seed, 96)` gives ML-KEM-768's `d` and `z`, and X25519's secret.
    #[must_use]
    pub fn from_seed(seed: Key<HybridSeed>) -> Self {
        let mut expanded = Zeroizing::new([0; 96]);
        let mut shake = Shake256::default();
        Update::update(&mut shake, seed.expose());
        shake.finalize_xof().read(&mut *expanded);
        let part = |at: usize| -> [u8; 32] { expanded[at..at + 32].try_into().expect("a part of 96 bytes") };
        let (mut d, mut z, mut secret) = (B32::from(part(0)), B32::from(part(32)), part(64));
        let (mlkem, mlkem_public) = MlKem768::generate_deterministic(&d, &z);
        d.zeroize();
        z.zeroize();
        let x25519 = StaticSecret::from(secret);
        secret.zeroize();
        let mut public = Box::new([0; PUBLIC]);
        public[..MLKEM_PUBLIC].copy_from_slice(&mlkem_public.as_bytes());
        public[MLKEM_PUBLIC..].copy_from_slice(X25519Public::from(&x25519).as_bytes());
        Self { seed, mlkem, x25519, public: PublicKey(public) }
    }

    /// What it is made from, which is also how it is written down.
    #[must_use]
    pub fn seed(&self) -> &Key<HybridSeed> {
        &self.seed
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// `HPKE.OpenBase(enc, skR, info, aad = "", ciphertext)`
    ///
    /// # Errors
    /// [`HybridError`]
    pub fn open(
        &self,
        info: &[u8],
        encapsulated: &[u8; ENCAPSULATED],
        sealed: &[u8],
    ) -> Result<Secret, HybridError> {
        let body = sealed.len().checked_sub(TAG).ok_or(NotAuthentic)?;
        let (ciphertext, sent) = encapsulated.split_at(MLKEM_CIPHERTEXT);
        let sent: [u8; X25519] = sent.try_into().expect("the rest of it");
        let mut shared = x25519(self.x25519.to_bytes(), sent);
        if shared == [0; X25519] {
            return Err(HybridError::LowOrder);
        }
        let ciphertext = ciphertext.try_into().expect("the part's length");
        let mut mlkem_shared = self.mlkem.decapsulate(&ciphertext).map_err(|()| NotAuthentic)?;
        let secret = combine(&mlkem_shared, &shared, &sent, self.public.x25519_bytes());
        shared.zeroize();
        mlkem_shared.zeroize();

        let (cipher, nonce) = context(&secret, info);
        let mut plain = Zeroizing::new(sealed[..body].to_vec());
        let tag = Tag::try_from(&sealed[body..]).expect("the last 16 bytes");
        cipher
            .decrypt_inout_detached(&nonce, &[], plain.as_mut_slice().into(), &tag)
            .map_err(|_| NotAuthentic)?;
        Ok(Secret::from(plain))
    }
}

/// X-Wing's combiner: `SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label)`
fn combine(
    mlkem_shared: &[u8],
    shared: &[u8; X25519],
    sent: &[u8; X25519],
    public: &[u8; X25519],
) -> Zeroizing<[u8; 32]> {
    let mut hash = Sha3_256::new();
    for part in [mlkem_shared, shared, sent, public, XWING_LABEL] {
        Digest::update(&mut hash, part);
    }
    Zeroizing::new(hash.finalize().into())
}

/// HPKE's `KeySchedule` in base mode, and the context's first nonce, which is its base nonce.
fn context(secret: &[u8; 32], info: &[u8]) -> (ChaCha20Poly1305, Nonce) {
    let psk_id_hash = extract(&[], b"psk_id_hash", &[]);
    let info_hash = extract(&[], b"info_hash", info);
    let bound = [&[0], psk_id_hash.as_slice(), info_hash.as_slice()].concat();
    let secret = extract(secret, b"secret", &[]);
    let key = expand(&secret, b"key", &bound, 32);
    let nonce = expand(&secret, b"base_nonce", &bound, 12);
    let nonce = Nonce::try_from(&nonce[..12]).expect("twelve bytes");
    (ChaCha20Poly1305::new(key.as_slice().try_into().expect("a key's length")), nonce)
}

/// `LabeledExtract(salt, label, ikm)`
fn extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut hasher = Hasher::new(salt);
    for part in [b"HPKE-v1", SUITE, label, ikm] {
        hasher.update(part);
    }
    let mut out = Zeroizing::new([0; 32]);
    hasher.finish_into(&mut out);
    out
}

/// `LabeledExpand(prk, label, info, length)` for lengths up to one block; what is past the length is to be left alone.
fn expand(prk: &[u8; 32], label: &[u8], info: &[u8], length: u16) -> Zeroizing<[u8; 32]> {
    let mut hasher = Hasher::new(prk);
    for part in [&length.to_be_bytes(), b"HPKE-v1".as_slice(), SUITE, label, info, &[1]] {
        hasher.update(part);
    }
    let mut out = Zeroizing::new([0; 32]);
    hasher.finish_into(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;

    const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";

    fn key(byte: u8) -> PrivateKey {
        PrivateKey::from_seed(Key::init_with(|seed| seed.fill(byte)))
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_for_its_use_only() {
        let (encapsulated, sealed) = key(1).public().seal(INFO, b"a file key", &mut SystemRandom).unwrap();
        assert_eq!(key(1).open(INFO, &encapsulated, &sealed).ok().unwrap().expose(), b"a file key");
        assert!(key(2).open(INFO, &encapsulated, &sealed).is_err());
        assert!(key(1).open(b"another use", &encapsulated, &sealed).is_err());
    }

    #[test]
    fn both_halves_are_needed_and_bound() {
        let (encapsulated, sealed) = key(1).public().seal(INFO, b"a file key", &mut SystemRandom).unwrap();
        for at in [0, 500, MLKEM_CIPHERTEXT - 1, MLKEM_CIPHERTEXT, ENCAPSULATED - 2] {
            let mut altered = encapsulated;
            altered[at] ^= 1;
            assert!(key(1).open(INFO, &altered, &sealed).is_err(), "byte {at}");
        }
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key(1).open(INFO, &encapsulated, &altered).is_err(), "byte {at}");
            assert!(key(1).open(INFO, &encapsulated, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_share_of_low_order_is_refused() {
        let (mut encapsulated, sealed) = key(1).public().seal(INFO, b"x", &mut SystemRandom).unwrap();
        encapsulated[MLKEM_CIPHERTEXT..].fill(0);
        assert_eq!(key(1).open(INFO, &encapsulated, &sealed).err(), Some(HybridError::LowOrder));
        let mut public = *key(1).public().as_bytes();
        public[MLKEM_PUBLIC..].fill(0);
        assert!(PublicKey::parse(&public).unwrap().seal(INFO, b"x", &mut SystemRandom).is_none());
    }

    #[test]
    fn a_public_key_that_ml_kem_would_spell_otherwise_is_refused() {
        let public = *key(1).public().as_bytes();
        assert!(PublicKey::parse(&public).is_some());
        assert!(PublicKey::parse(&public[1..]).is_none());
        let mut altered = public;
        altered[..3].fill(0xff);
        assert!(PublicKey::parse(&altered).is_none());
    }
}
