//! Signals that are kept to be read instead of ending the process, each with the knowledge whether the kernel sent it.
//!
//! The handler writes two bytes into a socket and does nothing else. There is one socket at a time: who catches signals takes
//! over from whoever did before.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, c_void, siginfo_t};

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caught {
    /// Its number.
    pub signal: i32,
    /// The kernel sent it: a key of the terminal, which every process in its foreground gets. Otherwise a process did.
    pub by_kernel: bool,
}

/// Signals that are caught until this is dropped.
pub struct Signals {
    reader: UnixStream,
    /// Never closed: a handler in another thread may be about to write to it.
    writer: c_int,
    caught: Vec<c_int>,
}

impl Signals {
    /// From now on these signals are kept. Those that are ignored already stay so: whoever started this process wanted it.
    ///
    /// # Errors
    /// The system's: no more descriptors, or no such signal.
    pub fn catch(signals: &[i32]) -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        let mut caught = Self { reader, writer: writer.into_raw_fd(), caught: Vec::new() };
        WRITER.store(caught.writer, Ordering::SeqCst);
        for &signal in signals {
            if action(signal)? != libc::SIG_IGN {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = note;
                set_action(signal, handler as libc::sighandler_t)?;
                caught.caught.push(signal);
            }
        }
        Ok(caught)
    }

    /// Waits for the next signal; none after [`Self::close`].
    pub fn wait(&self) -> Option<Caught> {
        let mut bytes = [0; 2];
        (&self.reader).read_exact(&mut bytes).ok()?;
        Some(Caught { signal: bytes[0].into(), by_kernel: bytes[1] == 1 })
    }

    /// The next signal, if one came already.
    pub fn pending(&self) -> Option<Caught> {
        self.reader.set_nonblocking(true).ok()?;
        let next = self.wait();
        self.reader.set_nonblocking(false).ok()?;
        next
    }

    /// Ends every [`Self::wait`], now and later.
    pub fn close(&self) {
        // It cannot fail: the socket is connected.
        let _ = self.reader.shutdown(Shutdown::Read);
    }

    /// Lets the signals act again as the system has it, unless somebody else catches them by now.
    pub fn let_go(&self) {
        if WRITER.compare_exchange(self.writer, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            for &signal in &self.caught {
                let _ = set_action(signal, libc::SIG_DFL);
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Lets this process wait for its children, even where whoever started it ignores the end of theirs: the kernel would then forget how
/// they ended.
///
/// # Errors
/// The system's.
pub fn keep_children() -> io::Result<()> {
    if action(libc::SIGCHLD)? == libc::SIG_IGN { set_action(libc::SIGCHLD, libc::SIG_DFL) } else { Ok(()) }
}

/// Where the handler writes.
static WRITER: AtomicI32 = AtomicI32::new(NONE);
const NONE: c_int = -1;

extern "C" fn note(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let writer = WRITER.load(Ordering::SeqCst);
    // SAFETY: with SA_SIGINFO, the kernel passes a pointer to a structure that is valid in the handler.
    let by_kernel = unsafe { is_by_kernel(&*info) };
    let bytes = [u8::try_from(signal).unwrap_or(0), u8::from(by_kernel)];
    // SAFETY: errno is this thread's own; write may be called in a handler, reads two bytes of this frame, and takes any number for
    // a descriptor. What was interrupted must not see its errno.
    unsafe {
        let errno = errno();
        let before = *errno;
        libc::write(writer, bytes.as_ptr().cast(), bytes.len());
        *errno = before;
    }
}

#[cfg(target_os = "linux")]
fn is_by_kernel(info: &siginfo_t) -> bool {
    info.si_code == libc::SI_KERNEL
}

/// Others than Linux leave the code empty and name no process.
#[cfg(not(target_os = "linux"))]
fn is_by_kernel(info: &siginfo_t) -> bool {
    // SAFETY: the field is there for every signal on these systems.
    unsafe { info.si_pid() == 0 }
}

#[cfg(target_os = "linux")]
unsafe fn errno() -> *mut c_int {
    // SAFETY: it gives the address of a variable of this thread.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
unsafe fn errno() -> *mut c_int {
    // SAFETY: it gives the address of a variable of this thread.
    unsafe { libc::__error() }
}

fn action(signal: c_int) -> io::Result<libc::sighandler_t> {
    // SAFETY: zeros are a valid structure, which the call fills.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is changed; the pointer is to a structure of this frame.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } {
        0 => Ok(action.sa_sigaction),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `handler` is `SIG_DFL` or [`note`].
fn set_action(signal: c_int, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: zeros are a valid structure.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
    // SAFETY: the mask is in a structure of this frame. The handler only does what one may do.
    let result = unsafe {
        libc::sigfillset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: there is one handler in a process.
    #[test]
    fn signals_are_kept_with_their_origin_until_somebody_lets_go() {
        let raise = || {
            // SAFETY: the signal is caught.
            assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
        };
        let first = Signals::catch(&[libc::SIGUSR1, libc::SIGALRM]).unwrap();
        assert_eq!(first.pending(), None);
        raise();
        assert_eq!(first.wait(), Some(Caught { signal: libc::SIGUSR1, by_kernel: false }));
        // SAFETY: the signal is caught.
        unsafe { libc::alarm(1) };
        assert_eq!(
            first.wait(),
            Some(Caught { signal: libc::SIGALRM, by_kernel: cfg!(target_os = "linux") })
        );

        let second = Signals::catch(&[libc::SIGUSR1]).unwrap();
        drop(first);
        raise();
        assert_eq!(
            second.pending().map(|caught| caught.signal),
            Some(libc::SIGUSR1),
            "who caught last has it"
        );
        second.close();
        assert_eq!(second.wait(), None);
        second.let_go();
        assert_eq!(action(libc::SIGUSR1).unwrap(), libc::SIG_DFL);

        // SAFETY: ignoring a signal runs nothing.
        unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
        let third = Signals::catch(&[libc::SIGUSR1]).unwrap();
        raise();
        assert_eq!(third.pending(), None, "what was ignored stays so");

        // SAFETY: ignoring a signal runs nothing.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        keep_children().unwrap();
        assert_eq!(action(libc::SIGCHLD).unwrap(), libc::SIG_DFL);
    }
}
