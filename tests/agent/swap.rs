//! Keys stay in memory: not in a core, not in swap.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::home::{AgentHome, PASSPHRASE, process_figure};
use super::memory::master_key;
use super::scan::Memory;
use crate::crash::program::{Run, names, wait};

/// Started by a shell that allows core files of any size.
fn with_cores(run: &Run) -> Command {
    let run = run.clone().under(["sh", "-c", "ulimit -c unlimited && exec \"$0\" \"$@\""]);
    let mut command = run.command();
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    command
}

fn abort(pid: u32) {
    Command::new("kill").args(["-ABRT", &pid.to_string()]).status().unwrap();
}

fn cores(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| name.starts_with("core")).collect()
}

#[test]
fn an_agent_that_aborts_leaves_no_core_where_another_program_does() {
    let agent = AgentHome::new();
    let ended = |status: ExitStatus| (status.signal(), status.core_dumped());
    // The control: the same limits, and a program that did not care.
    let mut sleep = with_cores(&agent.home.program("sleep", ["60"])).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    abort(sleep.id());
    let status = wait(&mut sleep, Duration::from_secs(20), "sleep");
    assert_eq!(ended(status), (Some(6), true), "this machine lets no program leave a core");
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with("core") {
        let cores = cores(agent.home.names());
        assert_eq!(cores.len(), 1, "{cores:?}");
        std::fs::remove_file(agent.home.work().join(&cores[0])).unwrap();
    }

    let mut child = with_cores(&agent.vault(["agent", "--foreground"])).spawn().unwrap();
    while !agent.socket().exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    agent.unlock();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    abort(child.id());
    let status = wait(&mut child, Duration::from_secs(20), "the agent");
    assert_eq!(ended(status), (Some(6), false));
    assert_eq!(agent.home.names(), ["secrets.vault"], "a core, or another file");
    assert_eq!(cores(names(std::path::Path::new("/"))), [""; 0]);
}

#[test]
fn keys_are_locked_in_memory_and_cannot_be_pushed_out_to_swap() {
    let agent = AgentHome::new();
    agent.vault(["agent"]).ok();
    let pid = agent.pid();
    let idle = process_figure(pid, "VmLck");
    agent.unlock();
    let locked = process_figure(pid, "VmLck");
    assert!(locked > idle || idle > 1_000, "{idle} KiB are locked without a vault, {locked} with one");
    let status = agent.vault(["status", "--json"]).ok().json();
    assert_ne!(status["agent"]["locked_memory"], "may be swapped out");

    let key = master_key(&agent);
    let address = Memory::of(pid).address(&key).expect("it is unlocked");
    let mapping = mapping(pid, address);
    let flags = mapping.iter().find(|line| line.starts_with("VmFlags:")).unwrap();
    assert!(flags.split(' ').any(|flag| flag == "lo"), "not locked: {mapping:?}");
    assert!(flags.split(' ').any(|flag| flag == "dd"), "would be in a core: {mapping:?}");
    assert!(mapping.iter().any(|line| line.starts_with("Swap:") && line.ends_with(" 0 kB")), "{mapping:?}");
    assert!(
        !mapping.iter().any(|line| line.starts_with("Locked:") && line.ends_with(" 0 kB")),
        "{mapping:?}"
    );

    // Somebody asks the kernel to push the page out. Without swap it has nowhere to go, but the kernel refuses earlier: with EINVAL,
    // for a page that is locked, where it takes the same for one of its own. That holds on machines with swap too.
    let script = "import ctypes,mmap,os,sys\n\
        libc=ctypes.CDLL(None,use_errno=True)\n\
        class Part(ctypes.Structure): _fields_=[('start',ctypes.c_void_p),('length',ctypes.c_size_t)]\n\
        def out(pid,address):\n\
        \x20descriptor=os.pidfd_open(pid)\n\
        \x20part=Part(address & ~4095,4096)\n\
        \x20done=libc.syscall(440,descriptor,ctypes.byref(part),1,21,0)\n\
        \x20return done if done>=0 else -ctypes.get_errno()\n\
        own=mmap.mmap(-1,4096); own[0]=1\n\
        print(out(int(sys.argv[1]),int(sys.argv[2])), out(os.getpid(),ctypes.addressof(ctypes.c_char.from_buffer(own))))\n";
    let output = Command::new("/usr/bin/python3")
        .args(["-c", script, &pid.to_string(), &address.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "-22 4096", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Memory::of(pid).address(&key), Some(address), "it is still there");
    assert!(agent.vault(["unlock", "--stdin"]).stdin(PASSPHRASE).end().status.success());
}

/// The lines of `/proc/PID/smaps` about the mapping with this address.
fn mapping(pid: u32, address: u64) -> Vec<String> {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut lines = smaps.lines().skip_while(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let range = range.map(|(start, end)| [start, end].map(|text| u64::from_str_radix(text, 16)));
        !matches!(range, Some([Ok(start), Ok(end)]) if (start..end).contains(&address))
    });
    let first = lines.next().expect("the address is mapped");
    let rest = lines.take_while(|line| !line.split(' ').next().is_some_and(|word| word.contains('-')));
    std::iter::once(first).chain(rest).map(str::to_owned).collect()
}
