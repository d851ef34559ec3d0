//! What is in the agent's memory, and what is not there any more.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::home::{AgentHome, PASSPHRASE, process_figure};

const VALUE: &str = "Canary-Value-7f3a9c-Canary-Value-of-48-bytes-long";

/// How often the bytes are in the process's memory: as they are, in hex, in base64 at each offset, in UTF-16.
fn copies(agent: &AgentHome, pid: u32, secret: &str) -> usize {
    let core = agent.home.beside("core");
    let made = Command::new("gcore").arg("-o").arg(&core).arg(pid.to_string()).output();
    let made = made.expect("gdb is not installed: tests/setup.sh does it");
    let core = core.with_file_name(format!("core.{pid}"));
    let memory = std::fs::read(&core).unwrap_or_else(|error| panic!("{error}: {made:?}"));
    std::fs::remove_file(core).unwrap();
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut needles = vec![
        bytes.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        secret.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        secret.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ];
    needles.extend((0..3).map(|offset| base64_inside(bytes, offset)));
    needles
        .iter()
        .map(|needle| memory.windows(needle.len()).filter(|window| *window == *needle).count())
        .sum()
}

/// The part of the base64 of a longer text that these bytes decide, when they begin at this offset.
fn base64_inside(bytes: &[u8], offset: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let skip = (3 - offset) % 3;
    let whole = bytes[skip..].chunks_exact(3).flat_map(|three| {
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| DIGITS[(number >> shift & 63) as usize])
    });
    whole.collect()
}

#[test]
fn after_a_lock_nothing_is_left_of_passphrase_and_values() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", VALUE);
    agent.set("a", VALUE);
    assert_eq!(agent.get("a"), VALUE);
    agent.vault(["export", "--format", "json", "--yes"]).ok();
    let pid = agent.pid();
    // The scan finds what is there: the vault's path, which is no secret.
    assert!(copies(&agent, pid, agent.home.file().to_str().unwrap()) > 0);
    assert_eq!(copies(&agent, pid, PASSPHRASE), 0, "the passphrase, while it is unlocked");
    agent.vault(["lock"]).ok();
    for secret in [PASSPHRASE, VALUE] {
        assert_eq!(copies(&agent, pid, secret), 0, "{secret}, after it was locked");
    }
    agent.unlock_with(&["--for", "1s"]);
    agent.get("a");
    std::thread::sleep(Duration::from_secs(3));
    for secret in [PASSPHRASE, VALUE] {
        assert_eq!(copies(&agent, pid, secret), 0, "{secret}, after its lease ended");
    }
}

#[test]
fn keys_are_locked_in_memory_and_no_core_is_left() {
    let agent = AgentHome::new();
    let idle = {
        agent.vault(["agent"]).ok();
        process_figure(agent.pid(), "VmLck")
    };
    agent.unlock();
    let pid = agent.pid();
    let locked = process_figure(pid, "VmLck");
    assert!(locked > idle || idle > 1_000, "{idle} KiB are locked without a vault, {locked} with one");
    let status = agent.vault(["status", "--json"]).ok().json();
    assert_ne!(status["agent"]["locked_memory"], "may be swapped out");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);

    // In the foreground, where the test is its parent and sees how it ended.
    agent.vault(["agent", "stop"]).ok();
    let mut command = agent.vault(["agent", "--foreground"]).command();
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !agent.socket().exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    agent.unlock();
    Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    assert_eq!(agent.home.names(), ["secrets.vault"], "a core, or another file");
}
