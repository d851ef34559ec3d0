//! What is beside a vault may be anybody's: nothing waits for a FIFO, or reads a device without end.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Ran, World, age_identity};

/// A run that has to end by itself.
fn ends(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.command("timeout");
    command.args(["20", "vault", "-i", "me.key"]).args(arguments).stdin(Stdio::null());
    let start = Instant::now();
    let ran: Ran = command.output().unwrap().into();
    assert!(start.elapsed() < Duration::from_secs(20), "{arguments:?} hung: {}", ran.stderr);
    ran
}

fn world() -> World {
    let world = World::new();
    let recipient = age_identity(&world, "me.key");
    world.ok("vault", &["init", "--age", &recipient]);
    fs::write(world.path("value"), "value").unwrap();
    ends(&world, &["set", "first", "--secret-file", "value"]).expect(0);
    world
}

const COMMANDS: [&[&str]; 5] =
    [&["list"], &["get", "first"], &["set", "second", "--secret-file", "value"], &["status"], &["check"]];

#[test]
fn a_fifo_or_a_device_beside_a_vault_hangs_nothing() {
    for (planted, refused) in
        [(".git", false), (".git/HEAD", false), ("vault.toml", true), (".gitattributes", false)]
    {
        for device in [false, true] {
            let world = world();
            let path = world.path(planted);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if planted == ".gitattributes" {
                world.ok("git", &["init", "-q"]);
                let _ = fs::remove_file(&path);
            }
            if device {
                symlink("/dev/zero", &path).unwrap();
            } else {
                world.ok("mkfifo", &[path.to_str().unwrap()]);
            }
            for command in COMMANDS {
                let ran = ends(&world, command);
                let reads = matches!(command[0], "list" | "get");
                if reads || (!refused && command[0] == "set") {
                    assert_eq!(ran.code, Some(0), "{planted} {command:?}: {}", ran.stderr);
                }
                if refused && command[0] == "set" {
                    assert!(ran.code != Some(0) && ran.stderr.contains("vault.toml"), "{}", ran.stderr);
                }
            }
        }
    }
}

#[test]
fn rules_behind_a_link_and_of_any_ordinary_length_are_read() {
    let world = world();
    fs::write(world.path("rules"), format!("version = 1\n# {}\n", "x".repeat(60_000))).unwrap();
    symlink("rules", world.path("vault.toml")).unwrap();
    ends(&world, &["set", "second", "--secret-file", "value"]).expect(0);
    fs::write(world.path("rules"), "x".repeat(70_000)).unwrap();
    assert_ne!(ends(&world, &["set", "second", "--secret-file", "value"]).code, Some(0));
}
