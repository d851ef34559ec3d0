//! `vault.toml`, `vault check --staged`, and the job of docs/ci.md.

use serde_json::json;

use super::work::Work;
use crate::crash::program::{Home, script};

fn rules(work: &Work, text: &str) {
    work.write("vault.toml", format!("version = 1\n{text}"));
}

#[test]
fn every_save_and_every_check_enforces_the_rules() {
    let work = Work::new();
    work.home.set("prod/a", "x");
    rules(&work, "[names]\nallowed = [\"prod/*\"]\n");
    work.home.set("prod/b", "x");
    for run in [
        work.vault(["set", "dev/a"]).stdin("x"),
        work.vault(["rename", "prod/a", "dev/a"]),
        work.vault(["copy", "prod/a", "dev/a"]),
        work.vault(["generate", "dev/a"]),
    ] {
        run.fails(6, "against-policy").says("the name \"dev/a\" is like none that is allowed");
    }
    assert_eq!(work.lines(["list"]), ["prod/a", "prod/b"]);
    work.vault(["check"]).ok();
    rules(&work, "[names]\nforbidden = [\"*/b\"]\n");
    work.vault(["check"]).fails(6, "against-policy").says("\"prod/b\" is forbidden by \"*/b\"");
    work.vault(["check", "--no-key"]).ok();
    // What is wrong can be mended.
    work.vault(["get", "prod/b"]).ok();
    work.vault(["remove", "prod/b"]).ok();
    work.vault(["check"]).ok();
}

#[test]
fn slots_and_the_id_are_checked_without_a_key() {
    let work = Work::new();
    let no_key = |work: &Work| work.vault(["check", "--no-key"]).locked();
    rules(&work, "[slots]\nallowed-kinds = [\"age\"]\n");
    no_key(&work).fails(6, "against-policy").says("is of the kind machine, which is not allowed");
    work.vault(["set", "a"]).stdin("x").fails(6, "against-policy");
    work.vault(["compact"]).fails(6, "against-policy");
    work.vault(["--file", "new.vault", "init", "--machine"]).fails(6, "against-policy");
    assert!(!work.path("new.vault").exists());
    rules(&work, "[slots]\nrequired-kinds = [\"recovery\"]\n");
    no_key(&work).fails(6, "against-policy").says("no slot of the kind \"recovery\"");
    rules(&work, "vault-id = \"00000000000000000000000000000000\"\n");
    no_key(&work).fails(6, "against-policy").says("the vault's id is ");
    let id = work.vault(["status", "--json"]).ok().json()["vault"]["uuid"].as_str().unwrap().to_owned();
    rules(&work, &format!("vault-id = \"{id}\"\n[slots]\nrequired-kinds = [\"machine\"]\n"));
    no_key(&work).ok();
    rules(&work, "slot = 3\n");
    for run in [no_key(&work), work.vault(["check"]), work.vault(["set", "a"]).stdin("x")] {
        run.fails(1, "bad-policy").says("there is no rule \"slot\"");
    }
}

#[test]
fn the_long_form_of_the_id_is_that_of_one_master_key() {
    let work = Work::new();
    work.home.set("a", "x");
    let id = |work: &Work| {
        work.vault(["status", "--json"]).ok().json()["vault"]["vault_id"].as_str().unwrap().to_owned()
    };
    let first = id(&work);
    rules(&work, &format!("vault-id = \"{first}\"\n"));
    work.vault(["check"]).ok();
    work.home.set("a", "y");
    let said = work.vault(["rotate", "--yes", "--machine-keys-out", "../keys"]).ok();
    std::fs::copy(work.home.beside("keys/machine.key"), work.home.key()).unwrap();
    let second = id(&work);
    assert!(said.stderr.contains(&format!("names this one: vault-id = \"{second}\"")), "{said:?}");
    for run in [work.vault(["check"]), work.vault(["check", "--no-key"]), work.vault(["set", "a"]).stdin("z")]
    {
        run.fails(6, "against-policy").says(&format!("the vault's id is {second}, not {first}"));
    }
    rules(&work, &format!("vault-id = \"{second}\"\n"));
    work.vault(["check"]).ok();
    work.home.set("a", "z");
    // The short form is that of the vault, under whatever key.
    rules(&work, &format!("vault-id = \"{}\"\n", &first[..32]));
    work.vault(["check"]).ok();
    rules(&work, &format!("vault-id = \"{}\"\n", &first[..40]));
    work.vault(["check"]).fails(1, "bad-policy").says("before the colon");
}

#[test]
fn whoever_needs_a_key_is_not_content_with_the_form() {
    let work = Work::new();
    work.home.set("a", "x");
    let check = |options: &[&str]| work.vault([&["check"], options].concat());
    check(&["--need-key"]).ok().says("");
    let ended = check(&["--need-key"]).locked().without_terminal().fails(4, "locked-no-terminal");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    check(&[]).locked().without_terminal().ok();
    check(&["--need-key", "--no-key"]).exits(2);
    // What opens another vault opens nothing here.
    let other = Home::with_vault();
    check(&["--need-key"]).env("VAULT_MACHINE_KEY_FILE", other.key()).exits(6);
    // What is wrong without a key is said rather.
    let good = std::fs::read(work.path("secrets.vault")).unwrap();
    work.write("secrets.vault", &good[..good.len() - 30]);
    check(&["--need-key"]).locked().without_terminal().fails(6, "damaged");
    work.write("secrets.vault", &good);
    rules(&work, "[slots]\nallowed-kinds = [\"age\"]\n");
    check(&["--need-key"]).locked().without_terminal().fails(6, "against-policy");
    std::fs::remove_file(work.path("vault.toml")).unwrap();
    // The same for what is staged: each vault of it has to open.
    work.git(["add", "-A"]).ok();
    check(&["--staged", "--need-key"]).ok();
    check(&["--staged", "--need-key"]).locked().without_terminal().fails(4, "locked-no-terminal");
    std::fs::create_dir(work.path("sub")).unwrap();
    work.vault(["--file", "sub/theirs.vault", "init", "--machine"]).ok();
    work.git(["add", "-A"]).ok();
    check(&["--staged"]).ok();
    let ended = check(&["--staged", "--need-key"]).end();
    assert!(matches!(ended.status.code(), Some(4..=6)), "{ended:?}");
}

#[test]
fn passphrases_have_to_cost_what_the_rules_say() {
    let work = Work::new();
    work.write("../phrase", "a passphrase of some words");
    let phrase = work.home.beside("phrase");
    let phrase = phrase.to_str().unwrap();
    let init = ["--file", "p.vault", "init", "--new-passphrase-file", phrase, "--kdf-memory", "19MiB"];
    rules(&work, "[slots]\nkdf-memory = \"64MiB\"\n");
    work.vault(init).fails(6, "against-policy").says("costs 19 MiB of memory, not 64 MiB");
    rules(&work, "[slots]\nkdf-memory = \"19MiB\"\nkdf-passes = 3\n");
    work.vault(init).ok();
}

#[test]
fn entries_that_are_too_old_are_named() {
    let work = Work::new();
    work.home.set("a", "x");
    work.vault(["edit", "a", "--attr", "rotate=often"]).ok();
    rules(&work, "[max-age]\n\"rotate=often\" = \"1h\"\n");
    work.vault(["check"]).ok();
    let later = work.vault(["check"]).under(["faketime", "-f", "+2h"]);
    later.fails(6, "against-policy").says("\"a\" was not changed since");
    work.home.set("a", "y");
}

#[test]
fn what_is_staged_is_checked_and_not_what_lies_in_the_folder() {
    let work = Work::new();
    work.home.set("a", "x");
    let good = std::fs::read(work.path("secrets.vault")).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    work.git(["add", "-A"]).ok();
    work.write("secrets.vault", "broken");
    let said = work.vault(["check", "--staged", "--json"]).ok().json();
    assert_eq!(said["files"][0]["file"], "secrets.vault");
    assert_eq!(said["files"][0]["verified"], true);
    let locked = work.vault(["check", "--staged", "--json"]).locked().ok().json();
    assert_eq!(locked["files"][0]["verified"], false);

    for (bad, id) in [
        (text.replacen("page 80\n", "<<<<<<< ours\npage 80\n", 1), "conflict-markers"),
        ("plain: secret\n".to_owned(), "not-a-vault"),
        (text[..text.len() - 30].to_owned(), "damaged"),
    ] {
        work.write("secrets.vault", &bad);
        work.git(["-c", "core.autocrlf=false", "add", "secrets.vault"]).ok();
        work.write("secrets.vault", &good);
        work.vault(["check", "--staged"]).locked().fails(6, id);
    }
    work.git(["add", "-A"]).ok();
    work.commit("good");
    // Nothing of a vault is staged: nothing to check.
    work.write("readme", "vaults are nice\n");
    work.git(["add", "-A"]).ok();
    assert_eq!(work.vault(["check", "--staged", "--json"]).ok().json()["files"], json!([]));
}

#[test]
fn the_rules_in_the_index_are_those_of_the_commit() {
    let work = Work::new();
    rules(&work, "[slots]\nallowed-kinds = [\"age\"]\n");
    work.git(["add", "-A"]).ok();
    rules(&work, "");
    // Only the rules are staged, and yet the vault is held against them.
    work.vault(["check", "--staged"]).locked().fails(6, "against-policy");
    work.git(["add", "-A"]).ok();
    work.vault(["check", "--staged"]).locked().ok();
}

#[test]
fn another_vault_of_the_repository_is_checked_as_far_as_the_key_goes() {
    let work = Work::new();
    work.vault(["--file", "sub/theirs.vault", "status"]).exits(3);
    std::fs::create_dir(work.path("sub")).unwrap();
    work.vault(["--file", "sub/theirs.vault", "init", "--machine"]).ok();
    work.home.set("a", "x");
    work.git(["add", "-A"]).ok();
    let said = work.vault(["check", "--staged", "--json"]).ok().json();
    let files: Vec<_> =
        said["files"].as_array().unwrap().iter().map(|file| (&file["file"], &file["verified"])).collect();
    assert_eq!(files, [(&json!("secrets.vault"), &json!(true)), (&json!("sub/theirs.vault"), &json!(false))]);
}

#[test]
fn a_hook_keeps_a_broken_vault_out_of_a_commit() {
    let work = Work::new();
    std::fs::create_dir_all(work.path(".git/hooks")).unwrap();
    let hook = work.path(".git/hooks/pre-commit");
    std::fs::write(&hook, "#!/bin/sh\nexec vault check --staged\n").unwrap();
    let mut permissions = hook.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&hook, permissions).unwrap();
    work.home.set("a", "the value of a");
    let before = work.head();
    let ended = work.git(["commit", "-q", "-am", "good"]).ok();
    assert!(!format!("{ended:?}").contains("the value"), "{ended:?}");
    assert_ne!(work.head(), before);
    work.write("secrets.vault", "no vault\n");
    let before = work.head();
    work.git(["commit", "-q", "-am", "bad"]).exits(1).says("is not a vault");
    assert_eq!(work.head(), before);
    // Of a part of the changes git makes an index of its own, which the hook is told.
    work.git(["commit", "-q", "-m", "bad", "--", "secrets.vault"]).exits(1);
    assert_eq!(work.head(), before);
}

#[test]
fn the_job_for_ci_runs_with_and_without_the_key() {
    let work = Work::new();
    work.set("deploy/token", "t0ken-for-the-deployment");
    let base = work.head();
    work.write("deploy.sh", "#!/bin/sh\n[ -z \"${VAULT_MACHINE_KEY:-}\" ] || exit 9\necho \"got $DEPLOY_TOKEN\"\nprintf 'deployed with %s' \"$DEPLOY_TOKEN\" | tr a-z A-Z\nexit ${END:-0}\n");
    work.set("other", "x");
    let job = || {
        let program = crate::crash::program::program();
        let folder = program.parent().unwrap().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        work.home.program("sh", [script("../docs/ci/vault.sh")]).env("PATH", path).locked().without_terminal()
    };
    let ended = job().env("BASE", &base).ok();
    assert!(ended.text().contains("the form is right"), "{ended:?}");
    assert!(ended.text().contains("added entry with the id"), "{ended:?}");
    assert!(!ended.text().contains("DEPLOYED"));

    let key = std::fs::read_to_string(work.home.key()).unwrap().trim().to_owned();
    let ended = job().env("VAULT_MACHINE_KEY", &key).env("DEPLOY", "sh deploy.sh").end();
    assert_eq!(ended.status.code(), Some(127), "the name of a program is one word: {ended:?}");
    work.home.program("chmod", ["+x", "deploy.sh"]).ok();
    let ended = job().env("VAULT_MACHINE_KEY", &key).ok();
    assert!(ended.text().contains("DEPLOYED WITH T0KEN-FOR-THE-DEPLOYMENT"), "{ended:?}");
    assert!(ended.text().contains("everything verifies"), "{ended:?}");
    assert!(ended.text().contains("got ***") && !ended.text().contains("t0ken-for"), "{ended:?}");
    // The job ends as the program does, and without the entry nothing is started.
    job().env("VAULT_MACHINE_KEY", &key).env("END", "3").exits(3);
    work.vault(["remove", "deploy/token"]).ok();
    let ended = job().env("VAULT_MACHINE_KEY", &key).exits(125);
    assert!(!ended.text().contains("got"), "{ended:?}");
    work.home.set("deploy/token", "t0ken-for-the-deployment");

    // A leak ends the job before anything is deployed; so does a broken vault.
    work.write("leak.txt", "t0ken-for-the-deployment");
    let ended = job().env("VAULT_MACHINE_KEY", &key).exits(6);
    assert!(ended.text().contains("leak.txt:1:1: deploy/token#secret") && !ended.text().contains("DEPLOYED"));
    work.write("secrets.vault", "<<<<<<< ours\n");
    job().exits(6);
}

#[test]
fn vaults_below_the_top_are_found_by_a_hook_and_those_beside_changed_rules() {
    let work = Work { home: Home::empty() };
    work.git(["init", "-q", "--template=", "-b", "main"]).ok();
    std::fs::create_dir_all(work.path("deploy/prod")).unwrap();
    work.vault(["--file", "deploy/prod/secrets.vault", "init", "--machine"]).ok();
    work.git(["add", "-A"]).ok();
    let files = |work: &Work| work.vault(["check", "--staged", "--json"]).ok().json()["files"].clone();
    assert_eq!(files(&work)[0]["file"], "deploy/prod/secrets.vault");
    work.commit("first");
    work.write("deploy/prod/vault.toml", "version = 1\n");
    work.git(["add", "-A"]).ok();
    assert_eq!(files(&work)[0]["file"], "deploy/prod/secrets.vault");
    work.write("deploy/prod/vault.toml", "version = 1\n[slots]\nallowed-kinds = []\n");
    work.git(["add", "-A"]).ok();
    work.vault(["check", "--staged"]).fails(6, "against-policy");
}
