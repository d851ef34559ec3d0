//! `vault rotate`: a new master key, and everything sealed anew.

use std::path::Path;

use serde::Serialize;
use vault_core::format::slot::{SlotKind, SlotLine};

use super::slot::{Question, confirm, open};
use super::slots::out;
use super::{Run, context};
use crate::cli::Rotate;
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::Local;

pub(super) fn run(run: &mut Run<'_>, arguments: &Rotate) -> Result<Exit, Failure> {
    let (path, session) = open(run)?;
    let machines = machines(session.slots());
    let keys = match (machines.as_slice(), &arguments.machine_keys_out) {
        ([], _) => String::new(),
        (machines, None) => format!(", and no machine key will open it any more: {}", machines.join(", ")),
        (machines, Some(_)) => format!(", with new machine keys to be given out: {}", machines.join(", ")),
    };
    let why = format!("everything is sealed anew{keys}");
    let question =
        Question { what: "rotate the master key", why: &why, ask: "Rotate the master key?", option: "--yes" };
    confirm(run, arguments.yes, &question)?;
    let rotated = rotate(run, &path, &session, arguments.machine_keys_out.as_deref())?;
    if run.global.json {
        run.output.json(&rotated)?;
    }
    Ok(Exit::Ok)
}

/// What became of a rotation.
#[derive(Debug, Serialize)]
pub(super) struct Rotated {
    version: u32,
    vault_id: String,
    epoch: u64,
    generation: u64,
    machine_keys: Vec<MachineKeyFile>,
}

/// A machine whose key is another one now.
#[derive(Debug, Serialize)]
struct MachineKeyFile {
    slot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// Rotates, and says what there is to do afterwards.
pub(super) fn rotate(
    run: &mut Run<'_>,
    path: &Path,
    session: &Local,
    keys_out: Option<&Path>,
) -> Result<Rotated, Failure> {
    let _ = (run, path, session, keys_out, out::write_file, context::in_work_tree, quoted_path);
    let _ = Status::Done(String::new());
    unimplemented!()
}

/// The labels of machine slots.
fn machines(slots: &[SlotLine]) -> Vec<String> {
    let machines = slots.iter().filter(|slot| matches!(slot.kind, SlotKind::Machine));
    machines.map(|slot| slot.label.as_str().to_owned()).collect()
}
