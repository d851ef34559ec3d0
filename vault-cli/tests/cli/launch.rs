//! `run` and `render`: secrets for other programs.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, World, fed};

fn world() -> World {
    let world = World::new();
    world.set("db/password", b"correct horse");
    world.set("lines", b"first line\nsecond line\n");
    world.set("binary", b"\xff\x00\xfe binary");
    world.run_with(&["set", "aws", "--field", "key_id"], b"AKIA12345").expect(0);
    world
}

/// Waits for a line that a child prints.
fn line(child: &mut Child) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while child.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

fn kill(pid: u32, signal: &str) {
    let sent = std::process::Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Folders that `run` or `edit` made in memory and that are still there, of this user.
fn left_in_memory(runtime: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.collect()
}

#[test]
fn the_program_gets_secrets_in_its_environment_and_its_exit_code_is_kept() {
    let world = world();
    let ran = world.run(&[
        "run",
        "--env",
        "PW=db/password",
        "--env",
        "ID=vault://aws#key_id",
        "--env",
        "L=lines",
        "--",
        "sh",
        "-c",
        "printf '%s|%s|%s' \"$PW\" \"$ID\" \"$L\"; exit 42",
    ]);
    ran.expect(42);
    assert_eq!(ran.text(), "correct horse|AKIA12345|first line\nsecond line\n");
    world.run(&["run", "--env", "A=aws#key_id", "--", "sh", "-c", "exit 0"]).expect(0);
}

#[test]
fn failures_before_the_start_are_125_126_and_127() {
    let world = world();
    let marker = world.path("started");
    let touch = ["--", "touch", marker.to_str().unwrap()];
    for (arguments, says) in [
        (&["run", "--env", "A=none"][..], "no entry named \"none\""),
        (&["run", "--env", "A=aws#none"], "has no field \"none\""),
        (&["run", "--env", "A=db/password", "--env", "A=aws#key_id"], "variable \"A\" is set twice"),
        (&["run", "--env", "1A=db/password"], "cannot be the name of a variable"),
        (&["run", "--env", "A=a%ff"], "is no reference"),
        (&["run", "--env", "A="], "is no reference"),
        (&["run", "--prefix", "none/"], "no entry's name begins with \"none/\""),
        (&["run", "--env-file", "none"], "cannot read"),
        (&["run", "--env", "A=binary"], "its value has a NUL"),
        (&["run"], "required"),
        (&["--vault-id", "x", "run", "--bad"], "unexpected option"),
    ] {
        let ran = world.run(&[arguments, &touch].concat());
        ran.refuses(125, says);
        assert!(!ran.stderr.contains("horse"), "{}", ran.stderr);
    }
    let mut locked = world.bare();
    let ran: Ran = locked.args(["run", "--env", "A=db/password"]).args(touch).output().unwrap().into();
    ran.refuses(125, "is locked");
    let ran: Ran = world
        .bare()
        .env("VAULT_MACHINE_KEY_FILE", "/nonexistent")
        .args(["run", "--env", "A=db/password"])
        .args(touch)
        .output()
        .unwrap()
        .into();
    ran.refuses(125, "cannot read");
    assert!(!marker.exists());
    world.run(&["run", "--env", "A=db/password", "--", "no-such-program"]).refuses(127, "was not found");
    world.run(&["run", "--env", "A=db/password", "--", "/etc/passwd"]).refuses(126, "permission denied");
    world.run(&["run", "--as-file", "A=db/password", "--", "no-such-program"]).refuses(127, "was not found");
    let json = world.run(&["--json", "run", "--env", "A=none", "--", "true"]);
    assert!(
        json.stderr.contains("\"id\":\"entry-not-found\"") && json.stderr.contains("\"exit\":125"),
        "{}",
        json.stderr
    );
    world.run(&["run", "--help"]).expect(0);
}

#[test]
fn of_an_entry_in_conflict_nothing_is_handed_over() {
    let world = world();
    world.set_in_conflict("app/key");
    fs::write(world.path("app.env"), "KEY=vault://app/key\n").unwrap();
    fs::write(world.path("t"), "{{ vault://app/key }}").unwrap();
    for given in
        [["--env", "K=app/key"], ["--as-file", "K=app/key"], ["--env-file", "app.env"], ["--prefix", "app/"]]
    {
        let ran = world.run(&[&["--json", "run"][..], &given, &["--", "touch", "started"]].concat());
        ran.expect(125);
        assert!(ran.stderr.contains("\"id\":\"in-conflict\""), "{given:?} {}", ran.stderr);
    }
    assert!(!world.path("started").exists());
    world.run(&["render", "t", "-o", "out"]).refuses(7, "several versions");
    world.run(&["render", "t"]).refuses(7, "several versions");
    assert!(!world.path("out").exists());
    world.ok(&["resolve", "app/key", "--ours"]);
    assert_eq!(world.ok(&["render", "t"]), "our value");
}

#[test]
fn values_that_no_variable_can_hold_are_refused_and_fit_a_file() {
    let world = world();
    world.set("latin", b"caf\xe9");
    world.set("long", &[b'x'; 140_000]);
    for (entry, says) in [("binary", "has a NUL"), ("latin", "is not UTF-8"), ("long", "is too long")] {
        let variable = format!("A={entry}");
        world.run(&["run", "--env", &variable, "--", "true"]).refuses(125, says);
        let ran = world.run(&["run", "--as-file", &variable, "--", "sh", "-c", "cat \"$A\""]);
        ran.expect(0);
        assert_eq!(ran.stdout, world.get(entry));
    }
}

#[test]
fn what_unlocks_the_vault_is_not_handed_on() {
    let world = World::empty();
    fs::write(world.path("pass"), "a passphrase").unwrap();
    let made =
        world.bare().args(["init", "--passphrase-file", "pass", "--kdf-memory", "19MiB"]).output().unwrap();
    assert!(made.status.success());
    let with = || {
        let mut command = world.bare();
        command.env("VAULT_PASSPHRASE", "a passphrase").env("KEPT", "yes");
        command
    };
    fed(with().args(["set", "a"]), b"value").expect(0);
    for more in [&[][..], &["--mask"], &["--as-file", "F=a"]] {
        let ran: Ran =
            with().args(["run", "--env", "A=a"]).args(more).args(["--", "env"]).output().unwrap().into();
        ran.expect(0);
        assert!(!ran.text().contains("VAULT_PASSPHRASE"), "{}", ran.text());
        assert!(ran.text().contains("KEPT=yes"), "{}", ran.text());
    }
    // Standard input that was read up is not handed on either: a file could be read again.
    let mut command = world.bare();
    command.args([
        "--passphrase-file",
        "-",
        "run",
        "--env",
        "A=a",
        "--",
        "sh",
        "-c",
        "readlink /proc/self/fd/0",
    ]);
    let ran: Ran = command.stdin(fs::File::open(world.path("pass")).unwrap()).output().unwrap().into();
    ran.expect(0);
    assert_eq!(ran.text(), "/dev/null\n");
    let inherits = "exec 9<pass; exec \"$0\" --passphrase-fd 9 run --env A=a -- true";
    let shell = |script: &str| -> Ran {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_vault")]).current_dir(world.root());
        command.output().unwrap().into()
    };
    shell(inherits).refuses(125, "would inherit file descriptor 9");
    shell("cat pass | { exec 9<&0; exec \"$0\" --passphrase-fd 9 run --env A=a -- true </dev/null; }")
        .expect(0);
}

#[test]
fn without_files_and_mask_vault_becomes_the_program() {
    let world = world();
    let mut command = world.command();
    command.args(["run", "--env", "A=db/password", "--", "sh", "-c", "echo $$; exec sleep 60"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(line(&mut child), child.id().to_string());
    kill(child.id(), "TERM");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(15));
}

#[test]
fn files_are_private_in_memory_and_gone_afterwards() {
    let world = world();
    let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
    let script = "printf '%s\\n' \"$F\"; stat -c '%a %U' \"$F\" \"$(dirname \"$F\")\"; stat -f -c %T \"$F\"; cat \"$F\"; echo more > \"$F.copy\"; exit 3";
    let mut command = world.command();
    command.env("XDG_RUNTIME_DIR", runtime.path());
    let ran: Ran =
        command.args(["run", "--as-file", "F=lines", "--", "sh", "-c", script]).output().unwrap().into();
    ran.expect(3);
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(runtime.path().to_str().unwrap()), "{text}");
    assert!(lines[1].starts_with("600 ") && lines[2].starts_with("700 ") && lines[3] == "tmpfs", "{text}");
    assert_eq!(lines[4..], ["first line", "second line"]);
    assert_eq!(left_in_memory(runtime.path()), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn a_disk_is_used_for_files_only_if_it_is_named() {
    let world = world();
    fs::create_dir(world.path("disk")).unwrap();
    let ran = world.run(&[
        "run",
        "--as-file",
        "F=lines",
        "--files-in",
        "disk",
        "--",
        "sh",
        "-c",
        "ls -d disk/*/F; cat \"$F\"",
    ]);
    ran.expect(0);
    assert!(ran.text().ends_with("first line\nsecond line\n"), "{}", ran.text());
    assert_eq!(fs::read_dir(world.path("disk")).unwrap().count(), 0);
    world
        .run(&["run", "--as-file", "F=lines", "--files-in", "none", "--", "true"])
        .refuses(125, "cannot write");
}

#[test]
fn a_child_gets_the_signals_and_its_files_go_when_it_dies() {
    let world = world();
    for (signal, trap, code) in [
        ("TERM", "exit 5", 5),
        ("USR1", "exit 6", 6),
        ("HUP", "exit 7", 7),
        ("INT", "exit 8", 8),
        ("TERM", "trap - TERM; kill -TERM $$", 143),
    ] {
        let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
        let script = format!("trap '{trap}' {signal}; echo ready; while :; do sleep 0.05; done");
        let mut command = world.command_under("env", &["--default-signal"]);
        command.env("XDG_RUNTIME_DIR", runtime.path());
        command.args(["run", "--as-file", "F=lines", "--", "sh", "-c", &script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(line(&mut child), "ready");
        assert_eq!(left_in_memory(runtime.path()).len(), 1);
        kill(child.id(), signal);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
        assert_eq!(left_in_memory(runtime.path()).len(), 0, "{signal}");
    }
}

#[test]
fn a_signal_while_files_are_made_leaves_none_behind() {
    let world = world();
    fs::write(world.path("big"), vec![b'x'; 40 << 20]).unwrap();
    world.ok(&["set", "big", "--secret-file", "big"]);
    for signal in ["TERM", "INT", "HUP"] {
        let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut command = world.command_under("env", &["--default-signal"]);
        command.env("XDG_RUNTIME_DIR", runtime.path());
        command.args(["run", "--as-file", "F=big", "--", "sleep", "60"]);
        let mut child = command.spawn().unwrap();
        while left_in_memory(runtime.path()).is_empty() {
            assert_eq!(child.try_wait().unwrap(), None);
            std::thread::sleep(Duration::from_millis(1));
        }
        kill(child.id(), signal);
        let number = match signal {
            "TERM" => 15,
            "INT" => 2,
            _ => 1,
        };
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{signal}");
        assert_eq!(left_in_memory(runtime.path()).len(), 0, "{signal}");
    }
}

#[test]
fn what_is_ignored_stays_so_and_children_are_waited_for_nonetheless() {
    let world = world();
    let run = |ignored: &str, script: &str| -> Ran {
        let mut command = world.command_under("env", &["--default-signal", ignored]);
        command.args(["run", "--as-file", "F=lines", "--", "sh", "-c", script]);
        command.output().unwrap().into()
    };
    run("--ignore-signal=CHLD", "exit 5").expect(5);
    run("--ignore-signal=HUP", "kill -HUP $PPID $$; exit 6").expect(6);
}

#[test]
fn our_own_environment_never_holds_what_is_handed_over() {
    let world = world();
    let mut command = world.command();
    command.args(["run", "--mask", "--env", "A=db/password", "--", "sh", "-c", "echo $PPID; read -r x"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = line(&mut child);
    assert_eq!(pid, child.id().to_string());
    for file in ["environ", "cmdline"] {
        // Nobody but root may look at all.
        if let Ok(bytes) = fs::read(format!("/proc/{pid}/{file}")) {
            assert!(!bytes.windows(13).any(|bytes| bytes == b"correct horse"), "{file}");
        }
    }
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_mask_hides_secrets_in_both_streams() {
    let world = world();
    let script = "printf 'pw: correct'; sleep 0.2; printf ' horse.\\n'; printf %s \"$PW\" | base64 >&2; echo \"$L\" | tail -1; cat \"$F\"";
    let ran = world.run(&[
        "run",
        "--mask",
        "--env",
        "PW=db/password",
        "--env",
        "L=lines",
        "--as-file",
        "F=aws#key_id",
        "--",
        "sh",
        "-c",
        script,
    ]);
    ran.expect(0);
    assert_eq!(ran.text(), "pw: ***.\n\n***");
    assert_eq!(ran.stderr, "***\n");
    world.set("hard", b"it's \"so\"\there");
    fs::write(
        world.path("forms.env"),
        "J={{ vault://hard | json }}\nS={{ vault://hard | shell }}\nB={{ vault://hard | base64 }}\n",
    )
    .unwrap();
    let show = "printf '%s|%s|%s' \"$J\" \"$S\" \"$B\"";
    let ran = world.run(&["run", "--mask", "--env-file", "forms.env", "--", "sh", "-c", show]);
    assert_eq!(ran.text(), "***|'***'|***");
    world.set("pin", b"123");
    let ran = world.run(&["run", "--mask", "--env", "A=pin", "--", "echo", "123"]);
    ran.expect(0);
    assert!(ran.stderr.contains("is not masked: it has fewer than 4 bytes"), "{}", ran.stderr);
    world
        .run(&["--strict", "run", "--mask", "--env", "A=pin", "--", "echo", "123"])
        .refuses(125, "is not masked");
    world.run(&["run", "--mask", "--env", "A=lines", "--", "sh", "-c", "exit 9"]).expect(9);
    world.run(&["run", "--mask", "--env", "A=lines", "--", "sh", "-c", "kill -KILL $$"]).expect(137);
}

#[test]
fn what_a_masked_child_leaves_in_the_background_holds_nobody_up() {
    let world = world();
    let begun = Instant::now();
    let ran = world.run(&["run", "--mask", "--env", "A=lines", "--", "sh", "-c", "sleep 30 & echo done"]);
    ran.expect(0);
    assert_eq!(ran.text(), "done\n");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_large_masked_output_arrives_whole() {
    let world = world();
    let ran = world.run(&["run", "--mask", "--env", "A=lines", "--", "seq", "1", "200000"]);
    ran.expect(0);
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(ran.text(), expected);
}

#[test]
fn a_prefix_hands_over_everything_below_it() {
    let world = world();
    for (name, value) in [("app/DB_URL", "u"), ("app/smtp/password", "p"), ("application", "no")] {
        world.set(name, value.as_bytes());
    }
    world.run_with(&["set", "app/aws", "--field", "key_id"], b"k").expect(0);
    let show = [
        "--",
        "sh",
        "-c",
        "printf '%s|%s|%s|%s' \"$DB_URL\" \"$SMTP_PASSWORD\" \"$AWS_KEY_ID\" \"$LICATION\"",
    ];
    let ran = world.run(&[&["run", "--prefix", "app/"][..], &show].concat());
    assert_eq!(ran.text(), "u|p|k|");
    let ran = world.run(&[&["run", "--prefix", "app/", "--env", "DB_URL=db/password"][..], &show].concat());
    assert_eq!(ran.text(), "correct horse|p|k|", "what is typed goes first");
    world.set("app/smtp.password", b"again");
    world.run(&["run", "--prefix", "app/", "--", "true"]).refuses(125, "\"SMTP_PASSWORD\" is set twice");
    world.set("x/LD_PRELOAD", b"/tmp/evil.so");
    world.run(&["run", "--prefix", "x/", "--", "true"]).refuses(125, "refusing to set LD_PRELOAD");
    world.set("y/1", b"1");
    world.run(&["run", "--prefix", "y/", "--", "true"]).refuses(125, "no variable can be named after");
}

#[test]
fn an_environment_file_mixes_text_and_references() {
    let world = world();
    fs::write(
        world.path("app.env"),
        "PORT=8080\nPW=vault://db/password\nURL=\"postgres://u:{{ vault://db/password }}@h/d\"\nID={{vault://aws#key_id}} # the id\n",
    )
    .unwrap();
    let show = "printf '%s|%s|%s|%s' \"$PORT\" \"$PW\" \"$URL\" \"$ID\"";
    let ran = world.run(&["run", "--env-file", "app.env", "--", "sh", "-c", show]);
    ran.expect(0);
    assert_eq!(ran.text(), "8080|correct horse|postgres://u:correct horse@h/d|AKIA12345");
    for (text, says) in [
        ("A=vault://none\n", "no entry named"),
        ("A={{ db }}\n", "does not begin with vault://"),
        ("A-B=x\n", "cannot be the name of a variable"),
        ("A\n", "there is no \"=\""),
    ] {
        fs::write(world.path("bad.env"), text).unwrap();
        world.run(&["run", "--env-file", "bad.env", "--", "true"]).refuses(125, says);
    }
}

#[test]
fn a_template_is_rendered_at_once_and_privately_or_not_at_all() {
    let world = world();
    let template = "a = {{ vault://db/password }}\nb = {{ vault://lines | json }}\nc = {{ vault://aws#key_id | shell }}\n{{{{ kept }}\n";
    fs::write(world.path("t"), template).unwrap();
    world.ok(&["render", "t", "-o", "out"]);
    let wanted = "a = correct horse\nb = first line\\nsecond line\\n\nc = 'AKIA12345'\n{{ kept }}\n";
    assert_eq!(fs::read_to_string(world.path("out")).unwrap(), wanted);
    assert_eq!(fs::metadata(world.path("out")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(world.ok(&["render", "t"]), wanted);
    world.run(&["render", "t", "-o", "out"]).expect(7);
    world.ok(&["render", "t", "-o", "out", "--yes"]);
    world.run(&["render", "t", "-o", "secrets.vault", "--yes"]).refuses(7, "refusing to replace");
    world.run(&["render", "t", "-o", "key", "--yes"]).refuses(7, "refusing to replace");
    for (text, code, says) in [
        ("{{ vault://lines }}{{ vault://none }}", 3, "no entry named \"none\""),
        ("\n{{ vault://lines", 1, "cannot use line 2"),
        ("{{ vault://lines | hex }}", 1, "there is no form \"hex\""),
        ("{{ vault://binary | json }}", 1, "it is not UTF-8"),
        ("{{ vault://binary | shell }}", 1, "it has a NUL"),
    ] {
        fs::write(world.path("bad"), text).unwrap();
        world.run(&["render", "bad", "-o", "new"]).refuses(code, says);
        assert!(!world.path("new").exists());
    }
    let ran = world.run_with(&["render", "-", "-o", "b64"], b"{{ vault://binary | base64 }}");
    ran.expect(0);
    assert_eq!(fs::read_to_string(world.path("b64")).unwrap(), "/wD+IGJpbmFyeQ==");
    world.run(&["render", "none"]).refuses(1, "cannot read");
}

#[test]
fn a_program_whose_name_is_no_text_is_run() {
    let world = world();
    let mut command = world.command();
    command.args(["run", "--env", "A=lines", "--", "echo"]).arg(OsStr::from_bytes(b"\xff"));
    let ran: Ran = command.output().unwrap().into();
    ran.expect(0);
    assert_eq!(ran.stdout, b"\xff\n");
}
