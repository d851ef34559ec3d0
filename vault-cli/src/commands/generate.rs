//! `vault generate [NAME]`.

use vault_core::crypto::random::SystemRandom;

use super::Run;
use crate::cli::Generate;
use crate::failure::Failure;
use crate::message::Exit;
use crate::output::Binary;
use crate::password::{Alphabet, generate};

pub(super) fn run(run: &mut Run<'_>, arguments: &Generate) -> Result<Exit, Failure> {
    let alphabet = match &arguments.characters {
        Some(characters) => Alphabet::of(characters)?,
        None if arguments.symbols => Alphabet::with_symbols(),
        None => Alphabet::letters_and_digits(),
    };
    let password = generate(&alphabet, usize::from(arguments.length), &mut SystemRandom);
    run.output.secret(&password, Binary::Refuse)?;
    Ok(Exit::Ok)
}
