//! `vault status`.

use serde::Serialize;

use super::{Run, warn_of_line_ends};
use crate::cli::Status;
use crate::context::{self, Unlocker, unlock_sources};
use crate::failure::Failure;
use crate::message::Exit;
use crate::session::{Facts, Session, SessionError, has_passphrase, open_locked};
use crate::size::shown;

pub(super) fn run(run: &mut Run<'_>, _: &Status) -> Result<Exit, Failure> {
    let location = run.location()?;
    let options = run.global.unlock.options();
    let sources: Vec<&'static str> =
        unlock_sources(&options, &run.environment).iter().map(|source| source.named_by).collect();
    let asks = unlock_sources(&options, &run.environment)
        .iter()
        .any(|source| matches!(source.what, Unlocker::Terminal));
    let mut json = Json {
        version: 1,
        file: location.path.to_string_lossy().into_owned(),
        reason: location.reason.text(),
        unlock_with: sources,
        vault: None,
        unlocked: None,
        offers_compact: false,
        agent: None,
    };
    let in_work_tree = context::in_work_tree(&location.path);
    let locked = match open_locked(&location.path) {
        Ok(locked) => locked,
        Err(error) => return failed(run, &json, error.into()),
    };
    if asks && !(has_passphrase(&locked) && run.prompt.can_ask()) {
        json.unlock_with.clear();
    }
    json.vault = Some(Vault {
        uuid: vault_core::format::id::SealId(locked.header().uuid).to_string(),
        pages: locked.header().pages.count(),
        bytes: std::fs::metadata(&location.path).map_or(0, |metadata| metadata.len()),
        slots: locked
            .slots()
            .iter()
            .map(|slot| Slot { label: slot.label.as_str().to_owned(), kind: slot.kind.name().to_owned() })
            .collect(),
    });
    // All of the file: a conflict or changed line ends may be anywhere in it.
    if let Err(error) = locked.check() {
        return failed(run, &json, SessionError::Format(location.path, error).into());
    }
    json.agent = super::agent::state(run, &location.path)?;
    let held = match run.of_agent(&location.path) {
        Ok(held) => held,
        Err(error) => return failed(run, &json, error),
    };
    if let Some(session) = held {
        let facts = session.facts();
        json.offers_compact = in_work_tree && facts.seals >= LONG_LOG;
        json.unlocked = Some(facts.into());
    } else if !asks {
        // Nobody is asked for a status.
        match run.unlock(&location.path) {
            Ok(session) => {
                let facts = session.facts();
                json.offers_compact = in_work_tree && facts.seals >= LONG_LOG;
                json.unlocked = Some(facts.into());
            }
            Err(error) => return failed(run, &json, error),
        }
    }
    print(run, &json)?;
    warn_of_line_ends(run, &location.path)?;
    Ok(Exit::Ok)
}

/// What is known goes before the error; for programs, the error is the one object.
fn failed(run: &mut Run<'_>, status: &Json, error: Failure) -> Result<Exit, Failure> {
    if !run.global.json {
        print(run, status)?;
    }
    Err(error)
}

#[derive(Serialize)]
struct Json {
    version: u32,
    file: String,
    reason: &'static str,
    unlock_with: Vec<&'static str>,
    vault: Option<Vault>,
    unlocked: Option<Unlocked>,
    offers_compact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<super::agent::State>,
}

#[derive(Serialize)]
struct Vault {
    uuid: String,
    pages: u16,
    bytes: u64,
    slots: Vec<Slot>,
}

#[derive(Serialize)]
struct Slot {
    label: String,
    kind: String,
}

#[derive(Serialize)]
struct Unlocked {
    slot: Option<String>,
    sources: Vec<&'static str>,
    generation: u64,
    seals: usize,
    epoch: u64,
}

impl From<Facts> for Unlocked {
    fn from(facts: Facts) -> Self {
        let Facts { generation, seals, epoch, slot, sources } = facts;
        Self { slot, sources, generation, seals, epoch }
    }
}

fn print(run: &mut Run<'_>, status: &Json) -> Result<(), Failure> {
    if run.global.json {
        return Ok(run.output.json(status)?);
    }
    let mut lines = vec![
        format!("vault: {}", status.file),
        format!("chosen by: {}", status.reason),
        match status.unlock_with.as_slice() {
            [] => "unlock with: nothing was named, and there is nothing to ask for".to_owned(),
            sources => format!("unlock with: {}", sources.join(", ")),
        },
    ];
    if let Some(vault) = &status.vault {
        lines.push(format!("id: {}", vault.uuid));
        lines.push(format!("size: {}, {} pages", shown(vault.bytes), vault.pages));
        lines.extend(vault.slots.iter().map(|slot| format!("slot: {} ({})", slot.label, slot.kind)));
    }
    if let Some(unlocked) = &status.unlocked {
        let slot = unlocked.slot.as_deref().unwrap_or("?");
        lines.push(format!("unlocked by: slot {slot}, with {}", unlocked.sources.join(", ")));
        lines.push(format!(
            "generation: {}, seals: {}, rotations: {}",
            unlocked.generation, unlocked.seals, unlocked.epoch
        ));
    }
    lines.extend(status.agent.iter().map(super::agent::State::line));
    if status.offers_compact {
        lines.push("the log is long: \"vault compact\" makes the file smaller; merging with older branches then takes a key".to_owned());
    }
    Ok(run.output.lines(lines)?)
}

/// Seals after which `status` offers to restart the log of a vault in a git work tree. docs/format.md, "Restart".
const LONG_LOG: usize = 10_000;
