//! What is typed at a terminal: recovery codes, confirmations, passphrases for new slots.

use std::time::Duration;

use super::kinds::{VALUE, home};
use super::terminal::{Seen, on_terminal, types};
use crate::crash::program::Home;

/// The code on the screen: six groups of five.
fn code_on(screen: &str) -> String {
    let is_code = |word: &&str| {
        let groups: Vec<_> = word.split('-').collect();
        groups.len() == 6 && groups.iter().all(|group| group.len() == 5)
    };
    screen.split_whitespace().find(is_code).unwrap_or_else(|| panic!("no code in {screen:?}")).to_owned()
}

fn add_recovery(home: &Home, typed: &dyn Fn(&str) -> String, qr: bool) -> Seen {
    let arguments = ["slot", "add", "--recovery"].into_iter().chain(qr.then_some("--qr"));
    on_terminal(home.vault(arguments), &[("Type it back", typed)])
}

#[test]
fn a_recovery_code_is_shown_once_typed_back_and_opens_the_vault() {
    let home = home();
    let seen = add_recovery(&home, &|screen| format!("{}\r", code_on(screen).to_lowercase()), true).exits(0);
    let code = code_on(&seen.screen);
    assert!(seen.screen.contains("added slot \"recovery\"") && seen.screen.contains('█'), "{seen:?}");
    // On a screen of its own, which is left again.
    let (enter, leave) = (seen.screen.find("\x1b[?1049h").unwrap(), seen.screen.find("\x1b[?1049l").unwrap());
    assert!(enter < seen.screen.find(&code).unwrap() && seen.screen.rfind(&code).unwrap() < leave);

    let get = || home.vault(["--slot", "recovery", "get", "entry"]).locked();
    let seen = on_terminal(get(), &[("recovery code", &types(&code))]).exits(0);
    assert!(
        seen.screen.contains(std::str::from_utf8(VALUE).unwrap()) && !seen.screen.contains(&code),
        "{seen:?}"
    );
    let loosely = code.to_lowercase().replace('-', " ");
    on_terminal(get(), &[("recovery code", &types(&loosely))]).exits(0);
    home.check();
}

#[test]
fn a_slip_in_a_recovery_code_is_told_before_any_work() {
    let home = home();
    let file = home.beside("code");
    home.vault(["slot", "add", "--recovery", "--out"]).arg(&file).ok();
    let code = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let get = || home.vault(["--slot", "recovery", "get", "entry"]).locked();
    on_terminal(get(), &[("recovery code", &types(&code))]).exits(0);
    let mut slips = Vec::new();
    let characters: Vec<char> = code.chars().collect();
    let mut swapped = characters.clone();
    let at = (0..34)
        .find(|&at| {
            characters[at] != characters[at + 1] && !"-".contains([characters[at], characters[at + 1]])
        })
        .unwrap();
    swapped.swap(at, at + 1);
    slips.push(swapped.iter().collect::<String>());
    let mut other = characters.clone();
    other[7] = if other[7] == 'A' { 'B' } else { 'A' };
    slips.push(other.iter().collect());
    slips.push(code[..34].to_owned());
    for slip in slips {
        let seen = on_terminal(get(), &[("recovery code", &types(&slip))]);
        assert_ne!(seen.code, Some(0), "{seen:?}");
        assert!(
            !seen.screen.contains("the same for everybody") && seen.screen.contains("recovery code"),
            "{seen:?}"
        );
        // A derivation is not begun: nothing says that the passphrase is wrong.
        assert!(!seen.screen.contains("wrong passphrase"), "{seen:?}");
        assert!(seen.took < Duration::from_secs(10), "{seen:?}");
    }
}

#[test]
fn a_code_that_is_typed_back_wrong_adds_no_slot() {
    let home = home();
    let before = std::fs::read(home.file()).unwrap();
    add_recovery(&home, &|_| "00000-00000-00000-00000-00000-00000\r".to_owned(), false)
        .exits(1)
        .shows("is not the one that was shown");
    let seen = add_recovery(&home, &|_| "\x03".to_owned(), false);
    assert!(seen.screen.contains("\x1b[?1049l"), "the terminal is as it was: {seen:?}");
    assert_eq!(std::fs::read(home.file()).unwrap(), before);
    home.vault(["slot", "add", "--recovery"]).without_terminal().fails(4, "no-terminal").says("--out PATH");
}

#[test]
fn a_removal_asks_and_the_slot_in_use_asks_for_the_vault_s_name() {
    let home = home();
    let key = home.beside("other");
    home.vault(["slot", "add", "--machine", "--label", "other", "--out"]).arg(&key).ok();
    let remove = |label: &str| home.vault(["slot", "remove", label]);
    on_terminal(remove("other"), &[("Remove it?", &types("n"))]).exits(8);
    on_terminal(remove("machine"), &[("Type the name", &types("yes"))]).exits(8).shows("secrets.vault");
    remove("other").without_terminal().fails(4, "needs-yes").says("--yes");
    remove("machine").arg("--yes").without_terminal().fails(4, "needs-yes").says("--confirm secrets.vault");
    remove("nobody").fails(3, "slot-not-found").says("the key slots are: ");
    let labels = |home: &Home| {
        let listed = home.vault(["slot", "list", "--json"]).ok().json();
        let slots = listed["slots"].as_array().unwrap().clone();
        slots.iter().map(|slot| slot["label"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut left = labels(&home);
    left.sort();
    assert_eq!(left, ["machine", "other"]);
    let no = types("n");
    on_terminal(remove("machine"), &[("Type the name", &types("secrets.vault")), ("otate it now", &no)])
        .exits(0);
    home.vault(["slot", "remove", "other", "--confirm", "secrets.vault"])
        .env("VAULT_MACHINE_KEY_FILE", &key)
        .fails(1, "last-slot")
        .says("it is the only key slot");
}

#[test]
fn a_cost_is_measured_and_told() {
    let home = home();
    std::fs::write(home.beside("pw"), "a passphrase that is long enough\n").unwrap();
    let add = [
        "slot",
        "add",
        "--passphrase",
        "--kdf-memory",
        "19MiB",
        "--kdf-time",
        "300ms",
        "--new-passphrase-file",
    ];
    let added = home.vault(add).arg(home.beside("pw")).ok();
    assert!(added.stderr.contains("chose 19 MiB and ") && added.stderr.contains(" s here"), "{added:?}");
    let listed = home.vault(["slot", "list", "--json"]).ok().json();
    let slots = listed["slots"].as_array().unwrap();
    let passes = slots.iter().find_map(|slot| slot["kdf"]["passes"].as_u64()).unwrap();
    assert!((3..=16).contains(&passes), "{passes}");
    home.vault(["slot", "add", "--passphrase", "--kdf-time", "1 hour"]).fails(2, "usage");
}
