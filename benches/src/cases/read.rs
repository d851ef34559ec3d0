//! `get` and `list`: what reading costs.

use std::path::Path;
use std::process::Stdio;

use super::{figure, mib, ms, ratio};
use crate::fixture::{Bench, middle};
use crate::pairs::{paired, repeated};
use crate::report::{Row, Target, shown};
use crate::run::{Failed, command, run, run_piped};

fn get(bench: &Bench, vault: &Path, entries: usize) -> Result<f64, Failed> {
    run(bench.on(vault)?.arg("get").arg(middle(entries))).map(ms)
}

pub(super) fn get_small_and_empty(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let vault = bench.vault_of(1_000)?;
    let empty = bench.programs.join("empty");
    let pairs = paired(4 * bench.pairs, || get(bench, &vault, 1_000), || run(&mut command(&empty)).map(ms))?;
    Ok(vec![ratio("get one of 1,000 / empty program", Target::AtMost(1.6), &pairs, "an empty program")])
}

/// What it costs more than an empty program, by what the vault is unlocked with.
pub(super) fn get_by_key(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let [vault, machine, hybrid] = bench.vault_with_keys()?;
    let (identity, empty) = (bench.identity()?, bench.programs.join("empty"));
    let target = Target::AtMost(2.0);
    let ways = [
        ("an X25519 identity", "VAULT_IDENTITY_FILE", identity, target),
        ("a machine key", "VAULT_MACHINE_KEY_FILE", machine, target),
        ("a hybrid identity", "VAULT_IDENTITY_FILE", hybrid, Target::Told),
    ];
    let mut rows = Vec::new();
    for (way, variable, file, target) in ways {
        let get = || {
            let mut get = command(&bench.vault);
            get.env("VAULT_FILE", &vault).env(variable, &file);
            run(get.arg("get").arg(middle(1_000))).map(ms)
        };
        let pairs = paired(4 * bench.pairs, get, || run(&mut command(&empty)).map(ms))?;
        let details =
            format!("{} against {} an empty program", shown(&pairs.ours, "ms"), shown(&pairs.theirs, "ms"));
        let what = format!("get one of 1,000 with {way}, more than an empty program");
        rows.push(figure(&what, "ms", pairs.difference, target, details));
    }
    Ok(rows)
}

pub(super) fn get_small_and_age(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let (vault, file, identity) = (bench.vault_of(1_000)?, bench.age_file(1_000)?, bench.identity()?);
    let pattern = format!("^{}=", middle(1_000));
    let pairs = paired(
        2 * bench.pairs,
        || get(bench, &vault, 1_000),
        || {
            let mut age = command(&bench.age);
            age.arg("-d").arg("-i").arg(&identity).arg(&file);
            let mut grep = command(Path::new("/bin/grep"));
            run_piped(&mut age, grep.arg(&pattern)).map(ms)
        },
    )?;
    Ok(vec![ratio("get one of 1,000 / `age -d \\| grep`", Target::AtMost(0.5), &pairs, "`age -d \\| grep`")])
}

pub(super) fn get_large(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let vault = bench.vault_of(100_000)?;
    let empty = bench.programs.join("empty");
    let pairs =
        paired(4 * bench.pairs, || get(bench, &vault, 100_000), || run(&mut command(&empty)).map(ms))?;
    Ok(vec![ratio("get one of 100,000 / empty program", Target::AtMost(6.0), &pairs, "an empty program")])
}

pub(super) fn get_memory(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let vault = bench.vault_of(100_000)?;
    let size = vault.metadata()?.len();
    let memory =
        repeated(bench.pairs, || Ok(mib(run(bench.on(&vault)?.arg("get").arg(middle(100_000)))?.memory)))?;
    let empty = repeated(bench.pairs, || Ok(mib(run(&mut command(&bench.programs.join("empty")))?.memory)))?;
    let details = format!("a file of {:.1} MiB; an empty program {}", mib(size), shown(&empty, "MiB"));
    Ok(vec![figure("get one of 100,000: memory", "MiB", memory, Target::AtMost(mib(size)), details)])
}

pub(super) fn list(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let vault = bench.vault_of(100_000)?;
    let pairs =
        paired(bench.pairs, || run(bench.on(&vault)?.arg("list")).map(ms), || bare_loop(bench, 100_000))?;
    Ok(vec![ratio("list 100,000 names / bare loop", Target::AtMost(2.5), &pairs, "opening as many messages")])
}

/// The time that the loop itself took.
fn bare_loop(bench: &Bench, messages: usize) -> Result<f64, Failed> {
    let mut program = command(&bench.programs.join("aead-loop"));
    let output = program.arg(messages.to_string()).stdout(Stdio::piped()).output()?;
    let nanoseconds = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
    nanoseconds.map(|nanoseconds| nanoseconds / 1e6).map_err(|error| Failed(format!("aead-loop: {error}")))
}

pub(super) fn log(bench: &Bench) -> Result<Vec<Row>, Failed> {
    // One seal besides that of `init` is what a vault has after an import.
    let short = bench.vault_of(100)?;
    let mut rows = Vec::new();
    for (seals, target) in [(1_000, Target::AtMost(3.0)), (10_000, Target::Told)] {
        let long = bench.vault_with_seals(seals)?;
        let pairs = paired(2 * bench.pairs, || get(bench, &long, 100), || get(bench, &short, 100))?;
        let details = format!(
            "{} against {} with 2 seals; a file of {:.1} MiB",
            shown(&pairs.ours, "ms"),
            shown(&pairs.theirs, "ms"),
            mib(long.metadata()?.len())
        );
        rows.push(figure(
            &format!("get with {seals} seals, more than with 2"),
            "ms",
            pairs.difference,
            target,
            details,
        ));
    }
    Ok(rows)
}

pub(super) fn passphrase(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let words = bench.path("passphrase.txt");
    std::fs::write(&words, "correct horse battery staple measured\n")?;
    let vault = bench.path("passphrase.vault");
    let _ = std::fs::remove_file(&vault);
    let recipient = bench.recipient()?;
    let mut init = command(&bench.vault);
    init.arg("--file").arg(&vault).arg("--passphrase-file").arg(&words);
    run(init.args(["init", "--no-gitattributes", "--pages", "256", "--passphrase", "--age", &recipient]))?;
    run(bench.on(&vault)?.arg("import").arg(bench.dotenv(100)?))?;
    let pairs = paired(
        bench.pairs.div_ceil(2),
        || {
            let mut get = command(&bench.vault);
            get.arg("--file").arg(&vault).arg("--passphrase-file").arg(&words);
            run(get.arg("get").arg(middle(100))).map(ms)
        },
        || get(bench, &vault, 100),
    )?;
    let details = format!(
        "{} with the passphrase, {} with the identity of the same vault",
        shown(&pairs.ours, "ms"),
        shown(&pairs.theirs, "ms")
    );
    Ok(vec![figure("Argon2id, 256 MiB, t 3, p 4", "ms", pairs.difference, Target::Told, details)])
}
