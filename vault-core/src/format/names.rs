//! Encoded metadata of many entries in few pieces of memory, and the search in it.

use std::collections::BTreeMap;

use memchr::memmem;

use crate::format::cbor;
use crate::format::entry::Meta;

/// Encoded metadata, one after the other: of one page of a vault, for it is read page by page.
#[derive(Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Names {
    /// Room for so many, of so many bytes together.
    pub(crate) fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    /// Adds encoded metadata, which had been decoded before.
    pub(crate) fn push(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
        // A page is a part of a file of at most 4 GiB of text, three quarters of it bytes.
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// Gives back the memory that was not needed.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn meta(&self, number: usize) -> Option<Meta> {
        let start = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        Meta::decode(self.bytes.get(start as usize..*self.ends.get(number)? as usize)?).ok()
    }
}

/// The metadata of entries that have these attributes with these values, and those attributes at all; sorted by name.
pub(crate) fn find(all: &[Names], with: &BTreeMap<String, String>, having: &[String]) -> Vec<Meta> {
    let fits = |meta: &Meta| {
        with.iter().all(|(name, value)| meta.attributes.get(name) == Some(value))
            && having.iter().all(|name| meta.attributes.contains_key(name))
    };
    // In a map, a value follows its name: so the two together can be searched for, and only what has them is decoded. The
    // longest is the rarest.
    let pairs = with.iter().map(|pair| [cbor::to_vec(pair.0), cbor::to_vec(pair.1)].concat());
    let needle = pairs.chain(having.iter().map(cbor::to_vec)).max_by_key(Vec::len);
    let mut found = Vec::new();
    match needle {
        None => {
            found.extend(
                all.iter().flat_map(|names| (0..names.len()).filter_map(|number| names.meta(number))),
            );
        }
        Some(needle) => {
            let finder = memmem::Finder::new(&needle);
            for names in all {
                let mut next = 0;
                for at in finder.find_iter(&names.bytes) {
                    let number = names.ends.partition_point(|end| *end as usize <= at);
                    if number >= next {
                        next = number + 1;
                        found.extend(names.meta(number).filter(fits));
                    }
                }
            }
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found
}
