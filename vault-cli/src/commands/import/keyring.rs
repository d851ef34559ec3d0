//! `vault import --from KEYRING`: passwords move from a keyring into the vault, and out of the keyring if that is asked for.
//!
//! The order is what keeps every password: all of the source is read, or nothing happens; one save stores everything; what was
//! saved is read back and compared; only what is equal is deleted from the source, and only if it is still there as it was read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vault_core::format::entry::{DEFAULT_FIELD, EntryName, Meta};
use vault_core::item;
use vault_core::secret::Secret;
use vault_core::vault::edit::Update;

use super::{commit, may_replace, storable, usage};
use crate::cli::{Import, KeyringSource};
use crate::commands::Run;
use crate::commands::get::in_memory;
use crate::doors::sources::{Contents, Desktop, Foreign, Left, Python, PythonPlace, Source};
use crate::escape::counted;
use crate::failure::{Failure, SourceFailure};
use crate::input::{self, Place};
use crate::message::{Exit, Status, Warning};
use crate::session::{self, Change, Expect, Session, SessionError};

pub(super) fn run(run: &mut Run<'_>, arguments: &Import, from: KeyringSource) -> Result<Exit, Failure> {
    let wanted = wanted(run, arguments)?;
    let mut source = source(run, arguments, from)?;
    let mut session = run.open_at(&run.own_location()?.path)?;
    let contents = read(run, &mut *source, &wanted)?;
    let plan = Plan::of(contents, &mut session)?;
    if arguments.keyring.dry_run {
        return plan.show(run);
    }
    may_replace(run, arguments, plan.count(Fate::Replace))?;
    for Left { what, why } in &plan.left {
        run.voice.warn(Warning::NotImported(what.clone(), why.clone()))?;
    }
    let changes = plan.changes(&mut session, arguments.max_size)?;
    let generation = commit(run, &mut session, changes)?.map(|committed| committed.generation);

    let mut report = plan.report(generation);
    if arguments.keyring.verify || arguments.keyring.delete_source {
        session.refresh()?;
        plan.verify(&mut session)?;
        report.verified = Some(plan.moves.len());
    }
    if arguments.keyring.delete_source {
        let remaining = delete(run, &mut *source, plan.moves)?;
        report.deleted = Some(report.imported + report.unchanged - remaining.len());
        report.remaining = remaining;
    }
    report.say(run, source.name())?;
    if plan.without_capitals {
        run.voice.status(&Status::Done(
            "users' names have no capitals in such a file: bring in those that have some by --item SERVICE USERNAME"
                .to_owned(),
        ));
    }
    match (report.left.len(), report.remaining.len()) {
        (0, 0) => Ok(Exit::Ok),
        (left, remaining) => Err(SourceFailure::Incomplete { left, remaining }.into()),
    }
}

/// The services and users that were named.
fn wanted(run: &mut Run<'_>, arguments: &Import) -> Result<Vec<(String, String)>, Failure> {
    let pairs = arguments.keyring.item.chunks_exact(2);
    let mut wanted: Vec<_> = pairs.map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    if let Some(path) = &arguments.keyring.items {
        let text = match path.as_os_str() == "-" {
            true => run.stdin.claim("the list of items")?.read(MAX_LIST)?,
            false => input::file(&run.folder.join(path), MAX_LIST)?,
        };
        let text = String::from_utf8_lossy(text.expose()).into_owned();
        for (at, line) in text.lines().enumerate() {
            let pair = line.split_once('\t').filter(|_| !line.contains('\u{fffd}'));
            let (service, username) =
                pair.ok_or_else(|| SourceFailure::Pairs { path: path.clone(), line: at + 1 })?;
            wanted.push((service.to_owned(), username.to_owned()));
        }
        if wanted.is_empty() {
            return Err(usage("the list of items is empty").into());
        }
    }
    Ok(wanted)
}

fn source(run: &mut Run<'_>, arguments: &Import, from: KeyringSource) -> Result<Box<dyn Source>, Failure> {
    let options = &arguments.keyring;
    let kind = match from {
        KeyringSource::SecretService => {
            if arguments.path.is_some() || options.source_passphrase_file.is_some() {
                return Err(usage("the Secret Service has neither a file nor a passphrase for us").into());
            }
            let (keyring, collection) = (session::keyrings(run), options.collection.clone());
            return Ok(Box::new(Desktop { keyring, collection }));
        }
        KeyringSource::Keyring if arguments.path.is_some() => {
            return Err(usage("Python's keyring knows itself where its passwords are: no PATH").into());
        }
        KeyringSource::Keyring => "keyring",
        KeyringSource::Alt => "keyrings.alt",
        KeyringSource::Cryptfile => "keyrings.cryptfile",
    };
    if options.collection.is_some() {
        return Err(usage("--collection is of use only with --from secret-service").into());
    }
    let passphrase = match &options.source_passphrase_file {
        Some(path) => {
            let bytes = input::file(&run.folder.join(path), MAX_PASSPHRASE)?;
            let passphrase = input::passphrase(bytes, Place::File(path.clone()))?;
            Some(Secret::new(passphrase.expose().to_vec()))
        }
        None => None,
    };
    Ok(Box::new(Python::new(PythonPlace {
        kind,
        program: options.python.clone(),
        file: arguments.path.as_ref().map(|path| run.folder.join(path)),
        passphrase,
        may_ask: run.prompt.can_ask() || (run.prompt.is_allowed() && run.environment.has_display()),
    })))
}

fn read(
    run: &Run<'_>,
    source: &mut dyn Source,
    wanted: &[(String, String)],
) -> Result<Contents, SourceFailure> {
    let (voice, name) = (run.voice, source.name());
    let read = source.read(wanted, &mut |count| {
        if count.is_multiple_of(STEP) {
            voice.transient(&format!("read {} of {name}", counted(count, "item", "items")));
        }
    });
    voice.transient("");
    read
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    /// A new entry is made.
    New,
    /// An entry gets attributes that it lacks.
    Complete,
    /// An entry has another secret, or another value of an attribute.
    Replace,
    /// The entry is what is imported already.
    Same,
}

/// An item, and the entry that it becomes.
struct Move {
    foreign: Foreign,
    entry: EntryName,
    fate: Fate,
}

/// What becomes of everything that was read.
struct Plan {
    moves: Vec<Move>,
    left: Vec<Left>,
    without_capitals: bool,
}

impl Plan {
    /// Compares what was read with the vault.
    fn of(contents: Contents, session: &mut dyn Session) -> Result<Self, Failure> {
        let all = session.list()?;
        let items = item::all(&all);
        let mut plan =
            Self { moves: Vec::new(), left: contents.left, without_capitals: contents.without_capitals };
        let mut taken = BTreeSet::new();
        for foreign in contents.items {
            let names = foreign.item.as_ref().and_then(|item| items.get(item));
            let entry = names.and_then(|names| names.first()).unwrap_or(&foreign.name).clone();
            if taken.insert(entry.clone()) {
                plan.moves.push(Move { foreign, entry, fate: Fate::New });
            } else {
                let why = "another one has the same service and user, or the same label and attributes";
                plan.left.push(Left { what: foreign.shown(), why: why.to_owned() });
            }
        }
        let metas: BTreeMap<&EntryName, &Meta> = all.iter().map(|meta| (&meta.name, meta)).collect();
        let secrets = plan.secrets(session)?;
        for one in &mut plan.moves {
            let Some(meta) = metas.get(&one.entry) else { continue };
            if meta.in_conflict() {
                return Err(SessionError::InConflict(one.entry.clone()).into());
            }
            one.fate = one.foreign.fate(meta, secrets.get(&one.entry));
        }
        Ok(plan)
    }

    /// What the vault has for the entries.
    fn secrets(&self, session: &mut dyn Session) -> Result<BTreeMap<EntryName, Secret>, Failure> {
        let wanted: BTreeSet<&EntryName> = self.moves.iter().map(|one| &one.entry).collect();
        let mut secrets = BTreeMap::new();
        for opened in session.entries(&|meta| wanted.contains(&meta.name))? {
            let mut values = opened.values.into_iter();
            if let Some((_, value)) = values.find(|(field, _)| field == DEFAULT_FIELD) {
                secrets.insert(opened.meta.name, in_memory(value)?);
            }
        }
        Ok(secrets)
    }

    fn count(&self, fate: Fate) -> usize {
        self.moves.iter().filter(|one| one.fate == fate).count()
    }

    fn changes(&self, session: &mut dyn Session, limit: u64) -> Result<Vec<Change>, Failure> {
        let changed = self.moves.iter().filter(|one| one.fate != Fate::Same);
        changed
            .map(|Move { foreign, entry, fate }| {
                let field = DEFAULT_FIELD.to_owned();
                // What was new when it was looked for has to be new still.
                let expect = if *fate == Fate::New { Expect::NoField(field.clone()) } else { Expect::Entry };
                let value = storable(session, foreign.secret.duplicate(), limit)?;
                let attributes =
                    foreign.attributes.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
                let update = Update {
                    fields: [(field, Some(value))].into(),
                    attributes: attributes.collect(),
                    ..Update::default()
                };
                Ok(Change::Set { name: entry.clone(), update, expect })
            })
            .collect()
    }

    /// Compares everything with what is stored now.
    fn verify(&self, session: &mut dyn Session) -> Result<(), Failure> {
        let secrets = self.secrets(session)?;
        let all = session.list()?;
        let metas: BTreeMap<&EntryName, &Meta> = all.iter().map(|meta| (&meta.name, meta)).collect();
        for one in &self.moves {
            let kept = metas.get(&one.entry).map(|meta| one.foreign.fate(meta, secrets.get(&one.entry)));
            if kept != Some(Fate::Same) {
                return Err(SourceFailure::NotKept(one.entry.clone()).into());
            }
        }
        Ok(())
    }

    /// Says what would be done.
    fn show(self, run: &mut Run<'_>) -> Result<Exit, Failure> {
        if run.global.json {
            let would = self.moves.iter().map(|one| Would { entry: one.entry.as_str(), fate: one.fate });
            let would = would.collect();
            run.output.json(&Dry {
                version: 1,
                would,
                left: &self.left.iter().map(Stays::of).collect::<Vec<_>>(),
            })?;
            return Ok(Exit::Ok);
        }
        let moves = self.moves.iter().map(|one| {
            let word = match one.fate {
                Fate::New => "store",
                Fate::Complete => "complete",
                Fate::Replace => "replace",
                Fate::Same => "keep",
            };
            format!("{word} {}", one.entry.as_str())
        });
        let left = self.left.iter().map(|left| format!("leave {}: {}", left.what, left.why));
        run.output.lines(moves.chain(left))?;
        Ok(Exit::Ok)
    }

    fn report(&self, generation: Option<u64>) -> Report {
        let left: Vec<_> = self.left.iter().map(Stays::of).collect();
        let unchanged = self.count(Fate::Same);
        Report {
            version: 1,
            imported: self.moves.len() - unchanged,
            replaced: self.count(Fate::Replace),
            unchanged,
            verified: None,
            deleted: None,
            left,
            remaining: Vec::new(),
            generation,
        }
    }
}

impl Foreign {
    /// What becomes of this item where there is such an entry already.
    fn fate(&self, meta: &Meta, secret: Option<&Secret>) -> Fate {
        let attribute = |name: &String| meta.attributes.get(name);
        let other = |(name, value): (&String, &String)| attribute(name).is_some_and(|has| has != value);
        match secret {
            Some(secret) if secret.expose() != self.secret.expose() => Fate::Replace,
            _ if self.attributes.iter().any(other) => Fate::Replace,
            Some(_) if self.attributes.keys().all(|name| attribute(name).is_some()) => Fate::Same,
            Some(_) => Fate::Complete,
            // An entry of this name without a secret: nothing of it is lost.
            None => Fate::New,
        }
    }
}

/// Deletes from the source, says what is still there, and gives it.
fn delete(run: &Run<'_>, source: &mut dyn Source, moves: Vec<Move>) -> Result<Vec<Stays>, Failure> {
    let shown: Vec<String> = moves.iter().map(|one| one.foreign.shown()).collect();
    let items = moves.into_iter().map(|one| (one.foreign.handle, one.foreign.secret)).collect();
    let outcomes = source.remove(items)?;
    let mut remaining = Vec::new();
    // Should the source have fallen silent half way, the rest counts as still there.
    let outcomes = outcomes.into_iter().chain(std::iter::repeat_with(|| Err("no answer came".to_owned())));
    for (what, outcome) in shown.into_iter().zip(outcomes) {
        if let Err(why) = outcome {
            remaining.push(Stays { what, why });
        }
    }
    for Stays { what, why } in &remaining {
        run.voice.warn(Warning::NotDeleted(what.clone(), why.clone()))?;
    }
    Ok(remaining)
}

/// Something that stays where it is, for programs.
#[derive(Serialize)]
struct Stays {
    what: String,
    why: String,
}

impl Stays {
    fn of(left: &Left) -> Self {
        Self { what: left.what.clone(), why: left.why.clone() }
    }
}

#[derive(Serialize)]
struct Dry<'a> {
    version: u32,
    would: Vec<Would<'a>>,
    left: &'a [Stays],
}

#[derive(Serialize)]
struct Would<'a> {
    entry: &'a str,
    fate: Fate,
}

/// What was done.
#[derive(Serialize)]
struct Report {
    version: u32,
    imported: usize,
    replaced: usize,
    unchanged: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<usize>,
    left: Vec<Stays>,
    remaining: Vec<Stays>,
    generation: Option<u64>,
}

impl Report {
    fn say(&self, run: &mut Run<'_>, name: &str) -> Result<(), Failure> {
        if run.global.json {
            run.output.json(self)?;
        }
        let mut text = format!("imported {} from {name}", counted(self.imported, "item", "items"));
        if self.unchanged > 0 {
            let were = if self.unchanged == 1 { "was" } else { "were" };
            text.push_str(&format!(", {} {were} there already", self.unchanged));
        }
        if let Some(verified) = self.verified {
            text.push_str(&format!("; read back and compared {verified}"));
        }
        if let Some(deleted) = self.deleted {
            text.push_str(&format!("; deleted {deleted} from it"));
        }
        run.voice.status(&Status::Done(text));
        Ok(())
    }
}

/// A list of a few thousand services and users.
const MAX_LIST: usize = 1 << 20;
const MAX_PASSPHRASE: usize = 64 << 10;
const STEP: usize = 100;
