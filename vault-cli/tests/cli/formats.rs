//! Import and export.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::World;

#[test]
fn an_import_is_one_commit_and_comes_back_in_every_format() {
    let world = World::new();
    let text: String = (0..300).map(|n| format!("NAME_{n}='value {n} $X'\n")).collect();
    fs::write(world.path(".env"), &text).unwrap();
    world.ok(&["import", ".env", "--prefix", "app/"]);
    assert_eq!(world.generation(), 2);
    assert_eq!(world.get("app/NAME_7"), b"value 7 $X");
    for format in ["dotenv", "json", "yaml", "toml"] {
        let exported = world.run(&["export", "--format", format, "--prefix", "app/"]);
        exported.expect(0);
        let prefix = format!("{format}/");
        world.run_with(&["import", "-", "--format", format, "--prefix", &prefix], &exported.stdout).expect(0);
        let again = world.run(&["export", "--format", format, "--prefix", &prefix]);
        assert_eq!(again.text(), exported.text());
    }
    assert_eq!(world.ok(&["list"]).lines().count(), 1500);
    world.run(&["check"]).expect(0);
}

#[test]
fn a_bad_file_stores_nothing_and_shows_no_value() {
    let world = World::new();
    let before = world.vault();
    for (name, text, said) in [
        ("a.env", "A=1\nhunter2\n", "in line 2"),
        ("a.json", "{\"a\": {\"b\": null}, \"c\": \"hunter2\"}", "\"a/b\""),
        ("a.json", "{\"a\": \"hunter2\" \"b\"}", "does not follow the format"),
        ("a.yaml", "a: hunter2\nb: [hunter2]\n", "\"b\" in line 2"),
        ("a.yaml", "a: hunter2: x\n", "does not follow the format"),
        ("a.toml", "a = 'hunter2'\nb = hunter2\n", "in line 2"),
        ("a.json", "{\"\": \"hunter2\"}", "it is empty"),
        ("a.json", "{\"\u{e9}\": \"1\", \"e\u{301}\": \"2\"}", "there twice"),
    ] {
        fs::write(world.path(name), text).unwrap();
        let ran = world.run(&["import", name]);
        ran.refuses(1, said);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    world.run(&["import", "key"]).refuses(2, "cannot tell the format");
    assert_eq!(world.vault(), before);
}

#[test]
fn an_import_replaces_only_if_it_may() {
    let world = World::new();
    world.set("A", b"old");
    fs::write(world.path(".env"), "A=new\nB=1\n").unwrap();
    world.run(&["import", ".env"]).refuses(7, "one of the entries exists already");
    assert_eq!((world.get("A"), world.ok(&["list"])), (b"old".to_vec(), "A\n".to_owned()));
    world.ok(&["import", ".env", "--yes"]);
    assert_eq!((world.get("A"), world.get("B")), (b"new".to_vec(), b"1".to_vec()));
}

#[test]
fn a_file_is_one_binary_secret() {
    let world = World::new();
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(world.path("cert.p12"), &bytes).unwrap();
    world.ok(&["import", "cert.p12", "--format", "file"]);
    world.ok(&["import", "cert.p12", "--format", "file", "--name", "tls/cert"]);
    assert!(world.get("cert.p12") == bytes && world.get("tls/cert") == bytes);
    world.run(&["export"]).refuses(1, "the value is not text");
    world
        .run(&["import", "cert.p12", "--format", "file", "--name", "x", "--max-size", "64KiB"])
        .refuses(1, "more than 64 KiB");
    world
        .run(&["import", "/dev/zero", "--format", "file", "--name", "x", "--max-size", "1MiB"])
        .refuses(1, "more than 1 MiB");
    world.run(&["import", "/dev/zero", "--format", "json"]).refuses(1, "more than 256 MiB");
}

#[test]
fn files_are_exported_below_the_folder_and_nowhere_else() {
    let world = World::new();
    world.set("a/b", b"1");
    world.set("c", b"\xff");
    world.ok(&["export", "--format", "files", "-o", "out"]);
    assert_eq!(fs::read(world.path("out/a/b")).unwrap(), b"1");
    assert_eq!(fs::read(world.path("out/c")).unwrap(), b"\xff");
    assert_eq!(fs::metadata(world.path("out/a/b")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(world.path("out")).unwrap().permissions().mode() & 0o777, 0o700);
    world.run(&["export", "--format", "files", "-o", "out"]).refuses(7, "exists already");
    world.ok(&["export", "--format", "files", "-o", "out", "--yes"]);

    for name in ["../up", "/abs", "x/../../y", "d//e"] {
        world.set(name, b"evil");
        world.run(&["export", name, "--format", "files", "-o", "fresh"]).refuses(1, "leads outside");
        world.ok(&["remove", name]);
    }
    assert!(!world.path("fresh").exists() && !world.path("up").exists());
}

#[test]
fn planted_links_are_never_followed() {
    let world = World::new();
    world.set("a/b", b"secret");
    fs::create_dir(world.path("elsewhere")).unwrap();
    fs::write(world.path("target"), "untouched").unwrap();
    for (link, to) in [("a", "elsewhere"), ("a/b", "target")] {
        let out = world.path("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        if link == "a/b" {
            fs::create_dir(out.join("a")).unwrap();
        }
        symlink(world.path(to), out.join(link)).unwrap();
        world.run(&["export", "--format", "files", "-o", "out", "--yes"]).expect(1);
        assert!(fs::read_dir(world.path("elsewhere")).unwrap().next().is_none());
        assert_eq!(fs::read_to_string(world.path("target")).unwrap(), "untouched");
    }
    symlink(world.path("target"), world.path("link")).unwrap();
    world.run(&["get", "a/b", "-o", "link"]).expect(7);
    world.run(&["export", "-o", "link", "--yes"]).expect(1);
    assert_eq!(fs::read_to_string(world.path("target")).unwrap(), "untouched");
}

#[test]
fn names_that_would_be_one_file_are_refused_before_anything_is_written() {
    let world = World::new();
    world.set("a", b"1");
    world.set("a/b", b"2");
    world.run(&["export", "--format", "files", "-o", "out"]).refuses(1, "same file or folder as \"a\"");
    assert!(!world.path("out").exists());
    world.run_with(&["set", "x", "--field", "y"], b"3").expect(0);
    world.set("x.y", b"4");
    world.run(&["export", "x*"]).refuses(1, "\"x.y\"");
}

#[test]
fn an_export_says_where_to_and_of_what() {
    let world = World::new();
    world.run(&["export", "--prefix", "a"]).refuses(3, "no entry's name begins with \"a\"");
    assert_eq!(world.ok(&["export"]), "{}\n");
    world.set("aws", b"1");
    let ran = world.run(&["export", "--format", "files"]);
    ran.refuses(2, "name the folder with -o FOLDER");
    world.run(&["export", "--format", "files", "-o", "-"]).refuses(2, "name the folder");
    assert!(!world.path("aws").exists());
    for none in [&["nothing*"][..], &["--prefix", "x/"], &["aws", "--prefix", "x"]] {
        world.run(&[&["export", "-o", "out"][..], none].concat()).refuses(3, "no entry's name");
    }
    assert!(!world.path("out").exists());
    world.run_with(&["set", "aws", "--field", "key_id"], b"2").expect(0);
    world.set("aws.key_id", b"3");
    let ran = world.run(&["export", "--format", "json"]);
    ran.refuses(1, "an entry is named so, and a field of another would be, too");
    assert!(!ran.stderr.contains("as a file"), "{}", ran.stderr);
}
