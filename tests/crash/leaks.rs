//! A secret is nowhere but in the vault and where it was asked for: not in arguments, environments of children, messages,
//! temporary files or core files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::program::{Home, Run, TIMEOUT, wait};

#[test]
fn a_waiting_process_shows_no_secret_and_leaves_no_core() {
    let home = Home::with_vault();
    let key = fs::read_to_string(home.key()).unwrap();
    let run = home.vault(["set", "a"]).locked().env("VAULT_MACHINE_KEY", key.trim());
    // The limit of whoever starts it is no reason to leave a core.
    let run = run.under(["sh", "-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""]);
    let mut child = waiting(&run);
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), CANARY.as_bytes()).unwrap();
    let proc = format!("/proc/{}", child.id());
    let arguments = fs::read_to_string(format!("{proc}/cmdline")).unwrap();
    assert!(arguments.contains("set\0a\0") && !arguments.contains(key.trim()) && !arguments.contains(CANARY));
    let limits = fs::read_to_string(format!("{proc}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-ABRT", &id]).status().unwrap().success());
    let status = wait(&mut child, TIMEOUT, "an aborted process");
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    assert_eq!(home.names(), ["secrets.vault"], "a core, or another file");
    home.vault(["get", "a"]).exits(3);
}

#[test]
fn the_memory_of_a_process_is_not_for_its_own_user() {
    let home = Home::with_vault();
    // A kernel gives the files in /proc of a process that is not dumpable to root. For root itself there is no difference.
    let mut run = home.vault(["set", "a"]);
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if root {
        let copy = home.beside("vault");
        fs::copy(super::program::program(), &copy).unwrap();
        for path in [home.work(), home.key(), home.file(), home.beside(".")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        run = run.under(
            ["setpriv", "--clear-groups", "--reuid", "65534", "--regid", "65534", "sh", "-c"]
                .into_iter()
                .map(std::ffi::OsStr::new)
                .chain(["shift; exec \"$0\" \"$@\"".as_ref(), copy.as_os_str()]),
        );
    }
    let mut child = waiting(&run);
    let proc = format!("/proc/{}", child.id());
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let user: u32 = user.split_whitespace().next().unwrap().parse().unwrap();
    assert_ne!(user, 0, "the program runs as root");
    for file in ["environ", "mem", "maps"] {
        assert_eq!(fs::metadata(format!("{proc}/{file}")).unwrap().uid(), 0, "{file} is the user's own");
    }
    if root {
        // And indeed its user cannot read it.
        let read = |path: &str| {
            Command::new("setpriv")
                .args(["--clear-groups", "--reuid", "65534", "--regid", "65534", "cat", path])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        };
        assert!(
            read("/proc/self/environ") && !read(&format!("{proc}/environ")) && !read(&format!("{proc}/maps"))
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nothing_but_standard_output_is_ever_written_a_secret() {
    let home = Home::with_vault();
    let log = home.beside("trace");
    let env = home.beside("in.env");
    fs::write(&env, format!("IMPORTED={CANARY}\nOTHER=\"{CANARY} {CANARY}\"\n")).unwrap();
    let import = env.to_str().unwrap();
    let long = vec![CANARY.as_bytes(); 6000].concat();
    let (editor, canary) =
        (format!("f() {{ printf '%s-again' {CANARY} > \"$1\"; }}; f"), CANARY.as_bytes().to_vec());
    let commands: [(&[&str], Vec<u8>, bool); 17] = [
        (&["set", "short"], canary.clone(), false),
        (&["set", "long"], long, false),
        (&["set", "file", "--secret-file", import], Vec::new(), false),
        (&["import", import], Vec::new(), false),
        (&["copy", "long", "copy"], Vec::new(), false),
        (&["rename", "copy", "renamed"], Vec::new(), false),
        (&["edit", "short", "--attr", "a=b"], Vec::new(), false),
        (&["edit", "short"], Vec::new(), false),
        (&["list", "--json"], Vec::new(), false),
        (&["show", "short", "--json"], Vec::new(), false),
        (&["check"], Vec::new(), false),
        (&["status"], Vec::new(), false),
        (&["compact"], Vec::new(), false),
        (&["fork", "forked.vault", "--age", RECIPIENT], Vec::new(), false),
        (&["get", "short"], Vec::new(), true),
        (&["get", "long", "--json"], Vec::new(), true),
        (&["export"], Vec::new(), true),
    ];
    for (arguments, stdin, prints) in commands {
        let words = ["strace", "-f", "-qq", "-y", "-xx", "-s", "9999999", "-e", WRITES, "-o"];
        let words = words.iter().map(std::ffi::OsStr::new).chain([log.as_os_str()]);
        let ended = home.vault(arguments).stdin(stdin).env("EDITOR", &editor).under(words).ok();
        assert_eq!(find(&ended.stdout), prints, "{arguments:?}");
        assert!(!find(ended.stderr.as_bytes()), "{arguments:?}");
        let log = fs::read_to_string(&log).unwrap();
        assert!(log.contains("write("), "strace saw nothing: {log}");
        let mut seen = false;
        for line in
            log.lines().filter(|line| spellings().iter().any(|text| line.contains(&hex_escaped(text))))
        {
            let target = line.split_once('(').unwrap().1;
            // An editor's file is in memory; its folder is gone afterwards.
            let memory = target.split(',').next().unwrap().contains(&hex_escaped("/dev/shm/vault-"))
                || target.contains("</dev/shm/vault-");
            let edits = arguments == ["edit", "short"] && memory;
            seen |= target.starts_with("1<") && !memory;
            assert!(
                (prints && target.starts_with("1<")) || edits,
                "{arguments:?}: {}",
                &line[..line.len().min(300)]
            );
        }
        assert_eq!(seen, prints, "{arguments:?}");
    }
    assert_eq!(home.get("short"), format!("{CANARY}-again").as_bytes());
    assert_eq!(home.names(), ["forked.vault", "secrets.vault"]);
    for name in home.names() {
        assert!(!find(&fs::read(home.work().join(name)).unwrap()));
    }
    let left = super::program::names("/dev/shm".as_ref());
    assert!(!left.iter().any(|name| name.starts_with("vault-") && find_in_folder(name)), "{left:?}");
}

#[test]
fn no_child_is_given_a_secret() {
    let home = Home::with_vault();
    home.set("a", "1");
    let key = fs::read_to_string(home.key()).unwrap();
    let (log, seen) = (home.beside("trace"), home.beside("environment"));
    let words = ["strace", "-f", "-qq", "-v", "-s", "100000", "-e", "trace=execve", "-o"];
    let words = words.iter().map(std::ffi::OsStr::new).chain([log.as_os_str()]);
    let editor = format!("f() {{ env > {}; printf 2 > \"$1\"; }}; f", seen.display());
    let run = home.vault(["edit", "a"]).locked().env("EDITOR", editor).env("VAULT_MACHINE_KEY", key.trim());
    run.env("VAULT_PASSPHRASE", CANARY).under(words).ok();
    let log = fs::read_to_string(log).unwrap();
    let started: Vec<&str> = log.lines().filter(|line| line.contains("execve(")).collect();
    assert!(started.len() >= 2, "the editor was not seen to start: {log}");
    assert!(started[0].contains(key.trim()), "the first is the program itself");
    for line in &started[1..] {
        assert!(!line.contains(key.trim()) && !find(line.as_bytes()), "{line}");
    }
    let environment = fs::read_to_string(seen).unwrap();
    assert!(
        environment.contains("HOME=")
            && !environment.contains("VAULT_PASSPHRASE")
            && !environment.contains("VAULT_MACHINE_KEY="),
        "{environment}"
    );
    assert_eq!(home.get("a"), b"2");
}

#[test]
fn no_error_of_any_command_shows_a_secret() {
    let home = Home::with_vault();
    home.set("a", CANARY);
    home.set("binary", [CANARY.as_bytes(), b"\xff\x00"].concat());
    home.set("lines", format!("{CANARY}\n{CANARY}"));
    home.vault(["set", "a", "--field", "second"]).stdin(CANARY).ok();
    let bad = home.beside("bad");
    fs::write(&bad, CANARY).unwrap();
    let bad = bad.to_str().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(home.beside(name), text).unwrap();
        home.beside(name).to_str().unwrap().to_owned()
    };
    let broken = [
        file("a.env", &format!("A='{CANARY}\n")),
        file("b.env", &format!("{CANARY}\n")),
        file("c.env", &format!("A=\"{CANARY}\" {CANARY}\n")),
        file("d.env", &format!("A={CANARY}\nA={CANARY}\n")),
        file("a.json", &format!("{{\"a\": \"{CANARY}\"")),
        file("b.json", &format!("{{\"a\": [\"{CANARY}\"]}}")),
        file("c.json", &format!("\"{CANARY}\"")),
        file("d.json", &format!("{{\"a\": {CANARY}}}")),
        file("a.yaml", &format!("a: &x {CANARY}\nb: *x\n")),
        file("b.yaml", &format!("a: \"{CANARY}\n  - b\n: {CANARY}")),
        file("a.toml", &format!("a = {CANARY}\n")),
        file("b.toml", &format!("a = \"{CANARY}\nb = 1\n")),
        file("c.toml", &format!("a = [\"{CANARY}\"]\n")),
    ];
    let mut runs: Vec<Run> = vec![
        home.vault(["set", "a", CANARY]),
        home.vault(["set", "a", &format!("-p{CANARY}")]),
        home.vault(["set", "a", &format!("--secret={CANARY}")]),
        home.vault(["set", "a", "--new"]).stdin(CANARY),
        home.vault(["set", "b", "--max-size", "4"]).stdin(CANARY.repeat(4000)),
        home.vault(["set", "b", "--secret-file", &format!("{bad}.none")]),
        home.vault(["get", "a", "third"]),
        home.vault(["get", "a", "secret", CANARY]),
        home.vault(["get", "b"]),
        home.vault(["show", "b"]),
        home.vault(["rename", "a", "binary"]),
        home.vault(["copy", "a", "binary"]),
        home.vault(["remove", "a", "--field", "third"]),
        home.vault(["edit", "a"]).env("EDITOR", "false"),
        home.vault(["edit", "binary"]).env("EDITOR", "true"),
        home.vault(["edit", "a"]).env("EDITOR", "/nowhere/editor"),
        home.vault(["generate", "a", "--new"]),
        home.vault(["generate", "--characters", "aa"]),
        home.vault(["export", "--format", "dotenv", "binary"]),
        home.vault(["export", "--format", "toml", "binary", "--verbose"]),
        home.vault(["export", "-o", "no/such/file"]),
        home.vault(["export"]).stdout_to("/dev/full"),
        home.vault(["get", "a"]).stdout_to("/dev/full"),
        home.vault(["init", "--age", "AGE-SECRET-KEY-1HUNTER2CANARYZQ9"]),
        home.vault(["init", "--file", "c", "--age", "AGE-SECRET-KEY-1HUNTER2CANARYZQ9"]),
        home.vault(["fork", "secrets.vault", "--age", RECIPIENT]),
        home.vault(["list", "--machine-key-file", bad]),
        home.vault(["list", "--identity", bad]),
        home.vault(["list", "--passphrase-file", bad]),
        home.vault(["list", "--passphrase-file", "-", "--verbose"]).stdin(CANARY),
        home.vault(["set", "a", "--passphrase-file", "-"]).stdin(CANARY),
        home.vault(["list"]).locked().env("VAULT_MACHINE_KEY", CANARY),
        home.vault(["list"]).locked().env("VAULT_MACHINE_KEY", format!("vault-machine-key-1:{CANARY}")),
        home.vault(["list"]).locked().env("VAULT_IDENTITY", CANARY),
        home.vault(["list"]).locked().env("VAULT_IDENTITY", format!("AGE-SECRET-KEY-1{CANARY}")),
        home.vault(["list"]).locked().env("VAULT_PASSPHRASE", CANARY),
        home.vault(["list", &format!("--passphrase={CANARY}")]),
        home.vault(["import", bad]),
        home.vault(["import", "-", "--format", "json"]).stdin(CANARY),
    ];
    runs.extend(broken.iter().map(|path| home.vault(["import", path])));
    let count = runs.len();
    let mut refused = 0;
    for run in runs {
        for more in [&[][..], &["--verbose"], &["--json"]] {
            let ended = with(&run, more).without_terminal().end();
            refused += usize::from(!ended.status.success());
            assert!(!find(ended.stderr.as_bytes()), "{ended:?}");
            assert!(
                !ended.stderr.contains("panicked") && ended.status.code().is_some_and(|code| code <= 8),
                "{ended:?}"
            );
        }
    }
    assert!(refused >= count * 3 - 6, "{refused} of {count} commands, three times each, failed");
    assert_eq!(home.get("a"), CANARY.as_bytes());
    home.check();
}

#[test]
fn the_search_for_the_canary_finds_it() {
    for spelled in spellings() {
        assert!(find(format!("… {spelled} …").as_bytes()), "{spelled}");
    }
    assert!(find(b"aHVudGVyMi1jYW5hcnktWnE5") && !find(b"hunter"));
    assert_eq!(hex_escaped("a1"), "\\x61\\x31");
}

/// The options are put first: arguments may take all that follows.
fn with(run: &Run, more: &[&str]) -> Run {
    more.iter().fold(run.clone(), |run, option| run.first(option))
}

/// A process that has hardened itself and waits for standard input.
fn waiting(run: &Run) -> Child {
    let mut command = run.command();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + TIMEOUT;
    // The system call that it is in: a read from descriptor 0.
    while !is_waiting(child.id()) {
        assert!(Instant::now() < deadline, "it does not come to wait for its input");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn is_waiting(id: u32) -> bool {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap_or_default();
    let hardened = limits
        .lines()
        .any(|line| line.starts_with("Max core file size") && line.split_whitespace().nth(5) == Some("0"));
    let state = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    hardened && state.lines().any(|line| line.starts_with("State:\tS"))
}

fn find(bytes: &[u8]) -> bool {
    spellings().iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn find_in_folder(name: &str) -> bool {
    let files = fs::read_dir(format!("/dev/shm/{name}")).into_iter().flatten().flatten();
    files.into_iter().any(|file| fs::read(file.path()).is_ok_and(|bytes| find(&bytes)))
}

/// The canary as it is, as base64 at each of three places, and as hex.
fn spellings() -> [String; 6] {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = ["aHVudGVyMi1jYW5hcnktWnE5", "h1bnRlcjItY2FuYXJ5LVpxO", "odW50ZXIyLWNhbmFyeS1acT"];
    let [a, b, c] = base64.map(str::to_owned);
    [CANARY.to_owned(), CANARY.to_uppercase(), hex, a, b, c]
}

/// As strace writes it with `-xx`.
fn hex_escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}

const CANARY: &str = "hunter2-canary-Zq9";
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const WRITES: &str =
    "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendfile,copy_file_range,splice";
const NOBODY: u32 = 65534;
