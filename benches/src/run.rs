//! Runs programs and says what they cost: the whole process, from before the fork until it was waited for.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4;

/// What a run cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// On the wall's clock.
    pub wall: Duration,
    /// The largest memory in use, in bytes. Not less than this program's own, which a child starts as.
    pub memory: u64,
}

/// A program that did not do what it should: its measurement would mean nothing.
#[derive(Debug)]
pub struct Failed(pub String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A command without the environment of whoever measures, and silent.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", "/nonexistent").env("USER", "bench");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs it once.
///
/// # Errors
/// [`Failed`] if it cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result<Cost, Failed> {
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| Failed(format!("{command:?}: {error}")))?;
    let used = child.wait4()?;
    let wall = start.elapsed();
    if !used.status.success() {
        return Err(Failed(format!("{command:?}: {}", used.status)));
    }
    Ok(Cost { wall, memory: used.rusage.maxrss })
}

/// Runs it with a file as its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &Path) -> Result<Cost, Failed> {
    run(command.stdin(File::open(input)?))
}

/// Runs `first | second`, until both have ended.
///
/// # Errors
/// As [`run`].
pub fn run_piped(first: &mut Command, second: &mut Command) -> Result<Cost, Failed> {
    let start = Instant::now();
    let mut one = first.stdout(Stdio::piped()).spawn()?;
    let between = one.stdout.take().ok_or_else(|| Failed("no pipe".to_owned()))?;
    let mut two = second.stdin(between).spawn()?;
    // Else this program would keep the pipe's end open.
    second.stdin(Stdio::null());
    let (used, other) = (two.wait4()?, one.wait4()?);
    let wall = start.elapsed();
    if !used.status.success() || !other.status.success() {
        return Err(Failed(format!("{first:?} | {second:?}: {}, {}", other.status, used.status)));
    }
    Ok(Cost { wall, memory: used.rusage.maxrss.max(other.rusage.maxrss) })
}
