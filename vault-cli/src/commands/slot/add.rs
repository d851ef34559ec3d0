//! `vault slot add`.

use serde::Serialize;
use vault_core::format::limits;
use vault_core::keys::age::PostQuantum;
use zeroize::Zeroizing;

use super::super::slots::{self, Given, Labels, Maker, Wanted};
use super::super::{Run, init};
use super::{Question, confirm, label, open};
use crate::cli::SlotAdd;
use crate::escape::quoted;
use crate::failure::{Failure, SlotFailure};
use crate::message::{Exit, Status};
use crate::session::{Local, SlotEdit};

pub(super) fn run(run: &mut Run<'_>, arguments: &SlotAdd) -> Result<Exit, Failure> {
    if !arguments.slots.is_named() {
        return Err(SlotFailure::NoKind.into());
    }
    let wish = arguments.label.as_deref().map(label).transpose()?;
    let (path, mut session) = open(run)?;
    let mut wanted = slots::wanted(run, &arguments.slots, &path, Given::IsForTheOldVault)?;
    for other in wanted.without(session.slots()) {
        run.voice
            .status(&Status::Done(format!("left out a key that slot {} is for already", quoted(&other))));
    }
    if wanted.count() == 0 {
        return Err(SlotFailure::AllThere.into());
    }
    if session.slots().len() + wanted.count() > limits::SLOTS {
        return Err(Failure::TooManySlots);
    }
    if let Some(wish) = wish {
        wanted = wanted.labelled(wish)?;
    }
    ask_about_classical(run, arguments.slots.yes, &session, &wanted)?;

    let made = wanted.make(&Maker::Unlocked(session.vault()), &mut Labels::of(session.slots()))?;
    let added: Vec<_> =
        made.slots.iter().map(|slot| (slot.label.as_str().to_owned(), slot.kind.name().to_owned())).collect();
    if let Some(in_keyring) = &made.in_keyring {
        in_keyring.keep(run)?;
    }
    let (machine_key, file) = wanted.out.write(run, made.machine_key)?;
    // From here on the slot is stored, even if that may not outlive a power cut: its keys are kept and given out. If it is not
    // stored, its file goes.
    let (committed, durable) = match session.put_slots(made.slots.into_iter().map(SlotEdit::Add).collect()) {
        Ok(stored) => stored,
        Err(error) => {
            made.in_keyring.iter().for_each(|in_keyring| in_keyring.forget(run));
            return Err(error.into());
        }
    };
    file.into_iter().chain(wanted.file).for_each(|file| file.stay(run.voice));

    for (label, kind) in &added {
        let kind = if label == kind { String::new() } else { format!(" ({kind})") };
        run.voice.status(&Status::Done(format!("added slot {}{kind}", quoted(label))));
    }
    if run.global.json {
        let json = Json {
            version: 1,
            added: added.iter().map(|(label, kind)| Added { label, kind }).collect(),
            generation: committed.generation,
            key_file: arguments
                .slots
                .out
                .as_ref()
                .map(|out| run.folder.join(out).to_string_lossy().into_owned()),
            machine_key: machine_key
                .as_ref()
                .map(|key| Zeroizing::new(String::from_utf8_lossy(key.expose()).trim_end().to_owned())),
        };
        let lost = machine_key.is_some();
        return match run.output.json(&json) {
            Err(error) if lost => Err(SlotFailure::KeyLost { label: key_label(&added), error }.into()),
            result => {
                result?;
                durable?;
                Ok(Exit::Ok)
            }
        };
    }
    if let Some(key) = machine_key {
        init::print_key(run, &key)
            .map_err(|error| SlotFailure::KeyLost { label: key_label(&added), error })?;
    }
    durable?;
    Ok(Exit::Ok)
}

fn key_label(added: &[(String, String)]) -> String {
    added.iter().find(|(_, kind)| kind == "machine").map(|(label, _)| label.clone()).unwrap_or_default()
}

/// One classical slot is enough for whoever keeps today's file and one day has a quantum computer.
fn ask_about_classical(
    run: &mut Run<'_>,
    yes: bool,
    session: &Local,
    wanted: &Wanted,
) -> Result<(), Failure> {
    let all_hybrid = session.slots().iter().all(|slot| slot.recipient.post_quantum() == PostQuantum::Yes);
    let mut recipients = wanted.recipients();
    let Some(classical) = recipients.find(|recipient| recipient.post_quantum() == PostQuantum::No) else {
        return Ok(());
    };
    if !all_hybrid {
        return Ok(());
    }
    let why = format!(
        "all slots of this vault withstand quantum computers, and {} does not",
        super::list::shortened(classical.as_str())
    );
    let question = Question { what: "add a classical slot", why: &why, ask: "Add it?", option: "--yes" };
    confirm(run, yes, &question)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    added: Vec<Added<'a>>,
    generation: u64,
    /// Where what opens the slot was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plain")]
    machine_key: Option<Zeroizing<String>>,
}

fn plain<S: serde::Serializer>(key: &Option<Zeroizing<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(|key| key.as_str()).serialize(serializer)
}

#[derive(Serialize)]
struct Added<'a> {
    label: &'a str,
    kind: &'a str,
}
