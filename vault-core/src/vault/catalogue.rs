//! Names and attributes of all entries, kept for searching: as they are encoded, which takes little memory.

use std::collections::BTreeMap;

use crate::error::VerifyError;
use crate::format::entry::Meta;
use crate::format::names::Names;
use crate::format::page::Look;
use crate::vault::UnlockedVault;
use crate::vault::entry::open_encoded_meta;

/// The metadata of one state of a vault.
pub struct Catalogue(Names);

impl UnlockedVault {
    /// Reads and verifies every page, and keeps what can be searched.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn catalogue(&self) -> Result<Catalogue, VerifyError> {
        let pages = self.each_verified_page(Look::Outline, |page| {
            let entries = page.entries.iter();
            let open = entries.map(|entry| {
                open_encoded_meta(entry.id, &page.lines[entry.meta.clone()], &self.sealers)
                    .map(|(meta, encoded)| (meta.name, encoded.expose().to_vec()))
            });
            open.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Catalogue(Names::of(pages)))
    }
}

impl Catalogue {
    /// Entries that have these attributes with exactly these values, and those attributes with any; sorted by name.
    #[must_use]
    pub fn find(&self, with: &BTreeMap<String, String>, having: &[String]) -> Vec<Meta> {
        self.0.find(with, having)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the metadata take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
