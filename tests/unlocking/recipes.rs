//! The recipes of docs/unlocking.md are run as they stand there, each in the surroundings that it is for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;

use super::{Ran, World, age_identity, fed, status};
use crate::documents::read;

/// The fenced blocks that are marked `recipe=NAME`, by name.
fn recipes() -> BTreeMap<String, String> {
    let page = read("docs/unlocking.md");
    let mut all = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("```sh recipe=") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            all.insert(name.to_owned(), text.join("\n"));
        }
    }
    all
}

/// A vault with one entry, and its machine key in `machine.key`.
fn world() -> World {
    let world = World::new();
    let key = world.ok("vault", &["init", "--machine"]);
    fs::write(world.path("machine.key"), key).unwrap();
    let mut set = world.command("vault");
    fed(set.args(["--machine-key-file", "machine.key", "set", "db/password"]), b"s3cret").expect(0);
    world
}

fn sh(world: &World, recipe: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = world.command("bash");
    command.envs(variables.iter().copied()).args(["-euo", "pipefail", "-c", recipe]).output().unwrap().into()
}

#[test]
fn every_recipe_is_run_by_a_test() {
    let names: Vec<String> = recipes().into_keys().collect();
    assert_eq!(names, ["agent", "ci", "ci-identity", "container", "cron", "systemd", "systemd-creds"]);
}

#[test]
fn the_recipe_for_the_agent() {
    let world = World::new();
    let runtime = world.path("run");
    fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
    fs::write(world.path("passphrase"), "orbit velvet canyon maple").unwrap();
    let init = ["init", "--new-passphrase-file", "passphrase", "--kdf-memory", "19MiB"];
    world.ok("vault", &init);
    fed(world.command("vault").args(["--passphrase-file", "passphrase", "set", "db/password"]), b"s3cret")
        .expect(0);
    let variables =
        [("PASSPHRASE", "orbit velvet canyon maple"), ("XDG_RUNTIME_DIR", runtime.to_str().unwrap())];
    let ran = sh(&world, &recipes()["agent"], &variables);
    let after = sh(&world, "vault get db/password", &variables);
    let wrong = sh(&world, &recipes()["agent"], &[("PASSPHRASE", "another one"), variables[1]]);
    sh(&world, "vault agent stop", &variables).expect(0);
    assert_eq!(ran.expect(0).stdout, "s3cret");
    after.says(4, "locked");
    wrong.says(5, "wrong passphrase");
}

#[test]
fn the_recipe_for_containers() {
    let world = world();
    let secrets = world.path("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::copy(world.path("machine.key"), secrets.join("vault-machine-key")).unwrap();
    let mut command = world.command("bwrap");
    // A root that is read-only, a home that is not there, and nothing of the host but programs and libraries.
    command.args([
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/run",
        "--tmpfs",
        "/srv",
    ]);
    command.args(["--ro-bind".as_ref(), secrets.as_os_str(), "/run/secrets".as_ref()]);
    command.args(["--ro-bind".as_ref(), world.path("").as_os_str(), "/srv/app".as_ref()]);
    command.args(["--unsetenv", "HOME", "--chdir", "/", "--", "sh", "-ec"]);
    // The folder in the image may be any; here the host's root has none called so.
    let ran = Ran::from(command.arg(recipes()["container"].replace("/app/", "/srv/app/")).output().unwrap());
    assert_eq!(ran.quiet().stdout, "s3cret");
}

#[test]
fn the_recipes_for_systemd() {
    let world = World::new();
    // As root writes the file that a unit names; and as systemd gives it to the service.
    sh(&world, &recipes()["systemd-creds"], &[]).expect(0);
    fs::create_dir(world.path("credentials")).unwrap();
    let sealed = fs::read_to_string(world.path("vault-machine-key.cred")).unwrap();
    assert!(!sealed.contains("vault-machine-key-1:"), "{sealed}");
    world.ok(
        "systemd-creds",
        &["decrypt", "--name=vault-machine-key", "vault-machine-key.cred", "credentials/vault-machine-key"],
    );
    let folder = world.path("credentials");
    let variables = [("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()), ("VAULT_FILE", "secrets.vault")];
    fed(world.command("vault").envs(variables).args(["set", "db/password"]), b"s3cret").expect(0);
    assert_eq!(sh(&world, &recipes()["systemd"], &variables).quiet().stdout, "s3cret");
    // Under another name it is another credential.
    let mut wrong = world.command("systemd-creds");
    let ran =
        Ran::from(wrong.args(["decrypt", "--name=other", "vault-machine-key.cred", "-"]).output().unwrap());
    assert_ne!(ran.code, Some(0));
}

#[test]
fn the_recipes_for_ci_refuse_a_replaced_vault() {
    let world = world();
    let key = fs::read_to_string(world.path("machine.key")).unwrap();
    let variables = [("VAULT_MACHINE_KEY", key.trim())];
    assert_eq!(sh(&world, &recipes()["ci"], &variables).quiet().stdout, "s3cret");
    fs::rename(world.path("secrets.vault"), world.path("real.vault")).unwrap();
    let other = World::new();
    other.ok("vault", &["init", "--machine"]);
    fs::copy(other.path("secrets.vault"), world.path("secrets.vault")).unwrap();
    // As on a fresh machine: nothing is remembered.
    fs::remove_dir_all(world.path("home")).unwrap();
    sh(&world, &recipes()["ci"], &variables).says(6, "the machine key belongs to another vault");

    let world = World::new();
    let recipient = age_identity(&world, "me.key");
    world.ok("vault", &["init", "--age", &recipient]);
    fed(world.command("vault").args(["-i", "me.key", "set", "db/password"]), b"s3cret").expect(0);
    let id = status(&world.vault(&["-i", "me.key", "status"]), "id: ");
    let identity = fs::read_to_string(world.path("me.key")).unwrap();
    let variables = [("VAULT_IDENTITY", identity.as_str()), ("VAULT_ID", id.as_str())];
    assert_eq!(sh(&world, &recipes()["ci-identity"], &variables).quiet().stdout, "s3cret");
    fs::remove_dir_all(world.path("home")).unwrap();
    fs::remove_file(world.path("secrets.vault")).unwrap();
    other.ok("vault", &["init", "--age", &recipient, "--file", "forged.vault"]);
    fs::copy(other.path("forged.vault"), world.path("secrets.vault")).unwrap();
    sh(&world, &recipes()["ci-identity"], &variables)
        .says(6, "not the one that VAULT_ID or --vault-id names");
}

#[test]
fn the_recipe_for_timers() {
    let world = world();
    assert_eq!(sh(&world, &recipes()["cron"], &[]).quiet().stdout, "s3cret");
}
