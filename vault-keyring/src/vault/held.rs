//! A vault that an agent holds: asked over its socket for every call. docs/agent-protocol.md of the repository.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyring_core::{Error, Result};
use vault_core::agent::change::{Change, Expect, Incoming, Set};
use vault_core::agent::link::{self, Link, LinkError};
use vault_core::agent::message::{self, Committed, Done, Found, Got, Metas, VaultPath};
use vault_core::agent::place::Places;
use vault_core::agent::{self, Request, SHORT};
use vault_core::error::EditError;
use vault_core::format::entry::{DEFAULT_FIELD, EntryName, Meta};
use vault_core::item::{Item, SERVICE, USERNAME, has_password};
use vault_core::secret::Secret;
use vault_core::vault::edit::NewValue;
use zeroize::Zeroizing;

use super::{AUTHOR, Vault, cannot, matching, no_access, platform, refuse_names};
use crate::Locked;

/// What comes of asking an agent.
type Answer<T> = std::result::Result<T, LinkError>;

/// The vault, and the way to whoever holds it.
pub(crate) struct Held {
    path: PathBuf,
    vault: VaultPath,
    agents: Places,
    /// The connection, if there is one. Callers take turns.
    link: Mutex<Option<Link>>,
}

impl Held {
    /// None if no agent holds it.
    ///
    /// # Errors
    /// What is wrong with a place where an agent may be; what an agent says, except that it does not hold it.
    pub(crate) fn find(agents: &Places, path: &Path) -> Result<Option<Self>> {
        let path = std::path::absolute(path).map_err(no_access)?;
        let Some(vault) = VaultPath::new(&path) else { return Ok(None) };
        let held = Self { path, vault, agents: agents.clone(), link: Mutex::new(None) };
        let connected = held.connected().map(drop);
        match connected {
            Ok(()) => Ok(Some(held)),
            Err(Error::NoStorageAccess(why)) if why.is::<Locked>() => Ok(None),
            // As in process, where the file cannot be read.
            Err(Error::PlatformFailure(why)) => Err(Error::NoStorageAccess(why)),
            Err(error) => Err(error),
        }
    }

    /// A connection to an agent that holds the vault now. It was asked a moment ago: so what follows need not be repeated,
    /// even if the connection before it was closed for being idle, or the agent is another one.
    fn connected(&self) -> Result<Connected<'_>> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connected) = &mut *link {
            let held: Answer<message::Facts> =
                connected.call(&Request::Use(message::Use { vault: self.vault.clone() }));
            match held {
                Ok(_) => return Ok(Connected { held: self, link }),
                Err(error) if error.is_locked() => {}
                Err(LinkError::Lost(_)) => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
        // Whatever comes, the old connection is of no use.
        *link = None;
        match link::find(&self.agents, &self.vault, None).map_err(|error| self.refused(error))? {
            Some((found, _)) => {
                *link = Some(found);
                Ok(Connected { held: self, link })
            }
            None => Err(no_access(Locked(self.path.clone()))),
        }
    }

    /// An agent's error, by what a caller can do about it. One that is not known goes by its exit code.
    fn refused(&self, error: LinkError) -> Error {
        match error {
            LinkError::Told(told) => match (told.exit, told.id.as_str()) {
                (_, "agent-locked" | "agent-replaced") => no_access(Locked(self.path.clone())),
                (4 | 5, _) => no_access(LinkError::Told(told)),
                (6, _) => Error::BadStoreFormat(told.text),
                (_, "entry-not-found" | "field-not-found") => Error::NoEntry,
                (_, "too-large") => Error::Invalid("entry".to_owned(), told.text),
                _ => platform(LinkError::Told(told)),
            },
            other => platform(other),
        }
    }
}

/// A connection that is one caller's for as long as this lives.
struct Connected<'a> {
    held: &'a Held,
    link: MutexGuard<'a, Option<Link>>,
}

impl Connected<'_> {
    /// A connection that fails is not used again.
    fn tell<T>(&mut self, ask: impl FnOnce(&mut Link) -> Answer<T>) -> Answer<T> {
        let Some(link) = self.link.as_mut() else {
            return Err(LinkError::Lost(ErrorKind::NotConnected.into()));
        };
        let result = ask(link);
        if !matches!(result, Ok(_) | Err(LinkError::Told(_))) {
            *self.link = None;
        }
        result
    }

    fn ask<T>(&mut self, ask: impl FnOnce(&mut Link) -> Answer<T>) -> Result<T> {
        self.tell(ask).map_err(|error| self.held.refused(error))
    }

    fn vault(&self) -> VaultPath {
        self.held.vault.clone()
    }

    fn entry(&mut self, name: &EntryName) -> Result<Option<(Meta, Option<Found>)>> {
        let (vault, name, field) = (self.vault(), name.clone(), DEFAULT_FIELD.to_owned());
        let get = Request::Get(message::Get { vault, state: None, name, field });
        let Got { meta, value } = self.ask(|link| link.call(&get))?;
        Ok(meta.map(|meta| (meta.0, value)))
    }

    fn meta(&mut self, name: &EntryName) -> Result<Option<Meta>> {
        let request = Request::Meta(message::Meta { vault: self.vault(), state: None, name: name.clone() });
        let got: Got = self.ask(|link| link.call(&request))?;
        Ok(got.meta.map(|meta| meta.0))
    }

    fn metas(&mut self, request: &Request) -> Result<Vec<Meta>> {
        let mut all = Vec::new();
        let _: Done = self.ask(|link| {
            link.call_with(request, |bytes| {
                let part: Metas = agent::content(bytes).map_err(LinkError::Frame)?;
                all.extend(part.metas.into_iter().map(|meta| meta.0));
                Ok(())
            })
        })?;
        Ok(all)
    }

    /// The metadata of every entry that is the item, the one that counts first.
    fn entries(&mut self, item: &Item) -> Result<Vec<Meta>> {
        let with = [(SERVICE, item.service()), (USERNAME, item.username())];
        let with = with.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let find = message::Find {
            vault: self.vault(),
            state: None,
            with: Some(message::Texts(with.into_iter().collect())),
            having: None,
        };
        let mut all = self.metas(&Request::Find(find))?;
        let derived = item.entry_name();
        if all.iter().all(|meta| meta.name != derived) {
            // It may lack the attributes.
            all.extend(self.meta(&derived)?);
        }
        Ok(item.entries(&all).into_iter().cloned().collect())
    }

    fn read(&mut self, value: Found) -> Result<Vec<u8>> {
        let (handle, length) = match value {
            Found::Short(secret) => return Ok(secret.expose().to_vec()),
            Found::Long { handle, length } => (handle, length),
        };
        // Wiped if it does not come to its end; never moved, which would leave a copy.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut bytes = Zeroizing::new(Vec::new());
        bytes.try_reserve_exact(length).map_err(platform)?;
        loop {
            let chunk: message::Chunk =
                self.ask(|link| link.call(&Request::Read(message::Read { handle })))?;
            let chunk = chunk.bytes.0.expose();
            if chunk.is_empty() {
                return Ok(std::mem::take(&mut *bytes));
            }
            if length - bytes.len() < chunk.len() {
                return Err(Error::BadStoreFormat("the agent gave more than it announced".to_owned()));
            }
            bytes.extend_from_slice(chunk);
        }
    }

    /// Changes to entries, of which this is one.
    fn commit(&mut self, name: EntryName, changes: Vec<Change>) -> Result<()> {
        let (vault, author) = (self.vault(), AUTHOR.to_owned());
        let commit = Request::Commit(message::Commit { vault, author, changes: Some(changes) });
        match self.tell(|link| link.call::<Committed>(&commit)) {
            Ok(_) => Ok(()),
            Err(LinkError::Told(told)) if told.id == IN_CONFLICT => Err(cannot(EditError::InConflict(name))),
            Err(error) => Err(self.held.refused(error)),
        }
    }
}

impl Vault for Held {
    fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, item: &Item) -> Result<Vec<u8>> {
        let mut agent = self.connected()?;
        let found = match agent.entry(&item.entry_name())? {
            Some((meta, Some(value))) => Some((meta, value)),
            _ => match agent.entries(item)?.first() {
                Some(meta) => agent.entry(&meta.name)?.and_then(|(meta, value)| Some((meta, value?))),
                None => None,
            },
        };
        let (meta, value) = found.ok_or(Error::NoEntry)?;
        // Of an entry in conflict, no version is given out as if it were the only one.
        if meta.in_conflict() {
            return Err(cannot(EditError::InConflict(meta.name)));
        }
        agent.read(value)
    }

    fn meta(&self, item: &Item) -> Result<Meta> {
        let mut agent = self.connected()?;
        match agent.meta(&item.entry_name())? {
            Some(meta) if has_password(&meta) => Ok(meta),
            _ => agent.entries(item)?.into_iter().next().ok_or(Error::NoEntry),
        }
    }

    fn items(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Item>> {
        let list = Request::List(message::List { vault: self.vault.clone(), state: None });
        Ok(matching(&self.connected()?.metas(&list)?, spec))
    }

    fn set(&self, item: &Item, secret: &[u8]) -> Result<()> {
        let mut agent = self.connected()?;
        let derived = item.entry_name();
        let (name, expect) = match agent.meta(&derived)? {
            Some(meta) if has_password(&meta) => (derived, None),
            _ => match agent.entries(item)?.into_iter().next() {
                Some(by_hand) => (by_hand.name, Some(Expect::Entry)),
                None => (derived, None),
            },
        };
        let value = if secret.len() <= SHORT {
            Incoming::Short(Secret::new(secret.to_vec()))
        } else {
            let (vault, limit) = (self.vault.clone(), secret.len() as u64);
            let attached = agent.ask(|link| link.attach(&vault, &mut { secret }, limit))?;
            Incoming::Attached(attached.map_err(platform)?.handle)
        };
        let update = item.update(NewValue::Inline(Secret::new(Vec::new())));
        let fields = [(DEFAULT_FIELD.to_owned(), Some(value))].into();
        let set = Set { name: name.clone(), fields, attributes: update.attributes, expires: None, expect };
        agent.commit(name, vec![Change::Set(Box::new(set))])
    }

    fn update_attributes(&self, item: &Item, attributes: &HashMap<&str, &str>) -> Result<()> {
        refuse_names(attributes)?;
        let meta = Vault::meta(self, item)?;
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        let set = Set {
            name: meta.name.clone(),
            fields: [].into(),
            attributes: attributes.collect(),
            expires: None,
            expect: Some(Expect::Entry),
        };
        self.connected()?.commit(meta.name, vec![Change::Set(Box::new(set))])
    }

    fn remove(&self, item: &Item) -> Result<()> {
        let mut agent = self.connected()?;
        let found = agent.entries(item)?;
        if found.is_empty() {
            return Err(Error::NoEntry);
        }
        let changes = found.into_iter().map(|meta| {
            if meta.fields.len() == 1 {
                return Change::Remove(meta.name);
            }
            let fields = [(DEFAULT_FIELD.to_owned(), None)].into();
            let (name, expect) = (meta.name, Some(Expect::Entry));
            Change::Set(Box::new(Set { name, fields, attributes: [].into(), expires: None, expect }))
        });
        agent.commit(item.entry_name(), changes.collect())
    }
}

/// What an agent says of an entry that has several versions.
const IN_CONFLICT: &str = "in-conflict";
