//! systemd-creds, which encrypts a machine key to this machine.

use std::io::Write;
use std::process::{Command, Stdio};

use vault_core::secret::Secret;

use crate::context::SECRET_VARIABLES;

/// The key, encrypted as the credential of this name. The key goes through a pipe, never through an argument.
///
/// # Errors
/// Why not, in words: systemd-creds is not there, or its last line.
pub(crate) fn encrypt(name: &str, key: &Secret) -> Result<Secret, String> {
    let mut command = Command::new("systemd-creds");
    command.arg("encrypt").arg(format!("--name={name}")).args(["-", "-"]);
    for variable in SECRET_VARIABLES {
        command.env_remove(variable);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "it is not installed".to_owned(),
        _ => "it cannot be started".to_owned(),
    })?;
    // A key is shorter than a pipe. One that is not read is told by how the program ends.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(key.expose());
    }
    let ran = child.wait_with_output().map_err(|_| "it cannot be waited for".to_owned())?;
    if ran.status.success() && !ran.stdout.is_empty() {
        return Ok(Secret::new(ran.stdout));
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(said.lines().last().unwrap_or("it failed without a word").trim().to_owned())
}
