//! The sessions that README.md shows are run, and must print what it shows.
//!
//! A session is a fenced block marked `console`: a line that begins with `$ ` is typed, the lines after it are what the
//! terminal shows. `…` stands for whatever is there. All sessions share one folder, one after another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::documents::{read, root};

/// One command, and what it shows.
struct Step {
    command: String,
    shown: Vec<String>,
}

#[test]
fn the_sessions_of_the_readme_run_as_shown() {
    runs_as_shown("README.md");
}

/// Runs the sessions of a page, and compares.
pub(crate) fn runs_as_shown(page: &str) {
    let Some(programs) = vault_folder() else {
        // The README's test command builds the program first, and so does the CI.
        panic!("the vault program is not built: cargo build -p vault-cli");
    };
    let steps = steps(&read(page));
    assert!(steps.len() >= 4, "{page} has no session");
    let folder = tempfile::tempdir().unwrap();
    compare(&steps, &run(&steps, folder.path(), &programs));
}

#[test]
fn a_session_that_shows_something_else_is_seen() {
    let page =
        "```console\n$ echo one; echo two >&2\none\ntwo\n$ false\n$ printf 'id 4f2a at 10'\nid … at …\n```\n";
    let steps = steps(page);
    let folder = tempfile::tempdir().unwrap();
    let printed = run(&steps, folder.path(), Path::new("/nowhere"));
    compare(&steps, &printed);
    for wrong in ["three", "", "one\ntwo\nthree"] {
        let mut other = printed.clone();
        other[0] = wrong.to_owned();
        assert!(std::panic::catch_unwind(|| compare(&steps, &other)).is_err(), "{wrong}");
    }
}

fn compare(steps: &[Step], printed: &[String]) {
    assert_eq!(steps.len(), printed.len(), "a command ended the session: {printed:?}");
    for (step, printed) in steps.iter().zip(printed) {
        let lines: Vec<&str> = printed.lines().collect();
        let same = lines.len() == step.shown.len()
            && step.shown.iter().zip(&lines).all(|(pattern, line)| matches(pattern, line));
        assert!(same, "$ {}\nshown: {:#?}\nprinted: {lines:#?}", step.command, step.shown);
    }
}

/// What each command printed, on both streams.
fn run(steps: &[Step], folder: &Path, programs: &Path) -> Vec<String> {
    // One shell, so that variables and folders last. A mark that no command prints stands after each command's output.
    let mut script = String::new();
    for step in steps {
        writeln!(script, "{}\nprintf '\\n{MARK}\\n'", step.command).unwrap();
    }
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env_clear()
        .envs([("PATH", path.as_str()), ("LC_ALL", "C.UTF-8"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .envs([("GIT_AUTHOR_NAME", "You"), ("GIT_AUTHOR_EMAIL", "you@example.org")])
        .envs([("GIT_COMMITTER_NAME", "You"), ("GIT_COMMITTER_EMAIL", "you@example.org")])
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut parts: Vec<String> = printed.split(&format!("\n{MARK}\n")).map(str::to_owned).collect();
    assert_eq!(parts.pop().as_deref(), Some(""), "{printed}");
    parts
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step { command: command.to_owned(), shown: Vec::new() });
        } else if inside {
            steps.last_mut().expect("a session begins with a command").shown.push(line.to_owned());
        }
    }
    steps
}

fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Where the program was built, beside this test.
pub(crate) fn vault_folder() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let built = test.parent()?.parent()?.to_owned();
    let given = std::env::var_os("CARGO_TARGET_DIR").map(|target| root().join(target).join("debug"));
    [Some(built), given].into_iter().flatten().find(|folder| folder.join("vault").is_file())
}

const MARK: &str = "-- end of the output of one command --";
