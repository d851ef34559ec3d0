//! What a login needs: who a user is, a program run as that user with a password on its input, and a line in the system's log.

use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vault_core::secret::Secret;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// The name.
    pub(crate) name: String,
    user: u32,
    group: u32,
    /// The home.
    pub(crate) home: PathBuf,
}

/// The user of this name: as the system's databases have it, whatever they are.
pub(crate) fn account(name: &str) -> Option<Account> {
    // It stands alone on a line of five colons, and comes from outside.
    if name.is_empty() || name.starts_with('-') || name.contains([':', '/', '\n', '\0']) {
        return None;
    }
    let found =
        Command::new("/usr/bin/getent").env_clear().args(["passwd", name]).stdin(Stdio::null()).output();
    let table = match found {
        Ok(found) if found.status.success() => String::from_utf8(found.stdout).ok()?,
        Ok(_) => return None,
        Err(_) => std::fs::read_to_string("/etc/passwd").ok()?,
    };
    table.lines().find_map(|line| parsed(line, name))
}

fn parsed(line: &str, name: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    match fields[..] {
        [found, _, user, group, _, home, _] if found == name && home.starts_with('/') => Some(Account {
            name: name.to_owned(),
            user: user.parse().ok()?,
            group: group.parse().ok()?,
            home: home.into(),
        }),
        _ => None,
    }
}

/// Runs a program as a user, with nothing of this process's environment, and gives its exit code and the first line that it said.
///
/// # Errors
/// Why it did not come to an end.
pub(crate) fn run_as(
    account: &Account,
    program: &Path,
    arguments: &[&std::ffi::OsStr],
    input: &Secret,
) -> Result<(i32, String), String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/");
    command
        .env("HOME", &account.home)
        .env("USER", &account.name)
        .env("LOGNAME", &account.name)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let runtime = PathBuf::from(format!("/run/user/{}", account.user));
    if runtime.is_dir() {
        command.env("XDG_RUNTIME_DIR", runtime);
    }
    // Groups go, too: with a user id and without a list of groups, there are none.
    if rustix::process::geteuid().is_root() {
        command.gid(account.group).uid(account.user);
    } else if rustix::process::geteuid().as_raw() != account.user {
        return Err("this process is neither root's nor that user's".to_owned());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not want it says so by its exit code. So little fits into a pipe.
        let _ = stdin.write_all(input.expose());
    }
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("it took too long".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        // What it left running may hold the pipe open: only what is there is read.
        if rustix::fs::fcntl_setfl(&stderr, rustix::fs::OFlags::NONBLOCK).is_ok() {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut chunk) {
                said.extend_from_slice(&chunk[..count]);
            }
        }
    }
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default();
    let line = line.strip_prefix("vault: error: ").unwrap_or(line);
    Ok((status.code().unwrap_or(128), line.to_owned()))
}

/// Writes a line to the system's log, for what has to do with logins, and to standard error.
pub(crate) fn log(text: &str) {
    const AUTHPRIV_INFO: u8 = 10 * 8 + 6;
    let line = format!("<{AUTHPRIV_INFO}>vault[{}]: {text}", std::process::id());
    // There may be no such log, as in a container.
    let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(line.as_bytes(), "/dev/log"));
    let _ = writeln!(std::io::stderr().lock(), "vault: {text}");
}

/// A login waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_names_and_nothing_else_is() {
        let root = account("root").unwrap();
        assert_eq!((root.user, root.group), (0, 0));
        for name in ["", "-x", "root:x", "no such user", "0", "/etc/passwd", "a\nroot"] {
            assert_eq!(account(name), None, "{name}");
        }
        assert_eq!(parsed("a:x:1:2:::/bin/sh", "a"), None, "a home is needed");
        assert!(parsed("a:x:1:2::/h:", "a").is_some());
    }
}
