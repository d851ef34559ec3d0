//! `vault rotate`: a new master key, and everything sealed anew.

use std::path::Path;

use serde::Serialize;
use vault_core::format::slot::{Label, SlotKind, SlotLine};
use vault_core::secret::Secret;
use vault_core::store::Dir;

use super::Run;
use super::slot::{Question, confirm, open};
use super::slots::KeyFile;
use crate::cli::Rotate;
use crate::escape::quoted_path;
use crate::failure::{Failure, SlotFailure};
use crate::message::{Exit, Status};
use crate::policy::Policy;
use crate::session::{Durable, Local, SessionError};

pub(super) fn run(run: &mut Run<'_>, arguments: &Rotate) -> Result<Exit, Failure> {
    let (path, mut session) = open(run)?;
    let keys_out = arguments.machine_keys_out.as_deref();
    refuse_to_lock_out(session.slots(), keys_out)?;
    let machines = machines(session.slots()).join(", ");
    let keys = match keys_out {
        _ if machines.is_empty() => String::new(),
        None => format!(", and these machine keys will not open it any more: {machines}"),
        Some(_) => format!(", and these machines need their new keys: {machines}"),
    };
    let why = format!("everything is sealed anew{keys}");
    let question =
        Question { what: "rotate the master key", why: &why, ask: "Rotate the master key?", option: "--yes" };
    confirm(run, arguments.yes, &question)?;
    let (rotated, durable) = rotate(run, &path, &mut session, keys_out)?;
    if run.global.json {
        run.output.json(&rotated)?;
    }
    durable?;
    Ok(Exit::Ok)
}

/// What became of a rotation.
#[derive(Debug, Serialize)]
pub(super) struct Rotated {
    version: u32,
    vault_id: String,
    epoch: u64,
    generation: u64,
    machines: Vec<Machine>,
}

/// A machine whose key is another one now.
#[derive(Debug, Serialize)]
struct Machine {
    slot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
}

/// Rotates, and says what there is to do afterwards.
pub(super) fn rotate(
    run: &mut Run<'_>,
    path: &Path,
    session: &mut Local,
    keys_out: Option<&Path>,
) -> Result<(Rotated, Durable), Failure> {
    refuse_to_lock_out(session.slots(), keys_out)?;
    run.voice.transient("sealing everything anew, which takes as long as the vault is large");
    let prepared = session.begin_rotation(keys_out.is_some());
    run.voice.transient("");
    let prepared = prepared?;
    // The keys first: a key without a slot opens nothing, a slot without its key is lost.
    let folder = keys_out.map(|folder| run.folder.join(folder));
    let files = folder.as_deref().map(|folder| write_keys(folder, prepared.keys())).transpose()?;
    let finished = session.finish_rotation(prepared);
    if !matches!(finished, Err(SessionError::Save(..))) {
        files.into_iter().flatten().for_each(KeyFile::stay_silently);
    }
    let (rotation, durable) = finished?;

    let machines: Vec<_> = rotation
        .machines
        .iter()
        .map(|label| Machine {
            slot: label.as_str().to_owned(),
            key_file: folder
                .as_ref()
                .map(|folder| folder.join(file_name(label)).to_string_lossy().into_owned()),
        })
        .collect();
    run.voice.status(&Status::Done(format!("rotated the master key of vault {}", quoted_path(path))));
    tell(run, &rotation.id.to_string(), &rotation.machines, folder.as_deref());
    if Policy::beside(path).is_ok_and(|rules| rules.of_id(rotation.id).is_some()) {
        run.voice.status(&Status::Done(format!(
            "vault.toml names another id, and nothing can be saved before it names this one: vault-id = \"{}\"",
            rotation.id
        )));
    }
    let rotated = Rotated {
        version: 1,
        vault_id: rotation.id.to_string(),
        epoch: rotation.epoch,
        generation: rotation.generation,
        machines,
    };
    Ok((rotated, durable))
}

/// Somebody has to be able to open it afterwards: the old machine keys will not.
pub(super) fn refuse_to_lock_out<'s>(
    slots: impl IntoIterator<Item = &'s SlotLine>,
    keys_out: Option<&Path>,
) -> Result<(), SlotFailure> {
    let survives = |slot: &SlotLine| !matches!(slot.kind, SlotKind::Machine | SlotKind::Other(_));
    if keys_out.is_some() || slots.into_iter().any(survives) {
        Ok(())
    } else {
        Err(SlotFailure::OnlyMachines)
    }
}

/// What whoever rotates has to know.
fn tell(run: &Run<'_>, id: &str, machines: &[Label], folder: Option<&Path>) {
    let say = |text: String| run.voice.status(&Status::Done(text));
    say(format!("its id is another one now: VAULT_ID={id}"));
    let labels: Vec<_> = machines.iter().map(Label::as_str).collect();
    match folder {
        _ if labels.is_empty() => {}
        Some(folder) => {
            say(format!("give out the new machine keys in {}: {}", quoted_path(folder), labels.join(", ")))
        }
        None => say(format!(
            "these machine keys do not open it any more, and have to be made anew (vault slot remove, slot add --machine): {}",
            labels.join(", ")
        )),
    }
    say("old copies of the file, also those in git's history, stay readable to whoever could read them"
        .to_owned());
}

/// One file a slot, in a folder that is made if it is not there.
fn write_keys(folder: &Path, keys: &[(Label, Secret)]) -> Result<Vec<KeyFile>, Failure> {
    Dir::open_or_create(folder).map_err(|error| Failure::NotStored { path: folder.to_owned(), error })?;
    let write =
        |(label, key): &(Label, Secret)| KeyFile::write("a machine key", folder.join(file_name(label)), key);
    keys.iter().map(write).collect()
}

fn file_name(label: &Label) -> String {
    format!("{label}.key")
}

/// The labels of machine slots.
fn machines(slots: &[SlotLine]) -> Vec<String> {
    let machines = slots.iter().filter(|slot| matches!(slot.kind, SlotKind::Machine));
    machines.map(|slot| slot.label.as_str().to_owned()).collect()
}
