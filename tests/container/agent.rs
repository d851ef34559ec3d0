//! The agent in every container: unlocked once, it serves every later command; where it has no place, that is said, and how to go on.
//!
//! A container is one run, since the agent ends with it. Every step has a timeout of its own, so that the one that hangs is named.

use std::fs;

use crate::crash::program::Home;

use super::filter::KEYS_AND_LOCKS;
use super::matrix::{VALUE, containers, everything_bad, home};
use super::sandbox::Container;

/// What a step ended with: its exit code, and what it said, errors too.
type Step = (i32, String);

/// Runs these commands of the program one after another in one container.
fn steps(container: &Container, home: &Home, commands: &[&str]) -> Vec<Step> {
    let mut script = String::new();
    for command in commands {
        script += &format!(
            "code=0; said=$({{ {command}; }} </dev/null 2>&1) || code=$?; printf '%s\\n%s\\n%s\\n' \"$code\" \"$said\" '{END}'; "
        );
    }
    let ended = container.shell(home, &script).ok();
    let text = ended.text().to_owned();
    let steps: Vec<Step> = text
        .split(&format!("{END}\n"))
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (code, said) = part.split_once('\n').unwrap();
            (code.parse().unwrap(), said.strip_suffix('\n').unwrap_or(said).to_owned())
        })
        .collect();
    assert_eq!(steps.len(), commands.len(), "{text}");
    steps
}

const END: &str = "--end of step--";
/// 124 is the exit code of a step that hangs.
const UNLOCK: &str = "timeout 40 /vault unlock --no-input --passphrase-file /pass";
const GET: &str = "timeout 20 /vault get --no-input a";
const RUN: &str = "timeout 20 /vault run --no-input --env A=a -- /usr/bin/sh -c 'printf %s \"$A\"'";
const AS_FILE: &str =
    "timeout 20 /vault run --no-input --as-file A=a -- /usr/bin/sh -c '/usr/bin/cat \"$A\"'";
const LIST: &str = "timeout 20 /vault list --no-input";
const LOCK: &str = "timeout 20 /vault lock";
const STOP: &str = "timeout 20 /vault agent stop";
const SET: &str = "printf x | timeout 20 /vault set --no-input b";

fn ok(said: &str) -> Step {
    (0, said.to_owned())
}

/// One line of error, with hints, and this exit code.
fn refuses(name: &str, step: &Step, code: i32, says: &str) {
    assert_eq!(step.0, code, "{name}: {step:?}");
    let errors = step.1.lines().filter(|line| line.starts_with("vault: error: ")).count();
    let others = step.1.lines().filter(|line| !line.starts_with("vault: ")).count();
    assert_eq!((errors, others), (1, 0), "{name}: {step:?}");
    assert!(step.1.contains(says), "{name}: {step:?}");
}

#[test]
fn in_every_container_the_agent_serves_or_says_why_it_cannot() {
    let home = home("19MiB");
    let mut served = 0;
    for (name, container) in containers() {
        let all = steps(&container, &home, &[UNLOCK, GET, RUN, AS_FILE, LIST, LOCK, GET, STOP]);
        let [unlock, get, run, as_file, list, lock, after, stop] = &all[..] else { panic!() };
        if container.no_memory {
            // No folder for a socket: neither /run nor /tmp is there.
            refuses(name, unlock, 1, "there is no safe place for the agent's socket");
            assert!(unlock.1.contains("VAULT_AGENT_SOCK") && unlock.1.contains("--no-agent"), "{unlock:?}");
            for step in [get, list] {
                refuses(name, step, 4, "is locked and there is no terminal");
            }
            for step in [run, as_file] {
                refuses(name, step, 125, "is locked and there is no terminal");
            }
            assert_eq!(*lock, ok("nothing was unlocked"), "{name}");
            refuses(name, stop, 3, "no agent runs");
            continue;
        }
        served += 1;
        assert_eq!(unlock.0, 0, "{name}: {all:?}");
        assert!(unlock.1.contains("unlocked"), "{name}: {unlock:?}");
        for step in [get, run, as_file] {
            assert_eq!(*step, ok(VALUE), "{name}: {all:?}");
        }
        assert_eq!(*list, ok("a"), "{name}");
        assert!(lock.0 == 0 && lock.1.contains("locked 1 vault"), "{name}: {lock:?}");
        refuses(name, after, 4, "is locked and there is no terminal");
        assert_eq!(stop.0, 0, "{name}: {stop:?}");
    }
    assert_eq!(served, 7, "containers in which the agent works");
}

#[test]
fn a_container_without_folders_has_an_agent_where_the_user_names_one() {
    let home = home("19MiB");
    let container = Container { no_memory: true, bare: true, ..Container::default() };
    fs::set_permissions(home.work(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let named = |command: &str| format!("VAULT_AGENT_SOCK=/here/agent.sock {command}");
    let commands = [UNLOCK, GET, RUN, LOCK, GET].map(named);
    let all = steps(&container, &home, &commands.each_ref().map(String::as_str));
    assert_eq!((all[0].0, &all[1], &all[2]), (0, &ok(VALUE), &ok(VALUE)), "{all:?}");
    refuses("named", &all[4], 4, "is locked");
}

#[test]
fn what_a_container_forbids_the_agent_says() {
    let home = home("19MiB");
    // Nothing can be stored: the lock fails, not the reading.
    let read_only = Container { read_only: true, ..Container::default() };
    let all = steps(&read_only, &home, &[UNLOCK, SET, GET]);
    refuses("read-only", &all[1], 1, "cannot");
    assert_eq!(all[2], ok(VALUE));
    // Keys that may be swapped out.
    let status =
        "timeout 20 /vault status --no-input --json | /usr/bin/tr ',' '\\n' | /usr/bin/grep locked_memory";
    for (name, container, state) in [
        ("usual", Container::default(), "locked"),
        (
            "no memory to be locked",
            Container { limits: "ulimit -l 0;", ..Container::default() },
            "may be swapped out",
        ),
        (
            "no locks",
            Container { refused: KEYS_AND_LOCKS.to_vec(), ..Container::default() },
            "may be swapped out",
        ),
    ] {
        let all = steps(&container, &home, &[UNLOCK, status]);
        assert!(all[1].0 == 0 && all[1].1.contains(state), "{name}: {all:?}");
    }
}

#[test]
fn a_passphrase_that_costs_more_memory_than_there_is_is_refused_by_the_agent_in_one_line() {
    let home = home("256MiB");
    for (name, container) in [
        ("64 MiB", Container { limits: "ulimit -v 65536;", ..Container::default() }),
        ("all of it", Container { no_memory: false, ..everything_bad() }),
    ] {
        let key = "timeout 40 /vault unlock --no-input --machine-key-file /machine.key";
        let all = steps(&container, &home, &[UNLOCK, GET, key, GET]);
        refuses(name, &all[0], 1, "memory");
        refuses(name, &all[1], 4, "is locked");
        assert_eq!(all[2].0, 0, "{name}: {all:?}");
        assert_eq!(all[3], ok(VALUE), "{name}");
    }
}
