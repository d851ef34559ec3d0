//! The place where what is made of several states will stand: the rules beside it, and what this machine remembers of it; and what
//! is made for it. For whoever has the keys: this process, or the agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::crypto::random::SystemRandom;
use vault_core::error::VerifyError;
use vault_core::format::entry::EntryName;
use vault_core::source::Text;
use vault_core::vault::merge::{Direction, MergeContext, Merged, Picked, merge, pick};
use vault_core::vault::{LockedVault, UnlockedVault};

use super::pins::{PathPins, PinError, Seen, Unpinned};
use super::states::as_vault;
use super::{SessionError, obey};
use crate::policy::Policy;

/// The place, as far as whoever has the keys is concerned.
pub(crate) struct Spot {
    pub(super) path: PathBuf,
    pub(super) pins: PathPins,
    rules: Policy,
}

/// For the log.
pub(crate) struct Maker<'m> {
    /// A claim.
    pub(crate) author: &'m str,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What is to be done again of what a commit did.
#[derive(Clone, Copy)]
pub(crate) struct Deed<'d> {
    /// Which way.
    pub(crate) direction: Direction,
    /// For the log and for messages: the verb and the commit.
    pub(crate) words: &'d str,
}

/// Two states merged.
pub(crate) struct Union {
    /// The text; none if one of the two has all that the other one has.
    pub(crate) text: Option<Text>,
    /// What came out: a new state, or that one of the two.
    pub(crate) vault: Arc<UnlockedVault>,
    /// Entries that the merge left in conflict.
    pub(crate) conflicts: Vec<EntryName>,
    /// What is remembered of its place, compared with it.
    pub(crate) seen: Seen,
    /// It lacks what was seen here: its generation, and the one that was seen.
    pub(crate) older: Option<(u64, u64)>,
    /// Why its place is not remembered, if that has to be said.
    pub(crate) unpinned: Option<Unpinned>,
}

impl Spot {
    /// Reads the rules. The pins have to be read before the states are.
    ///
    /// # Errors
    /// [`SessionError::Policy`].
    pub(crate) fn at(path: &Path, pins: PathPins) -> Result<Self, SessionError> {
        let rules = Policy::beside(path).map_err(SessionError::Policy)?;
        Ok(Self { path: path.to_owned(), pins, rules })
    }

    /// Merges two states, and holds the result against the rules and against what was seen here. `name` is for errors; what is put
    /// aside is put aside beside `beside`.
    ///
    /// # Errors
    /// [`SessionError::Merge`]; [`SessionError::AgainstPolicy`] if the result is against the rules where ours is not;
    /// [`SessionError::Pin`] if it is another vault than those that were accepted here.
    pub(crate) fn unite(
        &mut self,
        (name, beside): (&Path, &Path),
        [ours, theirs]: [&Arc<UnlockedVault>; 2],
        base: Option<&UnlockedVault>,
        maker: &Maker<'_>,
    ) -> Result<Union, SessionError> {
        let mut context = MergeContext { now: maker.now, author: maker.author, random: &mut SystemRandom };
        let merged = merge(ours, theirs, base, &mut context)
            .map_err(|error| SessionError::Merge { path: name.to_owned(), error: Box::new(error) })?;
        let before = self.standing(ours)?;
        // What an earlier merge left in conflict there is no news of this one.
        let (text, conflicts, vault) = match merged {
            Merged::Ours => (None, Vec::new(), Arc::clone(ours)),
            Merged::Theirs => (None, Vec::new(), Arc::clone(theirs)),
            Merged::New(new) => {
                let merged = as_vault(beside, &new.text)?;
                let key = if merged.id() == ours.id() { ours } else { theirs };
                let vault = merged.unlock_as(key);
                let vault = vault.map_err(|still| SessionError::of_still_locked(name, *still))?;
                (Some(new.text), new.conflicts, Arc::new(vault))
            }
        };
        obey(&self.path, &self.rules, worse(self.standing(&vault)?, &before))?;
        let seen = self.compare(&vault)?;
        let (older, unpinned) = self.before_change(&vault)?;
        Ok(Union { text, vault, conflicts, seen, older, unpinned })
    }

    /// Does again what a commit did, or undoes it. `present` is what stands here.
    ///
    /// # Errors
    /// [`SessionError::Pick`]; [`SessionError::Pin`], as for any save; [`SessionError::AgainstPolicy`].
    pub(crate) fn pick(
        &mut self,
        [present, before, after]: [&UnlockedVault; 3],
        deed: Deed<'_>,
        maker: &Maker<'_>,
    ) -> Result<(Picked, Option<Unpinned>), SessionError> {
        let mut context = MergeContext { now: maker.now, author: maker.author, random: &mut SystemRandom };
        let picked = pick(present, before, after, deed.direction, Some(deed.words), &mut context);
        let picked = picked.map_err(|error| SessionError::Pick {
            path: self.path.clone(),
            deed: deed.words.to_owned(),
            error: Box::new(error),
        })?;
        let (older, unpinned) = self.before_change(present)?;
        if let Some((generation, seen)) = older {
            return Err(self.pin(PinError::Older { generation, seen }));
        }
        let mut broken = self.rules.of_vault(present.id(), present.slots());
        broken.extend(picked.given.iter().filter_map(|name| self.rules.of_name(name.as_str())));
        obey(&self.path, &self.rules, broken)?;
        Ok((picked, unpinned))
    }

    /// Fails if a merged text would be against the rules where ours is not: with other slots, and whatever can be seen
    /// without a key.
    ///
    /// # Errors
    /// [`SessionError::AgainstPolicy`].
    pub(super) fn may_become_text(
        &self,
        ours: &LockedVault,
        merged: &LockedVault,
    ) -> Result<(), SessionError> {
        let before = self.rules.of_vault(ours.id(), ours.slots());
        let after = self.rules.of_vault(merged.id(), merged.slots());
        obey(&self.path, &self.rules, worse(after, &before))
    }

    /// What a state breaks of the rules.
    fn standing(&self, vault: &UnlockedVault) -> Result<Vec<String>, SessionError> {
        let mut broken = self.rules.of_vault(vault.id(), vault.slots());
        if self.rules.concern_entries() {
            let all = vault.list().map_err(|error| self.broken(error))?;
            broken.extend(all.iter().filter_map(|meta| self.rules.of_name(meta.name.as_str())));
        }
        Ok(broken)
    }

    pub(super) fn compare(&mut self, vault: &UnlockedVault) -> Result<Seen, SessionError> {
        let seen = self.pins.opened(vault).map_err(|error| self.broken(error))?;
        seen.map_err(|error| self.pin(error))
    }

    /// What there is to say before this is changed, or takes the place of what is here: that it lacks what was seen, and why it is
    /// not remembered.
    #[expect(clippy::type_complexity, reason = "two answers of one question")]
    fn before_change(
        &mut self,
        vault: &UnlockedVault,
    ) -> Result<(Option<(u64, u64)>, Option<Unpinned>), SessionError> {
        match self.pins.before_change(vault).map_err(|error| self.broken(error))? {
            Ok(unpinned) => Ok((None, unpinned)),
            Err(PinError::Older { generation, seen }) => Ok((Some((generation, seen)), None)),
            Err(error) => Err(self.pin(error)),
        }
    }

    pub(super) fn pin(&self, error: PinError) -> SessionError {
        SessionError::pin(&self.path, error)
    }

    fn broken(&self, error: VerifyError) -> SessionError {
        SessionError::Verify(self.path.clone(), error)
    }
}

/// What was so before may be mended one thing at a time; nothing may be added to it.
fn worse(mut after: Vec<String>, before: &[String]) -> Vec<String> {
    after.retain(|one| !before.contains(one));
    after
}

/// Whether the log of one state has everything that the other one's has.
///
/// # Errors
/// [`SessionError::Verify`].
pub(crate) fn covers(path: &Path, one: &UnlockedVault, other: &UnlockedVault) -> Result<bool, SessionError> {
    let known = |vault: &UnlockedVault| {
        vault.known_seals().map_err(|error| SessionError::Verify(path.to_owned(), error))
    };
    Ok(known(other)?.is_subset(&known(one)?))
}
