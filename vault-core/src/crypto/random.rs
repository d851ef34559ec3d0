//! Randomness, as an argument.

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

/// A fixed-size array of random bytes.
pub fn array<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}
