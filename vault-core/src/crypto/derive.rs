//! The key hierarchy, on one page. docs/format.md, "Keys".

use crate::crypto::hash::Hasher;
use crate::secret::{
    Commitment, Expansion, Key, LogSealing, Master, MetaSealing, Naming, Role, RosterSealing, SecretSealing,
    Tagging,
};

/// All keys of a vault, each derived from its master key by HKDF-SHA-256 with a label of its own.
pub struct Keys {
    /// HMAC key of entry ids.
    pub name: Key<Naming>,
    /// Seals metadata.
    pub meta: Key<MetaSealing>,
    /// Seals secrets.
    pub secret: Key<SecretSealing>,
    /// Seals the log.
    pub seal: Key<LogSealing>,
    /// Seals the roster.
    pub roster: Key<RosterSealing>,
    /// Authenticates places.
    pub table: Key<Tagging>,
}

/// `PRK = HMAC(key = uuid ‖ salt, message = MK)`
fn extract(uuid: &[u8; 16], salt: &[u8; 32], master: &Key<Master>) -> Key<Expansion> {
    let mut hasher = Hasher::new(&[uuid.as_slice(), salt].concat());
    hasher.update(master.expose());
    Key::init_with(|out| hasher.finish_into(out))
}

/// `K[label] = HMAC(key = PRK, message = "vault/1 " ‖ label ‖ 01)`
fn expand<R: Role>(prk: &Key<Expansion>, label: &str) -> Key<R> {
    let mut hasher = Hasher::new(prk.expose());
    hasher.update(b"vault/1 ");
    hasher.update(label.as_bytes());
    hasher.update(&[1]);
    Key::init_with(|out| hasher.finish_into(out))
}

/// The public commitment to a master key: `K[commitment]`.
#[must_use]
pub fn commitment(uuid: &[u8; 16], salt: &[u8; 32], master: &Key<Master>) -> [u8; 32] {
    *expand::<Commitment>(&extract(uuid, salt, master), "commitment").expose()
}

impl Keys {
    /// Every key of the table in docs/format.md, "Keys", but the commitment.
    #[must_use]
    pub fn derive(uuid: &[u8; 16], salt: &[u8; 32], master: &Key<Master>) -> Self {
        let prk = extract(uuid, salt, master);
        Self {
            name: expand(&prk, "name"),
            meta: expand(&prk, "meta"),
            secret: expand(&prk, "secret"),
            seal: expand(&prk, "seal"),
            roster: expand(&prk, "roster"),
            table: expand(&prk, "table"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extract_and_expand_are_hkdf_of_rfc_5869() {
        // Test case 1 of RFC 5869 has another info; the construction is compared with an independent HKDF in
        // tests/reference. Here: distinct labels give distinct keys, and nothing is constant.
        let master = Key::init_with(|bytes| bytes.fill(1));
        let keys = Keys::derive(&[2; 16], &[3; 32], &master);
        let all = [
            keys.name.expose(),
            keys.meta.expose(),
            keys.secret.expose(),
            keys.seal.expose(),
            keys.roster.expose(),
            keys.table.expose(),
            &commitment(&[2; 16], &[3; 32], &master),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b));
        }
        assert_ne!(commitment(&[2; 16], &[4; 32], &master), commitment(&[2; 16], &[3; 32], &master));
    }
}
