//! A recovery code: shown once, and typed back; or written into a file.

use std::path::Path;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use vault_core::crypto::random::SystemRandom;
use vault_core::keys::recovery::RecoveryCode;
use vault_core::secret::Secret;
use zeroize::Zeroize;

use super::out::KeyFile;
use crate::commands::Run;
use crate::failure::{Failure, SlotFailure};

/// A new code, and its file. Nothing is stored before it was typed back, or written.
///
/// # Errors
/// [`SlotFailure::RecoveryNeedsOut`], [`SlotFailure::RecoveryNotTyped`], [`Failure::NotStored`].
pub(in crate::commands) fn new_code(
    run: &mut Run<'_>,
    file: Option<&Path>,
    qr: bool,
) -> Result<(RecoveryCode, Option<KeyFile>), Failure> {
    let code = RecoveryCode::generate(&mut SystemRandom);
    let text = code.to_text();
    if let Some(file) = file {
        let file = KeyFile::write("the recovery code", run.folder.join(file), &text)?;
        return Ok((code, Some(file)));
    }
    if !run.prompt.can_ask() {
        return Err(SlotFailure::RecoveryNeedsOut.into());
    }
    let mut lines = shown(&text, qr);
    let typed = run.prompt.shown_once(&lines, QUESTION);
    lines.iter_mut().for_each(Zeroize::zeroize);
    let typed = typed.map_err(Failure::asking("the recovery code"))?;
    let same = RecoveryCode::parse(typed.expose())
        .is_ok_and(|typed| typed.passphrase().expose() == code.passphrase().expose());
    if same { Ok((code, None)) } else { Err(SlotFailure::RecoveryNotTyped.into()) }
}

/// What stands on the screen.
fn shown(text: &Secret, qr: bool) -> Vec<String> {
    let code = String::from_utf8_lossy(text.expose());
    let mut lines = vec![
        "This recovery code opens the vault when everything else is lost. It is shown once.".to_owned(),
        "Write it down, and keep it where only you get at it.".to_owned(),
        String::new(),
        format!("    {code}"),
        String::new(),
    ];
    if let Some(drawn) = Some(text).filter(|_| qr).and_then(|text| QrCode::new(text.expose()).ok()) {
        // Light on dark, as terminals mostly are: the blocks are the light parts.
        let mut drawn = drawn
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .quiet_zone(true)
            .build();
        lines.extend(drawn.lines().map(str::to_owned));
        drawn.zeroize();
        lines.push(String::new());
    }
    lines
}

const QUESTION: &str = "Type it back, and it disappears: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_on_the_screen_and_so_is_its_picture_if_wanted() {
        let text = RecoveryCode::generate(&mut SystemRandom).to_text();
        let code = String::from_utf8(text.expose().to_vec()).unwrap();
        let plain = shown(&text, false);
        assert!(plain.iter().any(|line| line.trim() == code));
        let drawn = shown(&text, true);
        assert!(drawn.len() > plain.len() + 10 && drawn.iter().any(|line| line.contains('█')));
        assert!(drawn.iter().all(|line| line.chars().count() < 100));
    }
}
