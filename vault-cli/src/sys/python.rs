//! The user's own Python: it reads what only Python's libraries can read.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::context::SECRET_VARIABLES;

/// A script that is running, with a pipe in each direction. It is ended with this value.
pub(crate) struct Python {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    /// How long it may say nothing.
    patience: Option<Duration>,
}

impl Python {
    /// Starts a script. Its words for a person go where this program's go.
    ///
    /// # Errors
    /// Why Python does not start.
    pub(crate) fn start(program: &OsStr, script: &str, patience: Option<Duration>) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        for name in SECRET_VARIABLES {
            command.env_remove(name);
        }
        let mut child = command.spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { child, to, from, patience })
    }
}

impl Read for Python {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if let Some(patience) = self.patience {
            let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
            let mut ready = [PollFd::new(&self.from, PollFlags::IN)];
            if poll(&mut ready, Some(&patience))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.from.read(bytes)
    }
}

impl Write for Python {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It has nothing to finish: every request was answered, or nobody waits for the answer.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_says_nothing_is_not_waited_for() {
        let mut python = Python::start(
            OsStr::new("python3"),
            "import time; time.sleep(600)",
            Some(Duration::from_millis(200)),
        )
        .unwrap();
        let error = python.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn both_pipes_work_and_secrets_in_variables_stay_here() {
        let script =
            "import os, sys\nsys.stdout.write(sys.stdin.readline() + str('VAULT_PASSPHRASE' in os.environ))";
        let mut python = Python::start(OsStr::new("python3"), script, None).unwrap();
        python.write_all(b"there and back\n").unwrap();
        let mut said = String::new();
        python.read_to_string(&mut said).unwrap();
        assert_eq!(said, "there and back\nFalse");
    }
}
