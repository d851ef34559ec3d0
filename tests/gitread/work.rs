//! A folder with a vault that is also a git work tree, with nothing of the machine's configuration.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::crash::program::{Home, Run, program};

pub(crate) struct Work {
    pub(crate) home: Home,
}

impl Work {
    /// With a vault in the first commit.
    pub(crate) fn new() -> Self {
        let work = Self { home: Home::empty() };
        work.git(["init", "-q", "--template=", "-b", "main"]).ok();
        let made = work.home.vault(["init", "--machine", "--pages", "256"]).ok();
        std::fs::write(work.home.key(), &made.stdout).unwrap();
        work.commit("first");
        work
    }

    /// Git, with the program's folder first in the path, for hooks and drivers.
    pub(crate) fn git<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut path = OsString::from(program().parent().unwrap());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut run = self.home.program("git", arguments).env("PATH", path);
        for who in ["AUTHOR", "COMMITTER"] {
            run = run
                .env(&format!("GIT_{who}_NAME"), "tester")
                .env(&format!("GIT_{who}_EMAIL"), "t@example.org");
        }
        run.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_EDITOR", "true")
    }

    /// Adds everything, and commits.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(["add", "-A"]).ok();
        self.git(["commit", "-q", "--allow-empty", "-m", message]).ok();
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        self.git(["rev-parse", "HEAD"]).ok().text().trim().to_owned()
    }

    pub(crate) fn vault<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.home.vault(arguments)
    }

    /// The lines that a command prints.
    pub(crate) fn lines<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Vec<String> {
        self.vault(arguments).ok().lines().into_iter().map(str::to_owned).collect()
    }

    /// Stores a value, and commits.
    pub(crate) fn set(&self, name: &str, value: &str) -> String {
        self.home.set(name, value);
        self.commit(&format!("set {name}"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.work().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
