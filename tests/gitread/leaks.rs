//! `vault scan`: values that leaked into the tree, the index or a stream.

use serde_json::json;

use super::work::Work;

const VALUE: &str = "hunter2 & \"friends\"";

fn work() -> Work {
    let work = Work::new();
    work.set("app/password", VALUE);
    work.vault(["set", "app/password", "--field", "user"]).stdin("short").ok();
    work.set("other", "another-value-of-it");
    work
}

#[test]
fn leaks_are_found_in_every_form_with_their_place_and_without_the_value() {
    let work = work();
    assert!(work.lines(["scan"]).is_empty(), "the vault itself is no leak");
    work.write("clean.txt", "nothing here\n");
    work.write("src/raw.txt", format!("line one\nkey = {VALUE}\n"));
    work.write("src/.env", "PASSWORD=hunter2%20%26%20%22friends%22\n");
    work.write("conf.json", serde_json::to_string(&json!({"p": VALUE})).unwrap());
    work.write("hex.bin", [b"\0\xff".as_slice(), b"68756E74657232202620", b"22667269656E647322"].concat());
    // The same text as `printf 'user:VALUE' | base64` gives.
    let encoded = work.home.program("base64", ["-w0"]).stdin(format!("user:{VALUE}:x")).ok().stdout;
    work.write("header.txt", [b"Authorization: Basic ".as_slice(), &encoded].concat());
    let ran = work.vault(["scan"]).exits(6);
    assert_eq!(
        ran.lines(),
        [
            "conf.json:1:7: app/password#secret (json)",
            "header.txt:1:29: app/password#secret (base64)",
            "hex.bin:1:3: app/password#secret (hex)",
            "src/.env:1:10: app/password#secret (url)",
            "src/raw.txt:2:7: app/password#secret",
        ]
    );
    assert!(ran.stderr.contains("5 copies of values of the vault found"), "{ran:?}");
    assert!(ran.stderr.contains("of fewer than 8 bytes were not looked for: 1"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
    let said = work.vault(["scan", "--json"]).exits(6).json();
    assert_eq!(
        said["found"][4],
        json!({"path": "src/raw.txt", "line": 2, "column": 7, "offset": 15, "entry": "app/password", "field": "secret", "form": "raw"})
    );
    assert_eq!(said["too_short"], json!(["app/password#user"]));
    work.vault(["scan", "clean.txt", "secrets.vault"]).ok();
    work.vault(["scan", "src"]).exits(6);
}

#[test]
fn ignored_files_are_looked_at_if_asked_for() {
    let work = work();
    work.write(".gitignore", "private/\n");
    work.write("private/notes", VALUE);
    work.vault(["scan"]).ok();
    assert_eq!(
        work.vault(["scan", "--no-ignore"]).exits(6).lines(),
        ["private/notes:1:1: app/password#secret"]
    );
}

#[test]
fn what_is_staged_counts_and_not_what_lies_in_the_folder() {
    let work = work();
    work.write("a name\nwith a newline", VALUE);
    work.git(["add", "-A"]).ok();
    work.write("a name\nwith a newline", "clean again");
    work.write("not staged", VALUE);
    let said = work.vault(["scan", "--staged", "--json"]).exits(6).json();
    let places: Vec<_> = said["found"].as_array().unwrap().iter().map(|hit| &hit["path"]).collect();
    assert_eq!(places, ["a name\nwith a newline"]);
    work.git(["add", "-A"]).ok();
    let said = work.vault(["scan", "--staged", "--json"]).exits(6).json();
    let places: Vec<_> = said["found"].as_array().unwrap().iter().map(|hit| &hit["path"]).collect();
    assert_eq!(places, ["not staged"]);
    work.git(["rm", "-q", "--cached", "not staged"]).ok();
    work.vault(["scan", "--staged"]).ok();
}

#[test]
fn before_the_first_commit_everything_staged_is_new() {
    let work = Work { home: crate::crash::program::Home::with_vault() };
    work.git(["init", "-q", "--template=", "-b", "main"]).ok();
    work.home.set("x", VALUE);
    work.write("leak", VALUE);
    work.git(["add", "-A"]).ok();
    assert_eq!(work.vault(["scan", "--staged"]).exits(6).lines(), ["leak:1:1: x#secret"]);
    work.vault(["check", "--staged"]).ok();
    assert_eq!(work.lines(["diff"]), ["added x: field secret", "added slot machine (machine)"]);
}

#[test]
fn a_stream_is_looked_through() {
    let work = work();
    let long = [vec![b'x'; 3 << 20], b"\n ".to_vec(), VALUE.as_bytes().to_vec()].concat();
    let ran = work.vault(["scan", "--stdin"]).stdin(long).exits(6);
    assert_eq!(ran.lines(), ["-:2:2: app/password#secret"]);
    work.vault(["scan", "--stdin"]).stdin("nothing").ok();
}

#[test]
fn what_cannot_be_read_is_not_called_clean() {
    let work = Work::new();
    work.set("x", VALUE);
    work.write("leak", VALUE);
    work.vault(["scan"]).fails(6, "leak-found");
    work.vault(["scan", "nowhere"]).fails(1, "input-unreadable");
    work.vault(["scan"]).locked().without_terminal().fails(4, "locked-no-terminal");
}

#[test]
fn large_values_are_found_by_a_part() {
    let work = Work::new();
    let lines: String = (0..2000).map(|i| format!("{i:05}-{:032x}\n", i * 7919)).collect();
    work.vault(["set", "--raw", "large"]).stdin(lines.clone()).ok();
    work.write("copy", lines.replace('\n', "\r\n"));
    let ran = work.vault(["scan", "copy"]).exits(6);
    assert!(ran.lines()[0].ends_with("large#secret"), "{ran:?}");
}
