//! Encoded metadata of many entries in one piece of memory, and the search in it.

use std::collections::BTreeMap;

use memchr::memmem;

use crate::format::cbor;
use crate::format::entry::{EntryName, Meta};

/// Encoded metadata, one after the other.
#[derive(Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    /// Where each begins, and the end of the last one.
    bounds: Vec<u32>,
}

impl Names {
    /// Puts pieces together, sorted by the entries' names. Each piece is encoded metadata with its name.
    pub(crate) fn of(pages: Vec<Vec<(EntryName, Vec<u8>)>>) -> Self {
        let mut all: Vec<&(EntryName, Vec<u8>)> = pages.iter().flatten().collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut bytes = Vec::with_capacity(all.iter().map(|(_, meta)| meta.len()).sum());
        let mut bounds = Vec::with_capacity(all.len() + 1);
        bounds.push(0);
        for (_, meta) in all {
            bytes.extend_from_slice(meta);
            // 2,000,000 entries of at most 96 KiB could be more; a vault is at most 4 GiB of text, three quarters of it bytes.
            bounds.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        Self { bytes, bounds }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// How many bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn meta(&self, number: usize) -> Option<Meta> {
        let range = *self.bounds.get(number)? as usize..*self.bounds.get(number + 1)? as usize;
        // What was put in had been decoded before.
        Meta::decode(self.bytes.get(range)?).ok()
    }

    /// The metadata of entries that have these attributes with these values, and those attributes at all.
    pub(crate) fn find(&self, with: &BTreeMap<String, String>, having: &[String]) -> Vec<Meta> {
        let fits = |meta: &Meta| {
            with.iter().all(|(name, value)| meta.attributes.get(name) == Some(value))
                && having.iter().all(|name| meta.attributes.contains_key(name))
        };
        // In a map, a value follows its name: so the two together can be searched for, and only what has them is decoded. The
        // longest is the rarest.
        let pairs = with.iter().map(|pair| [cbor::to_vec(pair.0), cbor::to_vec(pair.1)].concat());
        let needle = pairs.chain(having.iter().map(cbor::to_vec)).max_by_key(Vec::len);
        let Some(needle) = needle else {
            return (0..self.len()).filter_map(|number| self.meta(number)).collect();
        };
        let mut found = Vec::new();
        let mut next = 0;
        for at in memmem::find_iter(&self.bytes, &needle) {
            let number = self.bounds.partition_point(|start| *start as usize <= at) - 1;
            if number >= next {
                next = number + 1;
                found.extend(self.meta(number).filter(fits));
            }
        }
        found
    }
}
