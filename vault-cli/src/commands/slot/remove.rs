//! `vault slot remove LABEL`.

use std::path::Path;

use serde::Serialize;
use vault_core::format::slot::{SlotKind, SlotLine};
use vault_core::keys::keyring::{OsKeyring, Prompts};

use super::super::Run;
use super::super::rotate::{self, Rotated};
use super::{Question, confirm, confirm_by_name, find, open};
use crate::cli::SlotRemove;
use crate::escape::quoted;
use crate::failure::{Failure, SlotFailure};
use crate::message::{Exit, Status};
use crate::session::{Local, SlotEdit};

pub(super) fn run(run: &mut Run<'_>, arguments: &SlotRemove) -> Result<Exit, Failure> {
    let (path, mut session) = open(run)?;
    let slot = find(session.slots(), &arguments.label)?;
    let left: Vec<_> = session.slots().iter().filter(|other| other.id != slot.id).collect();
    refuse_to_lock_out(&slot, &left)?;
    if arguments.rotate {
        rotate::refuse_to_lock_out(left.iter().copied(), arguments.machine_keys_out.as_deref())?;
    }
    ask(run, arguments, &path, &session, &slot, &left)?;

    let in_keyring = match &slot.kind {
        SlotKind::Keyring(sealed) => Some((sealed.store.clone(), session.vault().keyring_item(&slot))),
        _ => None,
    };
    let committed = session.change_slots(vec![SlotEdit::Remove(slot)])?;
    if let Some((store, item)) = in_keyring {
        // It may be another machine's. What stays there opens nothing that is stored from now on.
        let _ = OsKeyring::new(Prompts::Never).delete(&store, &item);
    }
    run.voice.status(&Status::Done(format!("removed slot {}", quoted(&arguments.label))));
    let (rotated, durable) = match arguments.rotate || offer_rotation(run, arguments)? {
        true => {
            let keys_out = arguments.machine_keys_out.as_deref();
            let (rotated, durable) = rotate::rotate(run, &path, &mut session, keys_out)?;
            (Some(rotated), durable)
        }
        false => (None, Ok(())),
    };
    if run.global.json {
        let (removed, generation) = (arguments.label.as_str(), committed.generation);
        run.output.json(&Json { version: 1, removed, generation, rotated })?;
    }
    durable?;
    Ok(Exit::Ok)
}

/// Asks whether to rotate, where somebody is asked things; else says how.
fn offer_rotation(run: &mut Run<'_>, arguments: &SlotRemove) -> Result<bool, Failure> {
    let asked = arguments.yes || arguments.confirm.is_some();
    let question = "Whoever held it may have kept the master key. Rotate it now?";
    let rotates = !asked
        && run.prompt.can_ask()
        && run.prompt.confirm(question).map_err(Failure::asking("a yes or no"))?;
    if !rotates {
        run.voice.status(&Status::Done(
            "whoever held it can read what is stored until: vault rotate; what they could read: vault list --exposed"
                .to_owned(),
        ));
    }
    Ok(rotates)
}

/// What is left must open the vault.
fn refuse_to_lock_out(slot: &SlotLine, left: &[&SlotLine]) -> Result<(), SlotFailure> {
    let label = slot.label.as_str().to_owned();
    if left.is_empty() {
        return Err(SlotFailure::OnlySlot(label));
    }
    if left.iter().all(|slot| matches!(slot.kind, SlotKind::Other(_))) {
        return Err(SlotFailure::OnlyUnknownLeft(label));
    }
    Ok(())
}

fn ask(
    run: &mut Run<'_>,
    arguments: &SlotRemove,
    path: &Path,
    session: &Local,
    slot: &SlotLine,
    left: &[&SlotLine],
) -> Result<(), Failure> {
    let label = quoted(slot.label.as_str());
    let what = format!("remove slot {label}");
    if session.opened_by() == Some(slot.id) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let option = format!("--confirm {}", crate::message::word(&name));
        let question = Question {
            what: &what,
            why: &format!(
                "it is the slot that you just opened the vault with, and you may not get in again; {} left: {}",
                count(left.len()),
                labels(left)
            ),
            ask: "Type the name of the vault's file: ",
            option: &option,
        };
        confirm_by_name(run, arguments.confirm.as_deref(), path, &question)?;
    } else {
        let question = Question {
            what: &what,
            why: &format!("slot {label} ({}) will not open the vault any more", slot.kind.name()),
            ask: "Remove it?",
            option: "--yes",
        };
        confirm(run, arguments.yes || arguments.confirm.is_some(), &question)?;
    }
    if left.iter().all(|slot| matches!(slot.kind, SlotKind::Keyring(_))) {
        let question = Question {
            what: &what,
            why: "only slots of operating systems' keyrings would be left, and a backup is restored without those",
            ask: "Remove it nonetheless?",
            option: "--yes",
        };
        confirm(run, arguments.yes, &question)?;
    }
    Ok(())
}

fn count(slots: usize) -> String {
    if slots == 1 { "one slot is".to_owned() } else { format!("{slots} slots are") }
}

fn labels(slots: &[&SlotLine]) -> String {
    slots.iter().map(|slot| slot.label.as_str()).collect::<Vec<_>>().join(", ")
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    removed: &'a str,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated: Option<Rotated>,
}
