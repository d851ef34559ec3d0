//! Services: systemd's own check of the units.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::crash::program::program;
use crate::documents::root;

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
