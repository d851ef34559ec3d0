//! Strangers are refused, and strange places are not used.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::home::AgentHome;

const NOBODY: u32 = 65534;

#[test]
fn another_user_is_refused_whatever_rights_he_has() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    // The doors stand wide open: what refuses is the agent.
    for folder in [agent.home.beside("."), agent.home.beside("run"), agent.home.beside("run/vault")] {
        fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
    }
    fs::set_permissions(agent.socket(), Permissions::from_mode(0o777)).unwrap();
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(5)\ns.connect(sys.argv[1])\n\
                  try:\n s.sendall(bytes.fromhex('0000000d8200a2018101026574657374' + '00'))\n print('answer' if s.recv(9) else 'closed')\n\
                  except OSError: print('closed')\n";
    let ask = |caps: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--clear-groups", "--reuid", "65534", "--regid", "65534"]).args(caps);
        let output = command.args(["python3", "-c", script]).arg(agent.socket()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask(&[]), "closed\n");
    assert_eq!(ask(&["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]), "closed\n");
    // Our own client, which now does not trust the folder.
    agent.is_locked("a");
    fs::set_permissions(agent.home.beside("run/vault"), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(agent.get("a"), "1");
}

#[test]
fn a_planted_socket_gets_no_passphrase() {
    let agent = AgentHome::new();
    let folder = agent.home.beside("run/vault");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let planted = UnixListener::bind(agent.socket()).unwrap();
    planted.set_nonblocking(true).unwrap();
    chown(agent.socket(), Some(NOBODY), Some(NOBODY)).unwrap();
    agent.vault(["unlock", "--stdin"]).stdin("x").fails(1, "agent-refused").says("another user");
    assert!(planted.accept().is_err(), "somebody connected");
    fs::remove_file(agent.socket()).unwrap();

    // A process of another user that listens on a socket of ours.
    let script = "import socket,sys,os,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\nos.setuid(65534)\ns.listen()\n\
                  print('ready',flush=True)\nc,_=s.accept()\nc.settimeout(5)\nprint('got' if c.recv(9) else 'nothing',flush=True)\n";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(agent.socket())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    agent.vault(["unlock", "--stdin"]).stdin("x").exits(1).says("another user");
    line.clear();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "nothing\n", "something was written to it");
    child.wait().unwrap();
}

#[test]
fn links_and_foreign_folders_are_not_used() {
    let agent = AgentHome::new();
    let named = |path: std::path::PathBuf| {
        agent.vault(["unlock", "--stdin"]).stdin("x").env("VAULT_AGENT_SOCK", path)
    };
    let folder = agent.home.beside("elsewhere");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    // A link where the socket should be.
    let real = folder.join("real.sock");
    let _listener = UnixListener::bind(&real).unwrap();
    symlink(&real, folder.join("link.sock")).unwrap();
    named(folder.join("link.sock")).fails(1, "agent-refused").says("no socket");
    fs::write(folder.join("file.sock"), "").unwrap();
    named(folder.join("file.sock")).fails(1, "agent-refused").says("no socket");
    named("relative.sock".into()).fails(1, "agent-refused").says("not absolute");
    // Folders of others, and folders that others may write to.
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    named(folder.join("agent.sock")).fails(1, "agent-refused").says("others may change");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    named(folder.join("agent.sock")).fails(1, "agent-refused").says("another user");

    // In the runtime folder, what fails is skipped; the agent is found elsewhere or not at all, never there.
    let runtime = agent.home.beside("run/vault");
    symlink(&folder, &runtime).unwrap();
    agent.is_locked("a");
    fs::remove_file(&runtime).unwrap();
}
