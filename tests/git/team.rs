//! A repository with a vault, used as people use it: the real program, real git, with the key or without. What either prints
//! is searched for every value that was stored; only `get` may print one.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::readme::vault_folder;

pub(super) struct Team {
    root: tempfile::TempDir,
    values: RefCell<Vec<String>>,
}

/// A work tree, and whether who works in it has the key.
#[derive(Clone)]
pub(super) struct Desk<'t> {
    pub(super) team: &'t Team,
    pub(super) folder: PathBuf,
    /// The variable and the file that it names, if there is such a file; nothing for somebody who cannot open the vault, nor reaches
    /// the agent.
    key: Option<(&'static str, &'static str)>,
}

/// What a command left.
pub(super) struct Ran {
    pub(super) code: i32,
    /// Both streams.
    pub(super) said: String,
    pub(super) stdout: Vec<u8>,
}

impl Ran {
    #[track_caller]
    pub(super) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.said);
        self
    }

    #[track_caller]
    pub(super) fn says(self, words: &str) -> Self {
        assert!(self.said.contains(words), "{:?} is not in: {}", words, self.said);
        self
    }
}

impl Team {
    /// A repository with a vault of some entries, set up, its first commit made.
    pub(super) fn new() -> Self {
        Self::bare().begun()
    }

    /// The same with a vault for an age identity, which stays what opens it when the master key is rotated.
    pub(super) fn with_identity() -> Self {
        let team = Self::empty();
        let recipient = team.age_identity(AGE);
        team.desk().vault(&["init", "--age", &recipient]).ends(0);
        team.begun()
    }

    /// The same with a vault for a passphrase, which an agent holds: nothing else has a key.
    pub(super) fn with_agent() -> Self {
        let team = Self::empty();
        std::fs::create_dir(team.path(RUNTIME)).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(team.path(RUNTIME), private).unwrap();
        std::fs::write(team.path("passphrase"), "correct horse battery staple 9931").unwrap();
        team.desk().vault(&["init", "--kdf-memory", "19MiB", "--passphrase-file", "../passphrase"]).ends(0);
        team.unlock();
        team.begun()
    }

    /// Has the agent hold the vault.
    pub(super) fn unlock(&self) {
        self.desk().vault(&["unlock", "--passphrase-file", "../passphrase"]).ends(0);
    }

    fn begun(self) -> Self {
        let team = self;
        let desk = team.desk();
        desk.vault(&["git", "setup", "--yes", "--no-hook"]).ends(0);
        for number in 0..6 {
            desk.set(&format!("entry/{number}"), &format!("first-value-{number}"));
        }
        desk.commit("first");
        team
    }

    /// With a vault, and nothing set up or committed.
    pub(super) fn bare() -> Self {
        let team = Self::empty();
        // It is not scanned: it prints the key.
        let made = team.desk().run(&program(), &["init", "--machine"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(team.path("key"), made.stdout).unwrap();
        team
    }

    /// A repository with nothing in it.
    fn empty() -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let team = Self { root: root.unwrap(), values: RefCell::default() };
        let desk = team.desk();
        std::fs::create_dir(&desk.folder).unwrap();
        std::fs::create_dir(team.path("home")).unwrap();
        desk.git(&["init", "-q", "--template=", "-b", "main"]).ends(0);
        team
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The first work tree.
    pub(super) fn desk(&self) -> Desk<'_> {
        self.desk_at("work")
    }

    pub(super) fn desk_at(&self, folder: &str) -> Desk<'_> {
        let key = if self.path(AGE).exists() { ("VAULT_IDENTITY_FILE", AGE) } else { MACHINE };
        Desk { team: self, folder: self.path(folder), key: Some(key) }
    }

    /// A new age identity in this file; its recipient.
    pub(super) fn age_identity(&self, file: &str) -> String {
        let keygen = |arguments: &[&str]| {
            let output = Command::new("age-keygen").args(arguments).arg(self.path(file)).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        keygen(&["-o"]);
        keygen(&["-y"])
    }
}

/// What is said of a state that is older than one that was seen.
pub(super) const OLDER: &str = "seen here (generation";
const MACHINE: (&str, &str) = ("VAULT_MACHINE_KEY_FILE", "key");
const AGE: &str = "age.key";
const RUNTIME: &str = "run";

impl Drop for Team {
    fn drop(&mut self) {
        if self.path(RUNTIME).exists() {
            // Nothing is to be learned from it when a test fails.
            let _ = self.desk().run(&program(), &["agent", "stop"]);
        }
    }
}

fn program() -> PathBuf {
    vault_folder().expect("the vault program is not built: cargo build --workspace --bins").join("vault")
}

impl Desk<'_> {
    /// The same place, of somebody who cannot open the vault.
    pub(super) fn locked(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// The same place, of somebody with the age identity in this file.
    pub(super) fn of(&self, file: &'static str) -> Self {
        Self { key: Some(("VAULT_IDENTITY_FILE", file)), ..self.clone() }
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        // Without a terminal to ask at, also where the tests have one.
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(program).args(arguments).current_dir(&self.folder).env_clear();
        let programs = vault_folder().unwrap();
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()));
        command.env("HOME", self.team.path("home")).env("USER", "tester").env("LC_ALL", "C.UTF-8");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "tester").env(format!("GIT_{who}_EMAIL"), "t@example.org");
        }
        command.env("GIT_EDITOR", "true").env("GIT_MERGE_AUTOEDIT", "no");
        if let Some((variable, file)) = self.key.filter(|(_, file)| self.team.path(file).exists()) {
            command.env(variable, self.team.path(file));
        }
        if self.key.is_some() && self.team.path(RUNTIME).exists() {
            command.env("XDG_RUNTIME_DIR", self.team.path(RUNTIME));
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn scanned(&self, arguments: &[&str], output: Output) -> Ran {
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        for value in &*self.team.values.borrow() {
            assert!(!said.contains(value), "{arguments:?} printed {value}: {said}");
        }
        Ran { code: output.status.code().unwrap_or(-1), said, stdout: output.stdout }
    }

    pub(super) fn git(&self, arguments: &[&str]) -> Ran {
        self.scanned(arguments, self.run(Path::new("git"), arguments))
    }

    /// The program under another one.
    pub(super) fn vault_under(&self, wrapper: &[&str], arguments: &[&str]) -> Ran {
        let program = program();
        let all = [&wrapper[1..], &[program.to_str().unwrap()], arguments].concat();
        self.scanned(arguments, self.run(Path::new(wrapper[0]), &all))
    }

    pub(super) fn vault(&self, arguments: &[&str]) -> Ran {
        self.scanned(arguments, self.run(&program(), arguments))
    }

    /// The framework for hooks that tests/setup.sh installs.
    pub(super) fn framework(&self, arguments: &[&str]) -> Ran {
        let program = crate::documents::root().join("target/hooks-python/bin/pre-commit");
        assert!(program.exists(), "there is no pre-commit: run tests/setup.sh");
        self.scanned(arguments, self.run(&program, arguments))
    }

    /// Stores a value, which no output may have in it from now on.
    pub(super) fn set(&self, name: &str, value: &str) {
        self.set_with(name, value, &[]);
    }

    pub(super) fn set_with(&self, name: &str, value: &str, options: &[&str]) {
        self.team.values.borrow_mut().push(value.to_owned());
        let file = self.team.path("value");
        std::fs::write(&file, value).unwrap();
        let file = file.to_string_lossy();
        self.vault(&[&["set", name, "--secret-file", &*file], options].concat()).ends(0);
    }

    pub(super) fn get(&self, name: &str) -> String {
        self.value(&["get", name])
    }

    /// What a command that may print a value prints.
    pub(super) fn value(&self, arguments: &[&str]) -> String {
        let output = self.run(&program(), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn commit(&self, message: &str) {
        self.git(&["add", "-A"]).ends(0);
        self.git(&["commit", "-q", "-m", message]).ends(0);
    }

    /// One change, committed.
    pub(super) fn save(&self, name: &str, value: &str) {
        self.save_with(name, value, &[]);
    }

    /// One change, made with these options, committed.
    pub(super) fn save_with(&self, name: &str, value: &str, options: &[&str]) {
        self.set_with(name, value, options);
        self.commit(&format!("change {name}"));
    }

    /// `side` with this change, and `main` as it was, which is checked out.
    pub(super) fn on_side(&self, change: &dyn Fn()) {
        self.git(&["checkout", "-q", "-B", "side", "main"]).ends(0);
        change();
        self.commit("there");
        self.git(&["checkout", "-q", "main"]).ends(0);
    }

    /// `side` and `main` with a commit each, `main` checked out. Both set values of their own.
    pub(super) fn parted(&self, ours: &str, theirs: &str) {
        self.on_side(&|| self.set(theirs, &format!("side-value-of-{theirs}")));
        self.save(ours, &format!("main-value-of-{ours}"));
    }

    /// The commit that is checked out.
    pub(super) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).said.trim().to_owned()
    }

    /// Everything verifies, and the vault is not in conflict.
    pub(super) fn is_good(&self) {
        self.vault(&["check"]).ends(0).says("everything verifies");
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }
}
