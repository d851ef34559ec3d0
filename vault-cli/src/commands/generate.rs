//! `vault generate [NAME]`.

use vault_core::crypto::random::SystemRandom;
use vault_core::secret::Secret;
use vault_core::vault::edit::{NewValue, Update};

use super::{Run, entry_name, field_name, set};
use crate::cli::Generate;
use crate::failure::Failure;
use crate::message::Exit;
use crate::output::Binary;
use crate::password::{Alphabet, generate};
use crate::session::{Change, Expect};

pub(super) fn run(run: &mut Run<'_>, arguments: &Generate) -> Result<Exit, Failure> {
    let alphabet = match &arguments.characters {
        Some(characters) => Alphabet::of(characters)?,
        None if arguments.symbols => Alphabet::with_symbols(),
        None => Alphabet::letters_and_digits(),
    };
    let password = generate(&alphabet, usize::from(arguments.length), &mut SystemRandom);
    let Some(name) = &arguments.name else { return print(run, &password) };

    let name = entry_name(name)?;
    let field = field_name(&arguments.field)?.to_owned();
    let (_, mut session) = run.open()?;
    let value = NewValue::Inline(password.duplicate());
    let update = Update { fields: [(field.clone(), Some(value))].into(), ..Update::default() };
    let expect = if arguments.new { Expect::NoField(field) } else { Expect::Anything };
    let exit = set::store(run, &mut session, Change::Set { name, update, expect })?;
    // Only once it is stored: a password that was seen and then lost would be used.
    if arguments.print { print(run, &password) } else { Ok(exit) }
}

fn print(run: &mut Run<'_>, password: &Secret) -> Result<Exit, Failure> {
    run.output.secret(password, Binary::Refuse)?;
    Ok(Exit::Ok)
}
