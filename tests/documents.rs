//! Guards of the documents: what they name exists, their limits are the code's, and no machine's paths are in them.

use std::path::{Path, PathBuf};

use vault_core::crypto::kdf;
use vault_core::format::{limits, slot};
use vault_core::keys::passphrase::MAX_PASSPHRASE;
use vault_core::keys::{MAX_PASSPHRASE_MEMORY_KIB, MAX_PASSPHRASE_SLOTS};

const KIB: u64 = 1 << 10;

#[test]
fn the_limits_of_the_format_are_those_of_the_code() {
    let n = |limit: usize| limit as u64;
    let m = u64::from;
    let code: Vec<(&str, Vec<u64>)> = vec![
        ("file", vec![limits::FILE]),
        ("line: header, `head`, `slot`", vec![n(limits::SHORT_LINE)]),
        ("line: entry, `file`, `blob`, `roster`", vec![n(limits::ENTRY_LINE)]),
        (
            "line: seal",
            vec![n(limits::SEAL_LINE), n(limits::LINKS), n(limits::ALL_LINKS), n(limits::WRITTEN_LINKS)],
        ),
        ("slots", vec![n(limits::SLOTS)]),
        ("seals", vec![n(limits::SEALS)]),
        ("parents of a seal, `previous` of a place", vec![n(limits::PARENTS)]),
        ("`replaces`; `records` of a seal", vec![n(limits::REPLACES), n(limits::RECORDS)]),
        ("entries", vec![n(limits::ENTRIES)]),
        (
            "name; attribute's or field's name; attribute's value",
            vec![n(limits::NAME), n(limits::FIELD_NAME), n(limits::ATTRIBUTE)],
        ),
        (
            "attributes, fields, alternatives of an entry",
            vec![n(limits::ATTRIBUTES), n(limits::FIELDS), n(limits::ALTERNATIVES)],
        ),
        ("inline value", vec![n(limits::INLINE)]),
        ("attachment", vec![limits::ATTACHMENT, m(limits::CHUNKS), limits::ATTACHMENT_DEFAULT]),
        ("age file of a slot", vec![n(slot::MAX_AGE_FILE)]),
        ("generation", vec![limits::GENERATION]),
        (
            "Argon2id",
            vec![
                m(kdf::MIN_MEMORY_KIB),
                m(kdf::MAX_MEMORY_KIB) * KIB,
                1,
                m(kdf::MAX_PASSES),
                1,
                m(kdf::MAX_LANES),
                8,
                kdf::MAX_WORK_KIB,
            ],
        ),
        (
            "passphrase slots tried in one unlock",
            vec![n(MAX_PASSPHRASE_SLOTS), MAX_PASSPHRASE_MEMORY_KIB * KIB],
        ),
        ("passphrase", vec![n(MAX_PASSPHRASE)]),
        ("author; reason", vec![n(limits::AUTHOR), n(limits::REASON)]),
    ];
    let page: Vec<(String, Vec<u64>)> = table(&read("docs/format.md"), "| quantity | limit |")
        .into_iter()
        .map(|row| (row[0].clone(), quantities(&row[1])))
        .collect();
    let page: Vec<(&str, Vec<u64>)> =
        page.iter().map(|(row, limits)| (row.as_str(), limits.clone())).collect();
    assert_eq!(page, code);
    assert_eq!((slot::MAX_LINE, vault_core::store::MAX_FILE), (limits::SHORT_LINE, limits::FILE));
}

#[test]
fn quantities_are_read_as_people_write_them() {
    assert_eq!(quantities("1,024; 128; 8,192 bytes"), [1024, 128, 8192]);
    assert_eq!(quantities("256, 64, 64"), [256, 64, 64]);
    assert_eq!(quantities("16 MiB, all 64 KiB (sealed, before base64)"), [16 << 20, 64 << 10]);
    assert_eq!(quantities("2^53 − 1"), [(1 << 53) - 1]);
    assert_eq!(quantities("m ≥ 8·p; m·t ≤ 4,194,304"), [8, 4_194_304]);
}

#[test]
fn no_document_and_no_source_names_a_machine_s_paths() {
    let mut wrong = Vec::new();
    for path in files(root(), &["md", "rs", "toml", "py", "sh", "txt", "yml"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        wrong.extend(machine_paths(&text).into_iter().map(|line| format!("{}:{line}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_machine_s_path_is_seen() {
    for folder in ["work", "root", "Users"] {
        assert_eq!(machine_paths(&format!("fine\nsee /{folder}/main/x\n")), [2]);
        assert!(machine_paths(&format!("see the frame/{folder}/x")).is_empty());
    }
}

#[test]
fn what_the_documents_point_to_exists() {
    let code: String =
        files(root(), &["rs", "py"]).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let mut wrong = Vec::new();
    for path in files(root(), &["md"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap();
        for pointer in dangling(&text, folder, &code) {
            wrong.push(format!("{}: {pointer}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_dangling_pointer_is_seen() {
    let code = "fn a_test_of_four_words() {}";
    let see = |text: &str| dangling(text, root(), code);
    assert_eq!(see("see [here](docs/nowhere.md)"), ["docs/nowhere.md"]);
    assert_eq!(see("see `docs/nowhere.md`"), ["docs/nowhere.md"]);
    assert_eq!(see("test `a_test_of_other_words`"), ["a_test_of_other_words"]);
    assert_eq!(see("see [here](docs/format.md#no-such-heading)"), ["docs/format.md#no-such-heading"]);
    assert!(
        see("[here](docs/format.md#key-slots), `a_test_of_four_words`, [there](https://example.org/x.md)")
            .is_empty()
    );
    assert!(see("```sh\ncat `no/such.rs`\n```\nwrite `a = b/c.d`").is_empty());
}

/// What a text points to and is not there: links, paths in backquotes, names of tests in backquotes.
fn dangling(text: &str, folder: &Path, code: &str) -> Vec<String> {
    let text = without_fences(text);
    let mut wrong = Vec::new();
    for (at, _) in text.match_indices("](") {
        let target = text[at + 2..].split(')').next().unwrap_or_default();
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, heading) = target.split_once('#').unwrap_or((target, ""));
        let there = if path.is_empty() { None } else { std::fs::read_to_string(folder.join(path)).ok() };
        let headings = if path.is_empty() { Some(&text) } else { there.as_ref() };
        let exists = match headings {
            Some(page) => {
                heading.is_empty() || page.lines().any(|line| anchor(line) == Some(heading.to_owned()))
            }
            None => folder.join(path).is_dir(),
        };
        if !exists {
            wrong.push(target.to_owned());
        }
    }
    for word in ticked(&text) {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
        let extension = Path::new(&word).extension().and_then(|extension| extension.to_str());
        let path =
            plain && word.contains('/') && matches!(extension, Some("md" | "rs" | "py" | "toml" | "sh"));
        if path && !root().join(&word).exists() {
            wrong.push(word.clone());
        }
        let name = word.matches('_').count() >= 3
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if name
            && !code.contains(&format!("fn {word}("))
            && !code.contains(&format!("def {word}("))
            && !is_dependency(&word)
        {
            wrong.push(word);
        }
    }
    wrong
}

/// Whether a name is that of a crate in the lock file.
fn is_dependency(name: &str) -> bool {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    lock.contains(&format!("name = \"{}\"\n", name.replace('_', "-")))
}

/// The anchor that a heading gets where Markdown is shown.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    Some(
        heading
            .to_lowercase()
            .chars()
            .filter(|&c| c.is_alphanumeric() || c == '-' || c == ' ' || c == '_')
            .map(|c| if c == ' ' { '-' } else { c })
            .collect(),
    )
}

fn without_fences(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Numbers of lines that name a folder of the machine that somebody works on.
fn machine_paths(text: &str) -> Vec<usize> {
    let folders = ["work", "root", "Users"].map(|folder| format!("/{folder}/"));
    let names = |line: &str| {
        folders.iter().any(|folder| {
            line.match_indices(folder.as_str())
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.})>*~".contains(c)))
        })
    };
    (1..).zip(text.lines()).filter(|(_, line)| names(line)).map(|(number, _)| number).collect()
}

/// The numbers of a text, with their units.
fn quantities(text: &str) -> Vec<u64> {
    let text = text.replace("2^53 − 1", "9007199254740991");
    let mut found = Vec::new();
    let mut rest = text.as_str();
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_digit() || before.is_alphanumeric() {
            before = first;
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let mut number = String::new();
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            number.push_str(&rest[..digits]);
            rest = &rest[digits..];
            // A comma goes on if exactly three digits follow at once.
            let thousands = rest
                .strip_prefix(',')
                .is_some_and(|more| more.chars().take_while(char::is_ascii_digit).count() == 3);
            if !thousands {
                break;
            }
            rest = &rest[1..];
        }
        let unit = [(" KiB", KIB), (" MiB", KIB * KIB), (" GiB", KIB * KIB * KIB)];
        let factor = unit.iter().find(|(unit, _)| rest.starts_with(unit)).map_or(1, |(_, factor)| *factor);
        found.push(number.parse::<u64>().unwrap() * factor);
        before = '0';
    }
    found
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file with one of the extensions, but for what is built or hidden.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir()
            && !name.starts_with('.')
            && !["target", "corpus", "artifacts"].contains(&name.as_str())
        {
            found.extend(files(&entry.path(), extensions));
        } else if kind.is_file()
            && extensions.iter().any(|extension| name.ends_with(&format!(".{extension}")))
        {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// The cells of the rows of the table whose header begins so.
pub(crate) fn table(page: &str, header: &str) -> Vec<Vec<String>> {
    let rows: Vec<Vec<String>> = page
        .lines()
        .skip_while(|line| !line.starts_with(header))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "no table with the header {header}");
    rows
}

/// What stands in backquotes.
pub(crate) fn ticked(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
