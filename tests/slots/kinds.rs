//! Every kind of slot opens the same vault, alone: keys from ssh-keygen and Debian's age-keygen, a machine key, a code.

use std::path::PathBuf;

use super::terminal::{on_terminal, types};
use crate::crash::program::Home;

/// The value that everybody must read.
pub(crate) const VALUE: &[u8] = b"the same for everybody";

/// A vault with one entry. The machine key that made it is kept out of the runs that must do without it.
pub(crate) fn home() -> Home {
    let home = Home::with_vault();
    home.set("entry", VALUE);
    home
}

/// The entry, with these arguments to unlock and nothing else.
fn opens(home: &Home, unlock: &[&str]) {
    let read = home.vault([unlock, &["get", "entry"]].concat()).locked().without_terminal().ok();
    assert_eq!(read.stdout, VALUE, "{unlock:?}");
}

fn path(home: &Home, name: &str) -> String {
    home.beside(name).to_str().unwrap().to_owned()
}

/// A key pair from ssh-keygen. The passphrase may be empty.
fn ssh_keygen(home: &Home, name: &str, kind: &[&str], passphrase: &str) -> PathBuf {
    let file = path(home, name);
    let arguments = [&["-q", "-f", &file, "-N", passphrase, "-C", name, "-t"], kind].concat();
    home.program("ssh-keygen", arguments).ok();
    home.beside(&format!("{name}.pub"))
}

#[test]
fn an_identity_from_age_keygen() {
    let home = home();
    let id = path(&home, "id");
    home.program("age-keygen", ["-o", &id]).ok();
    let text = std::fs::read_to_string(&id).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    // The machine's slot is hybrid: a classical one beside it is somebody's decision.
    let add = ["slot", "add", "--label", "alice", "--age", recipient];
    home.vault(add).without_terminal().fails(4, "needs-yes").says("withstand quantum computers");
    home.vault(add).arg("--yes").ok().says("added slot \"alice\" (age)");
    opens(&home, &["--identity", &id]);
    home.vault(["slot", "test", "alice", "--identity", &id]).locked().ok().says("opens the vault");
    home.vault(["slot", "test", "machine", "--identity", &id]).locked().fails(5, "unlock-no-slot-matches");
    home.vault(add).arg("--yes").exits(7).says("for each of these already");
    let listed = home.vault(["slot", "list"]).ok();
    let line = listed.lines().into_iter().find(|line| line.starts_with("alice ")).unwrap();
    assert!(line.contains("classical") && line.contains("by tester@"), "{line}");
    home.check();
}

#[test]
fn ssh_keys_of_both_kinds() {
    let home = home();
    for (name, kind) in [("ed", &["ed25519"][..]), ("rsa", &["rsa", "-b", "2048"])] {
        let public = ssh_keygen(&home, name, kind, "");
        home.vault(["slot", "add", "--yes", "--ssh-key"])
            .arg(&public)
            .ok()
            .says(&format!("added slot \"{name}\""));
        opens(&home, &["--identity", &path(&home, name)]);
        home.vault(["slot", "add", "--ssh-key", &path(&home, name)])
            .fails(2, "bad-recipient")
            .says("the secret key");
    }
    home.check();
}

#[test]
fn an_ssh_key_that_is_protected_by_a_passphrase() {
    let home = home();
    for (name, kind) in [("ed", &["ed25519"][..]), ("rsa", &["rsa", "-b", "2048"])] {
        let public = ssh_keygen(&home, name, kind, "swordfish");
        home.vault(["slot", "add", "--yes", "--ssh-key"]).arg(&public).ok();
        let key = path(&home, name);
        let get = || home.vault(["--identity", &key, "get", "entry"]).locked();
        let seen = on_terminal(get(), &[("assphrase", &types("swordfish"))]).exits(0);
        assert!(
            seen.screen.contains("the same for everybody") && !seen.screen.contains("swordfish"),
            "{seen:?}"
        );
        let seen =
            on_terminal(get(), &[("assphrase", &types("marlin"))]).shows("wrong passphrase for the ssh key");
        assert!(matches!(seen.code, Some(4 | 5)), "{seen:?}");
        // Where nobody can be asked, the reason is said and nothing hangs.
        let ended = get().without_terminal().end();
        assert!(matches!(ended.status.code(), Some(4 | 5)), "{ended:?}");
        assert!(ended.stderr.contains("passphrase"), "{ended:?}");
    }
}

#[test]
fn all_usable_keys_of_an_authorized_keys_file() {
    let home = home();
    let mut file = "# people\n\n".to_owned();
    for (name, kind) in
        [("alice@laptop", &["ed25519"][..]), ("bob", &["rsa", "-b", "2048"]), ("ci", &["ecdsa"])]
    {
        let line = std::fs::read_to_string(ssh_keygen(&home, name, kind, "")).unwrap();
        let options = if name == "bob" { "restrict,command=\"echo hello world\" " } else { "" };
        file += &format!("{options}{line}");
    }
    // The same key twice is one slot.
    let line = std::fs::read_to_string(home.beside("bob.pub")).unwrap();
    file += &line.replace(" bob", " also bob");
    std::fs::write(home.beside("authorized_keys"), file).unwrap();
    let add =
        || home.vault(["slot", "add", "--yes", "--from-authorized-keys"]).arg(home.beside("authorized_keys"));
    let added = add().ok();
    for said in ["added slot \"alice@laptop\"", "added slot \"bob\"", "left out the key in line 5", "ecdsa"] {
        assert!(added.stderr.contains(said), "{said:?}: {added:?}");
    }
    assert!(!added.stderr.contains("also-bob"), "{added:?}");
    opens(&home, &["--identity", &path(&home, "alice@laptop")]);
    opens(&home, &["--identity", &path(&home, "bob")]);
    // Once more, after a colleague was added to the file: only the new one is.
    let carol = std::fs::read_to_string(ssh_keygen(&home, "carol", &["ed25519"], "")).unwrap();
    let so_far = std::fs::read_to_string(home.beside("authorized_keys")).unwrap();
    std::fs::write(home.beside("authorized_keys"), so_far + &carol).unwrap();
    let added = add().ok().says("added slot \"carol\"").says("slot \"bob\" is for already");
    assert!(!added.stderr.contains("added slot \"bob"), "{added:?}");
    home.vault(["slot", "add", "--label", "x", "--from-authorized-keys"])
        .arg(home.beside("authorized_keys"))
        .exits(7);
    std::fs::write(home.beside("none"), "# nobody\n").unwrap();
    home.vault(["slot", "add", "--from-authorized-keys"]).arg(home.beside("none")).fails(2, "bad-recipient");
    home.check();
}

#[test]
fn a_machine_key_in_a_file_on_standard_output_and_as_a_credential_of_systemd() {
    let home = home();
    let (ci, file) = (home.beside("ci.key"), path(&home, "ci.key"));
    home.vault(["slot", "add", "--machine", "--label", "ci", "--out", &file])
        .ok()
        .says("wrote the machine key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&ci).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    opens(&home, &["--machine-key-file", &file]);
    // An existing file is never replaced, and then no slot is added either.
    let slots = || home.vault(["slot", "list", "--json"]).ok().json()["slots"].as_array().unwrap().len();
    let before = slots();
    home.vault(["slot", "add", "--machine", "--out", &file]).exits(7).says("it exists already");
    assert_eq!(slots(), before);

    let printed = home.vault(["slot", "add", "--machine", "--label", "job"]).ok().says("shown once");
    let job = path(&home, "job.key");
    std::fs::write(&job, printed.text()).unwrap();
    opens(&home, &["--machine-key-file", &job]);

    let sealed = path(&home, "vault.machine-key");
    let credential =
        ["slot", "add", "--machine", "--label", "unit", "--systemd-creds", "vault.machine-key", "--out"];
    home.vault(credential).arg(&sealed).ok();
    let opened = path(&home, "unit.key");
    home.program("systemd-creds", ["decrypt", "--name=vault.machine-key", &sealed, &opened]).ok();
    opens(&home, &["--machine-key-file", &opened]);
    assert!(!std::fs::read_to_string(&sealed).unwrap().contains("vault-machine-key-"));
    home.check();
}

#[test]
fn one_vault_made_with_every_kind_at_once() {
    let home = Home::empty();
    std::fs::write(home.beside("pw"), "a passphrase that is long enough\n").unwrap();
    let public = ssh_keygen(&home, "ed", &["ed25519"], "");
    let made = home
        .vault(["init", "--machine", "--recovery", "--passphrase", "--kdf-memory", "19MiB"])
        .arg("--ssh-key")
        .arg(&public)
        .arg("--new-passphrase-file")
        .arg(home.beside("pw"));
    made.clone().arg("--out").arg(home.beside("x")).fails(2, "usage").says("into one file");
    // A code is shown on a terminal only.
    made.without_terminal().fails(4, "no-terminal").says("--out PATH");
    assert!(!home.file().exists());
}

#[test]
fn a_slot_that_nobody_named_or_that_cannot_be_is_refused() {
    let home = home();
    home.vault(["slot", "add"]).fails(2, "usage").says("nothing says which kind");
    home.vault(["slot", "add", "--machine", "--label", "machine"]).fails(7, "label-taken");
    home.vault(["slot", "add", "--machine", "--label", "a b"]).fails(2, "bad-label");
    home.vault(["slot", "add", "--passphrase", "--out", "x"])
        .fails(2, "usage")
        .says("nothing to write with --out");
    home.vault(["slot", "add", "--age", "age1nonsense"]).fails(2, "bad-recipient");
}
