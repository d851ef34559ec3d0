//! A folder with a vault that a machine key opens, and ways to run the program in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) struct World {
    folder: tempfile::TempDir,
}

/// What a run left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl World {
    /// An empty folder that is its own home.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With a vault, and its key in `key`.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        let made = world.bare().args(["init", "--machine"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(world.path("key"), made.stdout).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn vault(&self) -> Vec<u8> {
        fs::read(self.path("secrets.vault")).unwrap()
    }

    /// The program without anything to unlock with, and nobody to ask.
    pub(crate) fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vault"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path().join("home"))
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("USER", "tester")
            .arg("--no-input")
            .stdin(Stdio::null());
        command
    }

    /// The program with the machine key, started by another one.
    pub(crate) fn command_under(&self, starter: &str, arguments: &[&str]) -> Command {
        let ours = self.command();
        let mut command = Command::new(starter);
        command
            .args(arguments)
            .arg(ours.get_program())
            .args(ours.get_args())
            .env_clear()
            .stdin(Stdio::null());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.root());
        command
    }

    /// The program with the machine key.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.bare();
        command.env("VAULT_MACHINE_KEY_FILE", self.path("key"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command().args(arguments).output().unwrap().into()
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        fed(self.command().args(arguments), input)
    }

    /// Runs what has to succeed, and gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        ran.expect(0);
        ran.text()
    }

    /// Stores a value.
    pub(crate) fn set(&self, name: &str, value: &[u8]) {
        self.run_with(&["set", "--raw", name], value).expect(0);
    }

    /// An entry that was changed on both sides of a merge: "ours" stands in it.
    pub(crate) fn set_in_conflict(&self, name: &str) {
        self.set(name, b"base");
        fs::copy(self.path("secrets.vault"), self.path("theirs")).unwrap();
        self.set(name, b"our value");
        self.run_with(&["-f", "theirs", "set", name], b"their value").expect(0);
        self.run(&["merge", "secrets.vault", "theirs", "-o", "merged"]).expect(7);
        fs::rename(self.path("merged"), self.path("secrets.vault")).unwrap();
    }

    /// Reads a value.
    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        let ran = self.run(&["get", name]);
        ran.expect(0);
        ran.stdout
    }

    pub(crate) fn generation(&self) -> u64 {
        let status = self.ok(&["status"]);
        let line = status.lines().find_map(|line| line.strip_prefix("generation: ")).unwrap();
        line.split(',').next().unwrap().parse().unwrap()
    }
}

/// Runs a command with standard input.
pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without reading, which is no failure of the test.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Fails unless it ended so.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }

    /// Fails unless it ended so and said this.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, said: &str) -> &Self {
        self.expect(code);
        assert!(self.stderr.starts_with("vault: error: "), "{}", self.stderr);
        assert!(self.stderr.contains(said), "{}", self.stderr);
        assert!(self.stdout.is_empty(), "{}", self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
