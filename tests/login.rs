//! Logins and services: a real sshd with PAM, pamtester, and systemd's own check of the units.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::crash::program::{program, script, wait};
use crate::documents::root;

#[test]
fn a_login_with_a_password_unlocks_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path();
    fs::set_permissions(work, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(work.join("bin")).unwrap();
    fs::copy(program(), work.join("bin/vault")).unwrap();
    fs::copy(root().join("dist/pam/vault-unlock"), work.join("recipe")).unwrap();
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        assert!(
            std::env::var_os("VAULT_TESTS_WITHOUT_ROOT").is_some(),
            "logins need root; to leave such tests out, set VAULT_TESTS_WITHOUT_ROOT=1"
        );
        eprintln!("left out: logins need root");
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = fs::File::create(work.join("steps")).unwrap();
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(script("login/world.sh"))
        .arg(work)
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(fs::File::create(work.join("errors")).unwrap())
        .spawn()
        .unwrap();
    let status = wait(&mut child, std::time::Duration::from_secs(180), "the logins");
    let read = |name: &str| fs::read_to_string(work.join(name)).unwrap_or_default();
    let all = || format!("{}\n{}\n{}\n{}", read("steps"), read("errors"), read("pam.log"), read("sshd.log"));
    assert!(status.success(), "{}", all());
    let wanted = [
        "locked at first: 4 []",
        "wrong password: 255 []",
        "locked after it: 4 []",
        "login with a key: 4 []",
        "its log: 0 [vault: not unlocked for \"ada\": the login was with a key, so there is no password to unlock with]",
        "login with the password: 0 [a value]",
        "its log: 0 [vault: unlocked for \"ada\"]",
        "another login with a key: 0 [a value]",
        "locked: 4 []",
        "login by questions: 0 [a value]",
        "naive stack, wrong password: 1 []",
        "its log: 0 [vault: not unlocked for \"ada\": the password opens no slot]",
        "locked after it: 4 []",
        "naive stack, password: 0 []",
        "its log: 0 [vault: unlocked for \"ada\"]",
        "unlocked: 0 [a value]",
        "owner of the agent: 0 [ada]",
        "failed passwords in the log: 1",
    ];
    assert_eq!(read("steps").lines().collect::<Vec<_>>(), wanted, "{}", all());
}

/// What systemd says about units, with programs that are there in place of those that are installed later.
fn verified(folder: &str, units: &[&str], scope: &[&str], change: impl Fn(String) -> String) -> String {
    let copies = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root().join("dist/systemd").join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("/usr/bin/vault", program().to_str().unwrap());
        let text = text.replace("/etc/vault/jobs/%i/start", "/bin/true");
        fs::write(copies.path().join(path.file_name().unwrap()), change(text)).unwrap();
    }
    let ran = Command::new("systemd-analyze")
        .args(scope)
        .arg("verify")
        .args(units.iter().map(|unit| copies.path().join(unit)))
        .env("XDG_RUNTIME_DIR", copies.path())
        .stdin(Stdio::null())
        .output()
        .expect("tests/setup.sh installs systemd");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout);
    if ran.status.success() { said } else { format!("{}: {said}", ran.status) }
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    let same = |text: String| text;
    let system = ["vault-job@nightly.service", "vault-job@nightly.timer"];
    assert_eq!(verified("system", &system, &[], same), "");
    let user = ["vault-agent.service", "vault-agent.socket", "vault-unlock.service"];
    assert_eq!(verified("user", &user, &["--user"], same), "");
}

#[test]
fn a_fault_in_a_unit_is_seen() {
    let wrong = |text: String| text.replace("ExecStart=", "ExecStrat=");
    assert_ne!(verified("system", &["vault-job@nightly.service"], &[], wrong), "");
    let wrong = |text: String| text.replace("OnCalendar=daily", "OnCalendar=dialy");
    assert_ne!(verified("system", &["vault-job@nightly.timer"], &[], wrong), "");
}

#[test]
fn the_examples_name_options_that_there_are() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let words = ["ENTRYPOINT [\"/usr/bin/vault\", \"run\", \"--no-input\", \"--prefix\", \"app/\", \"--\"]"];
    assert!(words.iter().all(|word| read("dist/oci/Dockerfile").contains(word)));
    for path in ["dist/cron/vault-job", "dist/systemd/system/vault-job@.service"] {
        assert!(read(path).contains("/usr/bin/vault run --no-input --prefix job/ -- "), "{path}");
    }
    let help = Command::new(program()).args(["help", "run"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("--prefix") && help.contains("--no-input"), "{help}");
    assert!(Path::new(&program()).exists());
}
