//! A real plugin's process, found in the PATH: age-plugin-vaulttest beside this file, one of whose identities asks for a PIN.

use std::ffi::OsString;

use super::kinds::VALUE;
use super::terminal::{on_terminal, types};
use crate::crash::program::{Home, Run, script};

/// Where the plugin is, before everything else.
fn path() -> OsString {
    let rest = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(script("slots")).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).unwrap()
}

fn with_plugin(run: Run) -> Run {
    run.env("PATH", path())
}

/// A vault with a slot for a recipient of the plugin's, whose identity is in `id`.
fn home(arguments: &[&str]) -> Home {
    let home = super::kinds::home();
    let made = home.program(script("slots/age-plugin-vaulttest"), [&["--generate"], arguments].concat()).ok();
    let [recipient, identity] = made.lines()[..] else { panic!("{made:?}") };
    std::fs::write(home.beside("id"), format!("{identity}\n")).unwrap();
    with_plugin(home.vault(["slot", "add", "--label", "token", "--age", recipient]))
        .ok()
        .says("added slot \"token\"");
    home
}

#[test]
fn a_plugin_s_process_wraps_and_opens() {
    let home = home(&[]);
    let get =
        || home.vault(["get", "entry", "--identity"]).arg(home.beside("id")).locked().without_terminal();
    assert_eq!(with_plugin(get()).ok().stdout, VALUE);
    let listed = home.vault(["slot", "list"]).ok();
    assert!(
        listed.lines().iter().any(|line| line.starts_with("token ") && line.contains("plugin")),
        "{listed:?}"
    );
    // Its program is not there: one line says which.
    let ended = get().end();
    assert!(matches!(ended.status.code(), Some(4 | 5)), "{ended:?}");
    assert!(ended.stderr.contains("age-plugin-vaulttest"), "{ended:?}");
    home.check();
}

#[test]
fn a_plugin_that_asks_gets_its_answer_from_the_terminal() {
    let home = home(&["--pin"]);
    let get = || with_plugin(home.vault(["get", "entry", "--identity"]).arg(home.beside("id")).locked());
    let seen = on_terminal(get(), &[("PIN of the test plugin", &types("1234"))]).exits(0);
    assert!(seen.screen.contains("the same for everybody"), "{seen:?}");
    assert!(
        seen.screen.contains("the test plugin has a question") && !seen.screen.contains("1234"),
        "{seen:?}"
    );
    let seen = on_terminal(get(), &[("PIN of the test plugin", &types("9999"))]).shows("wrong PIN");
    assert!(matches!(seen.code, Some(4 | 5)), "{seen:?}");
    let ended = get().without_terminal().end();
    assert!(matches!(ended.status.code(), Some(4 | 5)), "{ended:?}");
    home.check();
}

#[test]
fn a_rotation_wraps_for_a_plugin_s_recipient_without_its_identity() {
    let home = home(&["--pin"]);
    with_plugin(home.vault(["rotate", "--yes"])).without_terminal().ok();
    let get = with_plugin(home.vault(["get", "entry", "--identity"]).arg(home.beside("id")).locked());
    on_terminal(get, &[("PIN of the test plugin", &types("1234"))]).exits(0);
}
