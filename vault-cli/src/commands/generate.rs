//! `vault generate [NAME]`.

use serde::Serialize;
use vault_core::crypto::random::SystemRandom;
use vault_core::secret::Secret;
use vault_core::vault::edit::{NewValue, Update};

use super::{Run, entry_name, field_name, set};
use crate::cli::Generate;
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::output::Binary;
use crate::password::{self, Alphabet};
use crate::session::{Change, Expect};

pub(super) fn run(run: &mut Run<'_>, arguments: &Generate) -> Result<Exit, Failure> {
    let password = if arguments.passphrase { passphrase(run, arguments) } else { password(arguments)? };
    let Some(name) = &arguments.name else { return print(run, &password) };

    let name = entry_name(name)?;
    let field = field_name(&arguments.field)?;
    let (_, mut session) = run.open()?;
    let value = NewValue::Inline(password.duplicate());
    let update = Update { fields: [(field.clone(), Some(value))].into(), ..Update::default() };
    let expect = if arguments.new { Expect::NoField(field.clone()) } else { Expect::Anything };
    let printed = arguments.print.then_some(&password);
    let replaces = session.meta(&name)?.is_some_and(|meta| meta.fields.contains_key(&field));
    let change = Change::Set { name, update, expect };
    let exit = set::store_saying(run, &mut session, change, printed, |name| match replaces {
        true => Status::Replaced(name),
        false => Status::Stored(name),
    })?;
    // Only once it is stored: a password that was seen and then lost would be used.
    if arguments.print && !run.global.json { print(run, &password) } else { Ok(exit) }
}

fn password(arguments: &Generate) -> Result<Secret, Failure> {
    let alphabet = match &arguments.characters {
        Some(characters) => Alphabet::of(characters)?,
        None if arguments.symbols => Alphabet::with_symbols(),
        None => Alphabet::letters_and_digits(),
    };
    Ok(password::generate(&alphabet, usize::from(arguments.length), &mut SystemRandom))
}

fn passphrase(run: &Run<'_>, arguments: &Generate) -> Secret {
    let bits = password::passphrase_bits(arguments.words);
    run.voice.status(&Status::Done(format!("{} of 7,776 words: {bits} bits", arguments.words)));
    password::passphrase(arguments.words as usize, &mut SystemRandom)
}

fn print(run: &mut Run<'_>, password: &Secret) -> Result<Exit, Failure> {
    if run.global.json {
        let secret = std::str::from_utf8(password.expose()).unwrap_or_default();
        run.output.json(&Json { version: 1, secret })?;
    } else {
        run.output.secret(password, Binary::Refuse)?;
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    secret: &'a str,
}
