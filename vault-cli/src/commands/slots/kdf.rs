//! What a try of a passphrase costs: as told, or as measured here.

use std::time::{Duration, Instant};

use vault_core::crypto::kdf::{KdfCost, MAX_MEMORY_KIB, MAX_PASSES, MAX_WORK_KIB, MIN_MEMORY_KIB, derive};
use vault_core::keys::NewSlotError;

use crate::cli::KdfOptions;
use crate::commands::Run;
use crate::failure::Failure;
use crate::message::Status;
use crate::size::shown;

/// The cost that the options ask for. A measured one is told.
///
/// # Errors
/// [`Failure::KdfMemory`], [`Failure::NewSlot`] if there is too little memory to measure.
pub(in crate::commands) fn cost(run: &Run<'_>, options: &KdfOptions) -> Result<KdfCost, Failure> {
    let memory = options.kdf_memory.map(memory_kib).transpose()?;
    let Some(target) = options.kdf_time else {
        return with(memory.unwrap_or(KdfCost::DEFAULT.memory_kib()), KdfCost::DEFAULT.passes());
    };
    run.voice.transient("measuring this machine");
    let measured = calibrate(memory, target, &mut |cost| {
        let start = Instant::now();
        derive(b"a passphrase", &[0; 16], cost).ok()?;
        Some(start.elapsed())
    });
    run.voice.transient("");
    let (cost, takes) = measured.ok_or(Failure::NewSlot(NewSlotError::NotEnoughMemory))?;
    run.voice.status(&Status::Done(format!(
        "chose {}, {}: {:.1} s here",
        shown(u64::from(cost.memory_kib()) * 1024),
        passes(cost.passes()),
        takes.as_secs_f64()
    )));
    Ok(cost)
}

/// "1 pass", "3 passes".
pub(in crate::commands) fn passes(count: u32) -> String {
    if count == 1 { "1 pass".to_owned() } else { format!("{count} passes") }
}

/// Memory first, since it is what makes guessing expensive: as told, or the default, or half of it again and again where a
/// single pass takes too long; then as many passes as fit the time. Gives also how long that takes. `None` if `measure`
/// could not measure.
fn calibrate(
    memory: Option<u32>,
    target: Duration,
    measure: &mut dyn FnMut(KdfCost) -> Option<Duration>,
) -> Option<(KdfCost, Duration)> {
    let mut kib = memory.unwrap_or(KdfCost::DEFAULT.memory_kib());
    let one = loop {
        let takes = measure(with(kib, 1).ok()?)?;
        let least = target.div_f64(f64::from(least_passes(kib)));
        if takes <= least || memory.is_some() || kib == MIN_MEMORY_KIB {
            break takes;
        }
        kib = (kib / 2).max(MIN_MEMORY_KIB);
    };
    let most = u32::try_from(MAX_WORK_KIB / u64::from(kib)).unwrap_or(MAX_PASSES).min(MAX_PASSES);
    let fit = (target.as_secs_f64() / one.as_secs_f64().max(1e-6)).round();
    // Not more than `most`, whatever it was.
    let fit =
        if fit >= f64::from(most) { most } else { (1..most).rfind(|n| f64::from(*n) <= fit).unwrap_or(1) };
    let cost = with(kib, fit.max(least_passes(kib)).min(most)).ok()?;
    let takes = if cost.passes() == 1 { one } else { measure(cost)? };
    Some((cost, takes))
}

/// Below 46 MiB a second pass is the least that is recommended (OWASP).
fn least_passes(kib: u32) -> u32 {
    if kib < 47_104 { 2 } else { 1 }
}

fn memory_kib(bytes: u64) -> Result<u32, Failure> {
    u32::try_from(bytes / 1024)
        .ok()
        .filter(|memory| (MIN_MEMORY_KIB..=MAX_MEMORY_KIB).contains(memory))
        .ok_or(Failure::KdfMemory(bytes))
}

fn with(memory_kib: u32, passes: u32) -> Result<KdfCost, Failure> {
    KdfCost::new(memory_kib, passes, KdfCost::DEFAULT.lanes(), MAX_MEMORY_KIB)
        .map_err(|_| Failure::KdfMemory(u64::from(memory_kib) * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that does this many KiB in a millisecond.
    fn machine(speed: u64) -> impl FnMut(KdfCost) -> Option<Duration> {
        move |cost| {
            Some(Duration::from_millis(u64::from(cost.memory_kib()) * u64::from(cost.passes()) / speed))
        }
    }

    #[test]
    fn costs_outside_the_limits_are_refused() {
        for bytes in [0, 1024, (19 << 20) - 1, (1 << 30) + 1024, u64::MAX] {
            assert!(matches!(memory_kib(bytes), Err(Failure::KdfMemory(_))), "{bytes}");
        }
        assert_eq!(memory_kib(19 << 20).ok().unwrap(), 19 << 10);
    }

    #[test]
    fn a_fast_machine_gets_more_passes_and_a_slow_one_less_memory() {
        let second = Duration::from_secs(1);
        for (speed, memory_kib, passes) in [
            (1_000_000, 262_144, 4),
            (100_000, 262_144, 16),
            (1_049, 262_144, 4),
            (262, 262_144, 1),
            (131, 131_072, 1),
            (10, 19_456, 2),
        ] {
            let speed = if speed == 1_000_000 { 1_048 } else { speed };
            let (cost, _) = calibrate(None, second, &mut machine(speed)).unwrap();
            assert_eq!((cost.memory_kib(), cost.passes()), (memory_kib, passes), "{speed}");
        }
    }

    #[test]
    fn memory_that_was_named_stays() {
        for speed in [10, 100_000] {
            let (cost, _) =
                calibrate(Some(524_288), Duration::from_millis(500), &mut machine(speed)).unwrap();
            assert_eq!(cost.memory_kib(), 524_288);
            assert!(u64::from(cost.passes()) * 524_288 <= MAX_WORK_KIB);
        }
    }
}
