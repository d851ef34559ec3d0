//! The hooks before a commit: files of their own, an entry for the pre-commit framework, or a word on what to add to another's.
//!
//! Git runs one hook for commits that somebody makes, and another one for those that `git merge` makes by itself.

use std::path::{Path, PathBuf};

use super::{PUBLIC, Plan, Step, read};
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::sys::git::Git;

pub(super) fn plan(
    git: &Git,
    folder: &Path,
    top: &Path,
    remove: bool,
    plan: &mut Plan,
) -> Result<(), Failure> {
    let Some(hooks) = git.asked(&["rev-parse", "--git-path", "hooks"])? else { return Ok(()) };
    let hooks = folder.join(PathBuf::from(hooks));
    let framework = top.join(".pre-commit-config.yaml");
    if let Some(text) = read(&framework)? {
        self::framework(&framework, &text, remove, plan);
        if !remove {
            plan.notes.extend(not_installed(&hooks)?);
            return Ok(());
        }
    }
    // A folder that was named may be shared with other repositories, or be part of this one.
    let is_shared =
        git.asked_text(&["config", "--get", "core.hooksPath"])?.is_some_and(|path| !path.is_empty());
    NAMES.iter().try_for_each(|name| hook(hooks.join(name), is_shared, remove, plan))
}

/// The framework checks before a merge only where it is told to.
fn not_installed(hooks: &Path) -> Result<Option<String>, Failure> {
    let mut options = Vec::new();
    for name in NAMES {
        if read(&hooks.join(name))?.is_none() {
            options.push(format!(" --hook-type {name}"));
        }
    }
    let command = format!("pre-commit install{}", options.concat());
    Ok((!options.is_empty()).then(|| format!("the framework does its part once it is installed: {command}")))
}

fn hook(path: PathBuf, is_shared: bool, remove: bool, plan: &mut Plan) -> Result<(), Failure> {
    let existing = read(&path)?;
    let is_ours = existing.as_deref() == Some(HOOK.as_bytes());
    if remove {
        if is_ours {
            plan.steps.push(Step::Remove(path));
        } else if existing.is_some_and(|text| has(&text, COMMAND)) {
            plan.notes.push(format!(
                "the hook {} is not ours: take \"{COMMAND}\" out of it yourself",
                quoted_path(&path)
            ));
        }
        return Ok(());
    }
    match existing {
        _ if is_ours => {}
        Some(text) if has(&text, COMMAND) => {}
        Some(_) => plan.notes.push(format!(
            "the hook {} is not ours and stays as it is: add this line to it: {COMMAND} || exit 1",
            quoted_path(&path)
        )),
        None if is_shared => plan.notes.push(format!(
            "core.hooksPath names a folder that others may use, so nothing is written there: for a check before commits, make {} with this line: {COMMAND}",
            quoted_path(&path)
        )),
        None => {
            let shown = format!("write {}: {COMMAND}", quoted_path(&path));
            plan.steps.push(Step::File { path, mode: EXECUTABLE, text: HOOK.as_bytes().to_vec(), shown });
        }
    }
    Ok(())
}

/// An entry at the end of the framework's list, between two comments of ours.
fn framework(path: &Path, text: &[u8], remove: bool, plan: &mut Plan) {
    let text = String::from_utf8_lossy(text);
    let at = text.find(BEGIN).zip(text.find(END));
    let changed = match (at, remove) {
        (Some((begin, end)), true) => {
            let end = end + END.len();
            let rest = text[end..].strip_prefix('\n').unwrap_or(&text[end..]);
            let shown = format!("take the entry of vault out of {}", quoted_path(path));
            Some((format!("{}{rest}", &text[..begin]), shown))
        }
        (None, false) if text.contains(COMMAND) => None,
        (None, false) => match indentation(&text) {
            Some(indentation) => {
                let newline = if text.ends_with('\n') { "" } else { "\n" };
                let entry: String = ENTRY.lines().map(|line| format!("{indentation}{line}\n")).collect();
                let shown = format!("add to {}: the hook {COMMAND}", quoted_path(path));
                Some((format!("{text}{newline}{BEGIN}\n{entry}{END}\n"), shown))
            }
            None => {
                let entry: Vec<&str> = ENTRY.lines().collect();
                plan.notes.push(format!(
                    "add this to the repos of {}: {}",
                    quoted_path(path),
                    entry.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("; ")
                ));
                None
            }
        },
        _ => None,
    };
    if let Some((text, shown)) = changed {
        plan.steps.push(Step::File { path: path.to_owned(), mode: PUBLIC, text: text.into_bytes(), shown });
    }
}

/// How far the entries of `repos` are indented; none unless that list stands last in the file, so that it can be added to
/// without understanding the rest.
fn indentation(text: &str) -> Option<&str> {
    let is_key = |line: &&str| {
        line.starts_with(|first: char| first.is_ascii_alphabetic()) && line.trim_end().contains(':')
    };
    let last = text.lines().rfind(is_key)?;
    if last.trim_end() != "repos:" {
        return None;
    }
    let after = text.lines().skip_while(|line| line.trim_end() != "repos:").skip(1);
    let first = after.into_iter().find(|line| line.trim_start().starts_with("- "))?;
    Some(&first[..first.len() - first.trim_start().len()])
}

fn has(text: &[u8], words: &str) -> bool {
    String::from_utf8_lossy(text)
        .lines()
        .any(|line| !line.trim_start().starts_with('#') && line.contains(words))
}

/// Git's names of them.
const NAMES: [&str; 2] = ["pre-commit", "pre-merge-commit"];
const COMMAND: &str = "vault check --staged";
const HOOK: &str = "#!/bin/sh\n# Written by \"vault git setup\", and removed by \"vault git setup --remove\" if it is as it was written.\nexec vault check --staged\n";
const EXECUTABLE: u32 = 0o755;
const BEGIN: &str = "# vault git setup: begin";
const END: &str = "# vault git setup: end";
const ENTRY: &str = "- repo: local
  hooks:
    - id: vault-check
      name: vault check --staged
      entry: vault check --staged
      language: system
      always_run: true
      pass_filenames: false
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_framework_s_list_is_added_to_only_where_it_stands_last() {
        assert_eq!(indentation("repos:\n- repo: x\n  hooks: []\n"), Some(""));
        assert_eq!(indentation("a: b\nrepos:\n  - repo: x\n"), Some("  "));
        assert_eq!(indentation("repos:\n  - repo: x\nci:\n  skip: []\n"), None);
        assert_eq!(indentation("repos: []\n"), None);
        assert_eq!(indentation(""), None);
    }
}
