//! What the program refuses, or says, before a mistake costs something.

use std::fs;
use std::process::Command;

use crate::support::{Ran, World, fed};

fn git(world: &World, arguments: &[&str]) {
    let ran = Command::new("git").current_dir(world.root()).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn repository() -> World {
    let world = World::empty();
    git(&world, &["init", "-q"]);
    world
}

#[test]
fn an_export_replaces_neither_a_vault_nor_what_opened_it() {
    let world = World::new();
    world.set("key", b"x");
    let (vault, key) = (world.vault(), fs::read(world.path("key")).unwrap());
    fs::copy(world.path("secrets.vault"), world.path("other")).unwrap();
    std::os::unix::fs::symlink("secrets.vault", world.path("link")).unwrap();
    for target in ["secrets.vault", "./secrets.vault", "key", "other", "link"] {
        world.run(&["export", "-o", target, "--yes"]).refuses(7, "refusing to replace");
    }
    world.run(&["export", "--format", "files", "-o", ".", "--yes"]).refuses(7, "refusing to replace");
    assert_eq!((world.vault(), fs::read(world.path("key")).unwrap()), (vault, key));
    fs::write(world.path("plain"), "old").unwrap();
    world.ok(&["export", "-o", "plain", "--yes"]);
}

#[test]
fn an_export_of_files_writes_all_or_none() {
    let world = World::new();
    for name in ["a", "b", "c/d"] {
        world.set(name, b"x");
    }
    fs::create_dir(world.path("out")).unwrap();
    fs::write(world.path("out/b"), "old").unwrap();
    world.run(&["export", "--format", "files", "-o", "out"]).refuses(7, "it exists already");
    assert!(!world.path("out/a").exists());
    fs::write(world.path("out/c"), "old").unwrap();
    world.run(&["export", "--format", "files", "-o", "out", "--yes"]).refuses(1, "not a directory");
    assert!(!world.path("out/a").exists());
    fs::remove_file(world.path("out/c")).unwrap();
    world.ok(&["export", "--format", "files", "-o", "out", "--yes"]);
    assert_eq!(fs::read(world.path("out/c/d")).unwrap(), b"x");
}

#[test]
fn the_machine_key_is_given_out_whatever_becomes_of_gitattributes() {
    for kind in ["link", "folder", "large"] {
        let world = repository();
        let path = world.path(".gitattributes");
        match kind {
            "link" => std::os::unix::fs::symlink("nowhere", &path).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => fs::write(&path, vec![b'\n'; 2 << 20]).unwrap(),
        }
        let ran: Ran = world.bare().args(["init", "--machine"]).output().unwrap().into();
        ran.expect(0);
        assert!(ran.text().starts_with("vault-machine-key-1:"), "{kind}: {}", ran.text());
        assert!(ran.stderr.contains("add it yourself: secrets.vault text eol=lf"), "{kind}: {}", ran.stderr);
    }
}

#[test]
fn a_key_that_nobody_got_is_told() {
    let world = World::empty();
    for arguments in [&["init", "--machine"][..], &["init", "--machine", "--json", "-f", "x.vault"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran: Ran = world.bare().args(arguments).stdout(full).output().unwrap().into();
        ran.expect(1);
        assert!(ran.stderr.contains("machine key is lost") && ran.stderr.contains("rm "), "{}", ran.stderr);
    }
}

#[test]
fn a_key_where_a_path_is_expected_is_not_repeated() {
    let world = World::new();
    let machine = fs::read_to_string(world.path("key")).unwrap().trim().to_owned();
    let identity = "AGE-SECRET-KEY-1UMZDAVU4UT5C7CPXNUW40HXVTUU9FGKVZZ6R8X8Z62Z6APC8GLEQ7LXCXM";
    for key in [machine.as_str(), identity] {
        for option in
            ["--machine-key-file", "--identity", "--file", "--passphrase-file", "--machine-key", "-i"]
        {
            let ran: Ran = world.bare().args([option, key, "list"]).output().unwrap().into();
            ran.refuses(2, "refusing a secret key on the command line");
            assert!(!ran.stderr.contains(&key[20..]), "{}", ran.stderr);
        }
        for variable in ["VAULT_MACHINE_KEY_FILE", "VAULT_IDENTITY_FILE", "VAULT_FILE"] {
            let ran: Ran = world.bare().env(variable, key).arg("list").output().unwrap().into();
            ran.refuses(2, variable);
            assert!(!ran.stderr.contains(&key[20..]), "{}", ran.stderr);
        }
    }
}

#[test]
fn a_vault_without_its_line_for_git_is_warned_of() {
    let world = repository();
    let made = world.bare().args(["init", "--machine", "-f", "my secrets*.vault"]).output().unwrap();
    fs::write(world.path("key"), made.stdout).unwrap();
    let said = |arguments: &[&str]| world.run(&[&["-f", "my secrets*.vault"], arguments].concat());
    for command in ["status", "check"] {
        assert_eq!(said(&[command]).expect(0).stderr, "", "{command}: git understands the line");
    }
    fs::remove_file(world.path(".gitattributes")).unwrap();
    for command in ["status", "check"] {
        let ran = said(&[command]);
        ran.expect(0);
        assert!(
            ran.stderr.contains(r#"add it yourself: "my secrets\\*.vault" text eol=lf"#),
            "{}",
            ran.stderr
        );
        said(&["--strict", command]).expect(1);
    }
    fs::write(world.path(".gitattributes"), "*.vault binary\n").unwrap();
    assert_eq!(said(&["status"]).expect(0).stderr, "", "another way to the same end");
}

#[test]
fn status_sees_what_is_wrong_further_down() {
    let world = World::new();
    world.set("a", b"1");
    let text = String::from_utf8(world.vault()).unwrap();
    fs::write(world.path("secrets.vault"), text.replacen("\npage 80\n", "\n<<<<<<< HEAD\npage 80\n", 1))
        .unwrap();
    let ran = world.run(&["status"]);
    ran.expect(6);
    assert!(ran.text().starts_with("vault: ") && ran.stderr.contains("git merge --abort"), "{}", ran.stderr);
    let ran = world.run(&["status", "--json"]);
    ran.expect(6);
    assert!(ran.stdout.is_empty() && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    fs::write(world.path("secrets.vault"), text.replace('\n', "\r\n")).unwrap();
    let ran = world.run(&["status"]);
    assert!(
        ran.expect(6).stderr.contains("rm ") && ran.stderr.contains("git checkout -- "),
        "{}",
        ran.stderr
    );
}

#[test]
fn json_is_one_object() {
    let world = World::new();
    world.set("a", b"1");
    fs::write(world.path("t"), "{{ vault://a }}").unwrap();
    for arguments in [
        &["generate"][..],
        &["generate", "b", "--print"],
        &["get", "a", "-o", "file"],
        &["export", "-o", "all"],
        &["export", "--format", "files", "-o", "folder"],
        &["man", "man1"],
        &["render", "t", "-o", "rendered"],
        &["show", "a"],
        &["status"],
        &["check"],
    ] {
        let text = world.ok(&[arguments, &["--json"]].concat());
        assert!(text.starts_with("{\"version\":1,") && text.lines().count() == 1, "{arguments:?}: {text}");
    }
    world.run(&["export", "--json"]).expect(2);
    world.run(&["export", "--json", "-o", "-"]).expect(2);
    let ran = world.run(&["render", "t", "--json"]);
    assert!(
        ran.expect(2).stdout.is_empty() && ran.stderr.contains("--json reports about a file"),
        "{}",
        ran.stderr
    );
    let seal = |text: &str| text.split("\"seal\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(seal(&world.ok(&["show", "a", "--json"])), seal(&world.ok(&["log", "a", "--json"])));
    let made = world.ok(&["-f", "x.vault", "init", "--machine", "--out", "x.key", "--json"]);
    let status = world.bare().args(["-f", "x.vault", "status", "--json"]).output().unwrap();
    let id = |text: &str| text.split("\"vault_id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(id(&made), id(&String::from_utf8(status.stdout).unwrap()), "{made}");
    assert!(made.contains("x.key\""), "{made}");
    let added = world.ok(&["slot", "add", "--recovery", "--out", "code", "--json"]);
    assert!(added.contains("code\""), "{added}");
}

#[test]
fn an_empty_value_is_told_and_does_not_replace_unnoticed() {
    let world = World::new();
    let ran = world.run_with(&["set", "keep"], b"");
    assert_eq!(ran.expect(0).stderr, "stored \"keep\" (empty)\n");
    world.set("keep", b"value");
    world.run_with(&["--strict", "set", "keep"], b"\n").refuses(1, "standard input was empty");
    assert_eq!(world.get("keep"), b"value");
    let ran = world.run_with(&["set", "keep"], b"");
    assert!(ran.expect(0).stderr.contains("warning: standard input was empty"), "{}", ran.stderr);
    assert_eq!(world.get("keep"), b"");
}

#[test]
fn storing_into_an_expired_entry_warns() {
    let world = World::new();
    world.run_with(&["set", "a", "--expires", "2020-01-01"], b"1").expect(0);
    let ran = world.run_with(&["set", "a"], b"2");
    assert!(ran.expect(0).stderr.contains("expired on 2020-01-01"), "{}", ran.stderr);
    let ran = world.run_with(&["set", "a", "--expires", "90d"], b"2");
    assert_eq!(ran.expect(0).stderr, "stored \"a\"\n");
}

#[test]
fn other_spellings_of_a_letter_find_the_same() {
    let world = World::new();
    let (composed, parts) = ("caf\u{e9}", "cafe\u{301}");
    world.run_with(&["set", parts, "--field", parts, "--attr", &format!("{parts}=1")], b"x").expect(0);
    assert_eq!(world.ok(&["list", parts]).lines().count(), 1);
    assert_eq!(world.ok(&["list", "--attr", &format!("{parts}=1")]).lines().count(), 1);
    assert_eq!(world.ok(&["get", composed, composed]), "x");
    assert!(world.ok(&["export", parts]).contains('x'));
}

#[test]
fn small_words_of_help() {
    let world = World::new();
    let ran: Ran = world.bare().output().unwrap().into();
    ran.expect(2);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("Usage: vault"), "{}", ran.stderr);
    assert_eq!(world.ok(&["-q", "check"]), "");
    let ran: Ran = world.bare().env("VAULT_MACHINE_KEY", "").arg("list").output().unwrap().into();
    ran.refuses(4, "VAULT_MACHINE_KEY is set but empty");
    let ran: Ran = world.bare().env("VAULT_PASSPHRASE", "wrong").arg("list").output().unwrap().into();
    ran.refuses(5, "the key slots are: machine\n");
    let ran: Ran = world.bare().arg("status").output().unwrap().into();
    assert!(ran.expect(0).text().contains("unlock with: nothing was named"), "{}", ran.text());
    world.run(&["set", "a", "--field", ""]).refuses(2, "the name of a field");
}

#[test]
fn import_wants_a_name_where_there_is_none_and_only_there() {
    let world = World::new();
    world.run_with(&["import", "-", "--format", "file"], b"x").refuses(2, "add --name NAME");
    world.run_with(&["import", "-", "--format", "json", "--name", "a"], b"{}").refuses(2, "--format file");
    world.run_with(&["import", "-", "--format", "file", "--name", "a"], b"x").expect(0);
    assert_eq!(world.get("a"), b"x");
}

#[test]
fn a_new_passphrase_may_come_from_standard_input_and_a_recipient_only_once() {
    let world = World::empty();
    let mut init = world.bare();
    init.args(["init", "--new-passphrase-file", "-", "--kdf-memory", "19MiB"]);
    fed(&mut init, b"correct horse\n").expect(0);
    fed(world.bare().args(["--passphrase-file", "-", "list"]), b"correct horse").expect(0);
    let age = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    world.run(&["init", "-f", "x.vault", "--age", age, "--age", age]).refuses(2, "given twice");
}
