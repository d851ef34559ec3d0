//! Doors for other programs, opened by those programs: Python's keyring and its own tests, pip, uv, twine, poetry.
//!
//! tests/setup.sh installs them. The tests themselves are in Python, in tests/doors; here is the world that they run in.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::documents::root;

/// A home with a vault of its own, and our package installed beside the clients.
struct World {
    folder: tempfile::TempDir,
    python: PathBuf,
    has_agent: bool,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let python = root().join("target/doors-python/bin/python");
        assert!(python.is_file(), "run tests/setup.sh: {} is not there", python.display());
        let world = Self { folder, python, has_agent: false };
        let made = world.command(program()).args(["init", "--machine"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(world.path("key"), made.stdout).unwrap();
        let site = world.path("site");
        let installed = Command::new(&world.python)
            .arg(root().join("tests/doors/install.py"))
            .args([&site, &program()])
            .output()
            .unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        world
    }

    /// With an agent that holds the vault. Nothing else opens it: its key is in no variable that the doors know.
    fn with_agent() -> Self {
        let mut world = Self::new();
        std::fs::DirBuilder::new().mode(0o700).create(world.path("run")).unwrap();
        let unlocked = world.command(program()).arg("unlock").output().unwrap();
        assert!(unlocked.status.success(), "{}", text(&unlocked));
        world.has_agent = true;
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("VAULT_FILE", self.path("v.vault"))
            .env(if self.has_agent { "DOORS_KEY_FILE" } else { "VAULT_MACHINE_KEY_FILE" }, self.path("key"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONPATH", self.path("site"))
            .env("PYTHON_KEYRING_BACKEND", "vault_keyring.Keyring")
            .env("KEYRING_PROPERTY_PROGRAM", self.path("site/bin/vault"))
            .env("DOORS_POETRY", root().join("target/doors-poetry/bin/poetry"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs files of tests/doors. "-k" and what follows it say which of their tests.
    fn tests(&self, arguments: &[&str]) {
        self.pytest(self.command(&self.python), arguments, &root().join("tests/doors"));
    }

    fn pytest(&self, mut command: Command, arguments: &[&str], folder: &Path) {
        command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).args(arguments).current_dir(folder);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(!text(&output).contains(" skipped"), "{}", text(&output));
    }

    /// keyring's own, from its package. They are marked as failing now and then on Linux; with this backend they may not.
    fn tests_of_keyring(&self) {
        let folder = root().join("target/doors-python/keyring-sdist");
        let tests = ["--runxfail", "tests/test_integration.py", "tests/test_multiprocess.py"];
        self.pytest(self.command(&self.python), &tests, &folder);
    }

    /// Eight processes, and so many turns each.
    fn parallel(&self, turns: &str) {
        let mut command = self.command(&self.python);
        command.env("DOORS_TURNS", turns);
        self.pytest(command, &["test_parallel.py"], &root().join("tests/doors"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.has_agent {
            let _ = self.command(program()).args(["agent", "stop"]).output();
        }
    }
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("vault")
}

#[test]
fn the_backend_passes_keyring_s_own_tests_and_ours() {
    World::new().tests(&["test_backend.py"]);
}

#[test]
fn the_backend_passes_them_through_an_agent() {
    // A vault in conflict is another vault: test_agent.py has it.
    World::with_agent().tests(&["test_backend.py", "-k", "not in_conflict"]);
}

#[test]
fn the_backend_and_the_command_go_through_an_agent() {
    World::new().tests(&["test_agent.py"]);
}

#[test]
fn keyring_s_tests_of_imports_and_processes_pass_with_our_backend() {
    World::new().tests_of_keyring();
}

#[test]
fn keyring_s_tests_of_imports_and_processes_pass_through_an_agent() {
    World::with_agent().tests_of_keyring();
}

#[test]
fn the_command_answers_as_python_s_does() {
    World::new().tests(&["test_command.py"]);
}

#[test]
fn the_command_answers_as_python_s_does_through_an_agent() {
    World::with_agent().tests(&["test_command.py", "-k", "same_bytes or url or no_text"]);
}

#[test]
fn pip_uv_twine_and_poetry_find_their_passwords_and_keep_them_in_the_vault() {
    World::new().tests(&["test_clients.py"]);
}

#[test]
fn pip_uv_twine_and_poetry_find_their_passwords_through_an_agent() {
    World::with_agent().tests(&["test_clients.py", "-k", "not locked"]);
}

#[test]
fn the_snippets_of_the_keyring_page_run() {
    World::new().tests(&["test_page.py"]);
}

#[test]
fn passwords_move_from_other_keyrings_into_the_vault() {
    World::new().tests(&["test_migration.py"]);
}

#[test]
fn eight_processes_lose_no_password() {
    World::new().parallel("200");
}

#[test]
fn eight_processes_lose_no_password_through_an_agent() {
    World::with_agent().parallel("200");
}
