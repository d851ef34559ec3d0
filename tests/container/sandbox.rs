//! A container made with bubblewrap: its own users, processes, network and root, with the program and a vault in it.

use std::fs;

use crate::crash::program::{Home, Run, program};

use super::filter::refusing;

/// What a container has. By default it has a home, an environment, files in memory, a runtime folder, and no limits.
#[derive(Clone, Default)]
pub(super) struct Container {
    /// Nothing is set in the environment but what the vault is opened with.
    pub(super) bare: bool,
    /// `/run`, `/tmp` and `/dev/shm` are not there.
    pub(super) no_memory: bool,
    /// Not even the vault's folder can be written.
    pub(super) read_only: bool,
    /// Nobody in the user database has this number.
    pub(super) user: Option<u32>,
    /// System calls that are refused.
    pub(super) refused: Vec<u32>,
    /// What the shell limits before the container starts.
    pub(super) limits: &'static str,
    /// Options of bubblewrap beside these.
    pub(super) more: Vec<String>,
}

impl Container {
    /// The program in it, with these arguments. `/here` is the vault's folder, `/key` what opens it.
    pub(super) fn vault(&self, home: &Home, arguments: &[&str]) -> Run {
        self.program(home, "/vault", arguments)
    }

    /// A shell in it, which ends with all that it started.
    pub(super) fn shell(&self, home: &Home, script: &str) -> Run {
        self.program(home, "/usr/bin/sh", &["-c", script])
    }

    fn program(&self, home: &Home, program_there: &str, arguments: &[&str]) -> Run {
        let filter = home.beside("filter");
        fs::write(&filter, refusing(&self.refused)).unwrap();
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let mut options: Vec<String> = [
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--ro-bind",
            "/usr",
            "/usr",
            "--symlink",
            "usr/lib",
            "/lib",
            "--symlink",
            "usr/lib64",
            "/lib64",
            "--symlink",
            "usr/bin",
            "/bin",
            "--proc",
            "/proc",
            "--ro-bind",
        ]
        .map(str::to_owned)
        .to_vec();
        let mut add = |words: &[&str]| options.extend(words.iter().map(|word| (*word).to_owned()));
        add(&[&text(program()), "/vault"]);
        add(&[if self.read_only { "--ro-bind" } else { "--bind" }, &text(home.work()), "/here"]);
        for name in ["machine.key", "pass"] {
            if home.beside(name).exists() {
                add(&["--ro-bind", &text(home.beside(name)), &format!("/{name}")]);
            }
        }
        if self.no_memory {
            add(&["--dev-bind", "/dev/null", "/dev/null"]);
        } else {
            add(&[
                "--dev",
                "/dev",
                "--tmpfs",
                "/tmp",
                "--dir",
                "/home/user",
                "--perms",
                "0700",
                "--tmpfs",
                "/run/user/me",
            ]);
        }
        if self.bare {
            add(&["--setenv", "VAULT_FILE", "/here/secrets.vault"]);
        } else {
            for (name, value) in [
                ("HOME", "/home/user"),
                ("USER", "user"),
                ("PATH", "/usr/bin"),
                ("XDG_RUNTIME_DIR", "/run/user/me"),
                ("VAULT_FILE", "/here/secrets.vault"),
            ] {
                add(&["--setenv", name, value]);
            }
        }
        if let Some(user) = self.user {
            add(&["--uid", &user.to_string(), "--gid", &user.to_string()]);
        }
        options.extend(self.more.iter().cloned());
        options.extend(["--remount-ro", "/", "--chdir", "/here", "--seccomp", "9"].map(str::to_owned));
        let script = format!("{} exec bwrap \"$@\" 9<{}", self.limits, filter.display());
        let mut words = vec!["-c".to_owned(), script, "sh".to_owned()];
        words.extend(options);
        words.push(program_there.to_owned());
        words.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        home.program("sh", words).without("VAULT_MACHINE_KEY_FILE")
    }
}
