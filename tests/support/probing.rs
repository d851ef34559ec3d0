//! The other end of support/probe.rs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value as Json;

/// A process that opens texts.
pub struct Probe {
    child: Child,
    texts: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The longest that one text has taken, in microseconds.
    pub slowest: u64,
    /// The most memory that the process has had, in KiB.
    pub peak_kib: u64,
    /// How many texts there were.
    pub count: u64,
}

/// What came of one text.
pub struct Probed {
    /// It verifies.
    pub accepted: bool,
    /// What was said if not.
    pub why: String,
    /// By name, what reading one entry gives; a name that cannot be read is missing.
    pub values: BTreeMap<String, Option<String>>,
}

impl Probe {
    /// Starts it, with a file that holds a machine key and the names of entries to read.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(program: &str, key: &Path, names: &[&str]) -> Self {
        let mut child = Command::new(program)
            .arg(key)
            .args(names)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the probe starts");
        let texts = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, texts, answers, slowest: 0, peak_kib: 0, count: 0 }
    }

    /// What comes of a text.
    ///
    /// # Panics
    /// If the process died, as a panic in it would make it.
    pub fn open(&mut self, text: &[u8]) -> Probed {
        let length = (text.len() as u64).to_be_bytes();
        self.texts.write_all(&length).and_then(|()| self.texts.write_all(text)).expect("the probe lives");
        self.texts.flush().expect("the probe lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the probe answers");
        let answer: Json = serde_json::from_str(&answer).expect("the probe lives");
        let number = |key: &str| answer[key].as_u64().expect("a number");
        self.slowest = self.slowest.max(number("micros"));
        self.peak_kib = self.peak_kib.max(number("peak_kib"));
        self.count += 1;
        let values = answer["values"].as_object().expect("a map").iter();
        Probed {
            accepted: answer["outcome"] == "ok",
            why: answer["why"].as_str().unwrap_or_default().to_owned(),
            values: values.map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned))).collect(),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Its stdin is closed when this is dropped; a dead process needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens one file in a process of its own: what it said, with `micros` and `peak_kib`.
///
/// # Panics
/// If the process failed.
#[must_use]
pub fn probe_file(program: &str, key: &Path, file: &Path) -> Json {
    let output = Command::new(program).arg(key).arg("--file").arg(file).output().expect("the probe starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the probe says what came of it")
}
