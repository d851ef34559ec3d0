//! What git says about a file, if git is there.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::context::SECRET_VARIABLES;

/// Whether git leaves this file's line ends alone; nothing if it cannot be asked.
pub(crate) fn keeps_line_ends(folder: &Path, name: &OsStr) -> Option<bool> {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["check-attr", "-z", "text", "eol", "--"]).arg(name);
    for variable in SECRET_VARIABLES {
        command.env_remove(variable);
    }
    let ran = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    if !ran.status.success() {
        return None;
    }
    // A file's name, an attribute, its value, each ended by a NUL.
    let words: Vec<&[u8]> = ran.stdout.split(|byte| *byte == 0).collect();
    Some(words.chunks(3).any(|chunk| {
        matches!(chunk, [_, attribute, value] if (*attribute, *value) == (b"text", b"unset") || (*attribute, *value) == (b"eol", b"lf"))
    }))
}
