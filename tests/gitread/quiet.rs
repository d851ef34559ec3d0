//! What git itself shows of a vault, with the program as its driver: never a value.

use super::work::Work;

/// Values that would be seen anywhere, in any of the ways in which git shows things.
const VALUES: [&str; 4] = ["wlrmqpvbnz-first", "wlrmqpvbnz-second", "wlrmqpvbnz-third", "wlrmqpvbnz-fourth"];

fn with_driver() -> Work {
    let work = Work::new();
    work.write(".gitattributes", "secrets.vault text eol=lf diff=vault\n");
    work.git(["config", "diff.vault.textconv", "vault diff --textconv"]).ok();
    work
}

#[test]
fn git_shows_names_and_kinds_of_change_and_never_a_value() {
    let work = with_driver();
    for value in VALUES {
        work.set("github/token", value);
        work.vault(["edit", "github/token", "--attr", &format!("a={value}")]).ok();
        work.commit("attribute");
    }
    work.home.set("github/token", VALUES[0]);
    work.git(["stash", "-q"]).ok();
    work.git(["stash", "apply", "-q"]).ok();
    let mut all = Vec::new();
    let commands: [&[&str]; 9] = [
        &["log", "-p", "--all"],
        &["log", "--patch-with-raw", "--stat", "--no-textconv"],
        &["diff"],
        &["diff", "--word-diff", "HEAD~5"],
        &["show", "HEAD"],
        &["blame", "secrets.vault"],
        &["blame", "--textconv", "HEAD~1", "--", "secrets.vault"],
        &["reflog", "-p"],
        &["stash", "show", "-p"],
    ];
    for command in commands {
        for unlocked in [true, false] {
            let run = work.git(command);
            let run = if unlocked { run } else { run.locked() };
            let ended = run.ok();
            all.extend(ended.stdout);
            all.extend(ended.stderr.into_bytes());
        }
    }
    let text = String::from_utf8_lossy(&all);
    for value in VALUES {
        assert!(!text.contains(value), "{value}");
    }
    assert!(text.contains("entry github/token"), "with the key, names are shown");
    let patch = work.git(["show", "HEAD~1"]).ok();
    let changed: Vec<_> = patch.lines().into_iter().filter(|line| line.starts_with(['+', '-'])).collect();
    assert!(changed.iter().any(|line| line.contains("field secret last changed")), "{changed:?}");
    assert_eq!(changed.len(), 4, "the two heads, the line before, the line after: {changed:?}");
    let patch = work.git(["show", "HEAD~1"]).locked().ok();
    let changed: Vec<_> = patch.lines().into_iter().filter(|line| line.starts_with(['+', '-'])).collect();
    assert!(changed.iter().any(|line| line.contains("entry ")) && changed.len() == 4, "{changed:?}");
}

#[test]
fn blame_names_the_commit_that_changed_a_field() {
    let work = with_driver();
    work.set("a", VALUES[0]);
    let changed = work.set("a", VALUES[1]);
    work.set("b", VALUES[2]);
    let blame = work.git(["blame", "-l", "secrets.vault"]).ok();
    let lines = blame.lines();
    let at = lines.iter().position(|line| line.ends_with("entry a")).unwrap();
    assert!(lines[at + 1].starts_with(&changed), "{lines:?}");
}

#[test]
fn a_driver_that_cannot_read_still_lets_git_go_on() {
    let work = with_driver();
    work.set("a", VALUES[0]);
    let vault = std::fs::read_to_string(work.path("secrets.vault")).unwrap();
    for (text, said) in [
        ("no vault at all\n", "+not a vault"),
        (&vault.replacen("page 80\n", "<<<<<<< ours\npage 80\n", 1)[..], "damaged"),
        (&vault[..vault.len() - 30], "damaged"),
        (&vault.replacen("vault/1", "vault/9", 1)[..], "+a vault that cannot be read"),
        ("", "-vault"),
    ] {
        work.write("secrets.vault", text);
        let ended = work.git(["diff"]).ok();
        assert!(ended.text().contains(said), "{said}: {ended:?}");
        assert!(!ended.text().contains("no vault at all"), "what is no vault is not shown: it may be plain");
    }
    // A wrong key is no key.
    work.write("secrets.vault", &vault);
    let other = Work::new();
    let ended = work.git(["log", "-p"]).env("VAULT_MACHINE_KEY_FILE", other.home.key()).ok();
    assert!(ended.text().contains("not unlocked"), "{ended:?}");
}
