//! Files that are not to be trusted, output that cannot be written.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::World;

fn altered(world: &World, change: impl Fn(&str) -> String) {
    let text = String::from_utf8(world.vault()).unwrap();
    fs::write(world.path("secrets.vault"), change(&text)).unwrap();
}

/// Flips a character of the first entry line's secrets.
fn with_a_flipped_entry(text: &str) -> String {
    let at = text.find("\npage ").unwrap();
    let (front, pages) = text.split_at(at);
    let mut lines: Vec<String> = pages.split('\n').map(str::to_owned).collect();
    let entry = lines.iter_mut().find(|line| line.len() > 100 && !line.starts_with("head")).unwrap();
    let last = if entry.ends_with('A') { 'Q' } else { 'A' };
    entry.replace_range(200..201, if entry[200..201] == last.to_string() { "B" } else { "A" });
    front.to_owned() + &lines.join("\n")
}

#[test]
fn an_altered_file_is_exit_6_and_is_not_written() {
    let world = World::new();
    world.set("a", b"1");
    altered(&world, with_a_flipped_entry);
    let before = world.vault();
    for arguments in [&["get", "a"][..], &["list"], &["check"], &["remove", "a"], &["export"], &["compact"]] {
        world.run(arguments).refuses(6, "cannot trust vault");
    }
    world.run_with(&["set", "b"], b"2").refuses(6, "cannot trust vault");
    assert_eq!(world.vault(), before);
}

#[test]
fn every_kind_of_damage_has_its_words() {
    let world = World::new();
    world.set("a", b"1");
    let good = String::from_utf8(world.vault()).unwrap();
    for (text, said) in [
        (good.replace('\n', "\r\n"), "line ends were changed"),
        (good.replacen("\nslots", "\n<<<<<<< HEAD\nslots", 1), "a merge left its conflict"),
        (good.replacen("vault/1", "vault/9", 1), "its version is not known"),
        ("hello\n".to_owned(), "is not a vault"),
        (String::new(), "is not a vault"),
        (good[..good.len() / 2].to_owned(), "cannot read vault"),
        (good.replacen("page 07\n", "page 07\npage 07\n", 1), "cannot"),
    ] {
        fs::write(world.path("secrets.vault"), &text).unwrap();
        world.run(&["check"]).refuses(6, said);
    }
    fs::remove_file(world.path("secrets.vault")).unwrap();
    fs::create_dir(world.path("secrets.vault")).unwrap();
    world.run(&["list"]).refuses(1, "it is a folder");
    world.run(&["--file", "/dev/zero", "list"]).refuses(1, "it is a device");
}

#[test]
fn check_looks_at_the_form_without_a_key() {
    let world = World::new();
    world.set("a", b"1");
    let ran = world.bare().arg("check").output().unwrap();
    assert!(ran.status.success());
    assert!(String::from_utf8_lossy(&ran.stdout).starts_with("the form is right; nothing was unlocked"));
    assert!(world.ok(&["check"]).starts_with("everything verifies"));
    altered(&world, with_a_flipped_entry);
    world.run(&["check", "--no-key"]).expect(0);
    world.run(&["check"]).expect(6);
}

#[test]
fn salvage_saves_what_opens_and_names_the_rest() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.set(name, name.as_bytes());
    }
    altered(&world, with_a_flipped_entry);
    let ran = world.run(&["check", "--salvage", "rescued.vault", "--machine"]);
    ran.expect(6);
    assert_eq!(ran.stderr.matches("verified: ").count(), 2, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("does not open: entry: ").count(), 1, "{}", ran.stderr);
    assert!(
        ran.text().starts_with("vault-machine-key-1:") && ran.text().lines().count() == 1,
        "{}",
        ran.text()
    );
    fs::write(world.path("new.key"), &ran.stdout).unwrap();
    let rescued = ["--file", "rescued.vault", "--machine-key-file", "new.key"];
    let list = world.run(&[&rescued[..], &["list"]].concat());
    assert_eq!(list.expect(0).text().lines().count(), 2);
    world.run(&[&rescued[..], &["check"]].concat()).expect(0);
    world.run(&["check", "--salvage", "rescued.vault", "--machine"]).refuses(7, "exists already");

    altered(&world, |text| {
        text.lines()
            .filter(|line| line.len() < 100 || line.starts_with("slot ") || line.starts_with("id "))
            .map(|line| format!("{line}\n"))
            .collect()
    });
    world.run(&["check", "--salvage", "none.vault", "--machine"]).refuses(6, "no entry in it opens");
    assert!(!world.path("none.vault").exists());
    world.run(&["check", "--machine"]).refuses(2, "only with --salvage");
}

#[test]
fn salvage_says_that_entries_may_be_lost() {
    let world = World::new();
    world.set("a", b"1");
    world.set("b", b"2");
    let good = String::from_utf8(world.vault()).unwrap();
    let head = good.rfind("\nhead ").unwrap() + 1;
    let end = head + good[head..].find("\npage ").unwrap() + 1;
    let page = good[..head].trim_end().rsplit(' ').next().unwrap();
    fs::write(world.path("secrets.vault"), format!("{}{}", &good[..head], &good[end..])).unwrap();
    let ran = world.run(&["check", "--salvage", "rescued.vault", "--machine"]);
    let said = format!("{}{}", ran.expect(6).text(), ran.stderr);
    assert!(said.contains(&format!("page {page} does not verify: entries of it may be lost\n")), "{said}");

    fs::write(world.path("secrets.vault"), &good[..good.len() - 300]).unwrap();
    let ran = world.run(&["check", "--salvage", "other.vault", "--machine", "--json"]);
    assert!(ran.expect(6).text().contains("\"ff\"],\"broken_lines\":1"), "{}", ran.text());
}

#[test]
fn a_full_standard_output_is_no_success() {
    let world = World::new();
    world.set("a", b"secret");
    world.set("big", &[b'x'; 100_000]);
    for arguments in [
        &["get", "a"][..],
        &["get", "big"],
        &["get", "a", "--json"],
        &["list"],
        &["export", "a"],
        &["help"],
        &["--version"],
        &["completions", "bash"],
        &["generate"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = world.command().args(arguments).stdout(full).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&ran.stderr).contains("no space left"), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_exit_141_without_a_word() {
    let world = World::new();
    world.set("big", &vec![b'x'; 1_000_000]);
    let mut child =
        world.command().args(["get", "big"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(141));
    assert!(ran.stderr.is_empty());
}

#[test]
fn the_shells_accept_the_completions_and_man_the_pages() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(world.ok(&["completions", shell]).contains("passphrase-file"), "{shell}");
    }
    fs::write(world.path("complete.bash"), world.ok(&["completions", "bash"])).unwrap();
    assert!(Command::new("bash").arg("-n").arg(world.path("complete.bash")).status().unwrap().success());
    world.ok(&["man", "man1"]);
    assert!(fs::read_to_string(world.path("man1/vault-get.1")).unwrap().starts_with(".ie"));
}

#[test]
fn help_tells_the_exit_codes_of_the_page() {
    let world = World::empty();
    let help = world.ok(&["help", "exit-codes"]);
    for (code, name) in [("0", "ok"), ("6", "integrity"), ("128+n", "signal")] {
        assert!(help.lines().any(|line| line.split_whitespace().take(2).eq([code, name])), "{help}");
    }
    assert!(world.ok(&["help", "set"]).contains("vault set github/token"));
    world.run(&["help", "nonsense"]).refuses(2, "no help on \"nonsense\"");
}
