//! Names and attributes of all entries, kept for searching: as they are encoded, which takes little memory.

use std::collections::BTreeMap;

use crate::error::VerifyError;
use crate::format::entry::Meta;
use crate::format::names::{self, Names};
use crate::format::page::Look;
use crate::format::text;
use crate::vault::UnlockedVault;
use crate::vault::entry::open_encoded_meta;

/// The metadata of one state of a vault, by page.
pub struct Catalogue(Vec<Names>);

impl UnlockedVault {
    /// Reads and verifies every page, and keeps what can be searched.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn catalogue(&self) -> Result<Catalogue, VerifyError> {
        let pages = self.each_verified_page(Look::Outline, |page| {
            let sealed = page.entries.iter().map(|entry| entry.meta.len());
            let bytes = sealed.filter_map(text::decoded_len).sum();
            let mut names = Names::with_capacity(page.entries.len(), bytes);
            for entry in &page.entries {
                let encoded = &page.lines[entry.meta.clone()];
                names.push(open_encoded_meta(entry.id, encoded, &self.sealers)?.1.expose());
            }
            names.shrink();
            Ok(names)
        })?;
        Ok(Catalogue(pages))
    }
}

impl Catalogue {
    /// Entries that have these attributes with exactly these values, and those attributes with any; sorted by name.
    #[must_use]
    pub fn find(&self, with: &BTreeMap<String, String>, having: &[String]) -> Vec<Meta> {
        names::find(&self.0, with, having)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Names::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the metadata take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Names::bytes).sum()
    }
}
