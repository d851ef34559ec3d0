//! Runs the program as a user does: in a folder and a home of its own, with nothing of the tester's environment.
//!
//! Every run has a timeout. One that is not over by then is killed, and the test fails.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::documents::root;

/// A home with a folder to work in. Keys lie beside that folder, so that whatever is in it is the program's doing.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// No vault yet.
    pub(crate) fn empty() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(home.work()).unwrap();
        home
    }

    /// With a vault that the machine key opens, which every run is given.
    pub(crate) fn with_vault() -> Self {
        let home = Self::empty();
        let made = home.vault(["init", "--machine"]).ok();
        std::fs::write(home.key(), &made.stdout).unwrap();
        home
    }

    /// The current folder of every run.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("machine.key")
    }

    /// Where the vault is, in most tests.
    pub(crate) fn file(&self) -> PathBuf {
        self.work().join("secrets.vault")
    }

    /// A path beside the folder to work in.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with arguments, ready to be run.
    pub(crate) fn vault<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.program(program(), arguments)
    }

    /// Another program in the same surroundings.
    pub(crate) fn program<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Run {
        let mut environment = BTreeMap::from([
            ("HOME".into(), self.folder.path().into()),
            ("PATH".into(), path_of_programs()),
            ("LC_ALL".into(), "C.UTF-8".into()),
            ("USER".into(), "tester".into()),
        ]);
        if self.key().exists() {
            environment.insert("VAULT_MACHINE_KEY_FILE".into(), self.key().into());
        }
        Run {
            program: program.as_ref().to_owned(),
            arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
            environment,
            folder: self.work(),
            stdin: Vec::new(),
            stdout: None,
            timeout: TIMEOUT,
        }
    }

    /// Stores a value.
    pub(crate) fn set(&self, name: &str, value: impl Into<Vec<u8>>) {
        self.vault(["set", "--raw", name]).stdin(value).ok();
    }

    /// Prints a value.
    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        self.vault(["get", name]).ok().stdout
    }

    /// Whether the whole vault verifies.
    pub(crate) fn check(&self) {
        let checked = self.vault(["check", "--json"]).ok().json();
        assert_eq!((&checked["ok"], &checked["verified"]), (&Json::Bool(true), &Json::Bool(true)));
    }

    /// What is in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.work())
    }
}

/// What is in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// One run of the program, before it starts.
#[derive(Clone)]
pub(crate) struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    folder: PathBuf,
    stdin: Vec<u8>,
    stdout: Option<PathBuf>,
    timeout: Duration,
}

impl Run {
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// With more time, or less, than is usual.
    pub(crate) fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A further argument, at the end.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.remove(OsStr::new(name));
        self
    }

    /// Without the machine key.
    pub(crate) fn locked(self) -> Self {
        self.without("VAULT_MACHINE_KEY_FILE")
    }

    /// An option before all other arguments.
    pub(crate) fn first(mut self, option: &str) -> Self {
        self.arguments.insert(0, option.into());
        self
    }

    /// Writes standard output to this file.
    pub(crate) fn stdout_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    /// In a session of its own, where there is no terminal even if the tester has one.
    pub(crate) fn without_terminal(self) -> Self {
        self.under(["setsid", "--wait"])
    }

    /// Started by another program, which is given this one and its arguments.
    pub(crate) fn under<S: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Self {
        let mut words: Vec<OsString> = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let program = words.remove(0);
        words.push(std::mem::replace(&mut self.program, program));
        words.append(&mut self.arguments);
        self.arguments = words;
        self
    }

    /// As a line for a shell.
    pub(crate) fn shell_line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")));
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// Another program, in the surroundings of this run.
    pub(crate) fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.environment).current_dir(&self.folder);
        command
    }

    /// As a process of the caller's.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(&self.environment).current_dir(&self.folder);
        command
    }

    /// Runs to the end, whatever that is.
    pub(crate) fn end(self) -> Ended {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        match &self.stdout {
            None => command.stdout(Stdio::piped()),
            Some(path) => {
                let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path);
                command.stdout(file.unwrap())
            }
        };
        let what = format!("{:?} {:?}", self.program, self.arguments);
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{what} cannot be started ({error}): tests/setup.sh installs what the tests need")
        });
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin;
        // A program that does not read its input breaks the pipe.
        let feeding = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let stdout = child.stdout.take().map(drain);
        let stderr = drain(child.stderr.take().unwrap());
        let status = wait(&mut child, self.timeout, &what);
        feeding.join().unwrap();
        let stdout = stdout.map(|thread| thread.join().unwrap()).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
        Ended { what, status, stdout, stderr }
    }

    /// Runs, and must succeed.
    pub(crate) fn ok(self) -> Ended {
        self.exits(0)
    }

    /// Runs, and must end with this exit code.
    pub(crate) fn exits(self, code: i32) -> Ended {
        let ended = self.end();
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        ended
    }

    /// Runs, and must fail with this exit code and this message, in the house's shape.
    pub(crate) fn fails(self, code: i32, id: &str) -> Ended {
        let ended = self.clone().exits(code);
        assert!(ended.stderr.starts_with("vault: error: "), "{ended:?}");
        for line in ended.stderr.lines() {
            assert!(line.starts_with("vault: error: ") || line.starts_with("vault: hint: "), "{ended:?}");
            assert!(!line.ends_with('.') && !line.contains("os error"), "{ended:?}");
        }
        let mut again = self;
        again.arguments.push("--json".into());
        // Arguments that take everything, and files that the first run used up, do not fail in the same way twice.
        let json = again.end();
        let said = json.stderr.lines().last().and_then(|line| serde_json::from_str::<Json>(line).ok());
        let said = said.unwrap_or_else(|| panic!("no object: {json:?}"));
        assert_eq!((said["id"].as_str(), said["exit"].as_i64()), (Some(id), Some(code.into())), "{said}");
        assert_eq!(said["version"], 1);
        ended
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    #[expect(dead_code, reason = "shown when an assertion fails")]
    what: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }

    /// Standard output as one object of the machine's interface.
    pub(crate) fn json(&self) -> Json {
        let json: Json = serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert_eq!(json["version"], 1, "{json}");
        json
    }

    /// The error says this.
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        self
    }
}

/// The program that the tests drive.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).map(Path::to_owned);
    let given = std::env::var_os("CARGO_TARGET_DIR").map(|target| root().join(target).join("debug"));
    let folders = [built, given].into_iter().flatten();
    let found = folders.map(|folder| folder.join("vault")).find(|program| program.is_file());
    found.expect("the vault program is not built: cargo build -p vault-cli")
}

/// Waits, and kills what takes too long.
pub(crate) fn wait(child: &mut Child, timeout: Duration, what: &str) -> ExitStatus {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what} did not end within {timeout:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A script of these tests.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Where Python, git and strace are: the tester's path, and nothing else of the environment.
fn path_of_programs() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into())
}

fn drain(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Long enough for a busy machine; the program itself is over within a fraction of a second.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
