//! The system calls of vault that safe Rust does not offer. The only crate with `unsafe`; everything public is safe to call with
//! any arguments.

mod signals;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

pub use signals::{Caught, Signals, keep_children};

/// Keeps the pages that this range touches from being swapped out, and out of core files, for as long as the process lives.
/// Nothing is read or written, so any range is sound; one that is not mapped is an error.
///
/// # Errors
/// The system's: `ENOMEM` beyond `RLIMIT_MEMLOCK`, `EPERM` where it is forbidden.
pub fn lock_memory(start: *const u8, length: usize) -> io::Result<()> {
    // SAFETY: mlock changes no memory and dereferences nothing in this process.
    if unsafe { libc::mlock(start.cast(), length) } != 0 {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sysconf reads a constant.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let inside = start.addr() % page;
        // SAFETY: DONTDUMP changes no memory: it marks pages that are left out of core files, which are forbidden in any case.
        let _ = unsafe {
            libc::madvise(start.wrapping_sub(inside).cast_mut().cast(), length + inside, libc::MADV_DONTDUMP)
        };
    }
    Ok(())
}

/// Makes this process's descriptors from `first` on end when another program is started.
///
/// # Errors
/// The system's, where neither `close_range` nor `/proc/self/fd` is there.
#[cfg(target_os = "linux")]
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes three numbers; the flag changes what happens at an exec, and closes nothing now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    // Kernels before 5.11, and sandboxes.
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(number) = number.filter(|number| i64::from(*number) >= i64::from(first)) {
            // SAFETY: as above; a descriptor that is closed by now gives an error, which is fine.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// As on Linux; elsewhere everything that std opens ends at an exec already.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn close_on_exec_from(_: u32) -> io::Result<()> {
    Ok(())
}

/// A copy of a descriptor that this process was started with, such as a socket from a supervisor. It ends with an exec.
///
/// # Errors
/// The system's, if there is no such descriptor.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes three numbers, and makes a descriptor or an error; nothing happens to the one that is copied.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made just now, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_copied_if_it_is_there() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").unwrap();
        let copy = inherited(file.as_raw_fd()).unwrap();
        assert_ne!(copy.as_raw_fd(), file.as_raw_fd());
        assert!(inherited(-1).is_err() && inherited(1_000_000).is_err());
    }

    #[test]
    fn memory_that_is_locked_is_counted_by_the_kernel() {
        let before = locked();
        let bytes = vec![1_u8; 64 << 10];
        lock_memory(bytes.as_ptr(), bytes.len()).unwrap();
        assert!(locked() >= before + 60, "KiB locked: {} after {before}", locked());
        assert!(lock_memory(std::ptr::null(), 4096).is_err(), "what is not mapped");
    }

    #[test]
    fn a_descriptor_ends_with_an_exec() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: the descriptor is open.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
        close_on_exec_from(3).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
    }

    fn locked() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
