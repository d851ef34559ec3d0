//! Issue 3, "done when" 4: forgery, rollback and a dropped branch are noticed; ordinary work with git raises no alarm.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;

use vault_core::crypto::random::SystemRandom;
use vault_core::format::seal::SlotOp;
use vault_core::format::slot::{Label, SlotId, SlotLine};
use vault_core::keys::UnlockPolicy;
use vault_core::keys::age::Recipient;
use vault_core::vault::LockedVault;
use vault_tests::fixture::identity_file;
use vault_tests::python::{interpreter, root};

use super::{Ran, World, age_identity, copy, fed, status};

/// A repository with a vault for one age identity, and two commits of it.
fn repository() -> World {
    let world = World::new();
    world.ok("git", &["init", "-q", "-b", "main"]);
    fs::write(world.path(".gitignore"), "home\n*.key\n").unwrap();
    let recipient = age_identity(&world, "me.key");
    world.ok("vault", &["init", "--age", &recipient]);
    set(&world, "first").quiet_but("stored");
    commit(&world);
    set(&world, "second").quiet_but("stored");
    commit(&world);
    world
}

fn vault(world: &World, arguments: &[&str]) -> Ran {
    world.vault(&[&["-i", "me.key"], arguments].concat())
}

fn set(world: &World, name: &str) -> Ran {
    fed(world.command("vault").args(["-i", "me.key", "set", name]), b"value")
}

fn commit(world: &World) {
    world.ok("git", &["add", "-A"]);
    world.ok("git", &["commit", "-q", "-m", "change"]);
}

impl Ran {
    #[track_caller]
    fn quiet_but(&self, word: &str) {
        self.expect(0);
        assert!(self.stderr.lines().all(|line| line.starts_with(word)), "{}", self.stderr);
    }
}

#[test]
fn a_vault_forged_from_the_public_recipients_is_refused_where_the_real_one_is_known_or_named() {
    let world = repository();
    let id = status(&vault(&world, &["status"]), "id: ");
    // The attacker has the repository: slot lines name the recipients. They make a vault of their own for them.
    let text = fs::read_to_string(world.path("secrets.vault")).unwrap();
    let recipient = text.split("recipient=").nth(1).unwrap().split(' ').next().unwrap();
    let attacker = World::new();
    attacker.ok("vault", &["init", "--age", recipient, "--pages", "4096"]);
    copy(&attacker.path("secrets.vault"), &world.path("secrets.vault"));

    // This machine has seen the real one.
    for command in [&["list"][..], &["get", "first"], &["check"]] {
        vault(&world, command).says(6, "it was rotated or replaced since this machine last saw it");
    }
    set(&world, "third").says(6, "rotated or replaced");
    assert!(!fs::read_to_string(world.path("secrets.vault")).unwrap().is_empty());

    // A fresh machine that is told which vault is meant.
    let fresh = World::new();
    for name in ["secrets.vault", "me.key"] {
        copy(&world.path(name), &fresh.path(name));
    }
    vault(&fresh, &["--vault-id", &id, "list"]).says(6, "not the one that VAULT_ID or --vault-id names");
    let named = |id: &str| -> Ran {
        fresh.command("vault").env("VAULT_ID", id).args(["-i", "me.key", "list"]).output().unwrap().into()
    };
    named(&id).expect(6);
    // One that is told nothing cannot know: as docs/unlocking.md says. It says that it has nothing to compare with.
    let shown = status(&vault(&fresh, &["status"]), "pin: ");
    assert!(shown.starts_with("first seen"), "{shown}");
}

#[test]
fn a_forged_vault_with_the_real_uuid_and_commitment_opens_for_nobody() {
    let world = repository();
    let text = fs::read_to_string(world.path("secrets.vault")).unwrap();
    let header = text.lines().nth(1).unwrap();
    let attacker = World::new();
    let recipient = text.split("recipient=").nth(1).unwrap().split(' ').next().unwrap();
    attacker.ok("vault", &["init", "--age", recipient, "--pages", "4096"]);
    let forged = fs::read_to_string(attacker.path("secrets.vault")).unwrap();
    let own = forged.lines().nth(1).unwrap();
    fs::write(world.path("secrets.vault"), forged.replacen(own, header, 1)).unwrap();
    // The pin is content, and the master key is not.
    vault(&world, &["list"]).says(5, "wrong passphrase or key");
}

#[test]
fn a_state_that_was_rolled_back_is_read_with_a_warning_and_not_changed() {
    let world = repository();
    vault(&world, &["list"]).quiet();
    world.ok("git", &["reset", "-q", "--hard", "HEAD~1"]);
    let ran = vault(&world, &["list"]);
    ran.says(0, "is older than the last one seen here (generation 2, seen 3)");
    assert!(ran.stderr.contains("a checkout or a reset to an older commit does this"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "first\n");
    let before = fs::read(world.path("secrets.vault")).unwrap();
    // Said once, with what there is to say, and before anybody is asked for a value.
    for change in [
        &["set", "third"][..],
        &["remove", "first"],
        &["rename", "first", "other"],
        &["copy", "first", "other"],
        &["edit", "first", "--attr", "a=b"],
        &["generate", "third"],
        &["compact"],
        &["resolve", "--all", "--ours"],
        &["slot", "rename", "machine", "other"],
        &["rewrap", "machine"],
        &["pick", "HEAD@{1}"],
        &["--file", "secrets.vault", "keyring", "del", "service", "user"],
    ] {
        let ran = vault(&world, change);
        ran.says(6, "cannot change vault");
        assert_eq!(ran.stderr.matches("is older than the last one").count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("warning"), "{change:?}: {}", ran.stderr);
    }
    assert_eq!(fs::read(world.path("secrets.vault")).unwrap(), before);
    // It is meant.
    vault(&world, &["--allow-rollback", "list"]).quiet();
    set(&world, "third").quiet_but("stored");
}

#[test]
fn one_branch_of_a_merge_that_was_dropped_is_noticed() {
    let world = repository();
    world.ok("git", &["checkout", "-q", "-b", "side"]);
    set(&world, "of/side").quiet_but("stored");
    commit(&world);
    let side = fs::read(world.path("secrets.vault")).unwrap();
    world.ok("git", &["checkout", "-q", "main"]);
    set(&world, "of/main").quiet_but("stored");
    commit(&world);
    let main = fs::read(world.path("secrets.vault")).unwrap();
    world.ok("git", &["merge", "-q", "--no-edit", "side"]);
    assert_eq!(vault(&world, &["list"]).quiet().stdout, "first\nof/main\nof/side\nsecond\n");

    // Both sides verify by themselves, and neither is older by its generation.
    for one in [&main, &side] {
        fs::write(world.path("secrets.vault"), one).unwrap();
        vault(&world, &["list"]).says(0, "lacks changes that were seen here (generation 4, seen 4)");
        set(&world, "third").says(6, "cannot change vault");
    }
    world.ok("git", &["checkout", "-q", "--", "secrets.vault"]);
    vault(&world, &["list"]).quiet();
    set(&world, "third").quiet_but("stored");
}

#[test]
fn switching_branches_and_looking_at_old_commits_raises_no_alarm() {
    let world = repository();
    world.ok("git", &["branch", "old", "HEAD~1"]);
    for branch in ["old", "main", "old"] {
        world.ok("git", &["checkout", "-q", branch]);
        vault(&world, &["list"]).quiet();
    }
    // Nothing that was seen here is in it: that is said once, before the first change.
    set(&world, "of/old").says(0, "has nothing of the states");
    set(&world, "of/old").quiet_but("stored");
    commit(&world);
    for branch in ["main", "old", "main"] {
        world.ok("git", &["checkout", "-q", branch]);
        vault(&world, &["list"]).quiet();
        assert!(status(&vault(&world, &["status"]), "pin: ").starts_with("as expected"));
    }
    // No branch is checked out.
    world.ok("git", &["checkout", "-q", "HEAD~1"]);
    vault(&world, &["list"]).quiet();
    assert!(status(&vault(&world, &["status"]), "pin: ").contains("not compared"));
    world.ok("git", &["checkout", "-q", "main"]);

    // In the middle of a merge that waits for something else.
    for (branch, text) in [("old", "theirs"), ("main", "ours")] {
        world.ok("git", &["checkout", "-q", branch]);
        fs::write(world.path("other.txt"), text).unwrap();
        commit(&world);
    }
    let merge = Ran::from(world.command("git").args(["merge", "-q", "old"]).output().unwrap());
    assert_ne!(merge.code, Some(0));
    world.ok("git", &["checkout", "-q", "--theirs", "secrets.vault"]);
    vault(&world, &["list"]).quiet();
    world.ok("git", &["merge", "--abort"]);
    // A work tree of its own has its own branch, and is another path.
    world.ok("git", &["worktree", "add", "-q", "home/linked", "old"]);
    for _ in 0..2 {
        world.vault(&["-i", "me.key", "--file", "home/linked/secrets.vault", "list"]).quiet();
    }
    let linked = world.vault(&["-i", "me.key", "--file", "home/linked/secrets.vault", "status"]);
    assert!(status(&linked, "pin: ").starts_with("as expected"));
}

#[test]
fn a_slot_that_somebody_else_added_is_shown_once() {
    let world = repository();
    vault(&world, &["list"]).quiet();
    // On another machine, which pushes.
    let bytes = Arc::new(fs::read(world.path("secrets.vault")).unwrap());
    let identity = fs::read(world.path("me.key")).unwrap();
    let credentials = [identity_file(&identity).unwrap()];
    let locked = LockedVault::open(Arc::<Vec<u8>>::clone(&bytes)).unwrap();
    let opened = locked.unlock(&credentials, &UnlockPolicy::default()).ok().unwrap();
    // What it opens with does not matter here: a line of the table has another id and label.
    let label = Label::parse("bob").unwrap();
    let slot = SlotLine { id: SlotId([7; 16]), label, ..opened.slots()[0].clone() };
    let mut edit = opened.edit(1_800_000_000).unwrap();
    edit.add_slot(slot, "eve@example").unwrap();
    let saved = edit.finish("eve@example", None, &mut SystemRandom).unwrap();
    fs::write(world.path("secrets.vault"), saved.text.to_vec().unwrap()).unwrap();

    // Not when nobody would hear it.
    vault(&world, &["-q", "list"]).quiet();
    let ran = vault(&world, &["list"]);
    ran.says(0, "warning: who can open vault");
    assert!(
        ran.stderr.contains("slot \"bob\" (age) was added by \"eve@example\" on 2027-01-15"),
        "{}",
        ran.stderr
    );
    vault(&world, &["list"]).quiet();
}

/// A colleague's clone, and the attacker's: they push to the same repository.
fn shared() -> (World, World) {
    let world = repository();
    world.ok("git", &["clone", "-q", "--bare", ".", "home/origin.git"]);
    world.ok("git", &["remote", "add", "origin", "home/origin.git"]);
    world.ok("git", &["fetch", "-q"]);
    world.ok("git", &["branch", "-q", "--set-upstream-to=origin/main"]);
    let attacker = World::new();
    let origin = world.path("home/origin.git");
    attacker.ok("git", &["clone", "-q", origin.to_str().unwrap(), "clone"]);
    (world, attacker)
}

/// A vault of the attacker's own, for the recipient that the real one shows.
fn forged_for(world: &World, file: &str, attacker: &World, path: &str) {
    let text = fs::read_to_string(world.path(file)).unwrap();
    let recipient = text.split("recipient=").nth(1).unwrap().split(' ').next().unwrap();
    fs::create_dir_all(attacker.path(path).parent().unwrap()).unwrap();
    attacker.ok("vault", &["--file", path, "init", "--no-gitattributes", "--age", recipient]);
}

fn push(attacker: &World) {
    attacker.ok("git", &["-C", "clone", "add", "-A"]);
    attacker.ok("git", &["-C", "clone", "commit", "-q", "-m", "tidy up"]);
    attacker.ok("git", &["-C", "clone", "push", "-q"]);
}

#[test]
fn a_link_that_a_pull_puts_in_the_vault_s_place_leads_to_no_other_vault() {
    let (world, attacker) = shared();
    vault(&world, &["list"]).quiet();
    forged_for(&world, "secrets.vault", &attacker, "clone/.cache");
    fs::remove_file(attacker.path("clone/secrets.vault")).unwrap();
    symlink(".cache", attacker.path("clone/secrets.vault")).unwrap();
    push(&attacker);
    world.ok("git", &["pull", "-q"]);
    assert!(world.path("secrets.vault").is_symlink());

    let before = fs::read(world.path(".cache")).unwrap();
    for command in [&["list"][..], &["get", "first"], &["--strict", "list"], &["check"]] {
        vault(&world, command).says(6, "it was rotated or replaced since this machine last saw it");
    }
    set(&world, "third").says(6, "rotated or replaced");
    assert!(fs::read(world.path(".cache")).unwrap() == before, "something was stored");
    vault(&world, &["unlock"]).says(6, "rotated or replaced");
    // An older state of the real vault behind a link is an older state.
    fs::remove_file(world.path("secrets.vault")).unwrap();
    let old = world.ok("git", &["show", "HEAD~2:secrets.vault"]);
    fs::write(world.path(".cache"), old).unwrap();
    symlink(".cache", world.path("secrets.vault")).unwrap();
    vault(&world, &["list"]).says(0, "is older than the last one seen here (generation 2, seen 3)");
    set(&world, "third").says(6, "cannot change vault");
}

#[test]
fn a_link_that_a_pull_puts_on_the_way_to_the_vault_leads_to_no_other_vault() {
    let (world, attacker) = shared();
    fs::create_dir(world.path("deploy")).unwrap();
    world.ok("git", &["mv", "secrets.vault", "deploy/secrets.vault"]);
    commit(&world);
    world.ok("git", &["push", "-q", "origin", "main"]);
    attacker.ok("git", &["-C", "clone", "pull", "-q"]);
    let in_folder = |arguments: &[&str]| -> Ran {
        let mut command = world.command("sh");
        let words = ["vault", "-i", "../me.key"].iter().chain(arguments).copied().collect::<Vec<_>>();
        // As a shell goes there: it says in PWD how.
        command.args(["-c", &format!("cd deploy && {}", words.join(" "))]);
        command.output().unwrap().into()
    };
    vault(&world, &["--file", "deploy/secrets.vault", "list"]).quiet();
    in_folder(&["list"]).quiet();
    forged_for(&world, "deploy/secrets.vault", &attacker, "clone/.cache/secrets.vault");
    fs::remove_dir_all(attacker.path("clone/deploy")).unwrap();
    symlink(".cache", attacker.path("clone/deploy")).unwrap();
    push(&attacker);
    world.ok("git", &["pull", "-q"]);
    assert!(world.path("deploy").is_symlink());
    for file in ["deploy/secrets.vault", "./deploy/secrets.vault", "home/../deploy/secrets.vault"] {
        vault(&world, &["--file", file, "list"])
            .says(6, "rotated or replaced since this machine last saw it");
    }
    in_folder(&["list"]).says(6, "rotated or replaced since this machine last saw it");
}

#[test]
fn a_vault_behind_a_link_of_one_s_own_is_known_by_both_paths() {
    let world = repository();
    fs::create_dir(world.path("home/shared")).unwrap();
    fs::rename(world.path("secrets.vault"), world.path("home/shared/team.vault")).unwrap();
    symlink("home/shared/team.vault", world.path("secrets.vault")).unwrap();
    for _ in 0..2 {
        set(&world, "third").quiet_but("stored");
        vault(&world, &["list"]).quiet();
        vault(&world, &["--file", "home/shared/team.vault", "list"]).quiet();
    }
    assert!(status(&vault(&world, &["status"]), "pin: ").starts_with("as expected"));
    // What was seen by one of them is remembered by the other.
    let before = fs::read(world.path("home/shared/team.vault")).unwrap();
    set(&world, "fourth").quiet_but("stored");
    fs::write(world.path("home/shared/team.vault"), before).unwrap();
    for file in ["home/shared/team.vault", "secrets.vault"] {
        vault(&world, &["--file", file, "list"]).says(0, "is older than the last one seen here");
    }
}

#[test]
fn a_removed_member_does_not_get_back_in_with_the_key_that_was_rotated_away() {
    let world = repository();
    let recipient = age_identity(&world, "member.key");
    vault(&world, &["slot", "add", "--age", &recipient, "--label", "member"]).expect(0);
    commit(&world);
    let old = fs::read(world.path("secrets.vault")).unwrap();
    fs::write(world.path("old.key"), &old).unwrap();
    vault(&world, &["slot", "remove", "member", "--yes"]).expect(0);
    vault(&world, &["rotate", "--yes"]).expect(0);
    commit(&world);
    vault(&world, &["list"]).quiet();
    let current = fs::read(world.path("secrets.vault")).unwrap();

    let files = ["old.key", "secrets.vault", "member.key", "forged.key"].map(|name| world.path(name));
    let forged = Command::new(interpreter())
        .env("PYTHONPATH", root().join("tests/reference"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root().join("tests/unlocking/forge.py"))
        .args(files)
        .output()
        .unwrap();
    assert!(forged.status.success(), "{}", String::from_utf8_lossy(&forged.stderr));
    let forged = fs::read(world.path("forged.key")).unwrap();

    let checkouts: [&[&str]; 3] = [
        &["checkout", "-q", "main"],
        &["checkout", "-q", "-b", "never/seen"],
        &["checkout", "-q", "--detach"],
    ];
    for (checkout, text) in checkouts.iter().flat_map(|checkout| [(checkout, &forged), (checkout, &old)]) {
        world.ok("git", &["checkout", "-q", "--", "secrets.vault"]);
        if !checkout.contains(&"-b") || text == &forged {
            world.ok("git", checkout);
        }
        fs::write(world.path("secrets.vault"), text).unwrap();
        for _ in 0..2 {
            let ran = vault(&world, &["list"]);
            ran.says(0, "seen here");
            assert!(ran.stderr.contains("warning") && ran.stderr.contains("rotated away"), "{}", ran.stderr);
        }
        set(&world, "third").says(6, "cannot change vault");
        assert!(fs::read(world.path("secrets.vault")).unwrap() == *text, "something was stored");
        vault(&world, &["--strict", "list"]).expect(6);
        assert!(status(&vault(&world, &["status"]), "pin: ").contains("lacks changes that were seen"));
    }
    // What it was told then did not make it forget.
    world.ok("git", &["checkout", "-q", "--", "secrets.vault"]);
    world.ok("git", &["checkout", "-q", "main"]);
    assert!(fs::read(world.path("secrets.vault")).unwrap() == current);
    vault(&world, &["list"]).quiet();
    set(&world, "third").quiet_but("stored");
    // A branch that has not the rotation yet is used on purpose.
    commit(&world);
    world.ok("git", &["checkout", "-q", "-b", "before", "HEAD~2"]);
    vault(&world, &["list"]).says(0, "rotated away");
    fed(world.command("vault").args(["-i", "me.key", "--allow-rollback", "set", "x"]), b"v")
        .quiet_but("stored");
    set(&world, "third").says(6, "cannot change vault");
    commit(&world);
    world.ok("git", &["checkout", "-q", "main"]);
    vault(&world, &["list"]).quiet();
}

#[test]
fn git_s_files_that_were_planted_beside_a_vault_do_not_hide_an_older_state() {
    // A folder that somebody syncs, outside of git.
    let world = World::new();
    let recipient = age_identity(&world, "me.key");
    world.ok("vault", &["init", "--age", &recipient]);
    let mut states = Vec::new();
    let keep = |states: &mut Vec<Vec<u8>>| states.push(fs::read(world.path("secrets.vault")).unwrap());
    for name in ["first", "second"] {
        set(&world, name).quiet_but("stored");
        keep(&mut states);
    }
    let plant = |head: &str| {
        fs::create_dir_all(world.path(".git")).unwrap();
        fs::write(world.path(".git/HEAD"), head).unwrap();
    };
    let is_noticed = |state: &[u8]| {
        fs::write(world.path("secrets.vault"), state).unwrap();
        vault(&world, &["list"]).says(0, "is older than the last one seen here");
        set(&world, "more").says(6, "cannot change vault");
        assert!(fs::read(world.path("secrets.vault")).unwrap() == state, "something was stored");
    };
    for head in ["ref: refs/heads/x\n", "", "0123456789012345678901234567890123456789\n"] {
        plant(head);
        is_noticed(&states[0]);
    }
    // They wait until more was stored under the planted branch, and plant another one, or take it away.
    plant("ref: refs/heads/x\n");
    fs::write(world.path("secrets.vault"), &states[1]).unwrap();
    set(&world, "third").quiet_but("stored");
    keep(&mut states);
    set(&world, "fourth").quiet_but("stored");
    keep(&mut states);
    for head in ["ref: refs/heads/x\n", "ref: refs/heads/y\n"] {
        plant(head);
        is_noticed(&states[2]);
    }
    fs::remove_dir_all(world.path(".git")).unwrap();
    is_noticed(&states[2]);

    // It becomes a repository on purpose.
    fs::write(world.path("secrets.vault"), &states[2]).unwrap();
    world.ok("git", &["init", "-q", "-b", "main"]);
    fs::write(world.path(".gitignore"), "home\n*.key\n.gitattributes\n").unwrap();
    commit(&world);
    fs::write(world.path("secrets.vault"), &states[3]).unwrap();
    set(&world, "fifth").quiet_but("stored");
    commit(&world);
    world.ok("git", &["checkout", "-q", "-b", "old", "HEAD~1"]);
    vault(&world, &["list"]).says(0, "is older than");
    world.ok("git", &["checkout", "-q", "main"]);
    vault(&world, &["trust"]).expect(0);
    world.ok("git", &["checkout", "-q", "old"]);
    vault(&world, &["list"]).quiet();
}

#[test]
fn an_older_state_under_a_branch_or_a_merge_that_was_made_up_is_not_changed_without_a_word() {
    let world = repository();
    vault(&world, &["list"]).quiet();
    world.ok("git", &["branch", "made/up", "HEAD~1"]);
    world.ok("git", &["checkout", "-q", "HEAD~1", "--", "secrets.vault"]);
    fs::write(world.path(".git/MERGE_HEAD"), world.ok("git", &["rev-parse", "HEAD"])).unwrap();
    let before = fs::read(world.path("secrets.vault")).unwrap();
    vault(&world, &["list"]).quiet();
    let strict = fed(world.command("vault").args(["-i", "me.key", "--strict", "set", "x"]), b"v");
    strict.says(6, "has nothing of the states");
    assert!(fs::read(world.path("secrets.vault")).unwrap() == before, "something was stored");
    set(&world, "third").says(0, "has nothing of the states");
    fs::remove_file(world.path(".git/MERGE_HEAD")).unwrap();
    fs::write(world.path("secrets.vault"), &before).unwrap();
    fs::write(world.path(".git/HEAD"), "ref: refs/heads/made/up\n").unwrap();
    for _ in 0..2 {
        vault(&world, &["list"]).quiet();
    }
    set(&world, "third").says(0, "has nothing of the states");
    set(&world, "third").quiet_but("stored");
    // A branch from here is quiet.
    world.ok("git", &["checkout", "-q", "-b", "from/here"]);
    set(&world, "fourth").quiet_but("stored");
}

#[test]
fn a_recipient_that_somebody_else_exchanged_is_shown_once() {
    let world = repository();
    let (bob, eve) = (age_identity(&world, "bob.key"), age_identity(&world, "eve.key"));
    vault(&world, &["slot", "add", "--age", &bob, "--label", "bob"]).expect(0);
    vault(&world, &["list"]).quiet();
    // A key holder wraps the master key for somebody else, under bob's id and label.
    let identity = fs::read(world.path("me.key")).unwrap();
    let locked = LockedVault::open(Arc::new(fs::read(world.path("secrets.vault")).unwrap())).unwrap();
    let opened = locked.unlock(&[identity_file(&identity).unwrap()], &UnlockPolicy::default()).ok().unwrap();
    let old = opened.slots().iter().find(|slot| slot.label.as_str() == "bob").unwrap();
    let recipient = Recipient::parse(&eve).unwrap();
    let new = opened.new_age_slot(old.label.clone(), &recipient, &mut SystemRandom).unwrap();
    let mut edit = opened.edit(1_800_000_000).unwrap();
    edit.replace_slot(SlotLine { id: old.id, ..new }, SlotOp::Rewrap).unwrap();
    let saved = edit.finish("eve@example", None, &mut SystemRandom).unwrap();
    fs::write(world.path("secrets.vault"), saved.text.to_vec().unwrap()).unwrap();

    let ran = vault(&world, &["list"]);
    ran.says(0, "warning: who can open vault");
    assert!(ran.stderr.contains("slot \"bob\" (age) has another key or passphrase"), "{}", ran.stderr);
    vault(&world, &["list"]).quiet();
    // What this machine does itself is no news, nor is a rotation of the same slots.
    fs::write(world.path("pw.key"), "a passphrase that is long enough\n").unwrap();
    let pw = ["--new-passphrase-file", "pw.key", "--kdf-memory", "19MiB"];
    vault(&world, &[&["slot", "add", "--passphrase"][..], &pw].concat()).expect(0);
    vault(&world, &["list"]).quiet();
    vault(&world, &[&["rewrap", "passphrase"][..], &pw].concat()).expect(0);
    vault(&world, &["list"]).quiet();
    vault(&world, &["rotate", "--yes"]).expect(0);
    vault(&world, &["list"]).quiet();
}

#[test]
fn pins_of_a_newer_version_are_never_replaced() {
    let world = repository();
    let folder = world.path("home/.local/state/vault");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let newer = "vault-pins 2\nwhatever that means\n";
    fs::write(&file, newer).unwrap();
    vault(&world, &["list"]).quiet();
    set(&world, "third").says(0, "a newer version of vault wrote it");
    let shown = status(&vault(&world, &["status"]), "pin: ");
    assert!(shown.contains("a newer version of vault wrote it"), "{shown}");
    vault(&world, &["trust"]).expect(1);
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
}
