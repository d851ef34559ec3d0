//! The agent: reading through it, its memory, and searching.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use vault_core::agent::Request;
use vault_core::agent::message::{Done, Find, Get, Got, Metas, Texts, VaultPath};
use vault_core::format::entry::EntryName;

use super::{figure, mib, ms, ratio};
use crate::agent::{Agent, attributes};
use crate::fixture::{Bench, middle};
use crate::pairs::{paired, repeated};
use crate::report::{Row, Target, shown};
use crate::run::{Failed, command, run};
use crate::stats::{Spread, quantiles};

const GETS: usize = 2_000;

fn vault_path(vault: &Path) -> Result<VaultPath, Failed> {
    VaultPath::new(vault).ok_or_else(|| Failed("the work folder's path is not absolute".to_owned()))
}

pub(super) fn get(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let empty = bench.programs.join("empty");
    let mut rows = Vec::new();
    for entries in [10, 100_000] {
        let vault = bench.vault_of(entries)?;
        let agent = Agent::holding(bench, &vault)?;
        let get = || run(agent.command().arg("get").arg(middle(entries))).map(ms);
        let pairs = paired(4 * bench.pairs, get, || run(&mut command(&empty)).map(ms))?;
        let what = format!("get one of {entries} through the agent / empty program");
        rows.push(ratio(&what, Target::AtMost(1.4), &pairs, "an empty program"));
    }
    Ok(rows)
}

/// All that an unlock takes but the key derivation: with an identity, there is none.
pub(super) fn unlock(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let vault = bench.vault_of(100_000)?;
    let agent = Agent::holding(bench, &vault)?;
    let unlock = || {
        run(agent.command().arg("lock"))?;
        run(bench.on(&vault)?.env("VAULT_AGENT_SOCK", agent.socket()).arg("unlock")).map(ms)
    };
    let took = repeated(bench.pairs, unlock)?;
    let details = "the whole command, with an identity, which has no key derivation".to_owned();
    Ok(vec![figure("unlock 100,000 entries, besides the KDF", "ms", took, Target::AtMost(20.0), details)])
}

pub(super) fn many(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let entries = 100_000;
    let vault = bench.vault_of(entries)?;
    let agent = Agent::holding(bench, &vault)?;
    let mut client = agent.connect()?;
    let path = vault_path(&vault)?;
    let mut times = Vec::with_capacity(GETS);
    let start = Instant::now();
    for number in 0..GETS {
        // All over the vault.
        let name = crate::fixture::name(number * 7_919 % entries);
        let name = EntryName::parse(&name).map_err(|error| Failed(format!("{error:?}")))?;
        let get = Get { vault: path.clone(), state: None, name, field: "secret".to_owned() };
        let begin = Instant::now();
        let got: Got = client.ask(&Request::Get(get), |_| Ok(()))?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        if got.value.is_none() {
            return Err(Failed("an entry was not found".to_owned()));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = GETS as f64 / seconds;
    let [half, most] = quantiles(times, [0.5, 0.99]);
    let details = format!("p50 {half:.3} ms, p99 {most:.3} ms; one client, one connection, 100,000 entries");
    Ok(vec![figure(
        "gets over one connection",
        "a second",
        Spread::of([rate]),
        Target::AtLeast(2_000.0),
        details,
    )])
}

pub(super) fn memory(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let mut rows = Vec::new();
    for entries in [100, 100_000] {
        let (vault, plain) = bench.vault_with_attributes(entries)?;
        let agent = Agent::holding(bench, &vault)?;
        let mut client = agent.connect()?;
        let (before, _) = (agent.memory()?, search(&mut client, &vault, 0)?);
        let memory = mib(agent.memory()?);
        let limit = if entries == 100 { 8.0 } else { 2.0 * mib(plain) + 8.0 };
        let what = format!("memory of the agent with {entries} entries, after a search");
        let details =
            format!("{:.2} MiB before it; names and attributes are {:.2} MiB", mib(before), mib(plain));
        rows.push(figure(&what, "MiB", Spread::of([memory]), Target::AtMost(limit), details));
    }
    Ok(rows)
}

pub(super) fn find(bench: &Bench) -> Result<Vec<Row>, Failed> {
    let (vault, _) = bench.vault_with_attributes(100_000)?;
    let mut first = Vec::new();
    let mut later = Vec::new();
    for _ in 0..bench.pairs.div_ceil(6) {
        let agent = Agent::holding(bench, &vault)?;
        let mut client = agent.connect()?;
        first.push(search(&mut client, &vault, 1)?);
        for number in 0..bench.pairs {
            later.push(search(&mut client, &vault, number)?);
        }
    }
    let (first, later) = (Spread::of(first), Spread::of(later));
    let details = "of the client; two attributes, one entry found".to_owned();
    let details_first = format!("with {} afterwards", shown(&later, "ms"));
    Ok(vec![
        figure("search by attributes among 100,000", "ms", later, Target::AtMost(5.0), details),
        figure("the first search among 100,000", "ms", first, Target::AtMost(300.0), details_first),
    ])
}

/// Searches for what one entry has, and gives the milliseconds that it took.
fn search(client: &mut crate::agent::Client, vault: &Path, number: usize) -> Result<f64, Failed> {
    let with: BTreeMap<String, String> = attributes(number).into();
    let find = Find { vault: vault_path(vault)?, state: None, with: Some(Texts(with)), having: None };
    let start = Instant::now();
    let mut found = 0;
    let _: Done = client.ask(&Request::Find(find), |part| {
        let part: Metas = vault_core::agent::content(part).map_err(|error| Failed(error.to_string()))?;
        found += part.metas.len();
        Ok(())
    })?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    if found == 1 { Ok(took) } else { Err(Failed(format!("{found} entries were found instead of one"))) }
}
