//! What is measured: one function a target, by name.

mod agent;
mod attachment;
mod read;
mod write;

use crate::fixture::Bench;
use crate::pairs::Pairs;
use crate::report::{Row, Target, shown};
use crate::run::{Cost, Failed};
use crate::stats::Spread;

/// Measures, and says what came of it.
type Case = fn(&Bench) -> Result<Vec<Row>, Failed>;

/// All, in the order of docs/performance.md.
pub const ALL: [(&str, Case); 19] = [
    ("get-1k-empty", read::get_small_and_empty),
    ("get-1k-keys", read::get_by_key),
    ("get-1k-age", read::get_small_and_age),
    ("get-100k", read::get_large),
    ("get-memory", read::get_memory),
    ("list-100k", read::list),
    ("log", read::log),
    ("passphrase", read::passphrase),
    ("set-1k", write::set_small),
    ("set-100k", write::set_large),
    ("import", write::import),
    ("import-100k", write::import_large),
    ("attachment", attachment::times),
    ("attachment-memory", attachment::memory),
    ("agent-get", agent::get),
    ("agent-unlock", agent::unlock),
    ("agent-many", agent::many),
    ("agent-memory", agent::memory),
    ("agent-search", agent::find),
];

/// In milliseconds.
fn ms(cost: Cost) -> f64 {
    cost.wall.as_secs_f64() * 1e3
}

/// In MiB.
#[expect(clippy::cast_precision_loss, reason = "below 2^52 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A row of a ratio, with both times.
fn ratio(what: &str, target: Target, pairs: &Pairs, theirs: &str) -> Row {
    Row {
        what: what.to_owned(),
        unit: "",
        figure: pairs.ratio,
        target,
        details: format!("{} against {} {theirs}", shown(&pairs.ours, "ms"), shown(&pairs.theirs, "ms")),
    }
}

/// A row of one figure.
fn figure(what: &str, unit: &'static str, figure: Spread, target: Target, details: String) -> Row {
    Row { what: what.to_owned(), unit, figure, target, details }
}
