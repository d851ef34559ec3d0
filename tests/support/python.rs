//! The reader and the writer in Python, as child processes. A missing interpreter is a failure, never a skipped test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value as Json, json};

/// Names another interpreter than the one that tests/setup.sh makes.
pub const VARIABLE: &str = "VAULT_TEST_PYTHON";

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_path_buf()
}

/// A process that reads vaults, one request a line: starting Python costs more than reading a small vault.
pub struct Reader {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What opens a vault: files, as both readers take them.
#[derive(Clone, Copy)]
pub enum Opener<'a> {
    /// An age identity.
    Identity(&'a Path),
    /// A passphrase or a recovery code.
    Passphrase(&'a Path),
    /// A machine key.
    MachineKey(&'a Path),
    /// The key of a slot of kind `keyring`.
    Keyring(&'a Path),
}

impl Reader {
    /// Starts the process.
    ///
    /// # Panics
    /// If there is no interpreter with what the reader needs.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new(interpreter())
            .arg(root().join("tests/reference/serve.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Python of tests/setup.sh starts");
        let requests = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, requests, answers }
    }

    /// What the reader in Python makes of a file: `{"outcome": "ok", "vault": …}`, or `refused` or `denied` with `why`.
    ///
    /// # Panics
    /// If the process is gone, which is what a crash of the reader looks like.
    pub fn read(&mut self, file: &Path, opener: Opener<'_>) -> Json {
        let (how, key) = match opener {
            Opener::Identity(key) => ("identity", key),
            Opener::Passphrase(key) => ("passphrase", key),
            Opener::MachineKey(key) => ("machine-key", key),
            Opener::Keyring(key) => ("keyring", key),
        };
        self.ask(&json!({ "file": file, "how": how, "key": key }))
    }

    fn ask(&mut self, request: &Json) -> Json {
        writeln!(self.requests, "{request}").expect("the reader in Python runs");
        self.requests.flush().expect("the reader in Python runs");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the reader in Python answers");
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("the reader in Python broke off at {request}: {error}"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The process ends when its input does; it is not waited for if it has died.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn interpreter() -> PathBuf {
    let path = std::env::var_os(VARIABLE)
        .map_or_else(|| root().join("target/reference-python/bin/python"), PathBuf::from);
    assert!(path.exists(), "no Python at {}: run tests/setup.sh first, or set {VARIABLE}", path.display());
    path
}
