//! The line of .gitattributes that keeps git from changing a vault's line ends.

use std::ffi::OsStr;
use std::path::Path;

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
    let kept = git::keeps_line_ends(folder, name).unwrap_or_else(|| {
        let has = |folder: &Path| {
            let text = std::fs::read_to_string(folder.join(".gitattributes")).unwrap_or_default();
            text.lines().any(|old| old.trim() == line)
        };
        folder.ancestors().take_while(|folder| folder.starts_with(root)).any(has)
    });
    (!kept).then_some(line)
}

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
