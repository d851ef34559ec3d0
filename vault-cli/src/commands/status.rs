//! `vault status`.

use serde::Serialize;
use vault_core::keys::age::PostQuantum;
use vault_core::vault::pin::Standing;

use super::{Run, exposed, warn_of_line_ends};
use crate::cli::Status;
use crate::context::{self, unlock_sources};
use crate::failure::Failure;
use crate::message::Exit;
use crate::session::{Facts, PinFacts, Session, SessionError, Unpinned, can_ask, keyring, open_locked};
use crate::size::shown;

pub(super) fn run(run: &mut Run<'_>, _: &Status) -> Result<Exit, Failure> {
    let location = run.location()?;
    let options = run.global.unlock.options();
    let sources: Vec<&'static str> = unlock_sources(&options, &run.environment, &run.config)
        .iter()
        .map(|source| source.named_by)
        .collect();
    let asks =
        unlock_sources(&options, &run.environment, &run.config).iter().any(|source| source.what.asks());
    let mut json = Json {
        version: 1,
        file: location.path.to_string_lossy().into_owned(),
        reason: location.reason.text(),
        unlock_with: sources,
        without_agent: Vec::new(),
        vault: None,
        pin: None,
        unlocked: None,
        offers_compact: false,
        agent: None,
        exposed: Vec::new(),
    };
    let in_work_tree = context::in_work_tree(&location.path);
    let locked = match open_locked(&location.path) {
        Ok(locked) => locked,
        Err(error) => return failed(run, &json, error.into()),
    };
    if asks && !can_ask(run, &locked) {
        json.unlock_with.clear();
    }
    if keyring(run, &locked).is_some() {
        json.unlock_with.insert(0, "the OS keyring");
    }
    let pins = run.pins(&location.path)?;
    let checked = pins.check_id(locked.id());
    json.pin = Some(pins.facts(&locked.id()).into());
    json.vault = Some(Vault {
        id: locked.id().to_string(),
        uuid: vault_core::format::id::SealId(locked.header().uuid).to_string(),
        pages: locked.header().pages.count(),
        bytes: std::fs::metadata(&location.path).map_or(0, |metadata| metadata.len()),
        slots: locked
            .slots()
            .iter()
            .map(|slot| Slot {
                label: slot.label.as_str().to_owned(),
                kind: slot.kind.name().to_owned(),
                post_quantum: match slot.recipient.post_quantum() {
                    PostQuantum::Yes => Some(true),
                    PostQuantum::No => Some(false),
                    PostQuantum::Unknown => None,
                },
            })
            .collect(),
    });
    if let Err(error) = checked {
        return failed(run, &json, SessionError::pin(&location.path, error).into());
    }
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
        json.without_agent = std::mem::replace(&mut json.unlock_with, vec!["the agent"]);
        let facts = session.facts();
        json.offers_compact = in_work_tree && facts.seals >= LONG_LOG;
        json.unlocked = Some(facts.into());
    } else if !asks {
        // Nobody is asked for a status.
        match run.unlock(&location.path) {
            Ok(mut session) => {
                let facts = session.facts();
                if facts.removal.is_some() {
                    json.exposed = exposed::exposed(&session.list()?, facts.removal);
                }
                json.offers_compact = in_work_tree && facts.seals >= LONG_LOG;
                json.pin = facts.pins.clone().map(Pin::from);
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
    /// What would be used if the agent did not hold it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_agent: Vec<&'static str>,
    vault: Option<Vault>,
    pin: Option<Pin>,
    unlocked: Option<Unlocked>,
    offers_compact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<super::agent::State>,
    exposed: Vec<exposed::Exposed>,
}

#[derive(Serialize)]
struct Vault {
    id: String,
    uuid: String,
    pages: u16,
    bytes: u64,
    slots: Vec<Slot>,
}

#[derive(Serialize)]
struct Slot {
    label: String,
    kind: String,
    /// Not known of a plugin's recipient.
    post_quantum: Option<bool>,
}

/// What this machine remembers of the vault.
#[derive(Serialize)]
struct Pin {
    /// `pinned`, `first-seen`, `new-branch`, `not-compared`, `older`, `known`, `none`.
    state: &'static str,
    /// Since when, in seconds since 1970.
    since: Option<u64>,
    /// An option or a variable names the vault.
    named: bool,
    #[serde(skip)]
    why: Option<Unpinned>,
}

impl From<PinFacts> for Pin {
    fn from(facts: PinFacts) -> Self {
        let PinFacts { standing, since, unpinned, named } = facts;
        let state = match standing {
            _ if unpinned.is_some() && since.is_none() => "none",
            Some(Standing::FirstSeen) => "first-seen",
            Some(Standing::NewBranch) => "new-branch",
            Some(Standing::Expected { .. }) => "pinned",
            Some(Standing::NotCompared) => "not-compared",
            Some(Standing::Older { .. }) => "older",
            None if since.is_some() => "known",
            None => "none",
        };
        Self { state, since, named, why: unpinned }
    }
}

impl Pin {
    fn text(&self) -> String {
        let since =
            self.since.map(|since| format!(" since {}", crate::time::shown(since))).unwrap_or_default();
        let text = match self.state {
            "first-seen" => "first seen: there was nothing to compare it with".to_owned(),
            "new-branch" => format!("known here{since}; this branch is seen for the first time"),
            "pinned" => format!("as expected; known here{since}"),
            "not-compared" => format!(
                "known here{since}; not compared, as git is on no branch or in the middle of something"
            ),
            "older" => format!("known here{since}; it lacks changes that were seen"),
            "known" => format!("known here{since}"),
            _ => "nothing is remembered of it".to_owned(),
        };
        let named = if self.named { "; named by VAULT_ID or --vault-id" } else { "" };
        let why = match &self.why {
            Some(why) => format!("; cannot be kept: {}", why.text()),
            None => String::new(),
        };
        format!("pin: {text}{named}{why}")
    }
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
        let Facts { generation, seals, epoch, slot, sources, .. } = facts;
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
            sources if status.without_agent.is_empty() => format!("unlock with: {}", sources.join(", ")),
            sources => {
                let without = status.without_agent.join(", ");
                format!("unlock with: {}; without it: {without}", sources.join(", "))
            }
        },
    ];
    if let Some(vault) = &status.vault {
        lines.push(format!("id: {}", vault.id));
        lines.push(format!("size: {}, {} pages", shown(vault.bytes), vault.pages));
        lines.extend(vault.slots.iter().map(|slot| {
            format!(
                "slot: {} ({}{})",
                slot.label,
                slot.kind,
                if slot.post_quantum == Some(false) { ", classical: not post-quantum" } else { "" }
            )
        }));
    }
    lines.extend(status.pin.as_ref().map(Pin::text));
    if let Some(unlocked) = &status.unlocked {
        let slot = unlocked.slot.as_deref().unwrap_or("?");
        lines.push(format!("unlocked by: slot {slot}, with {}", unlocked.sources.join(", ")));
        lines.push(format!(
            "generation: {}, seals: {}, rotations: {}",
            unlocked.generation, unlocked.seals, unlocked.epoch
        ));
    }
    lines.extend(status.agent.iter().map(super::agent::State::line));
    lines.extend(exposed::lines(&status.exposed));
    if status.offers_compact {
        lines.push("the log is long: \"vault compact\" makes the file smaller; merging with older branches then takes a key".to_owned());
    }
    Ok(run.output.lines(lines)?)
}

/// Seals after which `status` offers to restart the log of a vault in a git work tree. docs/format.md, "Restart".
const LONG_LOG: usize = 10_000;
