//! Argon2id: from a passphrase to the key that opens a slot. docs/format.md, "Key slots" and "Limits".

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize;

use crate::secret::{Key, Wrapping};

/// Argon2id's cost, within the limits of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Least memory of a slot, in KiB (OWASP's minimum; a floor, not a default).
pub const MIN_MEMORY_KIB: u32 = 19_456;
/// Most memory that is spent without being told to, in KiB.
pub const MAX_MEMORY_KIB: u32 = 1_048_576;
/// Most passes and lanes.
pub const MAX_PASSES: u32 = 16;
/// Most lanes.
pub const MAX_LANES: u32 = 16;
/// Most memory times passes, in KiB: about four seconds of one core.
pub const MAX_WORK_KIB: u64 = 4_194_304;

/// Why a cost is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostError {
    /// Outside what the format allows at all.
    OutOfBounds,
    /// More memory than this reader may spend.
    TooMuchMemory {
        /// What the slot asks for, in KiB.
        required_kib: u32,
        /// What is allowed, in KiB.
        allowed_kib: u32,
    },
}

impl KdfCost {
    /// What new slots get: 256 MiB, three passes, four lanes. docs/decisions/ has the argument.
    pub const DEFAULT: Self = Self { memory_kib: 262_144, passes: 3, lanes: 4 };

    /// A cost within the bounds of the format; memory may be up to `max_memory_kib` (at least the format's limit).
    ///
    /// # Errors
    /// [`CostError`], before any memory is spent.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32, max_memory_kib: u32) -> Result<Self, CostError> {
        let allowed_kib = max_memory_kib.max(MAX_MEMORY_KIB);
        let work_allowed = MAX_WORK_KIB.max(4 * u64::from(allowed_kib));
        if memory_kib > allowed_kib {
            return Err(CostError::TooMuchMemory { required_kib: memory_kib, allowed_kib });
        }
        let bounds = memory_kib >= MIN_MEMORY_KIB
            && (1..=MAX_PASSES).contains(&passes)
            && (1..=MAX_LANES).contains(&lanes)
            && memory_kib >= 8 * lanes
            && u64::from(memory_kib) * u64::from(passes) <= work_allowed;
        if bounds { Ok(Self { memory_kib, passes, lanes }) } else { Err(CostError::OutOfBounds) }
    }

    /// Memory, in KiB.
    #[must_use]
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes computed in parallel.
    #[must_use]
    pub fn lanes(self) -> u32 {
        self.lanes
    }
}

/// There is not enough memory for the cost of this slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

/// `W = Argon2id(passphrase, salt, m KiB, t passes, p lanes, 32 bytes)`, version 1.3.
///
/// # Errors
/// [`OutOfMemory`] if the memory cannot be had.
///
/// # Panics
/// Never: a [`KdfCost`] is within Argon2's own limits.
pub fn derive(passphrase: &[u8], salt: &[u8; 16], cost: KdfCost) -> Result<Key<Wrapping>, OutOfMemory> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .expect("a KdfCost is within Argon2's own limits");
    let blocks = params.block_count();
    // The crate does not wipe its own memory, so it works in ours.
    let mut memory = Memory(Vec::new());
    memory.0.try_reserve_exact(blocks).map_err(|_| OutOfMemory)?;
    memory.0.resize(blocks, Block::default());
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(Key::init_with(|out| {
        argon
            .hash_password_into_with_memory(passphrase, salt, out, &mut memory.0)
            .expect("lengths and memory are within Argon2's own limits");
    }))
}

/// Argon2's blocks, wiped when dropped: the last of them give the key to whoever reads them.
struct Memory(Vec<Block>);

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_outside_the_format_are_refused_before_any_memory_is_spent() {
        let refused = |m, t, p| KdfCost::new(m, t, p, 0).is_err();
        assert!(!refused(19_456, 1, 1) && !refused(1_048_576, 4, 16) && !refused(262_144, 16, 1));
        assert!(refused(19_455, 2, 1) && refused(1_048_577, 1, 1) && refused(u32::MAX, 1, 1));
        assert!(
            refused(65_536, 0, 1)
                && refused(65_536, 17, 1)
                && refused(65_536, 1, 0)
                && refused(65_536, 1, 17)
        );
        assert!(refused(1_048_576, 5, 4));
        assert!(KdfCost::new(2_097_152, 1, 4, 2_097_152).is_ok());
    }

    #[test]
    fn argon2id_agrees_with_a_known_answer() {
        // argon2-cffi 23.1: hash_secret_raw(b"passphrase", b"0123456789abcdef", 2, 19456, 1, 32, Type.ID)
        let key = derive(b"passphrase", b"0123456789abcdef", KdfCost::new(19_456, 2, 1, 0).unwrap()).unwrap();
        assert_eq!(base16ct::lower::encode_string(key.expose()), KNOWN);
    }

    const KNOWN: &str = "acf59c5bba2739aa33831afcab921715b17ca964c256e44f32ea504bb4bac804";
}
