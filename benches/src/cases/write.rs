//! `set` and `import`: what writing costs. Every run begins with the same file, which is on the disk already.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use super::{figure, ms, ratio};
use crate::fixture::{Bench, middle};
use crate::pairs::{paired, repeated};
use crate::report::{Row, Target};
use crate::run::{Failed, command, run, run_with_input};
use crate::stats::Spread;

fn set(bench: &Bench, original: &Path, entries: usize) -> Result<f64, Failed> {
    let live = bench.fresh(original)?;
    let secret = bench.path("secret.txt");
    fs::write(&secret, "0123456789abcdef0123456789abcdef")?;
    run_with_input(bench.on(&live)?.arg("set").arg(middle(entries)), &secret).map(ms)
}

pub(super) fn set_small(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let (vault, plain, recipient) = (bench.vault_of(1_000)?, bench.dotenv(1_000)?, bench.recipient()?);
    let pairs = paired(
        2 * bench.pairs,
        || set(bench, &vault, 1_000),
        || rewrite_with_age(bench, &plain, &recipient),
    )?;
    Ok(vec![ratio("set one of 1,000 / rewriting with age", Target::AtMost(1.0), &pairs, "`age -e`, synced")])
}

/// The same data as one age file: a temporary file, synced, renamed, its folder synced.
fn rewrite_with_age(bench: &Bench, plain: &Path, recipient: &str) -> Result<f64, Failed> {
    let (new, old) = (bench.path("live.env.age.new"), bench.path("live.env.age"));
    // There is an old one, as there is an old vault, and no leftover, as age would then refuse.
    fs::copy(bench.age_file(1_000)?, &old)?;
    File::open(&old)?.sync_all()?;
    let _ = fs::remove_file(&new);
    let mut age = command(&bench.age);
    age.arg("-r").arg(recipient).arg("-o").arg(&new).arg(plain);

    let start = Instant::now();
    run(&mut age)?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, &old)?;
    File::open(&bench.work)?.sync_all()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

pub(super) fn set_large(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let vault = bench.vault_of(100_000)?;
    let pairs = paired(
        bench.pairs,
        || set(bench, &vault, 100_000),
        || {
            let copy = bench.path("copy.vault");
            let _ = fs::remove_file(&copy);
            let start = Instant::now();
            fs::copy(&vault, &copy)?;
            File::open(&copy)?.sync_all()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        },
    )?;
    Ok(vec![ratio(
        "set one of 100,000 / copying the file",
        Target::AtMost(3.0),
        &pairs,
        "copying and syncing",
    )])
}

fn import_into_empty(bench: &Bench, entries: usize) -> Result<f64, Failed> {
    let live = bench.fresh(&bench.vault_of(0)?)?;
    run(bench.on(&live)?.arg("import").arg(bench.dotenv(entries)?)).map(ms)
}

pub(super) fn import(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let mut rows = Vec::new();
    if let Some(sops) = &bench.sops {
        let (plain, recipient) = (bench.dotenv(10_000)?, bench.recipient()?);
        let pairs = paired(
            bench.pairs,
            || import_into_empty(bench, 10_000),
            || {
                let mut sops = command(sops);
                sops.args(["encrypt", "--age", &recipient, "--input-type", "dotenv"]);
                run(sops.args(["--output-type", "dotenv"]).arg(&plain)).map(ms)
            },
        )?;
        let theirs = "`sops encrypt`, not synced";
        rows.push(ratio("import 10,000, synced / sops", Target::AtMost(0.8), &pairs, theirs));
    }
    for entries in [10_000, 100_000] {
        let live = bench.vault_of(entries)?;
        let size = Spread::of([bytes_each(live.metadata()?.len(), entries)]);
        let details = "the file's length by the number of entries".to_owned();
        let what = format!("bytes an entry, of {entries}");
        rows.push(figure(&what, "B", size, Target::AtMost(450.0), details));
    }
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
fn bytes_each(length: u64, entries: usize) -> f64 {
    length as f64 / entries as f64
}

pub(super) fn import_large(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let pairs = paired(
        bench.pairs.div_ceil(3),
        || import_into_empty(bench, 100_000),
        || import_into_empty(bench, 10_000),
    )?;
    // The fixed part, which both have, makes this a little less than ten when it is linear.
    let theirs = "importing 10,000";
    let row = ratio("import 100,000 / import 10,000", Target::Told, &pairs, theirs);
    let alone = repeated(bench.pairs.div_ceil(3), || import_into_empty(bench, 1))?;
    let base = figure("import 1", "ms", alone, Target::Told, "what every import costs".to_owned());
    Ok(vec![row, base])
}
