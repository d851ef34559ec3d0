//! Clocks that tell when a vault was held for long enough.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What the clocks show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Since the machine was started, with the time that it was suspended.
    pub(super) boot: Duration,
    /// Without it.
    pub(super) awake: Duration,
    /// Seconds since 1970, as the system's clock has it: it can be set.
    pub(super) wall: u64,
}

impl Reading {
    /// Now.
    pub(super) fn now() -> Self {
        let of = |clock| {
            let time = clock_gettime(clock);
            let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
            Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
        };
        // First, so that it is never ahead of the clock that has the suspended time as well.
        let awake = of(ClockId::Monotonic);
        #[cfg(target_os = "linux")]
        let boot = of(ClockId::Boottime);
        #[cfg(not(target_os = "linux"))]
        let boot = of(ClockId::Monotonic);
        Self { boot, awake, wall: crate::time::now() }
    }

    /// Whether the machine was suspended between an earlier reading and this one.
    pub(super) fn slept_since(&self, earlier: &Self) -> bool {
        let suspended = |reading: &Self| reading.boot.saturating_sub(reading.awake);
        suspended(self).saturating_sub(suspended(earlier)) > SLEEP
    }
}

/// An end on two clocks. The one that comes first counts, so that setting a clock back gives nobody more time.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    boot: Duration,
    wall: u64,
}

impl End {
    /// So many seconds from now on.
    pub(super) fn after(now: &Reading, seconds: u64) -> Self {
        Self {
            boot: now.boot.saturating_add(Duration::from_secs(seconds)),
            // Its second began before now; without one more, the end would come before its time.
            wall: now.wall.saturating_add(seconds).saturating_add(1),
        }
    }

    /// Seconds that are left.
    pub(super) fn left(&self, now: &Reading) -> u64 {
        let boot = self.boot.saturating_sub(now.boot);
        let boot = boot.as_secs() + u64::from(boot.subsec_nanos() > 0);
        boot.min(self.wall.saturating_sub(now.wall))
    }
}

/// The two clocks are not read at the same moment.
const SLEEP: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(boot: u64, awake: u64, wall: u64) -> Reading {
        Reading { boot: Duration::from_secs(boot), awake: Duration::from_secs(awake), wall }
    }

    #[test]
    fn no_clock_that_is_set_extends_a_lease() {
        let end = End::after(&reading(100, 100, 5_000), 60);
        assert_eq!(end.left(&reading(110, 110, 5_010)), 50);
        assert_eq!(end.left(&reading(160, 160, 1_000)), 0, "set back");
        assert_eq!(end.left(&reading(110, 110, 1_000)), 50, "set back, and not longer for it");
        assert_eq!(end.left(&reading(101, 101, 9_000)), 0, "set forward");
        assert_eq!(end.left(&reading(159, 159, 5_060)), 1, "the clock that can be set shows whole seconds");
    }

    #[test]
    fn a_suspended_machine_is_noticed() {
        let before = reading(100, 90, 5_000);
        assert!(!reading(105, 95, 5_005).slept_since(&before));
        assert!(reading(105, 91, 5_005).slept_since(&before));
    }

    #[test]
    fn the_clocks_go() {
        let now = Reading::now();
        assert!(now.boot >= now.awake && now.wall > 1_700_000_000);
    }
}
