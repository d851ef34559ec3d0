//! A growing buffer that never leaves a copy of what was in it: it grows by allocating, copying and wiping.

use std::io::{self, Read, Write};

use vault_core::secret::Secret;
use zeroize::Zeroizing;

/// Bytes on their way to becoming a [`Secret`], or from one to a stream.
pub(crate) struct WipingBuffer {
    bytes: Zeroizing<Vec<u8>>,
}

impl WipingBuffer {
    /// An empty buffer.
    pub(crate) fn new() -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(FIRST_CAPACITY)) }
    }

    /// Appends one byte.
    pub(crate) fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    /// Appends bytes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the last byte away.
    pub(crate) fn pop(&mut self) -> Option<u8> {
        self.bytes.pop()
    }

    /// Forgets the content.
    pub(crate) fn clear(&mut self) {
        // Truncation leaves the bytes where they are, within a capacity that is wiped as a whole on drop.
        self.bytes.clear();
    }

    /// The bytes so far.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, as a secret.
    pub(crate) fn into_secret(self) -> Secret {
        Secret::from(self.bytes)
    }

    /// Appends what `reader` has, but stops after `limit` bytes in all. Returns whether the reader came to its end.
    pub(crate) fn read_up_to(&mut self, reader: &mut dyn Read, limit: usize) -> io::Result<bool> {
        let mut chunk = Zeroizing::new([0; CHUNK]);
        loop {
            // One byte more than allowed, to tell "exactly at the limit" from "beyond it".
            let room = (limit + 1).saturating_sub(self.bytes.len()).min(CHUNK);
            if room == 0 {
                return Ok(false);
            }
            match reader.read(&mut chunk[..room]) {
                Ok(0) => return Ok(true),
                Ok(n) => self.extend(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn reserve(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            // Vec's own growth would free the old allocation without wiping it.
            let mut larger = Vec::with_capacity(needed.max(self.bytes.capacity() * 2));
            larger.extend_from_slice(&self.bytes);
            self.bytes = Zeroizing::new(larger);
        }
    }
}

impl Write for WipingBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const FIRST_CAPACITY: usize = 4096;
const CHUNK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_keeps_the_bytes() {
        let mut buffer = WipingBuffer::new();
        for n in 0..20_000_u32 {
            buffer.extend(&n.to_be_bytes());
        }
        let expected: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
        assert_eq!(buffer.into_secret().expose(), expected);
    }

    #[test]
    fn reading_stops_one_byte_beyond_the_limit() {
        let mut buffer = WipingBuffer::new();
        assert!(!buffer.read_up_to(&mut io::repeat(1), 100_000).unwrap());
        assert_eq!(buffer.as_slice().len(), 100_001);
    }

    #[test]
    fn a_reader_that_ends_at_the_limit_is_read_to_its_end() {
        let mut buffer = WipingBuffer::new();
        assert!(buffer.read_up_to(&mut &[7; 50_000][..], 50_000).unwrap());
        assert_eq!(buffer.as_slice(), [7; 50_000]);
    }
}
