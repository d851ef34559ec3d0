//! A value of 64 MiB.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use super::{figure, mib, ms, ratio};
use crate::fixture::{Bench, write_noise};
use crate::pairs::{paired, repeated};
use crate::report::{Row, Target, shown};
use crate::run::{Cost, Failed, run};
use crate::stats::Spread;

const LENGTH: u64 = 64 << 20;
const NAME: &str = "backup/images";

/// Sets the value in a vault without entries, and says what that cost and how much longer the file is.
fn set(bench: &Bench, length: u64) -> Result<(Cost, u64), Failed> {
    let live = bench.fresh(&bench.vault_of(0)?)?;
    let before = live.metadata()?.len();
    let file = bench.random_file(length)?;
    let cost = run(bench.on(&live)?.args(["set", NAME, "--secret-file"]).arg(file))?;
    Ok((cost, live.metadata()?.len() - before))
}

fn get(bench: &Bench, vault: &Path) -> Result<Cost, Failed> {
    run(bench.on(vault)?.args(["get", NAME]))
}

/// A vault with one value of this length.
fn vault_with(bench: &Bench, length: u64) -> Result<std::path::PathBuf, Failed> {
    let path = bench.path(&format!("{length}-bytes.vault"));
    if !path.exists() {
        set(bench, length)?;
        fs::rename(bench.path("live.vault"), &path)?;
    }
    Ok(path)
}

pub(super) fn times(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let (_, growth) = set(bench, LENGTH)?;
    let pairs = paired(
        bench.pairs,
        || set(bench, LENGTH).map(|(cost, _)| ms(cost)),
        || {
            let path = bench.path("plain.bin");
            let _ = fs::remove_file(&path);
            let start = Instant::now();
            let mut file = File::create(&path)?;
            write_noise(&mut file, growth)?;
            file.sync_all()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        },
    )?;
    let theirs = format!("writing and syncing {:.1} MiB", mib(growth));
    let set = ratio("set 64 MiB / writing as much", Target::AtMost(2.0), &pairs, &theirs);

    let vault = vault_with(bench, LENGTH)?;
    let took = repeated(bench.pairs, || get(bench, &vault).map(ms))?;
    #[expect(clippy::cast_precision_loss, reason = "64 MiB")]
    let speed = |ms: f64| LENGTH as f64 / 1e6 / ms;
    let speed = Spread {
        low: speed(took.high),
        median: speed(took.median),
        high: speed(took.low),
        count: took.count,
    };
    let get = figure("get 64 MiB", "GB/s", speed, Target::AtLeast(0.4), shown(&took, "ms"));
    Ok(vec![set, get])
}

pub(super) fn memory(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let (large, small) = (vault_with(bench, LENGTH)?, vault_with(bench, 32)?);
    let count = bench.pairs.div_ceil(3);
    let memory = |cost: Cost| mib(cost.memory);
    let set = paired(
        count,
        || set(bench, LENGTH).map(|(cost, _)| memory(cost)),
        || set(bench, 32).map(|(cost, _)| memory(cost)),
    )?;
    let get = paired(count, || get(bench, &large).map(memory), || get(bench, &small).map(memory))?;
    let row = |what, pairs: crate::pairs::Pairs| {
        let (ours, theirs) = (shown(&pairs.ours, "MiB"), shown(&pairs.theirs, "MiB"));
        let details = format!("{ours} against {theirs} with 32 bytes");
        figure(what, "MiB", pairs.difference, Target::AtMost(24.0), details)
    };
    Ok(vec![row("set 64 MiB: memory over the base", set), row("get 64 MiB: memory over the base", get)])
}
