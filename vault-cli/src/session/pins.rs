//! What this machine remembers of the vault at a path: reading it, comparing with it, and keeping it up to date.
//!
//! What the pins say is in `vault_core::vault::pin`. A pin that cannot be kept is never a reason to lose what was asked for.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use vault_core::error::VerifyError;
use vault_core::keys::VaultId;
use vault_core::source::{Source, Text};
use vault_core::store::{self, Dir, ReplaceError, StoreError};
use vault_core::vault::edit::Saved;
use vault_core::vault::pin::{self, NotPins, Pins, Sighting, SlotNews, Standing};
use vault_core::vault::{LockedVault, UnlockedVault};

use super::SessionError;
use crate::context::{Branch, StateFolder};
use crate::escape::quoted_path;
use crate::failure::Failure;
use crate::message::{Voice, Warning};

/// What is remembered of a vault's path, and what is made of it.
///
/// A path with links in it is two: the one that was named and the one that it leads to. The vault is compared with both: else
/// whoever can put a link in the vault's place, such as a commit, could let it lead to a vault that was never seen.
pub(crate) struct PathPins {
    folder: Option<StateFolder>,
    /// As it was named, and without links if that is another path.
    places: Vec<Place>,
    terms: Terms,
    purpose: Purpose,
    standing: Option<Standing>,
    since: Option<u64>,
}

/// What is remembered of one path.
struct Place {
    path: PathBuf,
    branch: Branch,
    pins: Pins,
    unpinned: Option<Unpinned>,
}

/// What the options, the environment and the config file say about pins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// `require-pin`.
    pub(crate) required: bool,
    /// `--allow-rollback`.
    pub(crate) allow_rollback: bool,
    /// `--vault-id` or `VAULT_ID`: the vaults that it may be.
    pub(crate) named: Vec<VaultId>,
    /// What a vault is unlocked with names it: a machine key.
    pub(crate) named_by_key: bool,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What a vault is opened for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An older state is read, with a warning.
    #[default]
    Read,
    /// An older state is refused at once, before anybody types a value for it.
    Change,
}

/// Why nothing is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unpinned {
    /// Neither HOME nor XDG_STATE_HOME is set.
    NoHome,
    /// The folder is another user's.
    OthersFolder,
    /// The file cannot be read.
    Unreadable(String),
    /// The file is none of pins.
    Damaged(PathBuf),
    /// The file cannot be written.
    NotWritten(String),
    /// It is remembered, and nothing of what was seen is in this state, of which nobody was told yet.
    Apart,
}

impl Unpinned {
    /// The reason, as a part of a sentence.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::NoHome => "there is no state folder (HOME, XDG_STATE_HOME)".to_owned(),
            Self::OthersFolder => "the home belongs to another user".to_owned(),
            Self::Unreadable(why) => format!("the state folder cannot be read ({why})"),
            Self::Damaged(file) => format!("the file cannot be understood ({})", quoted_path(file)),
            Self::NotWritten(why) => format!("the state folder cannot be written ({why})"),
            Self::Apart => "nothing of what was seen is in it".to_owned(),
        }
    }
}

/// Why a vault is not used, or not changed.
#[derive(Debug)]
pub(crate) enum PinError {
    /// It is not one that `VAULT_ID` names.
    NotNamed {
        /// The vault that is there.
        found: VaultId,
    },
    /// It is not the one that was seen at this path.
    OtherVault {
        /// The vault that was seen.
        pinned: VaultId,
        /// The vault that is there.
        found: VaultId,
    },
    /// Something that was seen is not in it.
    Older {
        /// Its generation.
        generation: u64,
        /// The generation that was seen.
        seen: u64,
    },
    /// It cannot be remembered, and has to be.
    Unpinned(Unpinned),
}

/// What there is to say about pins.
#[derive(Debug, Clone)]
pub(crate) struct PinFacts {
    /// How the vault stands to what was seen.
    pub(crate) standing: Option<Standing>,
    /// Since when this vault is known at this path.
    pub(crate) since: Option<u64>,
    /// Why nothing is remembered.
    pub(crate) unpinned: Option<Unpinned>,
    /// An option or a variable names this vault.
    pub(crate) named: bool,
}

impl PathPins {
    /// Reads what is remembered of a path. It has to be read before the vault is: then the vault has all that was seen.
    pub(crate) fn read(folder: Option<StateFolder>, path: &Path, terms: Terms) -> Self {
        let named = absolute(path);
        let real = named.canonicalize().ok().filter(|real| *real != named);
        let places = [Some(named), real].into_iter().flatten().map(Place::of).collect();
        let purpose = Purpose::default();
        let mut pins = Self { folder, places, terms, purpose, standing: None, since: None };
        pins.read_again();
        pins
    }

    /// Says what the vault is opened for.
    pub(crate) fn for_purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    fn read_again(&mut self) {
        for place in &mut self.places {
            place.read(self.folder.as_ref());
        }
    }

    /// Whether this may be the vault that is meant. Nobody is asked for anything before that is known.
    ///
    /// # Errors
    /// [`PinError::NotNamed`], [`PinError::OtherVault`].
    pub(crate) fn check_id(&self, id: VaultId) -> Result<(), PinError> {
        if self.is_named(&id) {
            return Ok(());
        }
        if !self.terms.named.is_empty() {
            return Err(PinError::NotNamed { found: id });
        }
        let mut places = self.places.iter();
        let checked = places.try_for_each(|place| place.pins.check_id(&id));
        checked.map_err(|pinned| PinError::OtherVault { pinned, found: id })
    }

    /// What the vault was unlocked with names it.
    pub(crate) fn name_by_key(&mut self) {
        self.terms.named_by_key = true;
    }

    /// Whether an option or a variable names this vault.
    pub(crate) fn is_named(&self, id: &VaultId) -> bool {
        self.terms.named.contains(id)
    }

    /// Compares an unlocked vault with what was seen, and remembers it if it is as it should be.
    ///
    /// # Errors
    /// [`PinError::Unpinned`] if it cannot be remembered and has to be; [`VerifyError`] of the vault.
    pub(crate) fn opened(&mut self, vault: &UnlockedVault) -> Result<Result<Seen, PinError>, VerifyError> {
        let id = vault.id();
        let standing = self.compare(vault)?;
        let mut news = Vec::new();
        for one in self.places.iter().flat_map(|place| place.pins.news(vault)) {
            if !news.contains(&one) {
                news.push(one);
            }
        }
        self.standing = Some(standing);
        self.since = self.since_seen(&id);
        let older = match standing {
            Standing::Older { generation, seen } if !self.terms.allow_rollback => Some((generation, seen)),
            _ => None,
        };
        if let Some(why) = self.unpinned().filter(|_| self.has_to_pin(&id)) {
            return Ok(Err(PinError::Unpinned(why)));
        }
        let is_damaged = |why: &mut Unpinned| matches!(why, Unpinned::Damaged(_));
        let damaged = self.places.iter_mut().filter_map(|place| place.unpinned.take_if(is_damaged)).last();
        Ok(Ok(Seen { older, news, damaged }))
    }

    /// How the vault stands to what was seen: at each path, and what is worst counts. A path that is new says nothing beside one
    /// that is known.
    fn compare(&self, vault: &UnlockedVault) -> Result<Standing, VerifyError> {
        let mut worst = Standing::FirstSeen;
        for place in &self.places {
            let standing = place.pins.compare(place.branch.name(), vault)?;
            if weight(standing) > weight(worst) {
                worst = standing;
            }
        }
        Ok(worst)
    }

    fn since_seen(&self, id: &VaultId) -> Option<u64> {
        self.places.iter().filter_map(|place| place.pins.since(id)).min()
    }

    /// Remembers what was compared.
    ///
    /// # Errors
    /// As [`PathPins::opened`].
    pub(crate) fn keep(&mut self, vault: &UnlockedVault) -> Result<(), PinError> {
        let Terms { allow_rollback, now, .. } = self.terms;
        // What one of the two paths knows better, the other one does not forget.
        let is_older = matches!(self.standing, Some(Standing::Older { .. }));
        if allow_rollback {
            self.write(|pins, branch| {
                pins.record(branch, &Sighting::of(vault), now);
                Ok(())
            });
        } else if !is_older {
            self.write(|pins, branch| pins.record_beside(branch, vault, now));
        }
        match self.unpinned() {
            Some(why) if self.has_to_pin(&vault.id()) => Err(PinError::Unpinned(why)),
            _ => Ok(()),
        }
    }

    /// Remembers what was compared, and says what there is to say of it.
    ///
    /// # Errors
    /// [`SessionError::Pin`] as for [`PathPins::keep`], and of an older state that is to be changed; warnings, with `--strict`.
    pub(crate) fn settle(
        &mut self,
        path: &Path,
        vault: &UnlockedVault,
        seen: Seen,
        voice: Voice,
    ) -> Result<(), Failure> {
        if let Some(why) = seen.damaged {
            voice.warn(Warning::Unpinned(path.to_owned(), why))?;
        }
        // Remembered before it is said: with --strict, saying it ends the run, and it is to be said once.
        if seen.news.is_empty() || voice.is_heard() {
            self.keep(vault).map_err(|error| SessionError::pin(path, error))?;
        }
        if !seen.news.is_empty() {
            voice.warn(Warning::SlotsChanged(path.to_owned(), seen.news))?;
        }
        if let Some((generation, seen)) = seen.older {
            if self.purpose == Purpose::Change {
                return Err(SessionError::pin(path, PinError::Older { generation, seen }).into());
            }
            voice.warn(Warning::OlderThanSeen { path: path.to_owned(), generation, seen })?;
        }
        Ok(())
    }

    /// `require-pin`, and nothing else says which vault it is.
    fn has_to_pin(&self, id: &VaultId) -> bool {
        self.terms.required && !self.is_named(id) && !self.terms.named_by_key
    }

    /// Compares once more, under the lock. Gives why nothing is remembered, if that has to be said before a change.
    ///
    /// # Errors
    /// [`PinError::Older`]; [`VerifyError`] of the vault.
    pub(crate) fn before_change(
        &mut self,
        vault: &UnlockedVault,
    ) -> Result<Result<Option<Unpinned>, PinError>, VerifyError> {
        self.read_again();
        if let Err(error) = self.check_id(vault.id()) {
            return Ok(Err(error));
        }
        if !self.terms.allow_rollback
            && let Standing::Older { generation, seen } = self.compare(vault)?
        {
            return Ok(Err(PinError::Older { generation, seen }));
        }
        if !self.terms.allow_rollback {
            for place in &self.places {
                if place.pins.is_apart(place.branch.name(), vault)? {
                    return Ok(Ok(Some(Unpinned::Apart)));
                }
            }
        }
        let is_named = self.is_named(&vault.id()) || self.terms.named_by_key;
        Ok(Ok(self.unpinned().filter(|_| !is_named)))
    }

    /// Remembers a save: what was read under the lock, what is stored now, and the seal between the two.
    pub(crate) fn saved(&mut self, before: &UnlockedVault, stored: &LockedVault, saved: &Saved) {
        self.remember(before, &Sighting::after(before, stored, saved.seal, saved.generation));
    }

    /// Remembers a save that changed nothing but entries: what was read under the lock, and the seal that follows it.
    pub(crate) fn followed(&mut self, before: &UnlockedVault, saved: &Saved) {
        self.remember(before, &Sighting::following(before, saved.seal, saved.generation));
    }

    fn remember(&mut self, before: &UnlockedVault, sighting: &Sighting) {
        let is_rotation = sighting.id != before.id();
        let now = self.terms.now;
        for place in &mut self.places {
            let read = place.pins.clone();
            place.write(self.folder.as_ref(), &|pins, branch| {
                for name in read.names(branch, before)? {
                    if is_rotation && name == branch {
                        pins.trust(branch, sighting, now);
                    } else if is_rotation {
                        pins.record(name, sighting, now);
                    } else {
                        pins.record_saved(&read, name, sighting, now);
                    }
                }
                Ok(())
            });
        }
    }

    /// Remembers this vault as the one that belongs here, whatever was here before: a new vault, `trust`.
    pub(crate) fn accept(&mut self, sighting: &Sighting) {
        let now = self.terms.now;
        self.write(|pins, branch| {
            pins.trust(branch, sighting, now);
            Ok(())
        });
    }

    /// Why nothing is remembered, as far as that is known.
    pub(crate) fn unpinned(&self) -> Option<Unpinned> {
        self.places.iter().find_map(|place| place.unpinned.clone())
    }

    /// What there is to say.
    pub(crate) fn facts(&self, id: &VaultId) -> PinFacts {
        PinFacts {
            standing: self.standing,
            since: self.since.or_else(|| self.since_seen(id)),
            unpinned: self.unpinned(),
            named: self.is_named(id),
        }
    }

    fn write(&mut self, change: impl Fn(&mut Pins, Option<&[u8]>) -> Result<(), VerifyError>) {
        for place in &mut self.places {
            place.write(self.folder.as_ref(), &change);
        }
    }
}

impl Place {
    fn of(path: PathBuf) -> Self {
        Self { branch: Branch::of(&path), path, pins: Pins::default(), unpinned: None }
    }

    fn read(&mut self, folder: Option<&StateFolder>) {
        let Some(file) = self.file(folder) else {
            self.unpinned = Some(Unpinned::NoHome);
            return;
        };
        match store::read(&file) {
            Ok(snapshot) => match parse(&snapshot) {
                Ok(pins) => self.pins = pins,
                Err(NotPins::Newer) => self.unpinned = Some(newer()),
                Err(NotPins::Damaged) => self.unpinned = Some(Unpinned::Damaged(file)),
            },
            Err(StoreError::NotFound) => {}
            Err(error) => self.unpinned = Some(Unpinned::Unreadable(words(&error))),
        }
    }

    fn file(&self, folder: Option<&StateFolder>) -> Option<PathBuf> {
        let name = pin::file_name(self.path.as_os_str().as_bytes());
        Some(folder?.path.join(format!("{name}.pins")))
    }

    /// Applies a change to what is stored now. What fails is remembered, to be said when it matters.
    fn write(&mut self, folder: Option<&StateFolder>, change: &Change<'_>) {
        let mut after = self.pins.clone();
        if change(&mut after, self.branch.name()).is_ok() && after == self.pins {
            return;
        }
        let (Some(folder), Some(file)) = (folder, self.file(folder)) else { return };
        self.unpinned = match self.try_write(folder, &file, change) {
            Ok(pins) => {
                self.pins = pins;
                None
            }
            Err(why) => Some(why),
        };
    }

    fn try_write(&self, folder: &StateFolder, file: &Path, change: &Change<'_>) -> Result<Pins, Unpinned> {
        let (path, branch) = (self.path.as_os_str().as_bytes(), self.branch.name());
        let mut last = Unpinned::NotWritten("too many processes write it".to_owned());
        for _ in 0..ATTEMPTS {
            let mut pins = Pins::default();
            match store::lock_within(file, PATIENCE) {
                Ok(lock) => {
                    let snapshot = lock.snapshot().map_err(|error| Unpinned::Unreadable(words(&error)))?;
                    pins = match parse(&snapshot) {
                        Err(NotPins::Newer) => return Err(newer()),
                        other => other.unwrap_or_default(),
                    };
                    if change(&mut pins, branch).is_err() {
                        return Ok(pins);
                    }
                    match lock.replace(&text(&pins, path)) {
                        Ok(_) | Err(ReplaceError::FolderNotSynced(_)) => return Ok(pins),
                        Err(ReplaceError::ChangedMeanwhile) => {}
                        Err(error) => last = Unpinned::NotWritten(words(&error)),
                    }
                }
                Err(StoreError::NotFound) => {
                    if change(&mut pins, branch).is_err() {
                        return Ok(pins);
                    }
                    make(folder)?;
                    match store::create(file, &text(&pins, path), PRIVATE) {
                        Ok(_) | Err(ReplaceError::FolderNotSynced(_)) => return Ok(pins),
                        Err(ReplaceError::AlreadyExists) => {}
                        Err(error) => return Err(Unpinned::NotWritten(words(&error))),
                    }
                }
                Err(error) => return Err(Unpinned::NotWritten(words(&error))),
            }
        }
        Err(last)
    }
}

/// Makes what is missing of the state folder; never the home itself, nor anything in somebody else's.
fn make(StateFolder { base, path }: &StateFolder) -> Result<(), Unpinned> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = |error: &dyn std::error::Error| Unpinned::NotWritten(words(error));
    let owner = base.metadata().map_err(|error| failed(&error))?.uid();
    if owner != crate::sys::host::user_number() {
        return Err(Unpinned::OthersFolder);
    }
    let mut folder = base.clone();
    for part in path.strip_prefix(base).into_iter().flat_map(Path::components) {
        folder.push(part);
        Dir::open_or_create(&folder).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The path as it was named, with its links, but without `..`: where that leads depends on them.
fn absolute(path: &Path) -> PathBuf {
    let parts: Vec<_> = path.components().collect();
    let Some(last) = parts.iter().rposition(|part| *part == Component::ParentDir) else {
        return parts.iter().collect();
    };
    let (before, after) = parts.split_at(last + 1);
    let before: PathBuf = before.iter().collect();
    before.canonicalize().unwrap_or(before).join(after.iter().collect::<PathBuf>())
}

/// What says more about the vault is worth more.
fn weight(standing: Standing) -> u8 {
    match standing {
        Standing::FirstSeen => 0,
        Standing::NotCompared => 1,
        Standing::NewBranch => 2,
        Standing::Expected { .. } => 3,
        Standing::Older { .. } => 4,
    }
}

/// What a comparison found.
pub(crate) struct Seen {
    /// The vault lacks something that was seen: its generation, and the one that was seen.
    pub(crate) older: Option<(u64, u64)>,
    /// Changes of the slot table.
    pub(crate) news: Vec<SlotNews>,
    /// The pins cannot be read, and begin anew.
    pub(crate) damaged: Option<Unpinned>,
}

type Change<'a> = dyn Fn(&mut Pins, Option<&[u8]>) -> Result<(), VerifyError> + 'a;

fn parse(source: &dyn Source) -> Result<Pins, NotPins> {
    let mut bytes = vec![0; usize::try_from(source.len().min(pin::MAX_PINS)).map_err(|_| NotPins::Damaged)?];
    source.read_exact_at(&mut bytes, 0).map_err(|_| NotPins::Damaged)?;
    Pins::parse(&bytes)
}

fn newer() -> Unpinned {
    Unpinned::Unreadable("a newer version of vault wrote it".to_owned())
}

fn text(pins: &Pins, path: &[u8]) -> Text {
    let mut text = Text::new();
    text.push(pins.to_text(path));
    text
}

/// The innermost cause, without numbers.
fn words(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

const PRIVATE: u32 = 0o600;
/// Somebody else's pin is written in milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 8;
