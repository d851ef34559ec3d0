//! Slots that a keyring of the system opens: gnome-keyring on a bus of its own, the kernel's keyring; and what is said where
//! there is none, it is locked, or it may not be used.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::kinds::VALUE;
use super::terminal::on_terminal;
use crate::crash::program::{Ended, Home, Run};

/// A home with a runtime folder, which a keyring's daemon needs.
pub(crate) fn home() -> Home {
    let home = super::kinds::home();
    let folder = home.beside("runtime");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    home
}

fn in_runtime(home: &Home, run: Run) -> Run {
    run.env("XDG_RUNTIME_DIR", home.beside("runtime"))
}

/// A script of shell on a session bus of its own, with the daemon stopped at its end.
pub(crate) fn on_a_bus(home: &Home, script: &str) -> Run {
    let script =
        format!("trap '[ -z \"${{GNOME_KEYRING_PID:-}}\" ] || kill \"$GNOME_KEYRING_PID\"' EXIT\n{script}");
    in_runtime(home, home.program("dbus-run-session", ["--", "bash", "-c", &script]))
}

/// Starts gnome-keyring and unlocks its login collection, which is made if it is not there.
pub(crate) const UNLOCKED: &str = "set -e\neval \"$(printf login-password | gnome-keyring-daemon --unlock --components=secrets | sed 's/^/export /')\"\n";
/// Starts gnome-keyring with its login collection locked.
const LOCKED: &str =
    "set -e\neval \"$(gnome-keyring-daemon --start --components=secrets | sed 's/^/export /')\"\n";

fn vault() -> PathBuf {
    crate::crash::program::program()
}

/// A line of shell that runs the program without anything else that unlocks.
pub(crate) fn alone(arguments: &str) -> String {
    format!("env -u VAULT_MACHINE_KEY_FILE setsid --wait '{}' {arguments} </dev/null", vault().display())
}

pub(crate) fn with_key(arguments: &str) -> String {
    format!("setsid --wait '{}' {arguments} </dev/null", vault().display())
}

#[track_caller]
fn one_line_in_time(start: Instant, ended: &Ended, reason: &str) {
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}: {ended:?}", start.elapsed());
    let lines = ended.stderr.lines().filter(|line| line.contains(reason)).count();
    assert_eq!(lines, 1, "{reason:?} in one line: {ended:?}");
}

#[test]
fn gnome_keyring_opens_the_vault_in_this_session_and_the_next() {
    let home = home();
    let add = with_key("slot add --keyring --store secret-service --label laptop");
    let script = format!("{UNLOCKED}{add}\n{}", alone("get entry"));
    let read = on_a_bus(&home, &script).ok().says("added slot \"laptop\" (keyring)");
    assert_eq!(read.stdout, VALUE);
    // The key is in the collection, which is on the disk, sealed under the login's password.
    let read = on_a_bus(&home, &format!("{UNLOCKED}{}", alone("get entry"))).ok();
    assert_eq!(read.stdout, VALUE);
    let tested = on_a_bus(&home, &format!("{UNLOCKED}{}", alone("slot test laptop"))).ok();
    assert!(tested.stderr.contains("slot \"laptop\" (keyring) opens the vault"), "{tested:?}");
    // Removed with its slot: the probe's item is gone, too.
    let items = "secret-tool search --all service vault 2>&1 || true";
    let remove = with_key("slot remove laptop --yes");
    let left = on_a_bus(&home, &format!("{UNLOCKED}{items}\necho REMOVED\n{remove}\n{items}")).ok();
    let (before, after) = left.text().split_once("REMOVED").unwrap();
    assert_eq!(before.matches("attribute.username").count(), 1, "{left:?}");
    assert!(!after.contains("attribute") && !after.contains("not found"), "{left:?}");
    home.check();
}

#[test]
fn git_merges_with_what_the_keyring_opens_and_says_so_where_it_is_locked() {
    let home = home();
    let add = with_key("slot add --keyring --store secret-service --label laptop");
    let set = |value: &str| format!("printf {value} | {}", with_key("set entry").replace(" </dev/null", ""));
    let begin = format!(
        "{UNLOCKED}{add}\n{GIT}git init -q --template= -b main\n{}\n{}\ngit add -A\ngit commit -q -m first\n\
         git checkout -q -b side\n{}\ngit commit -q -a -m there\ngit checkout -q main\n{}\ngit commit -q -a -m here\n",
        with_key("git setup --yes --no-hook"),
        // The vault is older than the repository: what was seen before is that of main.
        with_key("trust --yes"),
        set("there"),
        set("here"),
    );
    on_a_bus(&home, &begin).ok();
    let path = format!("export PATH='{}':\"$PATH\"\n", vault().parent().unwrap().display());
    let merge = "env -u VAULT_MACHINE_KEY_FILE setsid --wait git merge --no-edit side </dev/null";
    let start = Instant::now();
    let ended = on_a_bus(&home, &format!("{LOCKED}{GIT}{path}{merge}")).exits(1);
    assert!(ended.stderr.contains("somebody who can open the vault"), "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}: {ended:?}", start.elapsed());
    home.program("git", ["merge", "--abort"]).ok();
    let ended = on_a_bus(&home, &format!("{UNLOCKED}{GIT}{path}{merge}")).exits(1);
    assert!(ended.stderr.contains("in conflict, with both values kept: \"entry\""), "{ended:?}");
    let theirs = on_a_bus(&home, &format!("{UNLOCKED}{}", alone("get entry --theirs 1"))).ok();
    assert_eq!(theirs.stdout, b"there");
}

/// Git with nothing of the machine's configuration.
const GIT: &str = "export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org \
                   GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org\n";

#[test]
fn a_locked_collection_says_so_in_time_and_the_next_slot_opens() {
    let home = home();
    let add = with_key("slot add --keyring --store secret-service");
    on_a_bus(&home, &format!("{UNLOCKED}{add}")).ok();
    let start = Instant::now();
    let ended = on_a_bus(&home, &format!("{LOCKED}{}", alone("get entry"))).end();
    assert!(matches!(ended.status.code(), Some(4 | 5)), "{ended:?}");
    one_line_in_time(start, &ended, "the keyring is locked");
    // A machine key is named: it goes first, and nobody looks at the keyring.
    assert_eq!(on_a_bus(&home, &format!("{LOCKED}{}", with_key("get entry"))).ok().stdout, VALUE);
    let start = Instant::now();
    let ended = on_a_bus(
        &home,
        &format!("{LOCKED}{}", with_key("slot add --keyring --store secret-service --label b")),
    )
    .exits(4);
    one_line_in_time(start, &ended, "the keyring is locked");
}

#[test]
fn the_next_slot_is_asked_for_where_the_keyring_does_not_open() {
    let home = home();
    std::fs::write(home.beside("pw"), "a passphrase that is long enough\n").unwrap();
    home.vault(["slot", "add", "--passphrase", "--kdf-memory", "19MiB", "--new-passphrase-file"])
        .arg(home.beside("pw"))
        .ok();
    on_a_bus(&home, &format!("{UNLOCKED}{}", with_key("slot add --keyring --store secret-service"))).ok();
    // No bus here: the reason is said, and the passphrase asked for.
    let get = in_runtime(&home, home.vault(["get", "entry"]).locked());
    let answer = super::terminal::types("a passphrase that is long enough");
    let seen = on_terminal(get, &[("passphrase", &answer)]).exits(0).shows("no session bus");
    assert!(seen.screen.contains("the same for everybody"), "{seen:?}");
}

#[test]
fn without_a_bus_or_without_a_service_the_reason_is_one_line() {
    let home = home();
    let add = ["slot", "add", "--keyring", "--store", "secret-service"];
    let start = Instant::now();
    let ended = in_runtime(&home, home.vault(add).without_terminal()).exits(4);
    one_line_in_time(start, &ended, "no session bus");

    let config = home.beside("bus.conf");
    std::fs::write(
        &config,
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>session</type>\
         <listen>unix:tmpdir=/tmp</listen><policy context=\"default\"><allow send_destination=\"*\" \
         eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
    )
    .unwrap();
    let start = Instant::now();
    let bus = ["--config-file", config.to_str().unwrap(), "--", "bash", "-c", &with_key(&add.join(" "))];
    let ended = in_runtime(&home, home.program("dbus-run-session", bus)).exits(4);
    one_line_in_time(start, &ended, "no Secret Service is running");
    home.vault(["slot", "add", "--keyring", "--store", "nonsense"]).fails(4, "keyring-unavailable");
}

#[test]
fn a_bus_that_never_answers_takes_five_seconds_for_all_slots_together() {
    let home = home();
    let add = |label: &str| with_key(&format!("slot add --keyring --store secret-service --label {label}"));
    on_a_bus(&home, &format!("{UNLOCKED}{}\n{}\n{}", add("one"), add("two"), add("three"))).ok();
    // It accepts, and says nothing.
    let path = home.beside("silent");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let accepting = std::thread::spawn(move || {
        let mut all = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            let mut first = [0; 1];
            // The test's own connection says nothing, and ends this.
            if std::io::Read::read(&mut &stream, &mut first).unwrap_or(0) == 0 {
                return all.len();
            }
            all.push(stream);
        }
        all.len()
    });
    let start = Instant::now();
    let get = in_runtime(&home, home.vault(["get", "entry"]).locked().without_terminal());
    let ended = get.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", path.display())).end();
    let took = start.elapsed();
    drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
    assert!(accepting.join().unwrap() > 0, "nobody asked the bus: {ended:?}");
    assert!(matches!(ended.status.code(), Some(4 | 5)), "{ended:?}");
    assert!(ended.stderr.contains("the keyring gave no answer in time"), "{ended:?}");
    assert!(took < Duration::from_secs(8), "{took:?}: {ended:?}");
}

#[test]
fn a_dismissed_prompt_says_so() {
    let home = home();
    on_a_bus(&home, &format!("{UNLOCKED}{}", with_key("slot add --keyring --store secret-service"))).ok();
    // Where there is a display the keyring may ask. Here there is none behind that name, so its prompt is over at once.
    let get = format!("env -u VAULT_MACHINE_KEY_FILE DISPLAY=:99 '{}' get entry", vault().display());
    let script = format!("{LOCKED}{get}");
    let start = Instant::now();
    let seen = on_terminal(on_a_bus(&home, &script), &[]);
    assert!(matches!(seen.code, Some(4 | 5)), "{seen:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{seen:?}");
    assert!(seen.screen.contains("the keyring is locked, and its prompt was dismissed"), "{seen:?}");
}

#[test]
fn the_kernel_s_keyring_opens_the_vault_where_it_is_allowed() {
    let home = home();
    // A session of its own: what login managers make, and cron does not.
    let session = |script: &str| home.program("keyctl", ["session", "-", "bash", "-c", script]);
    let probe = session("keyctl add user vault-test x @s").end();
    let add = with_key("slot add --keyring --store keyutils --label kernel");
    if !probe.status.success() {
        eprintln!("SKIPPED: this kernel does not allow keyctl here: {}", probe.stderr.trim());
        let ended = home.program("bash", ["-c", &add]).exits(4);
        let reasons = ["forbidden here", "no key retention service", "not one of this session"];
        assert!(reasons.iter().any(|reason| ended.stderr.contains(reason)), "{ended:?}");
        return;
    }
    let read = session(&format!("set -e\n{add}\n{}", alone("get entry"))).ok();
    assert_eq!(read.stdout, VALUE);
    // Another process of the same user, without a session of its own: it works, or says why not.
    let ended = home.program("bash", ["-c", &alone("get entry")]).end();
    if ended.status.success() {
        assert_eq!(ended.stdout, VALUE);
    } else {
        assert!(
            ended.stderr.contains("kernel's keyring") || ended.stderr.contains("does not hold"),
            "{ended:?}"
        );
    }
    // A removed slot leaves no key behind.
    session(&with_key("slot remove kernel --yes")).ok();
}

#[test]
fn keyctl_that_seccomp_denies_gives_the_reason_at_once() {
    let home = home();
    let filter = home.beside("deny-keys.bpf");
    std::fs::write(&filter, deny_keys()).unwrap();
    let line = format!(
        "exec bwrap --dev-bind / / --seccomp 9 -- '{}' slot add --keyring --store keyutils 9<'{}'",
        vault().display(),
        filter.display()
    );
    let start = Instant::now();
    let ended = home.program("bash", ["-c", &line]).without_terminal().exits(4);
    one_line_in_time(start, &ended, "keyring calls are forbidden here");
    let line = line.replace("slot add --keyring --store keyutils", "backends --json");
    let listed = home.program("bash", ["-c", &line]).ok().json();
    let backends = listed["backends"].as_array().unwrap();
    let keyutils = backends.iter().find(|backend| backend["name"] == "keyutils").unwrap();
    assert_eq!((&keyutils["viable"], &keyutils["priority"]), (&false.into(), &0.into()));
    assert!(keyutils["reason"].as_str().unwrap().contains("forbidden"), "{keyutils}");
}

/// `add_key`, `request_key` and `keyctl` fail with EPERM, as Docker's profile makes them.
fn deny_keys() -> Vec<u8> {
    let calls: [u32; 3] = if cfg!(target_arch = "x86_64") { [248, 249, 250] } else { [217, 218, 219] };
    let instruction =
        |code: u16, jt: u8, jf: u8, k: u32| [&code.to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat();
    // Load the number; to the last instruction if it is one of these; allow; EPERM.
    let mut program = instruction(0x20, 0, 0, 0);
    for (at, call) in (0_u8..).zip(calls) {
        program.extend(instruction(0x15, 3 - at, 0, call));
    }
    program.extend(instruction(0x06, 0, 0, 0x7fff_0000));
    program.extend(instruction(0x06, 0, 0, 0x0005_0001));
    program
}

#[test]
fn backends_say_what_is_usable_here_and_why_not() {
    let home = home();
    let nowhere = in_runtime(&home, home.vault(["backends"])).ok();
    assert!(
        nowhere.text().contains("secret-service (not usable here): there is no session bus"),
        "{nowhere:?}"
    );
    let script = format!("{UNLOCKED}{}", alone("backends --json"));
    let listed = on_a_bus(&home, &script).ok().json();
    let backends = listed["backends"].as_array().unwrap();
    let service = &backends[0];
    assert_eq!((&service["name"], &service["viable"]), (&"secret-service".into(), &true.into()), "{listed}");
    assert!(service["priority"].as_u64().unwrap() > 0 && service.get("reason").is_none());
}

#[test]
fn a_keyring_is_not_left_as_the_only_way_in_unless_that_is_said_twice() {
    let home = home();
    let add = with_key("slot add --keyring --store secret-service --label k");
    let remove = with_key("slot remove machine --confirm secrets.vault");
    let ended = on_a_bus(&home, &format!("{UNLOCKED}{add}\n{remove}")).exits(4);
    assert!(ended.stderr.contains("a backup is restored without those"), "{ended:?}");
    home.vault(["get", "entry"]).ok();
    on_a_bus(&home, &format!("{UNLOCKED}{remove} --yes\n{}", alone("get entry"))).ok();
    let only = alone("--file other.vault init --keyring --store secret-service");
    let ended = on_a_bus(&home, &format!("{UNLOCKED}{only}")).exits(4);
    assert!(ended.stderr.contains("a backup is restored without"), "{ended:?}");
    assert!(!home.work().join("other.vault").exists());
}
