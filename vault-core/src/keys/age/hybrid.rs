//! Hybrid post-quantum recipients and identities: the `mlkem768x25519` stanza of C2SP age.

use std::collections::HashSet;

use age::secrecy::ExposeSecret;
use age::{DecryptError, EncryptError};
use age_core::format::{FileKey, Stanza};
use bech32::Hrp;
use zeroize::Zeroizing;

use crate::crypto::hybrid::{ENCAPSULATED, HybridError, PrivateKey, PublicKey};
use crate::crypto::random::{Random, SystemRandom};
use crate::format::text;
use crate::keys::age::bech32_decode;
use crate::secret::{Key, Secret};

const RECIPIENT: &str = "age1pq";
const IDENTITY: &str = "AGE-SECRET-KEY-PQ-";
const TAG: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// What keeps a file from being wrapped for a classical recipient as well.
const LABEL: &str = "postquantum";
const FILE_KEY: usize = 16;
/// A file key, sealed.
const BODY: usize = FILE_KEY + 16;

/// `age1pq1…`
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Recipient(PublicKey);

impl Recipient {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = bech32_decode(text, RECIPIENT)?;
        Some(Self(PublicKey::parse(&bytes)?))
    }

    pub(super) fn text(&self) -> String {
        age_core::primitives::bech32_encode(Hrp::parse_unchecked(RECIPIENT), self.0.as_bytes())
    }
}

impl age::Recipient for Recipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let (encapsulated, body) = self
            .0
            .seal(INFO, file_key.expose_secret(), &mut SystemRandom)
            .ok_or_else(|| EncryptError::Io(std::io::ErrorKind::InvalidInput.into()))?;
        let mut argument = Vec::new();
        text::push_base64(&mut argument, &encapsulated);
        let argument = String::from_utf8(argument).expect("base64 is ASCII");
        let stanza = Stanza { tag: TAG.to_owned(), args: vec![argument], body };
        Ok((vec![stanza], HashSet::from([LABEL.to_owned()])))
    }
}

/// `AGE-SECRET-KEY-PQ-1…`
pub(super) struct Identity(PrivateKey);

impl Identity {
    pub(super) fn generate(random: &mut dyn Random) -> Self {
        Self(PrivateKey::generate(random))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = bech32_decode(text, IDENTITY)?;
        let bytes: &[u8; 32] = bytes.as_slice().try_into().ok()?;
        Some(Self(PrivateKey::from_seed(Key::init_with(|seed| seed.copy_from_slice(bytes)))))
    }

    pub(super) fn to_text(&self) -> Secret {
        let hrp = Hrp::parse_unchecked(IDENTITY);
        let text = age_core::primitives::bech32_encode(hrp, self.0.seed().expose());
        // Upper case in place: a second string would leave the first one behind.
        let mut text = Zeroizing::new(text.into_bytes());
        text.make_ascii_uppercase();
        Secret::from(text)
    }

    pub(super) fn recipient(&self) -> Recipient {
        Recipient(self.0.public().clone())
    }
}

impl age::Identity for Identity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != TAG {
            return None;
        }
        let [argument] = stanza.args.as_slice() else { return Some(Err(DecryptError::InvalidHeader)) };
        let Ok(encapsulated) = text::base64_array::<ENCAPSULATED>(argument.as_bytes()) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        // Size first: a short ciphertext cannot be made to open under many keys.
        if stanza.body.len() != BODY {
            return Some(Err(DecryptError::InvalidHeader));
        }
        match self.0.open(INFO, &encapsulated, &stanza.body) {
            Ok(plain) => Some(Ok(FileKey::init_with_mut(|key| key.copy_from_slice(plain.expose())))),
            Err(HybridError::LowOrder) => Some(Err(DecryptError::InvalidHeader)),
            // Another identity's stanza looks the same: go on to the next.
            Err(HybridError::NotAuthentic) => None,
        }
    }
}
