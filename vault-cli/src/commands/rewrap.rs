//! `vault rewrap LABEL`: one slot anew, and nothing else.

use serde::Serialize;
use vault_core::crypto::kdf::KdfCost;
use vault_core::crypto::random::SystemRandom;
use vault_core::format::seal::SlotOp;
use vault_core::format::slot::{SealedIdentity, SlotKind, SlotLine};
use vault_core::keys::Credential;
use vault_core::secret::Passphrase;

use super::Run;
use super::slot::find;
use super::slots::{self, Given, kdf};
use crate::cli::Rewrap;
use crate::escape::quoted;
use crate::failure::{Failure, SlotFailure};
use crate::message::{Exit, Status};
use crate::session::SlotEdit;

pub(super) fn run(run: &mut Run<'_>, arguments: &Rewrap) -> Result<Exit, Failure> {
    let path = run.location()?.path;
    let (mut session, credentials) = run.unlock_with(&path, None)?;
    let old = find(session.slots(), &arguments.label)?;
    let mut file = None;
    let new = match &old.kind {
        SlotKind::Passphrase(sealed) => {
            let passphrase = if arguments.keep {
                let opened = session.opened_by() == Some(old.id);
                kept(credentials)
                    .filter(|_| opened)
                    .ok_or_else(|| SlotFailure::NotOpenedBy(arguments.label.clone()))?
            } else {
                let file = arguments.new_passphrase_file.as_deref();
                slots::new_passphrase(run, file, &path, Given::IsForTheOldVault, slots::weak(&arguments.kdf))?
            };
            let cost = match (arguments.kdf.kdf_memory, arguments.kdf.kdf_time) {
                (None, None) => as_before(sealed),
                _ => kdf::cost(run, &arguments.kdf)?,
            };
            session.vault().change_passphrase(&old, &passphrase, cost, &mut SystemRandom)?
        }
        SlotKind::Recovery(_) => {
            refuse_passphrase(arguments, &old)?;
            let (code, written) = slots::new_recovery_code(run, arguments.out.as_deref(), arguments.qr)?;
            file = written;
            let vault = session.vault();
            vault.change_passphrase(&old, &code.passphrase(), KdfCost::RECOVERY, &mut SystemRandom)?
        }
        _ => {
            refuse_passphrase(arguments, &old)?;
            session.vault().rewrap(&old).map_err(SlotFailure::Rewrap)?
        }
    };
    let change = SlotEdit::Replace { old, new, how: SlotOp::Rewrap };
    let (committed, durable) = session.put_slots(vec![change])?;
    if let Some(file) = file {
        file.stay(run.voice);
    }
    if run.global.json {
        let (slot, generation) = (arguments.label.as_str(), committed.generation);
        run.output.json(&Json { version: 1, slot, generation })?;
    }
    run.voice.status(&Status::Done(format!("wrapped slot {} anew", quoted(&arguments.label))));
    durable?;
    Ok(Exit::Ok)
}

/// What it cost so far.
fn as_before(sealed: &SealedIdentity) -> KdfCost {
    KdfCost::new(sealed.memory_kib, sealed.passes, sealed.lanes, sealed.memory_kib)
        .unwrap_or(KdfCost::DEFAULT)
}

/// The passphrase that was tried.
fn kept(credentials: Vec<Credential>) -> Option<Passphrase> {
    credentials.into_iter().find_map(|credential| match credential {
        Credential::Passphrase(passphrase) => Some(passphrase),
        _ => None,
    })
}

fn refuse_passphrase(arguments: &Rewrap, slot: &SlotLine) -> Result<(), SlotFailure> {
    if arguments.keep || arguments.new_passphrase_file.is_some() {
        let (label, kind) = (slot.label.as_str().to_owned(), slot.kind.name().to_owned());
        return Err(SlotFailure::NoPassphrase { label, kind });
    }
    Ok(())
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    slot: &'a str,
    generation: u64,
}
