//! Where secrets must not be: other processes' environments, files, messages, cores.

use std::fs;

use crate::support::World;

fn edit(world: &World, editor: &str, arguments: &[&str]) -> crate::support::Ran {
    world.command().env("EDITOR", editor).arg("edit").args(arguments).output().unwrap().into()
}

fn memory_is_there() -> bool {
    // Without a folder in memory, edit refuses, which is tested elsewhere.
    fs::read_to_string("/proc/mounts").unwrap().lines().any(|line| line.contains(" /dev/shm tmpfs "))
}

#[test]
fn edit_changes_a_value_and_leaves_nothing_behind() {
    if !memory_is_there() {
        return;
    }
    let world = World::new();
    world.set("a", b"before");
    world.set("lines", b"one\ntwo\n");
    let editor = "f() { dirname \"$1\" >> folders; stat -c '%a %n' \"$1\" >> modes; cp \"$1\" \"$1~\"; sed -i s/before/after/ \"$1\"; }; f";
    edit(&world, editor, &["a"]).expect(0);
    assert_eq!(world.get("a"), b"after");
    assert!(fs::read_to_string(world.path("modes")).unwrap().starts_with("600 "));
    // An editor that ends the last line does not change the value.
    let before = world.vault();
    edit(&world, "f() { echo >> \"$1\"; }; f", &["a"]).expect(0);
    edit(&world, "true", &["lines"]).expect(0);
    assert_eq!(world.vault(), before);
    for folder in fs::read_to_string(world.path("folders")).unwrap().lines() {
        assert!(!std::path::Path::new(folder).exists(), "{folder}");
    }
}

#[test]
fn edit_fails_cleanly() {
    if !memory_is_there() {
        return;
    }
    let world = World::new();
    world.set("a", b"1");
    world.set("binary", b"\xff");
    let before = world.vault();
    edit(&world, "false", &["a"]).refuses(1, "the editor failed");
    edit(&world, "true", &["binary"]).refuses(1, "no text");
    edit(&world, "", &["a"]).refuses(1, "neither VISUAL nor EDITOR");
    edit(&world, "f() { head -c 20000 /dev/zero > \"$1\"; }; f", &["a"]).expect(1);
    assert_eq!(world.vault(), before);
}

#[test]
fn what_another_process_stored_meanwhile_is_not_overwritten_by_an_editor() {
    if !memory_is_there() {
        return;
    }
    let world = World::new();
    world.set("a", b"1");
    let editor = format!(
        "f() {{ printf other | '{}' --quiet set a; printf mine > \"$1\"; }}; f",
        env!("CARGO_BIN_EXE_vault")
    );
    edit(&world, &editor, &["a"]).refuses(7, "another process changed it while you were editing");
    assert_eq!(world.get("a"), b"other");
    // A change of another entry is no conflict.
    let editor = editor.replace("set a", "set b");
    edit(&world, &editor, &["a"]).expect(0);
    assert_eq!((world.get("a"), world.get("b")), (b"mine".to_vec(), b"other".to_vec()));
}

#[test]
fn an_editor_inherits_no_secret_and_its_parent_leaves_no_core() {
    if !memory_is_there() {
        return;
    }
    let world = World::new();
    world.set("a", b"1");
    let editor = "f() { env > environment; tr '\\0' '\\n' < /proc/$PPID/cmdline > arguments; cat /proc/$PPID/limits > limits; }; f";
    let ran = world
        .bare()
        .env("VAULT_MACHINE_KEY", fs::read_to_string(world.path("key")).unwrap().trim())
        .env("VAULT_PASSPHRASE", "")
        .env("EDITOR", editor)
        .args(["edit", "a"])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let environment = fs::read_to_string(world.path("environment")).unwrap();
    assert!(environment.contains("HOME=") && !environment.contains("vault-machine-key"), "{environment}");
    let limits = fs::read_to_string(world.path("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().filter(|word| *word == "0").count() >= 2, "{core}");
    assert!(!fs::read_to_string(world.path("arguments")).unwrap().contains("vault-machine-key"));
}

#[test]
fn an_editor_that_is_interrupted_leaves_nothing() {
    if !memory_is_there() {
        return;
    }
    let world = World::new();
    world.set("a", b"1");
    // The editor interrupts its parent, as Ctrl-C does to both; the parent waits and wipes.
    let editor = "f() { dirname \"$1\" > folder; kill -INT $PPID; kill -TERM $PPID; printf 2 > \"$1\"; }; f";
    edit(&world, editor, &["a"]).expect(0);
    let folder = fs::read_to_string(world.path("folder")).unwrap();
    assert!(!std::path::Path::new(folder.trim()).exists());
    assert_eq!(world.get("a"), b"2");
}

#[test]
fn verbose_errors_show_no_secret() {
    let world = World::new();
    world.set("a", b"hunter2");
    for arguments in [
        &["get", "a", "none", "--verbose"][..],
        &["get", "b", "--verbose"],
        &["export", "--format", "dotenv", "--prefix", "zz", "--verbose"],
        &["rename", "a", "a", "--verbose"],
        &["show", "a", "--verbose"],
        &["list", "--verbose", "--json"],
    ] {
        let ran = world.run(arguments);
        assert!(!ran.stderr.contains("hunter2") && !ran.text().contains("hunter2"), "{arguments:?}");
    }
    let ran = world.run_with(&["set", "a", "--new", "--verbose"], b"hunter3");
    ran.expect(7);
    assert!(!ran.stderr.contains("hunter3"), "{}", ran.stderr);
}

#[test]
fn the_vault_is_private_and_no_other_file_is_made() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.set("a", &[7; 100_000]);
    let mode = fs::metadata(world.path("secrets.vault")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut names: Vec<_> =
        fs::read_dir(world.root()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["key", "secrets.vault"]);
}
