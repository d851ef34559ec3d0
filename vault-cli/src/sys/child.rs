//! One program that is given secrets: in place of this process, or as its child.
//!
//! A child is waited for, gets the signals that this process gets, and may have its output masked. As the first process of a
//! container, this one also reaps whatever is left to it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use vault_core::secret::Secret;
use vault_sys::{Caught, Signals};

use crate::buffer::WipingBuffer;
use crate::context::SECRET_VARIABLES;
use crate::mask::Mask;

/// A program to be started.
pub(crate) struct Program<'a> {
    /// Its name or path, and its arguments.
    pub(crate) words: &'a [OsString],
    /// Secrets in variables.
    pub(crate) variables: Vec<(String, Secret)>,
    /// Variables that name files.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// Whether standard input was used up here: the program then gets none.
    pub(crate) without_input: bool,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

/// Why it is not known how a program ended.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// It was not started.
    NotStarted(io::Error),
    /// A signal came that ends this process, before there was a program to pass it to.
    Ended(u8),
    /// It was started, and waiting for it failed.
    Lost(io::Error),
}

/// Whether this is the first process of a container: it has to reap, and signals that it does not handle are lost.
pub(crate) fn is_first() -> bool {
    rustix::process::getpid().is_init()
}

/// From now on, signals are kept for a program that is to be started; what is to be removed before this process ends is made after it.
///
/// # Errors
/// The system's.
pub(crate) fn keep_signals() -> io::Result<Signals> {
    Signals::catch(&FORWARDED.map(Signal::as_raw))
}

/// The signal that came already and ends a process.
pub(crate) fn ended_by(signals: &Signals) -> Option<u8> {
    std::iter::from_fn(|| signals.pending()).map(|caught| caught.signal).find_map(ending)
}

impl Program<'_> {
    /// Becomes the program: process, terminal and signals are its own.
    ///
    /// # Errors
    /// Why it did not: [`NotRun::NotStarted`], [`NotRun::Ended`].
    pub(crate) fn replace_this(self, signals: Option<&Signals>) -> NotRun {
        signals.inspect(|signals| signals.let_go());
        if let Some(number) = signals.and_then(ended_by) {
            return NotRun::Ended(number);
        }
        NotRun::NotStarted(self.command().exec())
    }

    /// Starts the program and waits for its end.
    ///
    /// # Errors
    /// [`NotRun`].
    pub(crate) fn supervise(self, signals: &Signals, mask: Option<&Mask>) -> Result<End, NotRun> {
        if let Some(number) = ended_by(signals) {
            return Err(NotRun::Ended(number));
        }
        let mut command = self.command();
        if mask.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let child = command.spawn().map_err(NotRun::NotStarted)?;
        drop(command);
        drop(self);
        attend(child, signals, mask).map_err(NotRun::Lost)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        for name in SECRET_VARIABLES {
            command.env_remove(name);
        }
        for (name, value) in &self.variables {
            command.env(name, OsStr::from_bytes(value.expose()));
        }
        for (name, path) in &self.files {
            command.env(name, path);
        }
        if self.without_input {
            command.stdin(Stdio::null());
        }
        command
    }
}

/// Waits for a child, and passes on what comes meanwhile.
fn attend(mut child: Child, signals: &Signals, mask: Option<&Mask>) -> io::Result<End> {
    let pid = Pid::from_child(&child);
    let ended = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(caught) = signals.wait() {
                forward(caught, pid, ended);
            }
        });
        if let Some(mask) = mask {
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            scope.spawn(move || stdout.map(|from| relay(from, rustix::stdio::stdout(), mask, ended)));
            scope.spawn(move || stderr.map(|from| relay(from, rustix::stdio::stderr(), mask, ended)));
        }
        let end = wait(pid);
        ended.store(true, Ordering::SeqCst);
        signals.close();
        end
    })
}

/// Waits for a child; the first process reaps all others, too.
fn wait(child: Pid) -> io::Result<End> {
    let whom = if is_first() { None } else { Some(child) };
    loop {
        match rustix::process::waitpid(whom, WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                if let Some(end) = end(status) {
                    return Ok(end);
                }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn end(status: WaitStatus) -> Option<End> {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(End::Code(byte(code))),
        (None, Some(signal)) => Some(End::Signal(byte(signal))),
        (None, None) => None,
    }
}

/// Passes a signal on, unless a key of the terminal sent it: the whole foreground gets it, the child, too.
fn forward(caught: Caught, child: Pid, ended: &AtomicBool) {
    let keys = [Signal::INT, Signal::QUIT, Signal::WINCH].map(Signal::as_raw);
    let typed = caught.by_kernel && keys.contains(&caught.signal);
    if let (false, false, Some(signal)) =
        (typed, ended.load(Ordering::SeqCst), Signal::from_named_raw(caught.signal))
    {
        // It may have ended just now.
        let _ = rustix::process::kill_process(child, signal);
    }
}

/// The number of a signal that ends a process which does not handle it; of those that are kept, all but one.
fn ending(signal: i32) -> Option<u8> {
    u8::try_from(signal).ok().filter(|number| *number > 0 && signal != Signal::WINCH.as_raw())
}

/// Copies a stream through a mask until it ends, or until the child has ended and nothing comes: what it left running in the
/// background may hold the stream open for ever.
fn relay(mut from: impl Read + AsFd, to: impl AsFd, mask: &Mask, ended: &AtomicBool) {
    let mut masking = mask.stream();
    let mut chunk = zeroize::Zeroizing::new(vec![0; CHUNK]);
    let mut quiet = 0;
    loop {
        let mut ready = [PollFd::new(&from, PollFlags::IN)];
        match poll(&mut ready, Some(&PATIENCE)) {
            Ok(0) => {
                quiet = if ended.load(Ordering::SeqCst) { quiet + 1 } else { 0 };
                if quiet > QUIET {
                    break;
                }
                continue;
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => quiet = 0,
            Err(_) => break,
        }
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut out = WipingBuffer::new();
        masking.push(&chunk[..count], &mut out);
        if write_all(&to, out.as_slice()).is_err() {
            // As for any writer whose reader went away: the child learns it by its next write.
            return;
        }
    }
    let mut out = WipingBuffer::new();
    masking.finish(&mut out);
    let _ = write_all(&to, out.as_slice());
}

fn write_all(to: &impl AsFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [PollFd::new(to, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const FORWARDED: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::WINCH,
];
const CHUNK: usize = 64 * 1024;
/// How long to wait for output before looking whether the child has ended.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How often in a row nothing came after the child's end.
const QUIET: u32 = 10;
