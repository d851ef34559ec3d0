//! Randomness, as an argument.

use zeroize::{Zeroize, Zeroizing};

/// A source of random bytes. Everything in this crate that needs some takes one.
pub trait Random {
    /// Fills the buffer.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The operating system's generator.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        // On Linux this is getrandom(2), which cannot fail once the kernel's pool is initialised, and waits until it is.
        getrandom::fill(bytes).expect("the operating system has a random number generator");
    }
}

/// The operating system's generator, asked for a page at a time: for a save that needs thousands of nonces.
///
/// What was given out is wiped here at once, the rest when this is dropped.
pub struct BufferedRandom {
    bytes: Zeroizing<[u8; BUFFER]>,
    given: usize,
}

const BUFFER: usize = 4096;

impl BufferedRandom {
    /// Asks for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: Zeroizing::new([0; BUFFER]), given: BUFFER }
    }
}

impl Default for BufferedRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for BufferedRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.len() > BUFFER {
            return SystemRandom.fill(bytes);
        }
        if BUFFER - self.given < bytes.len() {
            SystemRandom.fill(&mut *self.bytes);
            self.given = 0;
        }
        let next = &mut self.bytes[self.given..self.given + bytes.len()];
        bytes.copy_from_slice(next);
        next.zeroize();
        self.given += bytes.len();
    }
}

/// A fixed-size array of random bytes.
pub fn array<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_given_out_twice_and_nothing_that_was_is_kept() {
        let mut random = BufferedRandom::new();
        let all: BTreeSet<[u8; 24]> = (0..1000).map(|_| array(&mut random)).collect();
        assert_eq!(all.len(), 1000);
        assert!(!all.contains(&[0; 24]));
        assert!(random.bytes[..random.given].iter().all(|&byte| byte == 0));
        let mut long = vec![0; 3 * BUFFER];
        random.fill(&mut long);
        assert!(long.chunks(24).all(|part| part.iter().any(|&byte| byte != 0)));
    }
}
