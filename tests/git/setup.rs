//! `vault git setup`: what it writes, shows, leaves alone, and takes back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::team::{Desk, Team};

const LINE: &str = "secrets.vault text eol=lf merge=vault diff=vault\n";
const HOOKS: [&str; 2] = ["pre-commit", "pre-merge-commit"];
const COMMAND: &str = "vault check --staged";

fn setting(desk: &Desk<'_>, key: &str) -> String {
    desk.git(&["config", "--get", key]).said.trim().to_owned()
}

#[test]
fn everything_is_shown_and_written_and_taken_back() {
    let team = Team::bare();
    let desk = team.desk();
    let before = desk.read(".gitattributes");
    let config = desk.read(".git/config");
    // Without a terminal and without --yes nothing is written.
    desk.vault(&["git", "setup"]).ends(4).says("--yes");
    assert_eq!((desk.read(".gitattributes"), desk.read(".git/config")), (before.clone(), config.clone()));

    desk.vault(&["git", "setup", "--yes"])
        .ends(0)
        .says(LINE.trim())
        .says("git config merge.vault.recursive \"binary\"")
        .says("git config diff.vault.textconv \"vault diff --textconv\"")
        .says(".git/hooks/pre-commit")
        .says(".git/hooks/pre-merge-commit");
    assert_eq!(desk.read(".gitattributes"), LINE);
    assert_eq!(setting(&desk, "merge.vault.driver"), "vault merge --driver %P %O %A %B");
    let hooks = HOOKS.map(|name| desk.folder.join(".git/hooks").join(name));
    for hook in &hooks {
        assert_eq!(fs::metadata(hook).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(fs::read_to_string(hook).unwrap().ends_with(&format!("exec {COMMAND}\n")));
    }
    let attributes = desk.git(&["check-attr", "merge", "diff", "eol", "--", "secrets.vault"]).said;
    assert_eq!(attributes.matches(": vault").count(), 2, "{attributes}");
    desk.vault(&["git", "setup", "--yes"]).ends(0).says("there already");

    desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0).says("remove");
    assert_eq!(desk.read(".gitattributes"), before, "the line ends stay protected");
    assert_eq!(desk.read(".git/config").trim(), config.trim());
    assert!(hooks.iter().all(|hook| !hook.exists()));
    desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0).says("nothing of it is there");
}

#[test]
fn other_lines_and_settings_are_left_as_they_are() {
    let team = Team::bare();
    let desk = team.desk();
    fs::write(desk.folder.join(".gitattributes"), "*.png binary\nsecrets.vault text eol=lf\n# last").unwrap();
    desk.git(&["config", "merge.other.driver", "true"]).ends(0);
    desk.vault(&["git", "setup", "--yes", "--no-hook"]).ends(0);
    assert_eq!(desk.read(".gitattributes"), format!("*.png binary\n{LINE}# last"));
    desk.git(&["config", "merge.vault.driver", "somebody else's"]).ends(0);
    desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0);
    assert_eq!(setting(&desk, "merge.vault.driver"), "somebody else's");
    assert_eq!(setting(&desk, "merge.other.driver"), "true");
    assert_eq!(setting(&desk, "diff.vault.textconv"), "");
}

#[test]
fn settings_for_small_packs_are_asked_for_shown_and_taken_back() {
    let team = Team::bare();
    let desk = team.desk();
    desk.vault(&["git", "setup", "--yes", "--no-hook"]).ends(0);
    assert_eq!(setting(&desk, "pack.depth"), "", "nobody asked for it");
    desk.vault(&["git", "setup", "--yes", "--no-hook", "--small-packs"])
        .ends(0)
        .says("git config pack.depth \"1000\"")
        .says("git config pack.threads \"1\"");
    assert_eq!((setting(&desk, "pack.depth"), setting(&desk, "pack.threads")), ("1000".into(), "1".into()));
    // A number of somebody's own stays, both ways.
    desk.git(&["config", "pack.threads", "2"]).ends(0);
    desk.vault(&["git", "setup", "--yes", "--small-packs", "--no-hook"])
        .ends(0)
        .says("pack.threads is \"2\" here");
    desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0);
    assert_eq!((setting(&desk, "pack.depth"), setting(&desk, "pack.threads")), (String::new(), "2".into()));
    assert_eq!(setting(&desk, "gc.aggressiveDepth"), "");
}

#[test]
fn a_hook_of_somebody_else_is_never_touched() {
    for [theirs, ours] in [HOOKS, [HOOKS[1], HOOKS[0]]] {
        let team = Team::bare();
        let desk = team.desk();
        let [theirs, ours] = [theirs, ours].map(|name| desk.folder.join(".git/hooks").join(name));
        fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        fs::write(&theirs, "#!/bin/sh\nmake lint\n").unwrap();
        for arguments in [&["git", "setup", "--yes"][..], &["git", "setup", "--remove", "--yes"]] {
            desk.vault(arguments).ends(0);
            assert_eq!(fs::read_to_string(&theirs).unwrap(), "#!/bin/sh\nmake lint\n");
        }
        desk.vault(&["git", "setup", "--yes"]).ends(0).says("is not ours").says(COMMAND);
        assert!(ours.exists(), "the other one is nobody's");
        // Once the line is there, nothing is left to say; and taking back says that it is there.
        fs::write(&theirs, format!("#!/bin/sh\nmake lint\n{COMMAND} || exit 1\n")).unwrap();
        desk.vault(&["git", "setup", "--yes"]).ends(0).says("there already");
        desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0).says("take \"vault check --staged\" out");
        assert!(theirs.exists() && !ours.exists());
    }
}

#[test]
fn a_folder_of_hooks_that_was_named_is_not_written_to() {
    let team = Team::bare();
    let desk = team.desk();
    fs::create_dir(team.path("shared-hooks")).unwrap();
    desk.git(&["config", "core.hooksPath", &team.path("shared-hooks").to_string_lossy()]).ends(0);
    desk.vault(&["git", "setup", "--yes"])
        .ends(0)
        .says("core.hooksPath")
        .says("shared-hooks/pre-commit")
        .says("shared-hooks/pre-merge-commit");
    assert_eq!(fs::read_dir(team.path("shared-hooks")).unwrap().count(), 0);
    assert!(HOOKS.iter().all(|name| !desk.folder.join(".git/hooks").join(name).exists()));
}

#[test]
fn the_pre_commit_framework_gets_an_entry() {
    let team = Team::bare();
    let desk = team.desk();
    let config = desk.folder.join(".pre-commit-config.yaml");
    let before = "repos:\n  - repo: local\n    hooks:\n      - id: lint\n        name: lint\n        entry: make lint\n        language: system\n";
    fs::write(&config, before).unwrap();
    desk.vault(&["git", "setup", "--yes"]).ends(0).says(".pre-commit-config.yaml");
    let after = fs::read_to_string(&config).unwrap();
    assert!(after.starts_with(before) && after.contains("\n      - id: vault-check\n"), "{after}");
    assert!(HOOKS.iter().all(|name| !desk.folder.join(".git/hooks").join(name).exists()));
    // What is left is said until it is done.
    let install = ["install", "--hook-type", "pre-commit", "--hook-type", "pre-merge-commit"];
    desk.vault(&["git", "setup", "--yes"]).ends(0).says(&format!("pre-commit {}", install.join(" ")));
    desk.framework(&install[..3]).ends(0);
    desk.vault(&["git", "setup", "--yes"]).ends(0).says("pre-commit install --hook-type pre-merge-commit");
    desk.framework(&install).ends(0);
    desk.vault(&["git", "setup", "--yes"]).ends(0).says("there already");
    desk.vault(&["git", "setup", "--remove", "--yes"]).ends(0);
    assert_eq!(fs::read_to_string(&config).unwrap(), before);
    // A file that cannot be added to without understanding it stays, and the entry is said.
    fs::write(&config, "repos: []\n").unwrap();
    desk.vault(&["git", "setup", "--yes"]).ends(0).says("id: vault-check");
    assert_eq!(fs::read_to_string(&config).unwrap(), "repos: []\n");
}

#[test]
fn a_linked_work_tree_a_submodule_and_a_bare_clone_are_set_up() {
    let team = Team::bare();
    let desk = team.desk();
    desk.commit("first");
    desk.git(&["worktree", "add", "-q", "-b", "linked", "../linked"]).ends(0);
    let linked = team.desk_at("linked");
    linked.vault(&["git", "setup", "--yes"]).ends(0);
    assert_eq!(linked.read(".gitattributes"), LINE);
    assert_eq!(setting(&desk, "merge.vault.recursive"), "binary", "settings are those of the clone");
    assert!(desk.folder.join(".git/hooks/pre-commit").exists());
    linked.vault(&["git", "setup", "--remove", "--yes"]).ends(0);
    assert!(!desk.folder.join(".git/hooks/pre-commit").exists());

    fs::create_dir(team.path("outer")).unwrap();
    let outer = team.desk_at("outer");
    outer.git(&["init", "-q", "-b", "main"]).ends(0);
    outer.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", "../work", "deploy"]).ends(0);
    let inner = team.desk_at("outer/deploy");
    inner.vault(&["git", "setup", "--yes"]).ends(0);
    assert_eq!(setting(&inner, "merge.vault.recursive"), "binary");
    assert_eq!(setting(&outer, "merge.vault.recursive"), "");
    assert!(team.path("outer/.git/modules/deploy/hooks/pre-commit").exists());

    desk.git(&["clone", "-q", "--bare", ".", "../bare.git"]).ends(0);
    let bare = team.desk_at("bare.git");
    bare.vault(&["git", "setup", "--yes"]).ends(0);
    assert_eq!(setting(&bare, "merge.vault.recursive"), "binary");
    assert!(!bare.folder.join("hooks/pre-commit").exists() && !bare.folder.join(".gitattributes").exists());

    // Outside of any repository it says so.
    fs::create_dir(team.path("nowhere")).unwrap();
    fs::copy(desk.folder.join("secrets.vault"), team.path("nowhere/secrets.vault")).unwrap();
    team.desk_at("nowhere").vault(&["git", "setup", "--yes"]).ends(3).says("no git repository");
}
