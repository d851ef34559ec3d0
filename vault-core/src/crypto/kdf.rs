//! Argon2id: from a passphrase to the key that opens a slot. docs/format.md, "Key slots" and "Limits".

use std::num::NonZero;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rayon::{ThreadPool, ThreadPoolBuilder};
use zeroize::Zeroize;

use crate::secret::{Key, Wrapping, scrub_stack};

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

    /// For recovery codes: the least that the format allows. 130 random bits are out of reach at any cost of a guess.
    pub const RECOVERY: Self = Self { memory_kib: MIN_MEMORY_KIB, passes: 2, lanes: 1 };

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

    /// This cost, with as many more passes as it takes for a guess to be as much work as with the default, as far as the format
    /// allows: with less memory, that is up to 16 passes.
    #[must_use]
    pub fn at_least_the_default(self) -> Self {
        let work = |cost: Self| u64::from(cost.memory_kib) * u64::from(cost.passes);
        let wanted = work(Self::DEFAULT).div_ceil(u64::from(self.memory_kib));
        let passes = u32::try_from(wanted).unwrap_or(MAX_PASSES).min(MAX_PASSES).max(self.passes);
        Self { passes, ..self }
    }

    /// This cost, with as many more passes as a key then takes about `target`; never less than this cost, and never
    /// more than the format allows. `clock` says how long it is since some moment.
    ///
    /// Three keys are derived, and the median counts: one measurement on a busy machine would give a weak slot for ever,
    /// and so would going below the default on a slow one.
    ///
    /// # Errors
    /// [`OutOfMemory`]
    pub fn calibrate(
        self,
        target: Duration,
        clock: &mut dyn FnMut() -> Duration,
    ) -> Result<Self, OutOfMemory> {
        let mut took = [Duration::ZERO; 3];
        for took in &mut took {
            let start = clock();
            derive(b"calibration", b"sixteen bytes of", self)?;
            *took = clock().saturating_sub(start);
        }
        took.sort_unstable();
        let wanted = target.as_nanos() * u128::from(self.passes) / took[1].as_nanos().max(1);
        let work = MAX_WORK_KIB / u64::from(self.memory_kib);
        let most = u32::try_from(work).unwrap_or(MAX_PASSES).min(MAX_PASSES).max(self.passes);
        let passes = u32::try_from(wanted).unwrap_or(MAX_PASSES).clamp(self.passes, most);
        Ok(Self { passes, ..self })
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

/// There is not enough memory for the cost of this slot, or no thread to spend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

/// `W = Argon2id(passphrase, salt, m KiB, t passes, p lanes, 32 bytes)`, version 1.3.
///
/// # Errors
/// [`OutOfMemory`] if the memory cannot be had, or not even one thread.
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
    let threads = threads(cost.lanes)?;
    let key = Key::init_with(|out| {
        threads.install(|| {
            argon
                .hash_password_into_with_memory(passphrase, salt, out, &mut memory.0)
                .expect("lengths and memory are within Argon2's own limits");
        });
    });
    threads.broadcast(|_| scrub_stack());
    Ok(key)
}

/// Threads for one derivation, which end with it: those of the crate's own would be kept, and with them what is on their stacks.
fn threads(lanes: u32) -> Result<ThreadPool, OutOfMemory> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let wanted = processors.min(usize::try_from(lanes).unwrap_or(1));
    let of = |count| ThreadPoolBuilder::new().num_threads(count).build();
    of(wanted).or_else(|_| of(1)).map_err(|_| OutOfMemory)
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
    fn calibration_only_ever_adds_passes() {
        let cheap = KdfCost::new(MIN_MEMORY_KIB, 2, 1, 0).unwrap();
        // A clock that makes each of three keys take so many milliseconds.
        let with = |took: [u64; 3], target: u64, cost: KdfCost| {
            let mut moments = took.iter().flat_map(|&took| [0, took]).map(Duration::from_millis);
            cost.calibrate(Duration::from_millis(target), &mut || moments.next().unwrap()).unwrap()
        };
        assert_eq!(with([100, 100, 100], 500, cheap), KdfCost { passes: 10, ..cheap });
        assert_eq!(with([100, 9000, 100], 500, cheap), KdfCost { passes: 10, ..cheap });
        assert_eq!(with([1, 100, 100], 500, cheap), KdfCost { passes: 10, ..cheap });
        assert_eq!(with([100, 100, 100], 10, cheap), cheap);
        assert_eq!(with([1, 1, 1], 10_000, cheap).passes(), MAX_PASSES);
        assert_eq!(with([0, 0, 0], 10_000, cheap).passes(), MAX_PASSES);
        // What comes out is within the format's bounds for work, too.
        let large = KdfCost { memory_kib: MAX_MEMORY_KIB, passes: 3, lanes: 4 };
        let most = u32::try_from(MAX_WORK_KIB / u64::from(MAX_MEMORY_KIB)).unwrap();
        let capped = KdfCost { passes: most, ..large };
        assert!(KdfCost::new(capped.memory_kib, capped.passes, capped.lanes, 0).is_ok());
    }

    #[test]
    fn argon2id_agrees_with_a_known_answer() {
        // argon2-cffi 23.1: hash_secret_raw(b"passphrase", b"0123456789abcdef", 2, 19456, 1, 32, Type.ID)
        let key = derive(b"passphrase", b"0123456789abcdef", KdfCost::new(19_456, 2, 1, 0).unwrap()).unwrap();
        assert_eq!(base16ct::lower::encode_string(key.expose()), KNOWN);
    }

    const KNOWN: &str = "acf59c5bba2739aa33831afcab921715b17ca964c256e44f32ea504bb4bac804";
}
