//! What the process gives up before it holds a secret, and how it ends by a signal.

use std::process::ExitCode;

/// No core file, and no other process of the same user may read this one's memory or its `/proc` files. How children end is known,
/// even where whoever started this process does not want to know it of his own.
///
/// # Errors
/// What the kernel refused. Lowering a limit of one's own is never refused by a kernel without a security module.
pub(crate) fn process() -> std::io::Result<()> {
    rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
    )?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    vault_sys::keep_children()
}

/// Files of this process are its user's alone.
pub(crate) fn private_files() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Keeps all memory of this process from being swapped out, what it has and what it will touch; only where that has no limit, since
/// otherwise it could soon get no more memory at all.
pub(crate) fn lock_all_memory() -> bool {
    use rustix::mm::{MlockAllFlags, mlockall};
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    limit.current.is_none() && mlockall(flags).is_ok()
}

/// Lets this process have as many open files as it may have at most, and gives that number.
pub(crate) fn raise_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

/// Dies by SIGINT, so that a calling script sees an interrupted program and stops too.
pub(crate) fn die_interrupted() -> ExitCode {
    // A refusal would leave the exit code that a shell shows for the same death.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
    ExitCode::from(130)
}

/// From now on a panic in any thread ends the process with the exit code that `say` gives, once it has told where it was.
///
/// The panic's own words are left out: they may quote what it was about.
pub(crate) fn end_on_panic(say: fn(&str) -> u8) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        #[expect(clippy::disallowed_methods, reason = "the release build aborts, which wipes nothing either")]
        std::process::exit(say(&place).into())
    }));
}

#[cfg(test)]
mod tests {
    #[test]
    fn afterwards_there_is_no_core_and_no_dump() {
        super::process().unwrap();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
