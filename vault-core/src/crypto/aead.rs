//! XChaCha20-Poly1305: sealing of padded CBOR, of identities, and of attachments' chunks.
//! docs/format.md, "Sealing", "Key slots" and "Attachments".

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::crypto::pad::pad;
use crate::crypto::random::{self, Random};
use crate::secret::{Blob, Key, Role, Secret, Wrapping};

/// Bytes of a nonce.
pub const NONCE: usize = 24;
/// Bytes of an authentication tag.
pub const TAG: usize = 16;
/// Plaintext bytes of every chunk of an attachment but the last.
pub const CHUNK: usize = 49_152;
/// Bytes of the length that precedes every padded plaintext.
const LENGTH: usize = 4;

/// Something did not open: altered, cut, sealed under another key, or for another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAuthentic;

/// A key that is used many times: the cipher is set up once.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    label: &'static str,
}

impl Sealer {
    /// `label` is that of the key in docs/format.md, "Keys".
    #[must_use]
    pub fn new<R: Role>(key: &Key<R>, label: &'static str) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.expose().into()), label }
    }

    /// `nonce ‖ AEAD(K[label], nonce, label ‖ 00 ‖ place, padded)`
    ///
    /// # Panics
    /// If the plaintext is 4 GiB or longer, which no limit of the format allows.
    #[must_use]
    pub fn seal(&self, place: &[u8], plaintext: &[u8], random: &mut dyn Random) -> Vec<u8> {
        let length = u32::try_from(plaintext.len()).expect("limits keep plaintexts far below 4 GiB");
        let padded = padded_len(plaintext.len());
        let mut sealed = Vec::with_capacity(NONCE + padded + TAG);
        sealed.extend_from_slice(&random::array::<NONCE>(random));
        sealed.extend_from_slice(&length.to_be_bytes());
        sealed.extend_from_slice(plaintext);
        sealed.resize(NONCE + padded, 0);
        let (nonce, body) = sealed.split_at_mut(NONCE);
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &XNonce::try_from(&*nonce).expect("the first 24 bytes"),
                Associated::of(self.label, place).bytes(),
                body.into(),
            )
            .expect("limits keep plaintexts far below the cipher's 256 GiB");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// The plaintext of what [`Sealer::seal`] made for the same place.
    ///
    /// # Errors
    /// [`NotAuthentic`], also when the padding is not the one that `seal` writes.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Secret, NotAuthentic> {
        self.open_here(place, sealed.to_vec())
    }

    /// As [`Sealer::open`], in the memory that holds what is sealed.
    ///
    /// # Errors
    /// As [`Sealer::open`].
    pub fn open_here(&self, place: &[u8], sealed: Vec<u8>) -> Result<Secret, NotAuthentic> {
        let mut plain = Zeroizing::new(sealed);
        // Size first: nothing is spent on what cannot be right.
        let body = plain.len().checked_sub(NONCE + TAG).ok_or(NotAuthentic)?;
        let (nonce, rest) = plain.split_at_mut(NONCE);
        let (text, tag) = rest.split_at_mut(body);
        self.cipher
            .decrypt_inout_detached(
                &XNonce::try_from(&*nonce).expect("the first 24 bytes"),
                Associated::of(self.label, place).bytes(),
                (&mut *text).into(),
                &Tag::try_from(&*tag).expect("the last 16 bytes"),
            )
            .map_err(|_| NotAuthentic)?;
        let length = text.first_chunk::<LENGTH>().ok_or(NotAuthentic)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotAuthentic)?;
        if length > text.len() - LENGTH || padded_len(length) != text.len() {
            return Err(NotAuthentic);
        }
        if text[LENGTH + length..].iter().any(|&byte| byte != 0) {
            return Err(NotAuthentic);
        }
        plain.copy_within(NONCE + LENGTH..NONCE + LENGTH + length, 0);
        // What is cut off has text in it, too; it is wiped with the whole buffer.
        plain.truncate(length);
        Ok(Secret::from(plain))
    }
}

/// `label ‖ 00 ‖ place`, without an allocation: it is made for every part of every entry.
struct Associated {
    bytes: [u8; ASSOCIATED],
    length: usize,
}

impl Associated {
    fn of(label: &str, place: &[u8]) -> Self {
        let mut bytes = [0; ASSOCIATED];
        let start = label.len() + 1;
        let length = start + place.len();
        bytes[..label.len()].copy_from_slice(label.as_bytes());
        bytes[start..length].copy_from_slice(place);
        Self { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The longest label, a zero and the longest place: that of a seal's part.
const ASSOCIATED: usize = 32;

fn padded_len(plaintext: usize) -> usize {
    usize::try_from(pad((LENGTH + plaintext) as u64)).expect("a length in memory")
}

/// `nonce ‖ AEAD(W, nonce, associated data, plaintext)`, for the identity in a slot line.
pub fn wrap(key: &Key<Wrapping>, associated: &[u8], plaintext: &Secret, random: &mut dyn Random) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let mut sealed = Vec::with_capacity(NONCE + plaintext.expose().len() + TAG);
    sealed.extend_from_slice(&random::array::<NONCE>(random));
    sealed.extend_from_slice(plaintext.expose());
    let (nonce, body) = sealed.split_at_mut(NONCE);
    let tag = cipher
        .encrypt_inout_detached(
            &XNonce::try_from(&*nonce).expect("the first 24 bytes"),
            associated,
            body.into(),
        )
        .expect("an identity is shorter than 256 GiB");
    sealed.extend_from_slice(&tag);
    sealed
}

/// What [`wrap`] wrapped.
///
/// # Errors
/// [`NotAuthentic`]: another key, or altered.
pub fn unwrap(key: &Key<Wrapping>, associated: &[u8], sealed: &[u8]) -> Result<Secret, NotAuthentic> {
    let body = sealed.len().checked_sub(NONCE + TAG).ok_or(NotAuthentic)?;
    let mut plain = Zeroizing::new(sealed[NONCE..NONCE + body].to_vec());
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt_inout_detached(
            &XNonce::try_from(&sealed[..NONCE]).expect("the first 24 bytes"),
            associated,
            plain.as_mut_slice().into(),
            &Tag::try_from(&sealed[NONCE + body..]).expect("the last 16 bytes"),
        )
        .map_err(|_| NotAuthentic)?;
    Ok(Secret::from(plain))
}

/// Which chunk of an attachment: its index, and whether it is the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// From 0.
    pub index: u32,
    /// True for the last chunk only.
    pub last: bool,
}

/// The cipher of one attachment.
pub struct BlobCipher {
    cipher: XChaCha20Poly1305,
    associated: Vec<u8>,
}

impl BlobCipher {
    /// For the attachment `blob_id` under its own key.
    #[must_use]
    pub fn new(key: &Key<Blob>, blob_id: &[u8; 16]) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(key.expose().into()),
            associated: [b"blob".as_slice(), &[0], blob_id].concat(),
        }
    }

    /// `nonce = 00 × 19 ‖ u32 index ‖ last`. Fixed nonces are safe since the key is used for one value only.
    fn nonce(place: ChunkPlace) -> XNonce {
        let mut nonce = [0; NONCE];
        nonce[19..23].copy_from_slice(&place.index.to_be_bytes());
        nonce[23] = u8::from(place.last);
        nonce.into()
    }

    /// Encrypts a chunk where it is and appends its tag.
    ///
    /// # Panics
    /// If the chunk is longer than 256 GiB.
    pub fn seal(&self, place: ChunkPlace, chunk: &mut Zeroizing<Vec<u8>>) {
        let tag = self
            .cipher
            .encrypt_inout_detached(&Self::nonce(place), &self.associated, chunk.as_mut_slice().into())
            .expect("a chunk is 48 KiB");
        chunk.extend_from_slice(&tag);
    }

    /// Decrypts a chunk where it is and removes its tag.
    ///
    /// # Errors
    /// [`NotAuthentic`]; the buffer's content is then meaningless.
    pub fn open(&self, place: ChunkPlace, chunk: &mut Zeroizing<Vec<u8>>) -> Result<(), NotAuthentic> {
        let body = chunk.len().checked_sub(TAG).ok_or(NotAuthentic)?;
        let tag = Tag::try_from(&chunk[body..]).expect("the last 16 bytes");
        self.cipher
            .decrypt_inout_detached(&Self::nonce(place), &self.associated, (&mut chunk[..body]).into(), &tag)
            .map_err(|_| NotAuthentic)?;
        chunk.truncate(body);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;
    use crate::secret::MetaSealing;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&Key::<MetaSealing>::init_with(|key| key.fill(byte)), "meta")
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_and_nowhere_else() {
        for length in [0, 1, 59, 60, 61, 1019, 1020, 1021, 5000] {
            let plain = vec![7; length];
            let sealed = sealer(1).seal(b"here", &plain, &mut SystemRandom);
            assert_eq!(sealed.len(), NONCE + TAG + usize::try_from(pad(4 + length as u64)).unwrap());
            assert!(sealer(1).open(b"here", &sealed).is_ok_and(|secret| secret.expose() == plain));
            assert!(sealer(1).open(b"there", &sealed).is_err());
            assert!(sealer(2).open(b"here", &sealed).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let sealed = sealer(1).seal(b"here", b"plain", &mut SystemRandom);
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut altered = sealed.clone();
                altered[at] ^= 1 << bit;
                assert!(sealer(1).open(b"here", &altered).is_err());
            }
            assert!(sealer(1).open(b"here", &sealed[..at]).is_err());
        }
    }

    #[test]
    fn padding_other_than_the_one_written_is_refused() {
        let sealer = sealer(1);
        for padded in [
            [&[0, 0, 0, 2][..], b"ab", &[0; 57], &[1]].concat(), // not zeros
            [&[0, 0, 0, 2][..], b"ab", &[0; 122]].concat(),      // a block too many
            [&[0, 0, 0, 61][..], &[1; 60]].concat(),             // length beyond the end
            vec![0xff; 64],
            vec![0; 3],
        ] {
            let nonce = [9; NONCE];
            let mut body = padded;
            let tag = sealer
                .cipher
                .encrypt_inout_detached(
                    &nonce.into(),
                    Associated::of(sealer.label, b"p").bytes(),
                    body.as_mut_slice().into(),
                )
                .unwrap();
            let sealed = [&nonce[..], &body, &tag].concat();
            assert!(sealer.open(b"p", &sealed).is_err());
        }
    }

    #[test]
    fn chunks_open_only_in_their_place() {
        let cipher = BlobCipher::new(&Key::init_with(|key| key.fill(1)), &[2; 16]);
        let first = ChunkPlace { index: 0, last: false };
        let mut chunk = Zeroizing::new(b"chunk".to_vec());
        cipher.seal(first, &mut chunk);
        for place in [ChunkPlace { index: 0, last: true }, ChunkPlace { index: 1, last: false }] {
            assert!(cipher.open(place, &mut chunk.clone()).is_err());
        }
        assert!(cipher.open(first, &mut chunk).is_ok());
        assert_eq!(&chunk[..], b"chunk");
    }
}
