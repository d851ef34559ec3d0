//! The items of the keyring doors in an unlocked vault: found, stored and removed. The model is `vault_core::item`.

use vault_core::error::EditError;
use vault_core::format::entry::{DEFAULT_FIELD, Meta};
use vault_core::item::{Item, SERVICE, has_password};
use vault_core::vault::Value;
use vault_core::vault::edit::{NewValue, Update};

use crate::session::{Change, Expect, Session, SessionError};

/// Which of a service's users is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User<'a> {
    /// This one.
    Named(&'a str),
    /// Whichever was changed last.
    Any,
}

/// An item with its password.
pub(crate) struct Found {
    pub(crate) item: Item,
    pub(crate) password: Value,
}

/// The first of the services that has this user, with the password. The first is looked for by its derived name before any
/// other entry is read.
///
/// # Errors
/// [`SessionError`], also [`SessionError::InConflict`].
pub(crate) fn find(
    session: &mut dyn Session,
    services: &[String],
    user: User<'_>,
) -> Result<Option<Found>, SessionError> {
    if let (Some(service), User::Named(username)) = (services.first(), user)
        && let Ok(item) = Item::new(service, username)
        && let Some((meta, Some(password))) = session.entry(&item.entry_name(), DEFAULT_FIELD)?
    {
        return settled(&meta, Found { item, password }).map(Some);
    }
    let all = session.list()?;
    for service in services {
        let Some((item, meta)) = of_service(&all, service, user) else { continue };
        // It may be gone by now: then it was never there.
        if let Some((meta, Some(password))) = session.entry(&meta.name, DEFAULT_FIELD)? {
            return settled(&meta, Found { item, password }).map(Some);
        }
    }
    Ok(None)
}

/// Of an entry in conflict, no version is given out as if it were the only one.
fn settled(meta: &Meta, found: Found) -> Result<Found, SessionError> {
    if meta.in_conflict() { Err(SessionError::InConflict(meta.name.clone())) } else { Ok(found) }
}

fn of_service<'m>(all: &'m [Meta], service: &str, user: User<'_>) -> Option<(Item, &'m Meta)> {
    let item = match user {
        User::Named(username) => Item::new(service, username).ok()?,
        User::Any => {
            let of_service = |meta: &&Meta| {
                has_password(meta) && meta.attributes.get(SERVICE).is_some_and(|text| text == service)
            };
            let items = all.iter().filter(of_service).filter_map(|meta| Some((meta, Item::of_entry(meta)?)));
            let latest = items
                .filter(|(_, item)| item.service() == service)
                // Of the same second, the first by name: the answer must not change from call to call.
                .min_by_key(|(meta, _)| (std::cmp::Reverse(meta.modified), meta.name.clone()));
            latest?.1
        }
    };
    let meta = *item.entries(all).first()?;
    Some((item, meta))
}

/// Stores an item's password: in the entry that is the item already, whatever its name, else in a new one.
///
/// # Errors
/// [`SessionError`].
pub(crate) fn store(session: &mut dyn Session, item: &Item, password: NewValue) -> Result<(), SessionError> {
    let derived = item.entry_name();
    let by_hand = match session.meta(&derived)? {
        Some(_) => None,
        None => item.entries(&session.list()?).first().map(|meta| meta.name.clone()),
    };
    let (name, expect) = by_hand.map_or((derived, Expect::Anything), |name| (name, Expect::Entry));
    let change = Change::Set { name, update: item.update(password), expect };
    session.commit(vec![change], &mut |_| {}).map(drop)
}

/// Removes an item: every entry that is it. One with further fields loses its password only. False if there is none.
///
/// # Errors
/// [`SessionError`].
pub(crate) fn remove(session: &mut dyn Session, item: &Item) -> Result<bool, SessionError> {
    let all = session.list()?;
    let changes: Vec<Change> = item.entries(&all).into_iter().map(without_password).collect();
    if changes.is_empty() {
        return Ok(false);
    }
    match session.commit(changes, &mut |_| {}) {
        Ok(_) => Ok(true),
        // Somebody else removed it since it was listed.
        Err(SessionError::Edit(_, EditError::NoEntry(_) | EditError::NoField { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

fn without_password(meta: &Meta) -> Change {
    let name = meta.name.clone();
    if meta.fields.len() == 1 {
        return Change::Remove(name);
    }
    let update = Update { fields: [(DEFAULT_FIELD.to_owned(), None)].into(), ..Update::default() };
    Change::Set { name, update, expect: Expect::Entry }
}
