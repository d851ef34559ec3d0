//! Measures `vault` against programs that do the same work, and against the bare work: the figures of docs/performance.md.
//!
//! Whole processes, in pairs that take turns, so that whatever else the machine does falls on both. The result is a table
//! of medians with their quartiles; what has a target says whether it is met.

#![allow(unreachable_pub, reason = "a program: nothing outside can reach it in any case")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report goes there")]

mod agent;
mod cases;
mod fixture;
mod pairs;
mod report;
mod run;
mod stats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::fixture::Bench;
use crate::run::Failed;

const USAGE: &str = "\
usage: vault-bench [--vault PATH] [--age PATH] [--sops PATH] [--work FOLDER] [--pairs N] [CASE ...]

Measures every case, or those named. FOLDER is where files are made and kept; its file system is what is measured.
N is how many pairs of middling things are measured (31); small things are measured more often, large ones less.";

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vault-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failed> {
    let programs = std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default();
    let mut bench = Bench {
        vault: programs.join("vault"),
        age: PathBuf::from("/usr/bin/age"),
        sops: None,
        work: programs.join("bench-files"),
        programs,
        pairs: 31,
    };
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| Failed(USAGE.to_owned()));
        match argument.as_str() {
            "--vault" => bench.vault = value()?.into(),
            "--age" => bench.age = value()?.into(),
            "--sops" => bench.sops = Some(value()?.into()),
            "--work" => bench.work = value()?.into(),
            "--pairs" => bench.pairs = value()?.parse().map_err(|_| Failed(USAGE.to_owned()))?,
            name if cases::ALL.iter().any(|(known, _)| *known == name) => wanted.push(argument),
            _ => {
                let names: Vec<_> = cases::ALL.iter().map(|(name, _)| *name).collect();
                return Err(Failed(format!("{USAGE}\n\ncases: {}", names.join(" "))));
            }
        }
    }
    std::fs::create_dir_all(&bench.work)?;
    bench.install()?;

    let mut rows = Vec::new();
    for (name, case) in cases::ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            eprintln!("{name} …");
            let measured = case(&bench)?;
            eprint!("{}", report::table(&measured));
            rows.extend(measured);
        }
    }
    print!("{}", report::table(&rows));
    Ok(())
}
