//! What a try of a passphrase costs: as told, or as measured here.

use std::time::Instant;

use vault_core::crypto::kdf::{KdfCost, MAX_MEMORY_KIB, derive};
use vault_core::keys::NewSlotError;

use crate::cli::KdfOptions;
use crate::commands::Run;
use crate::failure::Failure;
use crate::message::Status;
use crate::size::shown;

/// The cost that the options ask for. A measured one is told; it is no less work than what is used without measuring, as far as
/// the format's passes make up for less memory that was asked for.
///
/// # Errors
/// [`Failure::KdfMemory`], [`Failure::NewSlot`] if there is too little memory to measure.
pub(in crate::commands) fn cost(run: &Run<'_>, options: &KdfOptions) -> Result<KdfCost, Failure> {
    let cost = match options.kdf_memory {
        Some(bytes) => with_memory(bytes)?,
        None => KdfCost::DEFAULT,
    };
    let Some(target) = options.kdf_time else { return Ok(cost) };
    run.voice.transient("measuring this machine");
    let began = Instant::now();
    let calibrated =
        cost.at_least_the_default().calibrate(target, &mut || began.elapsed()).and_then(|cost| {
            let start = Instant::now();
            derive(b"as somebody will wait", &[0; 16], cost)?;
            Ok((cost, start.elapsed()))
        });
    run.voice.transient("");
    let (cost, takes) = calibrated.map_err(|_| Failure::NewSlot(NewSlotError::NotEnoughMemory))?;
    let memory = shown(u64::from(cost.memory_kib()) * 1024);
    run.voice.status(&Status::Done(format!(
        "chose {memory} and {}: {:.1} s here",
        passes(cost.passes()),
        takes.as_secs_f64()
    )));
    Ok(cost)
}

/// "1 pass", "3 passes".
pub(in crate::commands) fn passes(count: u32) -> String {
    if count == 1 { "1 pass".to_owned() } else { format!("{count} passes") }
}

/// The cost of a passphrase with this much memory.
fn with_memory(bytes: u64) -> Result<KdfCost, Failure> {
    let default = KdfCost::DEFAULT;
    u32::try_from(bytes / 1024)
        .ok()
        .and_then(|memory| KdfCost::new(memory, default.passes(), default.lanes(), MAX_MEMORY_KIB).ok())
        .ok_or(Failure::KdfMemory(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_cost_makes_up_for_less_memory_with_more_passes() {
        let at_least = |mib: u64| with_memory(mib << 20).ok().unwrap().at_least_the_default().passes();
        assert_eq!([1024, 256, 128, 64, 48, 19].map(at_least), [3, 3, 6, 12, 16, 16]);
    }

    #[test]
    fn costs_outside_the_limits_are_refused() {
        for bytes in [0, 1024, (19 << 20) - 1, (1 << 30) + 1024, u64::MAX] {
            assert!(matches!(with_memory(bytes), Err(Failure::KdfMemory(_))), "{bytes}");
        }
        assert_eq!(with_memory(19 << 20).ok().unwrap().memory_kib(), 19 << 10);
    }
}
