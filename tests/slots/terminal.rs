//! A person at a terminal, which `script` (util-linux) makes.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::crash::program::{Run, wait};

/// What was seen, and how it ended.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: Option<i32>,
    pub(crate) screen: String,
    pub(crate) took: Duration,
}

impl Seen {
    /// It must have ended so.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// It must have shown this.
    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(self.screen.contains(text), "{text:?} is not in {self:?}");
        self
    }
}

/// What is typed once a text has appeared. It may depend on what was seen so far.
pub(crate) type Answer<'a> = (&'a str, &'a dyn Fn(&str) -> String);

/// Runs a program on a terminal of its own.
pub(crate) fn on_terminal(run: Run, dialogue: &[Answer<'_>]) -> Seen {
    let run = run.env("TERM", "xterm").env("NO_COLOR", "1");
    let line = run.shell_line();
    let start = Instant::now();
    let mut child = run
        .command_of("script", &["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("script cannot be run ({error}): run tests/setup.sh first"));
    let mut keyboard = child.stdin.take().unwrap();
    let mut stream = child.stdout.take().unwrap();
    let (to, bytes) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 || to.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut screen = String::new();
    let more = |screen: &mut String| match bytes.recv_timeout(PATIENCE) {
        Ok(bytes) => {
            screen.push_str(&String::from_utf8_lossy(&bytes));
            true
        }
        Err(_) => false,
    };
    let mut from = 0;
    for (question, answer) in dialogue {
        while !screen[from..].contains(question) {
            assert!(more(&mut screen), "no {question:?} in {screen:?}");
        }
        let typed = answer(&screen);
        from = screen.len();
        // The mode is set before the question is written, so this is not too early.
        keyboard.write_all(typed.as_bytes()).unwrap();
        keyboard.flush().unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    while more(&mut screen) {}
    let status = wait(&mut child, PATIENCE, &line);
    reading.join().unwrap();
    Seen { code: status.code(), screen, took: start.elapsed() }
}

/// The same text, whatever was seen.
pub(crate) fn types(text: &str) -> impl Fn(&str) -> String + '_ {
    move |_| format!("{text}\r")
}

/// A busy machine is slow; a question that never comes must not stop the tests for long.
const PATIENCE: Duration = Duration::from_secs(60);
