//! The line of .gitattributes that keeps git from changing a vault's line ends.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use vault_core::store;

use super::work_tree;
use crate::sys::git;

/// The line for a file of this name, quoted as git wants it.
pub(crate) fn line(name: &OsStr) -> String {
    let bytes = name.as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+@".contains(byte);
    if bytes.iter().all(plain) {
        return format!("{} text eol=lf", name.to_string_lossy());
    }
    let mut quoted = String::from("\"");
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            // A pattern's own characters; the backslash before them is quoted, too.
            b'*' | b'?' | b'[' => quoted.extend(["\\\\", char::from(byte).encode_utf8(&mut [0; 4])]),
            b'!' | b'#' if at == 0 => quoted.extend(["\\\\", char::from(byte).encode_utf8(&mut [0; 4])]),
            b'\\' => quoted.push_str("\\\\\\\\"),
            b'"' => quoted.push_str("\\\""),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\{byte:03o}")),
        }
    }
    quoted + "\" text eol=lf"
}

/// The line that a vault in a git work tree lacks: git asked, or if it is not there, the files read.
pub(crate) fn lacking(vault: &Path) -> Option<String> {
    let vault = vault.canonicalize().ok()?;
    let (folder, name) = (vault.parent()?, vault.file_name()?);
    let root = work_tree(folder)?;
    let line = line(name);
    let folders = || folder.ancestors().take_while(|folder| folder.starts_with(root));
    // Git would wait for a FIFO.
    let files = folders().map(|folder| folder.join(FILE)).chain(READ_FIRST.map(|file| root.join(file)));
    let asked = if all_regular(files) { git::keeps_line_ends(folder, name) } else { None };
    let kept = asked.unwrap_or_else(|| {
        let has = |folder: &Path| {
            let text = store::read_small(&folder.join(FILE), LONGEST).unwrap_or_default();
            String::from_utf8_lossy(&text).lines().any(|old| old.trim() == line)
        };
        folders().any(has)
    });
    (!kept).then_some(line)
}

/// Whether each of them is a regular file or a link, or not there.
fn all_regular(mut files: impl Iterator<Item = PathBuf>) -> bool {
    files.all(|file| file.symlink_metadata().map_or(true, |found| found.is_file() || found.is_symlink()))
}

const FILE: &str = ".gitattributes";
/// Git reads these before anything else, where `.git` is a folder.
const READ_FIRST: [&str; 2] = [".git/HEAD", ".git/config"];
/// Most bytes of a .gitattributes.
const LONGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_git_wants_it() {
        for (name, pattern) in [
            ("secrets.vault", "secrets.vault"),
            ("a b", r#""a b""#),
            ("*.vault", r#""\\*.vault""#),
            ("#x", r#""\\#x""#),
            ("[attr]x", r#""\\[attr]x""#),
            ("!x", r#""\\!x""#),
            ("a\nb", r#""a\012b""#),
            ("a\"b", r#""a\"b""#),
            ("a\\b", r#""a\\\\b""#),
            ("ä", r#""\303\244""#),
        ] {
            assert_eq!(line(OsStr::new(name)), format!("{pattern} text eol=lf"), "{name}");
        }
    }
}
