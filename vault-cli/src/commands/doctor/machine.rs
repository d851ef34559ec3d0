//! What the machine allows: memory, swap, filters of system calls, the bus, the clock, Python's keyring.

use std::path::Path;

use super::{Finding, Run, State};
use crate::size::shown;
use crate::sys::folder::{NamelessFile, is_memory};
use crate::sys::probe::{self, Bus};

pub(super) fn look(run: &Run<'_>, findings: &mut Vec<Finding>) {
    findings.extend([locking(), swap(), filter(), tracing(), memory_files(run), bus(run), clock(run.now)]);
}

fn locking() -> Finding {
    const ID: &str = "memory-locking";
    match (probe::lock_memory(), probe::locking_limit()) {
        (Ok(()), None) => Finding::new(ID, State::Ok, "memory can be locked, without limit"),
        (Ok(()), Some(limit)) if limit >= ENOUGH_LOCKED => {
            Finding::new(ID, State::Ok, format!("memory can be locked, up to {}", shown(limit)))
        }
        (Ok(()), Some(limit)) => Finding::new(
            ID,
            State::Warning,
            format!("only {} of memory can be locked: keys may be written to swap", shown(limit)),
        )
        .remedy("ulimit -l 8192, or LimitMEMLOCK=8M in the unit; docker: --ulimit memlock=8388608"),
        (Err(_), Some(0)) => {
            Finding::new(ID, State::Warning, "no memory can be locked: keys may be written to swap")
                .remedy("ulimit -l 8192, or LimitMEMLOCK=8M in the unit; docker: --ulimit memlock=8388608")
        }
        (Err(error), _) => Finding::new(
            ID,
            State::Warning,
            format!("locking memory is refused ({}): keys may be written to swap", words(&error)),
        )
        .remedy("let the filter of system calls pass mlock and mlockall"),
    }
}

fn swap() -> Finding {
    const ID: &str = "swap";
    match probe::swaps() {
        None => Finding::new(ID, State::Unknown, "the kernel does not tell what is used for swap"),
        Some(devices) if devices.is_empty() => Finding::new(ID, State::Ok, "there is no swap"),
        Some(devices) if devices.iter().all(|device| device.contains("zram")) => {
            Finding::new(ID, State::Ok, "swap is in memory (zram)")
        }
        Some(devices) => {
            let text = format!("memory may be written to {}", devices.join(", "));
            let state = if probe::lock_memory().is_ok() { State::Ok } else { State::Warning };
            let finding = Finding::new(ID, state, text);
            if state == State::Ok {
                finding
            } else {
                finding.remedy("encrypt the swap, or allow locking memory")
            }
        }
    }
}

fn filter() -> Finding {
    const ID: &str = "seccomp";
    match probe::is_filtered() {
        None => {
            Finding::new(ID, State::Unknown, "the kernel does not tell whether system calls are filtered")
        }
        Some(false) => Finding::new(ID, State::Ok, "system calls are not filtered"),
        Some(true) => Finding::new(
            ID,
            State::Ok,
            "system calls are filtered, as containers do; what is refused shows in the other checks",
        ),
    }
}

fn tracing() -> Finding {
    const ID: &str = "other-programs";
    match probe::may_trace() {
        None => Finding::new(ID, State::Unknown, "the kernel does not tell who may read other programs' memory"),
        Some(false) => Finding::new(ID, State::Ok, "your programs cannot read each other's memory"),
        Some(true) => Finding::new(
            ID,
            State::Warning,
            "your programs can read each other's memory and environment; vault forbids it for itself, not for what it runs",
        )
        .remedy("as root: sysctl kernel.yama.ptrace_scope=1"),
    }
}

fn memory_files(run: &Run<'_>) -> Finding {
    const ID: &str = "files-in-memory";
    let folders = run.environment.runtime_folder().into_iter().chain([Path::new("/dev/shm")]);
    let usable = |folder: &&Path| is_memory(folder) && probe::may_write(folder);
    if let Some(folder) = folders.into_iter().find(usable) {
        return Finding::new(ID, State::Ok, format!("edit and run --as-file use {}", folder.display()));
    }
    match NamelessFile::make("vault-doctor", |_| Ok(())) {
        Ok(_) => {
            Finding::new(ID, State::Warning, "run --as-file uses files without names; edit does not work")
                .remedy("mount a tmpfs at /dev/shm; docker: --tmpfs /dev/shm")
        }
        Err(error) => {
            Finding::new(ID, State::Warning, format!("edit and run --as-file do not work: {}", words(&error)))
                .remedy("mount a tmpfs at /dev/shm; docker: --tmpfs /dev/shm")
        }
    }
}

fn bus(run: &Run<'_>) -> Finding {
    const ID: &str = "session-bus";
    match probe::bus(run.environment.bus_address(), run.environment.runtime_folder()) {
        Bus::Answers(path) => {
            Finding::new(ID, State::Ok, format!("the session's bus answers at {}", path.display()))
        }
        Bus::None => Finding::new(
            ID,
            State::Absent,
            "there is no session bus; vault needs none, but for a slot in the desktop's keyring",
        ),
        Bus::Elsewhere => Finding::new(ID, State::Unknown, "the session's bus is not a plain socket"),
        Bus::Silent(path) => Finding::new(
            ID,
            State::Warning,
            format!("the session's bus is named, and does not answer at {}", path.display()),
        )
        .remedy("unset DBUS_SESSION_BUS_ADDRESS, or start the bus"),
    }
}

fn clock(now: u64) -> Finding {
    const ID: &str = "clock";
    if now < RELEASED {
        let text =
            format!("the clock says {}, which is before this program was made", crate::time::shown(now));
        return Finding::new(ID, State::Problem, text)
            .remedy("set the clock: expiries and times in the log would be wrong");
    }
    Finding::new(ID, State::Ok, format!("the clock says {}", crate::time::shown(now)))
}

/// Which backend Python's keyring chooses.
pub(super) fn python() -> Finding {
    const ID: &str = "python-keyring";
    let backends = match probe::python_backends() {
        Ok(Some(backends)) => backends,
        Ok(None) => return Finding::new(ID, State::Absent, "there is no python3 with the package keyring"),
        Err(error) => {
            return Finding::new(ID, State::Unknown, format!("Python's keyring cannot be asked: {error}"));
        }
    };
    let text = format!("Python's keyring uses {}", backends.join(", then "));
    let is = |names: &[&str]| backends.iter().any(|backend| names.iter().any(|name| backend.contains(name)));
    if is(&["Plaintext", "keyrings.alt.file.PlaintextKeyring", "keyrings.alt.Windows.Registry"]) {
        return Finding::new(ID, State::Problem, format!("{text}: it stores passwords in plain text"))
            .remedy("choose another backend, or remove the package keyrings.alt");
    }
    if is(&["keyring.backends.fail", "keyring.backends.null"]) {
        return Finding::new(ID, State::Warning, format!("{text}: it stores nothing"))
            .remedy("choose vault's backend, see docs/keyring.md");
    }
    Finding::new(ID, State::Ok, text)
}

fn words(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// What an agent locks at the most, for keys and what it is asked for.
const ENOUGH_LOCKED: u64 = 1 << 20;
/// 2026-01-01.
const RELEASED: u64 = 1_767_225_600;
