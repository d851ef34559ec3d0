//! Unlocking from outside: real git, real container and service secrets, real pinentry, and what the documents show.

mod asking;
mod fifos;
mod pins;
mod recipes;
mod sources;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::readme::vault_folder;

/// A folder with a home in it, and the programs to run there.
struct World {
    folder: tempfile::TempDir,
}

/// What a run left.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(world.path("home")).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program with nothing of the machine's environment. It has no terminal: `setsid` takes that away.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setsid");
        command.args(["--wait", program]).current_dir(self.folder.path()).stdin(Stdio::null()).env_clear();
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        let programs = vault_folder().expect("the vault program is built: cargo build --workspace --bins");
        command
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()))
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            .env("LC_ALL", "C.UTF-8")
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.org")])
            .envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.org")])
            .envs([("GIT_EDITOR", "true"), ("GIT_MERGE_AUTOEDIT", "no")]);
    }

    fn vault(&self, arguments: &[&str]) -> Ran {
        self.command("vault").args(arguments).output().unwrap().into()
    }

    fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let ran: Ran = self.command(program).args(arguments).output().unwrap().into();
        ran.expect(0);
        ran.stdout
    }
}

fn fed(command: &mut Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who refuses may be gone before it has read.
    match child.stdin.take().unwrap().write_all(input) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => panic!("{error}"),
        _ => {}
    }
    child.wait_with_output().unwrap().into()
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(&self, code: i32, said: &str) -> &Self {
        self.expect(code);
        assert!(self.stderr.contains(said), "{}", self.stderr);
        self
    }

    /// Succeeds without a word.
    #[track_caller]
    fn quiet(&self) -> &Self {
        self.expect(0);
        assert_eq!(self.stderr, "");
        self
    }
}

/// An age identity from age-keygen, in this file; its recipient.
fn age_identity(world: &World, name: &str) -> String {
    let path = world.path(name);
    world.ok("age-keygen", &["-o", path.to_str().unwrap()]);
    world.ok("age-keygen", &["-y", path.to_str().unwrap()]).trim().to_owned()
}

/// What `status` shows behind this word.
fn status(ran: &Ran, word: &str) -> String {
    let found = ran.stdout.lines().find_map(|line| line.strip_prefix(word));
    found.unwrap_or_else(|| panic!("no {word:?} in {}", ran.stdout)).to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}
