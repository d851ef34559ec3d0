//! Opens vaults that may be hostile, in a process of its own: a panic, a second or too much memory shows from outside.
//!
//! `probe KEY --file FILE` reads one file and says what came of it. `probe KEY NAME...` reads texts from stdin, each
//! after its length in eight bytes, and answers each with a line of JSON.
#![allow(clippy::print_stdout)]

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};
use vault_core::keys::UnlockPolicy;
use vault_core::source::Source;
use vault_core::store;
use vault_core::vault::{LockedVault, UnlockedVault};
use vault_tests::fixture::{bytes_of, machine_key_file, name};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let key = std::fs::read(arguments.next().expect("a file with a machine key"))?;
    let rest: Vec<String> = arguments.collect();
    match rest.as_slice() {
        [how, path] if how == "--file" => one_file(&key, Path::new(path)),
        names => serve(&key, names),
    }
}

/// `VmHWM`: the most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn one_file(key: &[u8], path: &Path) -> io::Result<()> {
    let before = peak();
    let start = Instant::now();
    let said = match store::read(path) {
        Err(error) => json!({ "outcome": "unreadable", "why": error.to_string() }),
        Ok(snapshot) => {
            open(key, Arc::new(snapshot)).map_or_else(|refused| refused, |_| json!({ "outcome": "ok" }))
        }
    };
    finish(said, start, before)
}

fn finish(mut said: Json, start: Instant, before: u64) -> io::Result<()> {
    said["micros"] = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).into();
    said["peak_kib"] = peak().saturating_sub(before).into();
    writeln!(io::stdout(), "{said}")
}

/// Opened and verified as a whole.
fn open(key: &[u8], source: Arc<dyn Source>) -> Result<UnlockedVault, Json> {
    let refused = |why: String| json!({ "outcome": "refused", "why": why });
    let vault = unlock(key, source)?;
    match vault.verify(&|_| ()) {
        Ok(_) => Ok(vault),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn unlock(key: &[u8], source: Arc<dyn Source>) -> Result<UnlockedVault, Json> {
    let refused = |why: String| json!({ "outcome": "refused", "why": why });
    let locked = LockedVault::open(source).map_err(|error| refused(error.to_string()))?;
    let credential = machine_key_file(key).map_err(|why| json!({ "outcome": "denied", "why": why }))?;
    locked.unlock(&[credential], &UnlockPolicy::default()).map_err(|still| refused(still.reason.to_string()))
}

fn serve(key: &[u8], names: &[String]) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut length = [0; 8];
    while input.read_exact(&mut length).is_ok() {
        let mut text = vec![0; usize::try_from(u64::from_be_bytes(length)).expect("it fits")];
        input.read_exact(&mut text)?;
        let text: Arc<dyn Source> = Arc::new(text);
        let start = Instant::now();
        let mut said = match open(key, Arc::clone(&text)) {
            Ok(_) => json!({ "outcome": "ok" }),
            Err(refused) => refused,
        };
        // Reading one entry looks at one page: what it gives out must be real even if another page is not.
        let mut values = serde_json::Map::new();
        if let Ok(vault) = unlock(key, text) {
            for entry in names {
                if let Ok(value) = vault.value(&name(entry), "secret") {
                    let read = value.map(|value| String::from_utf8_lossy(&bytes_of(value)).into_owned());
                    values.insert(entry.clone(), read.into());
                }
            }
        }
        said["micros"] = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).into();
        said["values"] = values.into();
        said["peak_kib"] = peak().into();
        writeln!(output, "{said}")?;
        output.flush()?;
    }
    Ok(())
}
