//! Finds the tests that the keyring crate brings in its package, in Cargo's own copy of it.

#![allow(clippy::disallowed_methods, reason = "Cargo speaks to build scripts through the environment")]

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let cargo = std::env::var_os("CARGO").expect("Cargo says where it is");
    let target = std::env::var("TARGET").expect("Cargo says for what");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &target])
        .output()
        .expect("Cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    // The manifest's path as it stands in the JSON; nothing else in it ends so.
    let manifest = text
        .split('"')
        .find(|word| {
            word.ends_with("/Cargo.toml")
                && word.rsplit('/').nth(1).is_some_and(|folder| folder.starts_with("keyring-4."))
        })
        .expect("keyring is among the dependencies");
    let runner = PathBuf::from(manifest).with_file_name("examples").join("unit-test/runner.rs");
    assert!(runner.is_file(), "{} is not there", runner.display());
    println!("cargo::rustc-env=KEYRING_RUNNER={}", runner.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
}
