//! One option of the linker for a static program: relocations in their packed form. There are 13,000, which every start reads.

#![expect(clippy::disallowed_methods, reason = "cargo tells a build script of the target in its environment")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| {
        std::env::var(variable).is_ok_and(|text| text.split(',').any(|one| one == value))
    };
    let glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // glibc applies them from 2.36 on. A program that is linked dynamically would not start where it is older; a static one has its
    // own, of the machine where it was built.
    if glibc && is("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
