//! `vault.toml` beside a vault: rules for its slots, its names and the age of its entries. docs/policy.md.
//!
//! Reads the file and says what breaks it; it changes nothing, and knows of no key.

use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use vault_core::format::entry::Meta;
use vault_core::format::slot::{SlotKind, SlotLine};
use vault_core::keys::VaultId;
use vault_core::store;

use crate::escape::{counted, quoted};
use crate::{pattern, size, time};

/// The rules for the vaults of a folder. Without a file there are none.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    path: PathBuf,
    /// As it is written: with the commitment to the master key, or without.
    vault_id: Option<String>,
    slots: Slots,
    names: Names,
    max_age: Vec<MaxAge>,
}

#[derive(Debug, Default)]
struct Slots {
    required_kinds: Vec<String>,
    allowed_kinds: Option<Vec<String>>,
    required_recipients: Vec<String>,
    allowed_recipients: Option<Vec<String>>,
    kdf_memory_kib: u64,
    kdf_passes: u64,
}

#[derive(Debug, Default)]
struct Names {
    allowed: Option<Vec<String>>,
    forbidden: Vec<String>,
}

/// Entries with this attribute are changed within this time.
#[derive(Debug)]
struct MaxAge {
    attribute: String,
    value: Option<String>,
    seconds: u64,
    text: String,
}

/// Why there are no rules to go by.
#[derive(Debug)]
pub(crate) struct PolicyError {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line, if it is one line's fault.
    pub(crate) line: Option<usize>,
    /// What is wrong.
    pub(crate) problem: Problem,
}

/// What is wrong with the file.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum Problem {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is too long, or not UTF-8.
    NoText,
    /// It is no TOML.
    Syntax,
    /// There is no such rule.
    Unknown(String),
    /// A rule has a value that it cannot have.
    Wrong {
        /// The rule.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// It does not say of which version it is, or of one that is not known here.
    Version,
}

impl Policy {
    /// The rules beside a vault.
    ///
    /// # Errors
    /// [`PolicyError`]: a file that is there and cannot be understood is never passed over.
    pub(crate) fn beside(vault: &Path) -> Result<Self, PolicyError> {
        let real = vault.canonicalize();
        let path = real.as_deref().unwrap_or(vault).with_file_name(FILE_NAME);
        match store::read_small(&path, LONGEST) {
            Ok(text) => Self::parse(&path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(PolicyError { path, line: None, problem: Problem::Unreadable(error) }),
        }
    }

    /// The rules of a text.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Self, PolicyError> {
        let whole = |problem| PolicyError { path: path.to_owned(), line: None, problem };
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_TEXT);
        let text = text.ok_or_else(|| whole(Problem::NoText))?;
        let at = |(span, problem): Located| PolicyError {
            path: path.to_owned(),
            line: Some(text[..span.start.min(text.len())].matches('\n').count() + 1),
            problem,
        };
        let table =
            DeTable::parse(text).map_err(|error| at((error.span().unwrap_or_default(), Problem::Syntax)))?;
        let mut policy = Self { path: path.to_owned(), ..Self::default() };
        let mut version = false;
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "version" => version = integer("version", value).map_err(at)? == 1,
                "vault-id" => policy.vault_id = Some(vault_id(value).map_err(at)?),
                "slots" => policy.slots = slots(value).map_err(at)?,
                "names" => policy.names = names(value).map_err(at)?,
                "max-age" => policy.max_age = max_age(value).map_err(at)?,
                other => return Err(at((key.span(), Problem::Unknown(other.to_owned())))),
            }
        }
        if version { Ok(policy) } else { Err(whole(Problem::Version)) }
    }

    /// Whether there are rules for entries, which only a key shows.
    pub(crate) fn concern_entries(&self) -> bool {
        self.names.allowed.is_some() || !self.names.forbidden.is_empty() || !self.max_age.is_empty()
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What breaks the rules for the vault as a whole: its id and its slots. No key is needed to see it.
    pub(crate) fn of_vault(&self, id: VaultId, slots: &[SlotLine]) -> Vec<String> {
        let mut broken: Vec<String> = self.of_id(id).into_iter().collect();
        let rules = &self.slots;
        for kind in &rules.required_kinds {
            if !slots.iter().any(|slot| slot.kind.name() == kind) {
                broken.push(format!("there is no slot of the kind {}", quoted(kind)));
            }
        }
        for recipient in &rules.required_recipients {
            if !slots.iter().any(|slot| slot.recipient.as_str() == recipient) {
                broken.push(format!("there is no slot for {}", quoted(recipient)));
            }
        }
        broken.extend(slots.iter().filter_map(|slot| self.of_slot(slot)));
        broken
    }

    /// What breaks the rule for the id.
    pub(crate) fn of_id(&self, id: VaultId) -> Option<String> {
        let expected = self.vault_id.as_ref()?;
        let id = id.to_string();
        // Without the commitment, any master key of the vault is right.
        let found = if expected.contains(':') { &id[..] } else { id.split(':').next().unwrap_or(&id) };
        (found != expected).then(|| format!("the vault's id is {found}, not {expected}"))
    }

    /// What breaks the rules for a slot.
    pub(crate) fn of_slot(&self, slot: &SlotLine) -> Option<String> {
        let rules = &self.slots;
        let (label, kind) = (quoted(slot.label.as_str()), slot.kind.name());
        if rules.allowed_kinds.as_ref().is_some_and(|allowed| !allowed.iter().any(|one| one == kind)) {
            return Some(format!("slot {label} is of the kind {kind}, which is not allowed"));
        }
        let recipient = slot.recipient.as_str();
        let among = |allowed: &Vec<String>| allowed.iter().any(|one| one == recipient);
        if kind == "age" && !rules.allowed_recipients.as_ref().is_none_or(among) {
            return Some(format!("slot {label} is for {}, who is not allowed", quoted(recipient)));
        }
        if let SlotKind::Passphrase(sealed) = &slot.kind {
            if u64::from(sealed.memory_kib) < rules.kdf_memory_kib {
                let [is, least] =
                    [sealed.memory_kib.into(), rules.kdf_memory_kib].map(|kib| size::shown(kib * 1024));
                return Some(format!(
                    "a try of the passphrase of slot {label} costs {is} of memory, not {least}"
                ));
            }
            if u64::from(sealed.passes) < rules.kdf_passes {
                let (is, least) = (counted(sealed.passes, "pass", "passes"), rules.kdf_passes);
                return Some(format!("a try of the passphrase of slot {label} takes {is}, not {least}"));
            }
        }
        None
    }

    /// What breaks the rules for names.
    pub(crate) fn of_name(&self, name: &str) -> Option<String> {
        let Names { allowed, forbidden } = &self.names;
        if let Some(found) = forbidden.iter().find(|one| pattern::is(one, name)) {
            return Some(format!("the name {} is forbidden by {}", quoted(name), quoted(found)));
        }
        let matches = |allowed: &Vec<String>| allowed.iter().any(|one| pattern::is(one, name));
        (!allowed.as_ref().is_none_or(matches))
            .then(|| format!("the name {} is like none that is allowed", quoted(name)))
    }

    /// What breaks the rules for an entry as it is: its name and its age.
    pub(crate) fn of_entry(&self, meta: &Meta, now: u64) -> Vec<String> {
        let name = meta.name.as_str();
        let mut broken: Vec<String> = self.of_name(name).into_iter().collect();
        for rule in &self.max_age {
            let applies = match (meta.attributes.get(&rule.attribute), &rule.value) {
                (Some(is), Some(wanted)) => is == wanted,
                (is, None) => is.is_some(),
                (None, Some(_)) => false,
            };
            if applies && now.saturating_sub(meta.modified) > rule.seconds {
                let since = time::shown(meta.modified);
                broken.push(format!(
                    "{} was not changed since {since}, longer than {}",
                    quoted(name),
                    rule.text
                ));
            }
        }
        broken
    }
}

type Located = (Range<usize>, Problem);
type Item<'a> = Spanned<DeValue<'a>>;

fn wrong(key: &str, item: &Item<'_>, expected: &'static str) -> Located {
    (item.span(), Problem::Wrong { key: key.to_owned(), expected })
}

fn table<'t, 'a>(key: &str, item: &'t Item<'a>) -> Result<&'t DeTable<'a>, Located> {
    item.get_ref().as_table().ok_or_else(|| wrong(key, item, "a table"))
}

fn text(key: &str, item: &Item<'_>) -> Result<String, Located> {
    item.get_ref().as_str().map(str::to_owned).ok_or_else(|| wrong(key, item, "a string"))
}

fn texts(key: &str, item: &Item<'_>) -> Result<Vec<String>, Located> {
    let array = item.get_ref().as_array().ok_or_else(|| wrong(key, item, "a list of strings"))?;
    array.iter().map(|one| text(key, one)).collect()
}

fn integer(key: &str, item: &Item<'_>) -> Result<u64, Located> {
    let number = item.get_ref().as_integer().filter(|number| number.radix() == 10);
    let number = number.and_then(|number| number.as_str().parse().ok());
    number.ok_or_else(|| wrong(key, item, "a whole number"))
}

fn vault_id(item: &Item<'_>) -> Result<String, Located> {
    let id = text("vault-id", item)?;
    let is_short = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_short || VaultId::parse(&id).is_ok() {
        return Ok(id);
    }
    Err(wrong("vault-id", item, "the id that \"vault status\" shows, or its 32 digits before the colon"))
}

fn slots(item: &Item<'_>) -> Result<Slots, Located> {
    let mut rules = Slots::default();
    for (key, value) in table("slots", item)? {
        let name = key.get_ref().as_ref();
        match name {
            "required-kinds" => rules.required_kinds = texts(name, value)?,
            "allowed-kinds" => rules.allowed_kinds = Some(texts(name, value)?),
            "required-recipients" => rules.required_recipients = recipients(name, value)?,
            "allowed-recipients" => rules.allowed_recipients = Some(recipients(name, value)?),
            "kdf-memory" => {
                let bytes = size::parse(&text(name, value)?);
                rules.kdf_memory_kib =
                    bytes.map_err(|_| wrong(name, value, "a size such as \"64MiB\""))? / 1024;
            }
            "kdf-passes" => rules.kdf_passes = integer(name, value)?,
            other => return Err((key.span(), Problem::Unknown(format!("slots.{other}")))),
        }
    }
    Ok(rules)
}

/// Recipients as they stand in slot lines: without a comment, and with a colon for a space.
fn recipients(key: &str, item: &Item<'_>) -> Result<Vec<String>, Located> {
    let line = |text: String| text.split_whitespace().take(2).collect::<Vec<_>>().join(":");
    Ok(texts(key, item)?.into_iter().map(line).collect())
}

fn names(item: &Item<'_>) -> Result<Names, Located> {
    let mut rules = Names::default();
    for (key, value) in table("names", item)? {
        let name = key.get_ref().as_ref();
        match name {
            "allowed" => rules.allowed = Some(texts(name, value)?),
            "forbidden" => rules.forbidden = texts(name, value)?,
            other => return Err((key.span(), Problem::Unknown(format!("names.{other}")))),
        }
    }
    Ok(rules)
}

fn max_age(item: &Item<'_>) -> Result<Vec<MaxAge>, Located> {
    let rule = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Item<'_>)| {
        let name = key.get_ref().as_ref();
        let span = text(name, value)?;
        let seconds = time::span(&span).ok_or_else(|| wrong(name, value, "a span such as \"90d\""))?;
        let (attribute, wanted) = match name.split_once('=') {
            Some((attribute, wanted)) => (attribute, Some(wanted.to_owned())),
            None => (name, None),
        };
        Ok(MaxAge { attribute: attribute.to_owned(), value: wanted, seconds, text: span })
    };
    table("max-age", item)?.iter().map(rule).collect()
}

/// The help on rules: the same as in docs/policy.md.
pub(crate) fn help() -> String {
    let mut text = format!(
        "Rules for the vaults of a folder: {FILE_NAME} beside them. \"vault check\" and every save enforce them.\n\
         \"vault check --staged\" reads it from git's index. An unknown rule is an error.\n\n"
    );
    for line in EXAMPLE.lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// The file's name.
pub(crate) const FILE_NAME: &str = "vault.toml";
const MAX_TEXT: usize = 1 << 20;
const EXAMPLE: &str = "\
version = 1
vault-id = \"0123456789abcdef0123456789abcdef\"   # as \"vault status\" shows it: no other vault may take its place

[slots]
required-kinds = [\"recovery\"]                   # at least one slot of each
allowed-kinds = [\"age\", \"passphrase\", \"recovery\"]
required-recipients = [\"age1…\"]                 # each has a slot
allowed-recipients = [\"age1…\", \"ssh-ed25519 AAAA…\"]   # of slots of the kind age; no others
kdf-memory = \"64MiB\"                            # that a try of a passphrase costs at least
kdf-passes = 3

[names]
allowed = [\"prod/*\", \"dev/*\"]                   # \"*\" is any text, \"?\" one character
forbidden = [\"*/tmp/*\"]

[max-age]
\"rotate=monthly\" = \"31d\"                        # entries with this attribute and value are changed so often
team = \"52w\"                                    # with this attribute, whatever its value
";

/// Most bytes of a vault.toml.
const LONGEST: u64 = 64 << 10;

#[cfg(test)]
mod tests;
