//! A git repository of its own, in memory where there is room, with nothing of the machine's configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use super::model::State;

/// The vault's path in every repository.
pub(super) const VAULT: &str = "secrets.vault";

pub(super) struct Repo {
    dir: tempfile::TempDir,
    driver: Option<Driver>,
}

/// The program is git's merge driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// It is given the key.
    Keyed,
    /// An agent holds the vault.
    Held,
}

impl Repo {
    /// A repository with the vault and its `.gitattributes` in the first commit of `main`.
    pub(super) fn new(first: &State) -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let repo = Self { dir: dir.unwrap(), driver: None };
        repo.ok(&["init", "-q", "--template=", "-b", "main"]);
        std::fs::write(repo.dir.path().join(".gitattributes"), format!("{VAULT} text eol=lf\n")).unwrap();
        repo.write(&first.text);
        repo.ok(&["add", "."]);
        repo.ok(&["commit", "-q", "-m", "first"]);
        repo
    }

    /// The same, with the program as git's merge driver, which unlocks with this identity, or leaves it to an agent that did.
    pub(super) fn with_driver(first: &State, identity: &[u8], driver: Driver) -> Self {
        let mut repo = Self::new(first);
        repo.driver = Some(driver);
        std::fs::write(repo.path(".git/identity"), identity).unwrap();
        std::fs::create_dir_all(repo.path(".git/info")).unwrap();
        std::fs::write(repo.path(".git/info/attributes"), format!("{VAULT} merge=vault\n")).unwrap();
        repo.ok(&["config", "merge.vault.driver", "vault merge --driver %P %O %A %B"]);
        repo.ok(&["config", "merge.vault.recursive", "binary"]);
        if driver == Driver::Held {
            std::fs::create_dir(repo.path(".git/run")).unwrap();
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(repo.path(".git/run"), private).unwrap();
            let mut unlock = repo.command("vault");
            unlock.arg("unlock").env("VAULT_IDENTITY_FILE", repo.path(".git/identity"));
            let output = unlock.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        repo
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        // What the driver remembers of the vault is no file of the repository's.
        command.current_dir(self.dir.path()).env("HOME", self.path(".git"));
        if let Some(driver) = self.driver {
            let programs = crate::readme::vault_folder().expect("the vault program is built");
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", programs.display()));
            match driver {
                Driver::Keyed => command.env("VAULT_IDENTITY_FILE", self.path(".git/identity")),
                Driver::Held => command.env("XDG_RUNTIME_DIR", self.path(".git/run")),
            };
        }
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.run_with(&[], args)
    }

    pub(super) fn run_with(&self, config: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = self.command("git");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("LC_ALL", "C");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "tester").env(format!("GIT_{who}_EMAIL"), "t@example.org");
        }
        command.env("GIT_EDITOR", "true").env("GIT_MERGE_AUTOEDIT", "no");
        let usual = [("gc.auto", "0"), ("maintenance.auto", "false"), ("core.fsync", "none")];
        for (key, value) in usual.iter().chain(config) {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        command.args(args).output().unwrap()
    }

    /// A command that must succeed; its output.
    pub(super) fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.run(args);
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, text: &[u8]) {
        std::fs::write(self.dir.path().join(VAULT), text).unwrap();
    }

    pub(super) fn read(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join(VAULT)).unwrap()
    }

    pub(super) fn commit(&self, text: &[u8]) {
        self.write(text);
        self.ok(&["commit", "-q", "--allow-empty", "-a", "-m", "change"]);
    }

    /// The vault in a stage of the index: 1 the base, 2 ours, 3 theirs.
    pub(super) fn stage(&self, stage: u8) -> Option<Vec<u8>> {
        let output = self.run(&["show", &format!(":{stage}:{VAULT}")]);
        output.status.success().then_some(output.stdout)
    }

    pub(super) fn in_conflict(&self) -> bool {
        !self.ok(&["ls-files", "-u"]).is_empty()
    }

    /// The vault as it was in a commit.
    pub(super) fn at(&self, commit: &str) -> Arc<Vec<u8>> {
        Arc::new(self.ok(&["show", &format!("{commit}:{VAULT}")]))
    }

    pub(super) fn head(&self) -> String {
        String::from_utf8(self.ok(&["rev-parse", "HEAD"])).unwrap().trim().to_owned()
    }
}

impl Drop for Repo {
    fn drop(&mut self) {
        if self.driver == Some(Driver::Held) {
            // Nothing is to be learned from it when a test fails.
            let _ = self.command("vault").args(["agent", "stop", "--quiet"]).status();
        }
    }
}
