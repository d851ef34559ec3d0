//! Slots that are not always available: what is said of them, and what is used instead. Nothing hangs.

use std::fs;
use std::time::{Duration, Instant};

use vault_core::crypto::random::SystemRandom;
use vault_core::format::front::Pages;
use vault_core::format::slot::{Label, StoreName};
use vault_core::keys::passphrase::PassphraseKind;
use vault_core::keys::recovery::RecoveryCode;
use vault_core::keys::{new_keyring_slot, new_passphrase_slot};
use vault_core::secret::Passphrase;
use vault_core::vault::create::NewVault;
use vault_tests::fixture::cheapest;

use super::sources::{on_terminal, script};
use super::{Ran, World, status};

/// A vault with slots for a passphrase, a recovery code, and a keyring that does not have its key. Gives the code.
fn world() -> (World, String) {
    let world = World::new();
    let random = &mut SystemRandom;
    let mut new = NewVault::generate(Pages::Few, random);
    let label = |text| Label::parse(text).unwrap();
    let store = StoreName::parse("secret-service").unwrap();
    let code = RecoveryCode::generate(random);
    let phrases = [
        (PassphraseKind::Passphrase, "phrase", Passphrase::new(b"orbit velvet canyon".to_vec())),
        (PassphraseKind::Recovery, "paper", code.passphrase()),
    ];
    for (kind, name, text) in phrases {
        let slot =
            new_passphrase_slot(&new.parts(), kind, label(name), &text, cheapest(), new.master(), random);
        new.add_slot(slot.unwrap());
    }
    let (slot, _) = new_keyring_slot(&new.parts(), &store, label("desk"), new.master(), random).unwrap();
    new.add_slot(slot);
    let saved = new.finish("tester", 1, random).unwrap();
    fs::write(world.path("secrets.vault"), saved.text.to_vec().unwrap()).unwrap();
    let code = String::from_utf8(code.to_text().expose().to_vec()).unwrap();
    (world, code)
}

#[test]
fn a_keyring_that_is_not_there_is_said_and_the_next_way_is_used() {
    let (world, _) = world();
    let start = Instant::now();
    // Nobody can be asked instead: the reason is in the error.
    world.vault(&["list"]).says(4, "key slot \"desk\" is unavailable: there is no session bus");
    let good = script(&world, "good", "echo 'orbit velvet canyon'");
    let asked = |arguments: &[&str]| -> Ran {
        let mut command = world.command("vault");
        command
            .envs([("VAULT_ASKPASS", good.as_str()), ("DISPLAY", ":9")])
            .args(arguments)
            .output()
            .unwrap()
            .into()
    };
    let ran = asked(&["list"]);
    ran.says(0, "warning: key slot \"desk\" is unavailable: there is no session bus");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    // Another slot is meant, or another source is named: the keyring is not tried.
    asked(&["--slot", "phrase", "list"]).quiet();
    fs::write(world.path("pass"), "orbit velvet canyon\n").unwrap();
    world.vault(&["--passphrase-file", "pass", "list"]).quiet();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_recovery_code_with_a_slip_is_refused_before_anything_is_tried_and_the_right_one_opens() {
    let (world, code) = world();
    let run = |code: &str| {
        fs::write(world.path("code"), code).unwrap();
        world.vault(&["--recovery-code-file", "code", "status"])
    };
    let ran = run(&format!("{}\n", code.to_lowercase().replace('-', " ")));
    assert_eq!(status(&ran, "unlocked by: "), "slot paper, with --recovery-code-file");
    let first = if code.starts_with('A') { "B" } else { "A" };
    run(&format!("{first}{}", &code[1..])).says(1, "its checksum is wrong");
    run(&code[..20]).says(1, "a recovery code has 30 characters");
    let ran: Ran = {
        fs::write(world.path("code"), &code).unwrap();
        let mut command = world.command("vault");
        command.env("VAULT_RECOVERY_CODE_FILE", "code").arg("list").output().unwrap().into()
    };
    ran.quiet();
    // It is typed when its slot is meant.
    let shown = on_terminal(
        &world,
        "vault --slot paper list && echo FINE",
        "recovery code for",
        &format!("{code}\r"),
    );
    assert!(shown.contains("FINE") && !shown.contains(&code), "{shown}");
}

#[test]
fn an_ssh_key_with_a_passphrase_asks_at_the_terminal_and_is_unavailable_without_one() {
    let world = World::new();
    world.ok("ssh-keygen", &["-q", "-t", "ed25519", "-N", "orbit velvet", "-C", "", "-f", "id"]);
    let public = fs::read_to_string(world.path("id.pub")).unwrap();
    world.ok("vault", &["init", "--age", public.trim()]);
    let start = Instant::now();
    world.vault(&["-i", "id", "list"]).says(4, "is unavailable: the ssh key has a passphrase");
    assert!(start.elapsed() < Duration::from_secs(5));
    let shown = on_terminal(&world, "vault -i id list && echo FINE", "passphrase", "orbit velvet\r");
    assert!(shown.contains("FINE") && !shown.contains("orbit"), "{shown}");
    let shown = on_terminal(&world, "vault -i id list; echo code $?", "passphrase", "wrong\r");
    assert!(shown.contains("code 4"), "{shown}");
}
