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
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;
use vault_core::secret::Secret;

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

/// Whether this is the first process of a container: it has to reap, and signals that it does not handle are lost.
pub(crate) fn is_first() -> bool {
    rustix::process::getpid().is_init()
}

impl Program<'_> {
    /// Becomes the program: process, terminal and signals are its own.
    ///
    /// # Errors
    /// Why it did not.
    pub(crate) fn replace_this(self) -> io::Error {
        self.command().exec()
    }

    /// Starts the program and waits for its end.
    ///
    /// # Errors
    /// Why it did not start.
    pub(crate) fn supervise(self, mask: Option<&Mask>) -> io::Result<End> {
        // Before the start, so that none is lost.
        let mut signals = Signals::new(FORWARDED)?;
        let handle = signals.handle();
        let mut command = self.command();
        if mask.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command.spawn()?;
        drop(command);
        drop(self);
        let pid = Pid::from_child(&child);
        let ended = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || {
                for signal in signals.forever() {
                    forward(signal, pid, ended);
                }
            });
            if let Some(mask) = mask {
                let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
                scope.spawn(move || stdout.map(|from| relay(from, rustix::stdio::stdout(), mask, ended)));
                scope.spawn(move || stderr.map(|from| relay(from, rustix::stdio::stderr(), mask, ended)));
            }
            let end = wait(pid);
            ended.store(true, Ordering::SeqCst);
            handle.close();
            end
        })
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

/// Passes a signal on, unless the terminal gave it to the child already.
fn forward(signal: i32, child: Pid, ended: &AtomicBool) {
    let typed = [SIGINT, SIGQUIT, SIGWINCH].contains(&signal) && has_terminal();
    if let (false, false, Some(signal)) =
        (typed, ended.load(Ordering::SeqCst), Signal::from_named_raw(signal))
    {
        // It may have ended just now.
        let _ = rustix::process::kill_process(child, signal);
    }
}

/// Whether this process and its child are what a terminal shows: keys that are signals then go to both.
fn has_terminal() -> bool {
    let group = rustix::process::getpgrp();
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
        .into_iter()
        .any(|stream| rustix::termios::tcgetpgrp(stream).is_ok_and(|foreground| foreground == group))
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

const FORWARDED: [i32; 8] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH];
const CHUNK: usize = 64 * 1024;
/// How long to wait for output before looking whether the child has ended.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How often in a row nothing came after the child's end.
const QUIET: u32 = 10;
