//! Processes that live on by themselves.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};

use crate::context::SECRET_VARIABLES;

/// Starts this program as an agent, and gives the first line that it says.
///
/// # Errors
/// The system's.
pub(crate) fn start() -> std::io::Result<String> {
    // A descriptor that somebody waits on, such as that of a lock or a pipe, must not live as long as the agent.
    vault_sys::close_on_exec_from(3)?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["agent", "--detached"]).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    for variable in SECRET_VARIABLES {
        command.env_remove(variable);
    }
    // One arena: threads come and go, and each other one would keep memory.
    command.env("MALLOC_ARENA_MAX", "1");
    let mut child = command.spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.is_empty() {
        // It ended: nobody else would bury it.
        child.wait()?;
    }
    Ok(line.trim_end().to_owned())
}

/// A session of its own, without a terminal.
pub(crate) fn leave_session() {
    // Refused only to the leader of a group, which has no need of it.
    let _ = rustix::process::setsid();
}

/// Says a line to whoever started this process, and lets go of the streams that it gave.
///
/// # Errors
/// The system's.
pub(crate) fn say_and_let_go(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    // Whoever started it may be gone by now.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
