//! The agent is given what unlocks as services and containers have it: credentials of systemd, secrets of an engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::home::{AgentHome, PASSPHRASE};
use crate::crash::program::Run;

/// A credential as a unit with `LoadCredentialEncrypted=` gets it: encrypted by systemd, and decrypted by it into a folder that
/// only the service may read.
fn credential(agent: &AgentHome, name: &str, content: &[u8]) -> PathBuf {
    let folder = agent.home.beside("credentials");
    fs::create_dir(&folder).unwrap();
    let (plain, sealed) = (agent.home.beside("plain"), agent.home.beside("sealed.cred"));
    fs::write(&plain, content).unwrap();
    let name_option = format!("--name={name}");
    for (verb, from, to) in [("encrypt", &plain, sealed.clone()), ("decrypt", &sealed, folder.join(name))] {
        let output = Command::new("systemd-creds").args([verb, &name_option]).arg(from).arg(&to).output();
        let output = output.expect("tests/setup.sh installs systemd");
        assert!(output.status.success(), "{output:?}");
    }
    let sealed = fs::read(&sealed).unwrap();
    assert!(!sealed.windows(content.len()).any(|window| window == content), "it is not encrypted");
    fs::remove_file(plain).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    folder
}

#[test]
fn a_credential_of_systemd_unlocks_for_everybody_who_asks_the_agent() {
    let agent = AgentHome::new();
    let folder = credential(&agent, "vault-passphrase", PASSPHRASE.as_bytes());
    let unlock = || agent.vault(["unlock", "--no-input"]).env("CREDENTIALS_DIRECTORY", &folder);
    unlock().ok().says("unlocked");
    agent.set("a", "1");
    // Programs that have no credential.
    assert_eq!(agent.get("a"), "1");
    let run = agent.vault(["run", "--no-input", "--env", "A=a", "--", "sh", "-c", "printf %s \"$A\""]);
    assert_eq!(run.ok().text(), "1");
    agent.vault(["lock"]).ok();
    agent.is_locked("a");
    // A wrong one is said to be wrong, and nothing waits.
    let wrong = agent.home.beside("wrong");
    fs::create_dir(&wrong).unwrap();
    fs::write(wrong.join("vault-passphrase"), "wrong").unwrap();
    let run = agent.vault(["unlock", "--no-input"]).env("CREDENTIALS_DIRECTORY", wrong);
    run.fails(5, "unlock-no-slot-matches");
    unlock().ok();
    assert_eq!(agent.get("a"), "1");
}

#[test]
fn a_machine_key_from_systemd_unlocks_the_agent() {
    let agent = AgentHome::new();
    let added = agent.vault(["slot", "add", "--machine", "--label", "service"]);
    let key = added.env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase")).ok().stdout;
    let folder = credential(&agent, "vault-machine-key", &key);
    let unlock: Run = agent.vault(["unlock", "--no-input"]).env("CREDENTIALS_DIRECTORY", folder);
    unlock.ok();
    agent.set("a", "1");
    assert_eq!(agent.get("a"), "1");
    let status = agent.vault(["status", "--json"]).ok().json();
    assert_eq!(status["unlocked"]["sources"][0], "the agent");
}

#[test]
fn a_secret_that_a_container_engine_mounts_unlocks_the_agent_in_the_container() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    agent.vault(["agent", "stop"]).ok();
    let secrets = agent.home.beside("secrets");
    fs::create_dir(&secrets).unwrap();
    // As Docker and Podman do it: readable for every user of the container, whoever that is, and with the newline of an editor.
    let file = secrets.join("vault-passphrase");
    fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let script = "set -e\n\
        /vault unlock --no-input --run-secret vault-passphrase\n\
        printf 'first %s\\n' \"$(/vault get --no-input a)\"\n\
        /vault run --no-input --env A=a -- /usr/bin/sh -c 'printf \"run %s\\n\" \"$A\"'\n\
        /vault lock\n\
        /vault get --no-input a || printf 'locked %s\\n' $?\n\
        VAULT_PASSPHRASE_FILE=/run/secrets/vault-passphrase /vault unlock --no-input\n\
        printf 'again %s\\n' \"$(/vault get --no-input a)\"\n";
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]);
    bwrap.args(["--uid", "10001", "--gid", "10001", "--ro-bind", "/usr", "/usr"]);
    bwrap.args([
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
        "--symlink",
        "usr/bin",
        "/bin",
    ]);
    bwrap.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--ro-bind"]);
    bwrap.arg(&secrets).arg("/run/secrets");
    bwrap.arg("--ro-bind").arg(crate::crash::program::program()).arg("/vault");
    bwrap.arg("--ro-bind").arg(agent.home.work()).arg("/app");
    bwrap.args(["--setenv", "VAULT_FILE", "/app/secrets.vault", "--remount-ro", "/", "--chdir", "/app"]);
    fs::set_permissions(agent.home.file(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(agent.home.work(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("timeout")
        .arg("60")
        .arg("bwrap")
        .args(bwrap.get_args())
        .args(["/usr/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "first 1\nrun 1\nlocked 4\nagain 1\n", "{errors}");
    assert!(output.status.success(), "{errors}");
}
