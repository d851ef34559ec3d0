//! Guards of docs/architecture.md: every path in the source is compared with its two tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::documents::{read, root, table, ticked};

const CRATES: [&str; 2] = ["vault-core", "vault-cli"];

/// Which paths a room may import, by crate and room.
type Rooms = BTreeMap<(String, String), Vec<String>>;

/// What is used in some rooms of a crate only, by crate and name.
type OnlyHere = Vec<(String, String, BTreeSet<String>)>;

#[test]
fn every_import_is_in_the_table() {
    let rooms = rooms();
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, file, code) in sources() {
        let room = room_of(&file);
        if room != "main" && room != "lib" {
            found.insert((name.clone(), room.clone()));
        }
        wrong.extend(wrong_imports(&rooms, &name, &file, &code));
    }
    assert!(wrong.is_empty(), "not in docs/architecture.md, \"Rooms\":\n{}", wrong.join("\n"));
    // The program is built room by room: the table may name one of vault-cli that is still to come, never of the core.
    let stale: Vec<_> = rooms.keys().filter(|room| room.0 == "vault-core" && !found.contains(room)).collect();
    assert!(stale.is_empty(), "in docs/architecture.md, \"Rooms\", but not in the source: {stale:?}");
}

#[test]
fn what_belongs_to_a_room_is_used_nowhere_else() {
    let only_here = only_here();
    let wrong: Vec<_> =
        sources().iter().flat_map(|(name, file, code)| wrong_uses(&only_here, name, file, code)).collect();
    assert!(wrong.is_empty(), "not in docs/architecture.md, \"Only here\":\n{}", wrong.join("\n"));
}

#[test]
fn a_forbidden_import_is_seen_in_every_spelling() {
    let rooms = rooms();
    let see = |file: &str, code: &str| wrong_imports(&rooms, "vault-core", Path::new(file), &cleaned(code));
    for code in [
        "use crate::keys::Credential;",
        "use crate::{source::Source, keys};",
        "use crate::{\n    source::Source,\n    keys::{self, age::Identity},\n};",
        "fn f() { crate::keys::age::unwrap(); }",
        "use super::super::keys::Credential;",
        "use crate::crypto::aead::{CHUNK, Sealer};",
        "use crate::*;",
        "pub(in crate::keys) fn f() {}",
        "use vault_core::keys;",
    ] {
        assert!(!see("format/entry.rs", code).is_empty(), "{code}");
    }
    assert_eq!(
        see("format.rs", "\n\nuse super::vault::Edit;"),
        ["vault-core/src/format.rs:3: format imports vault::Edit"]
    );
    assert_eq!(see("attic.rs", "use crate::secret::Key;").len(), 1, "a room that the table does not know");
    for code in [
        "use crate::crypto::aead::{CHUNK, TAG};",
        "use crate::crypto::pad::pad;",
        "use super::limits;",
        "// use crate::keys;",
        "const TEXT: &str = \"crate::keys\"; const QUOTE: char = '\"'; // \"",
        "/* crate::keys /* crate::vault */ */ use crate::source::Source;",
        "#[cfg(test)]\nmod tests {\n    use crate::keys::age::Identity;\n}",
    ] {
        assert_eq!(see("format/entry.rs", code), [""; 0], "{code}");
    }
}

#[test]
fn a_forbidden_use_is_seen() {
    let only_here = only_here();
    let see = |file: &str, code: &str| wrong_uses(&only_here, "vault-core", Path::new(file), &cleaned(code));
    for code in [
        "use age::x25519;",
        "use ::age::x25519;",
        "use minicbor as cbor;",
        "extern crate sha2;",
        "fn f() { std::fs::write(path, b\"\"); }",
        "use std::fs; fn f() { fs::write(path, b\"\"); }",
        "let home = std::env::var(\"HOME\");",
        "use std::env;",
        "use std::{env, fs};",
        "println!(\"{secret}\");",
        "std::process::exit(1);",
    ] {
        assert_eq!(see("vault/log.rs", code).len(), 1, "{code}");
    }
    for code in [
        "use crate::keys::age::Identity;",
        "let age = 3; let x = years + age;",
        "// age::Identity",
        "fn f(age: u64) {}",
    ] {
        assert_eq!(see("vault/log.rs", code), [""; 0], "{code}");
    }
    assert!(see("keys/age.rs", "use age::x25519;").is_empty());
    let program =
        |file: &str, code: &str| wrong_uses(&only_here, "vault-cli", Path::new(file), &cleaned(code));
    assert!(program("sys/editor.rs", "Command::new(editor);").is_empty(), "a module of a room");
    assert_eq!(program("sys/host.rs", "Command::new(editor);").len(), 1);
}

fn rooms() -> Rooms {
    let rows = table(&read("docs/architecture.md"), "| crate | room |");
    rows.iter().map(|row| ((ticked(&row[0]).concat(), ticked(&row[1]).concat()), ticked(&row[3]))).collect()
}

fn only_here() -> OnlyHere {
    let mut only_here = Vec::new();
    for row in table(&read("docs/architecture.md"), "| what |") {
        for what in ticked(&row[0]) {
            for (name, cell) in CRATES.iter().zip(&row[1..]) {
                let here: BTreeSet<String> = ticked(cell).into_iter().collect();
                assert_eq!(here.is_empty(), cell == "nowhere", "{row:?}");
                only_here.push(((*name).to_owned(), what.clone(), here));
            }
        }
    }
    only_here
}

/// Crate, path below its `src`, and code without comments, strings and tests, of every source file.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut all = Vec::new();
    for name in CRATES {
        let folder = root().join(name).join("src");
        for path in crate::documents::files(&folder, &["rs"]) {
            let file = path.strip_prefix(&folder).unwrap().to_owned();
            if file.components().any(|part| Path::new(part.as_os_str()).file_stem() == Some("tests".as_ref()))
            {
                continue;
            }
            let code = cleaned(&std::fs::read_to_string(&path).unwrap());
            all.push((name.to_owned(), file, code));
        }
    }
    assert!(all.len() > 30, "the source was not found");
    all
}

/// The module's path in its crate.
fn module(file: &Path) -> Vec<String> {
    file.with_extension("").components().map(|part| part.as_os_str().to_str().unwrap().to_owned()).collect()
}

fn room_of(file: &Path) -> String {
    module(file).swap_remove(0)
}

fn wrong_imports(rooms: &Rooms, name: &str, file: &Path, code: &str) -> Vec<String> {
    let room = room_of(file);
    if room == "main" || room == "lib" {
        return Vec::new();
    }
    let Some(allowed) = rooms.get(&(name.to_owned(), room.clone())) else {
        return vec![format!("{name}/src/{}: the table has no room {room}", file.display())];
    };
    imports(&module(file), name, code)
        .into_iter()
        .filter(|(_, path)| path.split("::").next() != Some(&room))
        .filter(|(_, path)| {
            !allowed.iter().any(|prefix| path == prefix || path.starts_with(&format!("{prefix}::")))
        })
        .map(|(line, path)| format!("{name}/src/{}:{line}: {room} imports {path}", file.display()))
        .collect()
}

/// Line and path, from the crate's root, of all that begins with `crate::`, the crate's own name or enough `super::`.
fn imports(module: &[String], name: &str, code: &str) -> Vec<(usize, String)> {
    let own = format!("{}::", name.replace('-', "_"));
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let starts_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let after = if !starts_word {
            None
        } else if let Some(after) = rest.strip_prefix("crate::").or_else(|| rest.strip_prefix(own.as_str())) {
            Some(after)
        } else {
            let mut after = rest;
            let mut up = 0;
            while let Some(more) = after.strip_prefix("super::") {
                after = more;
                up += 1;
            }
            (up > 0 && up >= module.len()).then_some(after)
        };
        if let Some(after) = after {
            let line = code[..at].matches('\n').count() + 1;
            let (paths, used) = tree(after);
            found.extend(paths.into_iter().map(|path| (line, path)));
            at += rest.len() - after.len() + used;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    found
}

/// The paths of a use tree, or of a path in an expression, and how many bytes it takes.
fn tree(text: &str) -> (Vec<String>, usize) {
    let mut at = text.len() - text.trim_start().len();
    if text[at..].starts_with('{') {
        at += 1;
        let mut all = Vec::new();
        loop {
            let (paths, used) = tree(&text[at..]);
            all.extend(paths);
            at += used;
            // A name may be followed by `as other`.
            let end = text[at..].find([',', '}']).map_or(text.len(), |offset| at + offset);
            if !text[end..].starts_with(',') {
                return (all, (end + 1).min(text.len()));
            }
            at = end + 1;
        }
    }
    let word =
        text[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len() - at);
    let name = &text[at..at + word];
    at += word;
    if let Some(more) = text[at..].strip_prefix("::") {
        let (paths, used) = tree(more);
        if !paths.is_empty() {
            let paths = paths.into_iter().map(|path| match path.as_str() {
                "self" => name.to_owned(),
                _ => format!("{name}::{path}"),
            });
            return (paths.collect(), at + 2 + used);
        }
    }
    (if name.is_empty() { Vec::new() } else { vec![name.to_owned()] }, at)
}

fn wrong_uses(only_here: &OnlyHere, name: &str, file: &Path, code: &str) -> Vec<String> {
    let room = room_of(file);
    let module = module(file).join("/");
    let mut wrong = Vec::new();
    // A whole room is named, or one module of it.
    let owns = |here: &BTreeSet<String>| here.contains(&room) || here.contains(&module);
    for (_, what, _) in only_here.iter().filter(|(of, _, here)| of == name && !owns(here)) {
        // A longer path that is listed by itself is judged by itself.
        let longer: Vec<&String> = only_here
            .iter()
            .filter(|(of, other, _)| of == name && other.starts_with(&format!("{what}::")))
            .map(|(_, other, _)| other)
            .collect();
        for at in uses(code, what) {
            if longer.iter().any(|other| code[at..].starts_with(other.as_str())) {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            wrong.push(format!("{name}/src/{}:{line}: {room} uses {what}", file.display()));
        }
    }
    wrong
}

/// Where a path, a crate or a macro is used.
fn uses(code: &str, what: &str) -> Vec<usize> {
    let mut found: Vec<usize> = code
        .match_indices(what)
        .filter(|(at, _)| {
            let (before, after) = (&code[..*at], &code[at + what.len()..]);
            let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if what.contains("::") || what.ends_with('!') {
                return whole;
            }
            // A crate: at the beginning of a path, or imported as a whole.
            let beginning = !before.ends_with("::") || ends_with_words(before, &["use", "::"]);
            let statement = before.rsplit([';', '}', '{']).next().unwrap_or_default();
            let imported =
                ["use", "extern crate"].contains(&statement.trim().trim_end_matches("::").trim_end());
            whole && beginning && (after.starts_with("::") || imported)
        })
        .map(|(at, _)| at)
        .collect();
    // `use std::{env, fs}` and `use std::env::{self, var}`
    if let Some((prefix, last)) = what.rsplit_once("::") {
        for (at, _) in code.match_indices(&format!("{prefix}::{{")) {
            let (paths, _) = tree(&code[at + prefix.len() + 2..]);
            if paths.iter().any(|path| path == last || path.starts_with(&format!("{last}::"))) {
                found.push(at);
            }
        }
    }
    found
}

fn ends_with_words(text: &str, words: &[&str]) -> bool {
    let mut text = text;
    for word in words.iter().rev() {
        match text.trim_end().strip_suffix(word) {
            Some(rest) => text = rest,
            None => return false,
        }
    }
    true
}

/// The code without comments, without what is in strings and characters, and without its `mod tests { … }`, which is last.
fn cleaned(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if rest.starts_with('"') {
            string(rest)
        } else if let Some(length) = raw_string(rest, out.chars().next_back()) {
            length
        } else if rest.starts_with("'\\") {
            3 + rest[3..].find('\'').unwrap_or(rest.len() - 3)
        } else if first == '\'' && rest[1..].chars().nth(1) == Some('\'') {
            2 + rest[1..].chars().next().map_or(0, char::len_utf8)
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..skipped].chars().filter(|&c| c == '\n'));
        rest = &rest[skipped..];
    }
    if let Some(at) = out.find("#[cfg(test)]\nmod tests {") {
        out.truncate(at);
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str, before: Option<char>) -> Option<usize> {
    let hashes =
        text.strip_prefix('r').filter(|_| before.is_none_or(|c| !c.is_alphanumeric() || c == 'b'))?;
    let inner = hashes.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(hashes.len() - inner.len()));
    let length = inner.strip_prefix('"')?.find(&end)?;
    Some(text.len() - inner.len() + 1 + length + end.len())
}
