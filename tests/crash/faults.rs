//! Every system call of a save fails in turn, with each of its errors and by SIGKILL. strace makes them fail.
//!
//! Afterwards the old or the new vault reads, exit 0 was said only of the new one, and there is no litter but a temporary
//! file that a killed process left, which the next save removes.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::program::{Ended, Home, Run};

/// One call of the program's main thread: the name, and how many of that name it made by then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    name: String,
    number: usize,
    text: String,
}

/// One way to make one call fail.
#[derive(Debug)]
struct Fault<'a> {
    call: &'a Call,
    how: &'static str,
}

impl Fault<'_> {
    fn inject(&self) -> Vec<String> {
        let Call { name, number, .. } = self.call;
        inject(&format!("{name}:{}:when={number}", self.how), name)
    }
}

fn inject(rule: &str, names: &str) -> Vec<String> {
    ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", &format!("trace={names}"), "-e"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("inject={rule}")])
        .collect()
}

#[test]
fn a_save_whose_calls_fail_in_turn_leaves_the_old_or_the_new_vault() {
    let calls = calls_of(home_with_old().vault(["set", "a"]).stdin("new"), true);
    let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    // The list would be of no use if it missed what a save is made of.
    for needed in ["flock", "openat", "fchmod", "write", "fsync", "renameat", "close", "read", "newfstatat"] {
        assert!(names.contains(&needed), "{needed} is not in {names:?}");
    }
    assert_eq!(
        names.iter().filter(|name| **name == "fsync").count(),
        4,
        "the file and its folder, and the pins and theirs"
    );
    let faults: Vec<Fault<'_>> =
        calls.iter().flat_map(|call| errors(&call.name).iter().map(move |how| Fault { call, how })).collect();
    assert!(faults.len() >= 200, "{}", faults.len());
    let saved = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    on_all_cores(&faults, |home, fault| {
        let ended = home.vault(["set", "a"]).stdin("new").under(fault.inject()).end();
        let outcome = judge(home, fault, &ended);
        [&failed, &saved][usize::from(outcome == b"new")].fetch_add(1, Ordering::Relaxed);
    });
    let (saved, failed) = (saved.into_inner(), failed.into_inner());
    println!("{} faults: {saved} left the new vault, {failed} the old one", faults.len());
    // Both happen: else the faults would not hit the save.
    assert!(saved >= 20 && failed >= 100, "{saved} saved, {failed} not");
}

#[test]
fn init_whose_calls_fail_in_turn_leaves_no_vault_or_a_whole_one() {
    let calls = calls_of(Home::empty().vault(["init", "--machine"]), false);
    let saving =
        ["openat", "flock", "fchmod", "write", "fsync", "renameat2", "unlinkat", "fstat", "newfstatat"];
    let calls: Vec<Call> = calls.into_iter().filter(|call| saving.contains(&call.name.as_str())).collect();
    for needed in ["openat", "flock", "fsync", "renameat2", "write"] {
        assert!(calls.iter().any(|call| call.name == needed), "{needed} is not in {calls:?}");
    }
    let faults: Vec<Fault<'_>> = calls
        .iter()
        .flat_map(|call| ["error=EIO", "error=ENOSPC", "signal=KILL"].map(|how| Fault { call, how }))
        .collect();
    on_all_cores(&faults, |_, fault| {
        let home = &Home::empty();
        let ended = home.vault(["init", "--machine"]).under(fault.inject()).end();
        assert_shape(fault, &ended);
        if ended.status.success() {
            std::fs::write(home.key(), &ended.stdout).unwrap();
            home.check();
        }
        // A vault whose key was not seen is whole, and of no use: then the exit code says so.
        if home.file().exists() {
            home.vault(["check", "--no-key"]).locked().ok();
            std::fs::remove_file(home.file()).unwrap();
        }
        let again = home.vault(["init", "--machine"]).locked().ok();
        std::fs::write(home.key(), &again.stdout).unwrap();
        home.check();
        assert_eq!(home.names(), ["secrets.vault"], "{fault:?}");
    });
}

#[test]
fn a_temporary_file_that_cannot_be_removed_is_removed_by_the_next_save() {
    let home = home_with_old();
    let wrapper: Vec<String> = inject("renameat:error=EIO", "renameat,unlinkat")
        .into_iter()
        .chain(["-e".to_owned(), "inject=unlinkat:error=EIO".to_owned()])
        .collect();
    let ended = home.vault(["set", "a"]).stdin("new").under(wrapper).exits(1);
    assert!(ended.stderr.contains("nothing was saved"), "{ended:?}");
    assert_eq!(home.names(), [TEMP, "secrets.vault"]);
    assert_eq!(home.get("a"), b"old");
    home.set("a", "newer");
    assert_eq!(home.names(), ["secrets.vault"]);
    assert_eq!(home.get("a"), b"newer");
}

#[test]
fn a_sync_that_fails_is_not_tried_again_on_that_file() {
    let home = home_with_old();
    let log = home.beside("trace");
    let wrapper =
        ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync:error=EIO:when=1", "-o"];
    let wrapper: Vec<std::ffi::OsString> =
        wrapper.iter().map(Into::into).chain([log.clone().into_os_string()]).collect();
    let ended = home.vault(["set", "a"]).stdin("new").under(wrapper).exits(1);
    assert!(ended.stderr.contains("nothing was saved"), "{ended:?}");
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("sync(").count(), 1, "{log}");
    assert_eq!(home.get("a"), b"old");
    assert_eq!(home.names(), ["secrets.vault"]);
}

#[test]
fn a_folder_that_cannot_be_synced_is_said_to_be_saved_and_maybe_not_durable() {
    let home = home_with_old();
    let wrapper = inject("fsync:error=EIO:when=2", "fsync");
    let ended = home.vault(["set", "a"]).stdin("new").under(wrapper).exits(1);
    assert!(ended.stderr.contains("was saved, but may not survive a power cut"), "{ended:?}");
    assert_eq!(home.get("a"), b"new");
}

#[test]
fn a_mounted_file_is_said_to_be_one() {
    let home = home_with_old();
    let wrapper = inject("renameat:error=EBUSY", "renameat");
    home.vault(["set", "a"]).stdin("new").under(wrapper).exits(1).says("mount its folder instead");
    assert_eq!((home.get("a"), home.names()), (b"old".to_vec(), vec!["secrets.vault".to_owned()]));
}

/// What has to be so after a save that a fault hit. Gives back the value.
fn judge(home: &Home, fault: &Fault<'_>, ended: &Ended) -> Vec<u8> {
    assert_shape(fault, ended);
    let names = home.names();
    let only_vault = names == ["secrets.vault"];
    let killed = fault.how == KILL;
    assert!(
        only_vault || (killed && names == [TEMP, "secrets.vault"]),
        "{fault:?} left {names:?}: {ended:?}"
    );
    home.check();
    let value = home.get("a");
    assert!(value == b"old" || value == b"new", "{fault:?}: {value:?}");
    if ended.status.success() {
        assert_eq!(value, b"new", "{fault:?}: a false success: {ended:?}");
    }
    if ended.stderr.contains("nothing was saved") {
        assert_eq!(value, b"old", "{fault:?}: {ended:?}");
    }
    if ended.stderr.contains("stored \"a\"") || ended.stderr.contains(" was saved, but") {
        assert_eq!(value, b"new", "{fault:?}: {ended:?}");
    }
    home.set("a", "old");
    assert_eq!(home.names(), ["secrets.vault"], "{fault:?}: the next save left litter");
    assert_eq!(home.get("a"), b"old");
    value
}

/// It ended by the kill, or with an exit code of the table and one error that says why.
fn assert_shape(fault: &Fault<'_>, ended: &Ended) {
    let Some(code) = ended.status.code() else {
        assert_eq!((fault.how, ended.status.signal()), (KILL, Some(9)), "{fault:?}: {ended:?}");
        return;
    };
    assert!(!ended.stderr.contains("panicked"), "{fault:?}: {ended:?}");
    // A system without random numbers is none; it is enough that nothing is stored then.
    if fault.call.name == "getrandom" && code == 70 {
        assert!(ended.stderr.starts_with("vault: internal error: this is a bug, at "), "{ended:?}");
        return;
    }
    assert!((0..=8).contains(&code) && code != 2, "{fault:?}: {ended:?}");
    // The message itself may be what could not be written.
    if code != 0 && !fault.call.text.starts_with("write(2") {
        assert_eq!(ended.stderr.matches("vault: error: ").count(), 1, "{fault:?}: {ended:?}");
    }
}

/// The errors that a call is made to fail with.
fn errors(name: &str) -> &'static [&'static str] {
    match name {
        "openat" => &["error=EACCES", "error=EMFILE", "error=ENOSPC", "error=EROFS", "error=EINTR", KILL],
        "write" => &["error=EIO", "error=ENOSPC", "error=EDQUOT", "error=EINTR", KILL],
        "fsync" => &["error=EIO", "error=ENOSPC", "error=EDQUOT", "error=EINTR", "error=EROFS", KILL],
        "renameat" => &[
            "error=EIO",
            "error=ENOSPC",
            "error=EACCES",
            "error=EPERM",
            "error=EROFS",
            "error=EBUSY",
            "error=EINTR",
            KILL,
        ],
        "flock" => &["error=EINTR", "error=ENOLCK", "error=EIO", "error=EAGAIN", KILL],
        "fchmod" => &["error=EPERM", "error=EIO", "error=EROFS", KILL],
        "read" | "pread64" => &["error=EIO", "error=EINTR", KILL],
        "close" => &["error=EIO", "error=EINTR", KILL],
        "fcntl" => &["error=EMFILE", KILL],
        "newfstatat" | "fstat" | "statx" | "readlink" => &["error=EIO", "error=EACCES", "error=ENOMEM", KILL],
        "getrandom" => &["error=EIO", KILL],
        "getcwd" => &["error=ENOENT", KILL],
        _ => &[KILL],
    }
}

/// What the main thread calls once it is hardened, but for memory and threads, which no file hangs on.
fn calls_of(run: Run, sample: bool) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let wrapper: [&std::ffi::OsStr; 7] = [
        "strace".as_ref(),
        "-f".as_ref(),
        "-qq".as_ref(),
        "-s".as_ref(),
        "0".as_ref(),
        "-o".as_ref(),
        log.path().as_os_str(),
    ];
    run.under(wrapper).ok();
    let log = std::fs::read_to_string(log.path()).unwrap();
    let main = log.split_whitespace().next().expect("strace writes what it sees").to_owned();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut calls = Vec::new();
    let mut hardened = false;
    for line in log.lines() {
        let Some(text) = line.strip_prefix(&main).map(str::trim_start) else { continue };
        let Some((name, _)) = text.split_once('(').filter(|(name, _)| !name.contains([' ', '<', '+'])) else {
            continue;
        };
        let number = numbers.entry(name.to_owned()).or_default();
        *number += 1;
        hardened |= name == "prctl";
        if hardened && !UNRELATED.contains(&name) {
            calls.push(Call { name: name.to_owned(), number: *number, text: text.to_owned() });
        }
    }
    assert!(hardened, "the program was not seen to start: {log}");
    if sample { sampled(calls) } else { calls }
}

/// A file is read in many pieces: the first and last few stand for all.
fn sampled(calls: Vec<Call>) -> Vec<Call> {
    let last = calls.iter().filter(|call| call.name == "pread64").map(|call| call.number).max().unwrap_or(0);
    let first = calls.iter().filter(|call| call.name == "pread64").map(|call| call.number).min().unwrap_or(0);
    let kept = [first, first + 1, first + 2, last / 2, last.saturating_sub(2), last.saturating_sub(1), last];
    calls.into_iter().filter(|call| call.name != "pread64" || kept.contains(&call.number)).collect()
}

/// Each worker has a vault of its own.
fn on_all_cores(faults: &[Fault<'_>], test: impl Fn(&Home, &Fault<'_>) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let home = home_with_old();
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    test(&home, fault);
                }
            });
        }
    });
}

fn home_with_old() -> Home {
    let home = Home::with_vault();
    home.set("a", "old");
    home
}

const KILL: &str = "signal=KILL";
const TEMP: &str = ".secrets.vault.new";
const WORKERS: usize = 3;
const UNRELATED: [&str; 16] = [
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "brk",
    "madvise",
    "futex",
    "clone3",
    "clone",
    "rt_sigprocmask",
    "rt_sigaction",
    "sigaltstack",
    "exit_group",
    "exit",
    "sched_yield",
    "prctl",
];
