//! `vault door answer`: one request of our Python module, when no agent holds the vault.
//!
//! The request is one JSON object of texts on standard input (`op`: get, set or delete; `service`; `username`, without
//! which any user is meant; `password`), so that nothing of it stands in the list of processes. The answer is one JSON
//! object: empty if there is no such item; a `username` without a `password` if that one is no text. Failures are told as
//! everywhere, by exit code.

use std::collections::BTreeMap;

use vault_core::item::Item;
use vault_core::secret::Secret;
use vault_core::vault::edit::NewValue;

use super::super::Run;
use super::super::get::in_memory;
use crate::buffer::WipingBuffer;
use crate::codec::{self, Format};
use crate::doors::items::{self, User};
use crate::doors::keyring::push_credential;
use crate::failure::Failure;
use crate::message::Exit;
use crate::output::Binary;
use crate::prompt::Prompt;
use crate::session::{Purpose, Session};

pub(super) fn run(run: &mut Run<'_>) -> Result<Exit, Failure> {
    let text = run.stdin.claim("the request")?.read(MAX_REQUEST)?;
    let request = codec::read(Format::Json, &text).map_err(|_| Failure::DoorRequest)?;
    let mut request: BTreeMap<_, _> = request.into_iter().map(|item| (item.name, item.value)).collect();
    // Whoever calls is a library in some program: there is nobody to ask.
    run.prompt = Prompt::never();
    if request.get("op").is_some_and(|op| op.expose() != b"get") {
        run.purpose = Purpose::Change;
    }
    let mut session = run.open_at(&run.own_location()?.path)?;
    let answer = answer(&mut session, &mut request)?;
    run.output.secret(&answer.into_secret(), Binary::Write)?;
    Ok(Exit::Ok)
}

fn answer(
    session: &mut dyn Session,
    request: &mut BTreeMap<String, Secret>,
) -> Result<WipingBuffer, Failure> {
    let text = |name: &str| request.get(name).map(|text| String::from_utf8_lossy(text.expose()).into_owned());
    let (op, service) =
        (text("op").ok_or(Failure::DoorRequest)?, text("service").ok_or(Failure::DoorRequest)?);
    let username = text("username");
    let item = |username: &Option<String>| {
        let username = username.as_deref().ok_or(Failure::DoorRequest)?;
        Item::new(&service, username).map_err(Failure::ItemTooLong)
    };
    let mut out = WipingBuffer::new();
    match op.as_str() {
        "get" => {
            let user = username.as_deref().map_or(User::Any, User::Named);
            let Some(found) = items::find(session, std::slice::from_ref(&service), user)? else {
                push_credential(&mut out, None, None);
                return Ok(out);
            };
            let password = in_memory(found.password)?;
            push_credential(
                &mut out,
                Some(found.item.username()),
                std::str::from_utf8(password.expose()).ok(),
            );
        }
        "set" => {
            let item = item(&username)?;
            let password = request.remove("password").ok_or(Failure::DoorRequest)?;
            items::store(session, &item, NewValue::Inline(password))?;
            push_credential(&mut out, username.as_deref(), None);
        }
        "delete" => {
            let removed = items::remove(session, &item(&username)?)?;
            push_credential(&mut out, username.as_deref().filter(|_| removed), None);
        }
        _ => return Err(Failure::DoorRequest),
    }
    Ok(out)
}

/// A password of as many bytes as an attachment has by default, each of them escaped.
const MAX_REQUEST: usize = 6 * (64 << 20);
