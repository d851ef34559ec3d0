//! States that the agent keeps open together, and what it makes of them. What comes of it is ciphertext.

use std::path::Path;
use std::sync::{Arc, Mutex};

use vault_core::agent::link::{Link, LinkError, find_with};
use vault_core::agent::message::{self, MadePart, VaultPath};
use vault_core::agent::place::Places;
use vault_core::agent::{FrameError, Request};
use vault_core::format::entry::EntryName;
use vault_core::source::{Source, Text};
use vault_core::vault::merge::Direction;

use super::{Remote, copy};
use crate::session::SessionError;
use crate::session::pins::Unpinned;
use crate::session::spot::Deed;
use crate::session::states::put_aside;
use crate::sys::folder::NamelessFile;

/// What the agent made.
pub(crate) struct FromAgent {
    /// It, or the one of the given states that it is.
    pub(crate) state: Remote,
    /// The text of a new state.
    pub(crate) text: Option<Text>,
    pub(crate) conflicts: Vec<EntryName>,
    pub(crate) changed: Vec<EntryName>,
    pub(crate) left_slots: bool,
    apart: bool,
}

impl FromAgent {
    /// Its generation and the newer one that this machine has seen.
    pub(crate) fn older(&self) -> Option<(u64, u64)> {
        self.state.older()
    }

    /// Why its place is not remembered, if that has to be said.
    pub(crate) fn unpinned(&self) -> Option<Unpinned> {
        self.apart.then_some(Unpinned::Apart)
    }
}

impl Remote {
    /// These states, if an agent holds the vault at this path and they all have its key. What stands at the path now is not looked
    /// at: git may have left a conflict there.
    ///
    /// # Errors
    /// [`SessionError::Agent`].
    pub(crate) fn together(
        places: Places,
        path: &Path,
        author: &str,
        texts: &[Arc<dyn Source>],
    ) -> Result<Option<Vec<Self>>, SessionError> {
        let (Some(vault), Some((first, rest))) = (VaultPath::new(path), texts.split_first()) else {
            return Ok(None);
        };
        let Ok(file) = NamelessFile::make("vault-state", |out| copy(&**first, out)) else { return Ok(None) };
        let open = Request::Open(message::Open { vault: vault.clone(), other: None });
        let ask = |link: &mut Link| link.call_about::<message::Opened>(&open, &file);
        let Some((link, opened)) = find_with(&places, ask)? else { return Ok(None) };
        let first = Self {
            link: Arc::new(Mutex::new(link)),
            places,
            vault,
            path: path.to_owned(),
            author: author.to_owned(),
            facts: opened.facts,
            state: Some(opened.state),
            attached: 0,
        };
        let mut all = vec![first];
        for text in rest {
            match all[0].in_state(&**text)? {
                Some(state) => all.push(state),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    /// How deep its log is.
    pub(crate) fn generation(&self) -> u64 {
        self.facts.generation
    }

    /// Whether this is that state.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.state == other.state
    }

    /// Whether this state has everything that another one has.
    ///
    /// # Errors
    /// [`SessionError::Agent`].
    pub(crate) fn covers(&self, other: &Self) -> Result<bool, SessionError> {
        let (vault, state, other) = (self.vault.clone(), self.number()?, other.number()?);
        let covered: message::Covered =
            self.link().call(&Request::Covers(message::Covers { vault, state, other }))?;
        Ok(covered.covers)
    }

    /// Merges two states for a place. What is put aside is put aside beside `beside`.
    ///
    /// # Errors
    /// [`SessionError::Agent`], [`SessionError::Save`].
    pub(crate) fn merge(
        [ours, theirs]: [&Self; 2],
        base: Option<&Self>,
        place: &Path,
        beside: &Path,
    ) -> Result<FromAgent, SessionError> {
        let merge = message::Merge {
            vault: named(place)?,
            author: ours.author.clone(),
            ours: ours.number()?,
            theirs: theirs.number()?,
            base: base.map(Self::number).transpose()?,
        };
        ours.made(&Request::Merge(merge), &[ours, theirs], beside)
    }

    /// Does to the first state what was done between the second and the third, or undoes it.
    ///
    /// # Errors
    /// As for [`Remote::merge`].
    pub(crate) fn pick(
        [present, before, after]: [&Self; 3],
        deed: Deed<'_>,
        place: &Path,
    ) -> Result<FromAgent, SessionError> {
        let pick = message::Pick {
            vault: named(place)?,
            author: present.author.clone(),
            present: present.number()?,
            before: before.number()?,
            after: after.number()?,
            reason: deed.words.to_owned(),
            undo: (deed.direction == Direction::Undo).then_some(message::Flag),
        };
        present.made(&Request::Pick(pick), &[], place)
    }

    /// Tells the agent that this state stands at a place now, for it to be remembered. Gives the generation that was seen there, if
    /// this one is older.
    ///
    /// # Errors
    /// [`SessionError::Agent`], but not where the agent holds the vault no more: then whoever reads it next remembers it.
    pub(crate) fn stands_at(&self, place: &Path) -> Result<Option<u64>, SessionError> {
        let written = message::Written { vault: named(place)?, state: self.number()? };
        match self.link().call::<message::Facts>(&Request::Written(written)) {
            Ok(facts) => Ok(facts.older),
            Err(LinkError::Lost(_) | LinkError::Silent(_)) => Ok(None),
            Err(error) if error.is_locked() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same state once more.
    pub(crate) fn again(&self) -> Self {
        self.other(message::Opened { state: self.state.unwrap_or_default(), facts: self.facts.clone() })
    }

    pub(super) fn other(&self, opened: message::Opened) -> Self {
        Self {
            link: Arc::clone(&self.link),
            places: self.places.clone(),
            vault: self.vault.clone(),
            path: self.path.clone(),
            author: self.author.clone(),
            facts: opened.facts,
            state: Some(opened.state),
            attached: 0,
        }
    }

    fn number(&self) -> Result<u64, SessionError> {
        self.state.ok_or_else(malformed)
    }

    /// Receives what is made of states, some of which it may be itself.
    fn made(&self, request: &Request, given: &[&Self], beside: &Path) -> Result<FromAgent, SessionError> {
        let (mut conflicts, mut changed) = (Vec::new(), Vec::new());
        let mut made = None;
        let mut failed = None;
        let state = put_aside(beside, |out| {
            let mut written = Ok(());
            let result = self.link().call_with::<message::Made>(request, |bytes| {
                let part: MadePart = vault_core::agent::content(bytes).map_err(LinkError::Frame)?;
                conflicts.extend(part.conflicts.into_iter().flatten());
                changed.extend(part.changed.into_iter().flatten());
                if let (Some(text), Ok(())) = (part.text, &written) {
                    written = out.write_all(text.0.expose());
                }
                Ok(())
            });
            match result {
                Ok(answer) => made = Some(answer),
                Err(error) => failed = Some(error),
            }
            Ok(written?)
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        let made = made.ok_or_else(malformed)?;
        let is_given = given.iter().any(|given| given.state == Some(made.state));
        let text = if is_given {
            None
        } else {
            // What came is a vault, or it is not used.
            let source = state?.source;
            let mut text = Text::new();
            text.copy(&source, 0..source.len());
            Some(text)
        };
        Ok(FromAgent {
            apart: made.apart.is_some(),
            left_slots: made.left_slots.is_some(),
            state: self.other(message::Opened { state: made.state, facts: made.facts }),
            text,
            conflicts,
            changed,
        })
    }
}

fn named(place: &Path) -> Result<VaultPath, SessionError> {
    VaultPath::new(place).ok_or_else(malformed)
}

fn malformed() -> SessionError {
    LinkError::Frame(FrameError::Malformed).into()
}
