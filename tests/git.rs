//! Vaults in real git repositories: merged as text by plain git, by the keyed merge where git reports a conflict, and
//! compared with a plain model; and the program itself, as people use it with git.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by panicking, and print figures"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

mod daily;
mod guards;
mod held;
mod histories;
mod hook;
mod keyed;
mod model;
mod named;
mod page;
mod rates;
mod repo;
mod rules;
mod setup;
mod team;
mod world;

/// How many random histories: as the environment variable says, which the campaign script sets.
fn histories(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// Runs histories with the seeds 1 to `count` and one random seed on two threads; the failures, each with its seed. To look
/// into one of them: `VAULT_HISTORY_SEED`.
fn failures<T>(count: u64, history: impl Fn(u64) -> Result<T, String> + Sync) -> Vec<String> {
    if let Some(seed) = std::env::var("VAULT_HISTORY_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return history(seed).err().into_iter().map(|why| format!("seed {seed}: {why}")).collect();
    }
    let next = AtomicU64::new(1);
    let wrong = Mutex::new(Vec::new());
    let random = vault_core::crypto::random::array(&mut vault_core::crypto::random::SystemRandom);
    let run = || {
        loop {
            let seed = match next.fetch_add(1, Ordering::Relaxed) {
                seed if seed <= count => seed,
                seed if seed == count + 1 => u64::from_le_bytes(random),
                _ => return,
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history(seed)));
            let why = match result {
                Ok(Ok(_)) => continue,
                Ok(Err(why)) => why,
                Err(_) => "it panicked".to_owned(),
            };
            wrong.lock().unwrap().push(format!("seed {seed}: {why}"));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(run);
        run();
    });
    wrong.into_inner().unwrap()
}
