//! Credentials as the keyrings of other programs know them: a password for a user of a service, kept as an entry.
//!
//! An item is named by service and user, and there is one of a pair in a vault, whatever else its entry says. Its entry has
//! the attributes `service` and `username`, and a name that is made of both: it is looked for by that name first, which
//! reads one page. An entry of another name with the two attributes is an item, too: somebody made it by hand. Where there
//! are both, the entry with the derived name is the item, and [`duplicates`] reports the others. docs/keyring.md, "Items".

use std::collections::BTreeMap;

use crate::crypto::hash::sha256;
use crate::format::entry::{DEFAULT_FIELD, EntryName, Meta};
use crate::format::limits;
use crate::format::map::SmallMap;
use crate::vault::edit::{NewValue, Update};

/// Which credential: the password of this user of this service. Both are taken as they are, and may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    service: String,
    username: String,
}

/// A service's or user's name has more bytes than an attribute can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemTooLong(
    /// Which of the two: [`SERVICE`] or [`USERNAME`].
    pub &'static str,
);

impl std::fmt::Display for ItemTooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} has more than {} bytes", self.0, limits::ATTRIBUTE)
    }
}

impl std::error::Error for ItemTooLong {}

impl Item {
    /// The item of a service and a user.
    ///
    /// # Errors
    /// [`ItemTooLong`].
    pub fn new(service: &str, username: &str) -> Result<Self, ItemTooLong> {
        for (what, text) in [(SERVICE, service), (USERNAME, username)] {
            if text.len() > limits::ATTRIBUTE {
                return Err(ItemTooLong(what));
            }
        }
        Ok(Self { service: service.to_owned(), username: username.to_owned() })
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The user.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The name that the item's entry gets.
    ///
    /// `keyring/ENC(service)/ENC(username)`; `keyring/%HEX(SHA-256(u32 length of service ‖ service ‖ username))` if that
    /// has more bytes than a name can have. `ENC` writes `%XX` for every byte but ASCII letters, digits, `-`, `_`, `.`,
    /// `~`, `@`, `:`, `+`, and for a dot that comes first; `%` alone is the empty text. So nothing in it can be normalised.
    ///
    /// # Panics
    /// Never: the text is ASCII and short enough.
    #[must_use]
    pub fn entry_name(&self) -> EntryName {
        let readable = format!("{FOLDER}{}/{}", encoded(&self.service), encoded(&self.username));
        let name = if readable.len() <= limits::NAME { readable } else { self.hashed_name() };
        EntryName::parse(&name).expect("a short ASCII text without NUL")
    }

    fn hashed_name(&self) -> String {
        let length = u32::try_from(self.service.len()).expect("checked when it was made");
        let text = [&length.to_be_bytes()[..], self.service.as_bytes(), self.username.as_bytes()].concat();
        let hash: String = sha256(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{FOLDER}%{hash}")
    }

    /// Which item this entry is: its name says so if it is derived, else its attributes.
    #[must_use]
    pub fn of_entry(meta: &Meta) -> Option<Self> {
        Self::of_name(&meta.name).or_else(|| Self::of_attributes(&meta.attributes))
    }

    /// Which item has this derived name. `None` if it is not derived, or stands for a pair too long to be read from it.
    #[must_use]
    pub fn of_name(name: &EntryName) -> Option<Self> {
        let (service, username) = name.as_str().strip_prefix(FOLDER)?.split_once('/')?;
        let item = Self::new(&decoded(service)?, &decoded(username)?).ok()?;
        (item.entry_name() == *name).then_some(item)
    }

    fn of_attributes(attributes: &SmallMap<String>) -> Option<Self> {
        Self::new(attributes.get(SERVICE)?, attributes.get(USERNAME)?).ok()
    }

    /// What makes an entry this item, with a new password.
    #[must_use]
    pub fn update(&self, password: NewValue) -> Update {
        let attributes = [(SERVICE, &self.service), (USERNAME, &self.username)];
        Update {
            fields: BTreeMap::from([(DEFAULT_FIELD.to_owned(), Some(password))]),
            attributes: attributes.map(|(name, value)| (name.to_owned(), Some(value.clone()))).into(),
            ..Update::default()
        }
    }

    /// The entries that are this item and have a password, the one that counts first.
    #[must_use]
    pub fn entries<'m>(&self, all: &'m [Meta]) -> Vec<&'m Meta> {
        let derived = self.entry_name();
        let mut found: Vec<&Meta> = all
            .iter()
            .filter(|meta| has_password(meta) && Self::of_entry(meta).as_ref() == Some(self))
            .collect();
        // Stable: the others stay in the order of their names.
        found.sort_by_key(|meta| meta.name != derived);
        found
    }
}

/// Whether there is a password in the entry: without one it is no item yet.
#[must_use]
pub fn has_password(meta: &Meta) -> bool {
    meta.fields.contains_key(DEFAULT_FIELD)
}

/// All items, each with the names of its entries, the one that counts first.
#[must_use]
pub fn all(all: &[Meta]) -> BTreeMap<Item, Vec<EntryName>> {
    let mut by_item: BTreeMap<Item, Vec<EntryName>> = BTreeMap::new();
    for meta in all.iter().filter(|meta| has_password(meta)) {
        if let Some(item) = Item::of_entry(meta) {
            by_item.entry(item).or_default().push(meta.name.clone());
        }
    }
    for (item, names) in by_item.iter_mut().filter(|(_, names)| names.len() > 1) {
        let derived = item.entry_name();
        names.sort_by_key(|name| *name != derived);
    }
    by_item
}

/// The items that more than one entry is, each with the entries' names, the one that counts first.
#[must_use]
pub fn duplicates(metas: &[Meta]) -> Vec<(Item, Vec<EntryName>)> {
    all(metas).into_iter().filter(|(_, names)| names.len() > 1).collect()
}

/// The name for what a desktop's keyring keeps by other attributes than a service and a user.
///
/// `secret-service/ENC(label)~HEX(first 8 bytes of SHA-256(attributes))`, where each attribute is its name and its value,
/// sorted, each after its length as u32; without the label if that makes it too long. So what has the same attributes and
/// label gets the same name every time, and nothing else does.
///
/// # Panics
/// Never: the text is ASCII and short enough.
#[must_use]
pub fn desktop_name(label: &str, attributes: &BTreeMap<String, String>) -> EntryName {
    let mut bytes = Vec::new();
    for text in attributes.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    let hash: String = sha256(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let readable = format!("{DESKTOP}{}~{hash}", encoded(label));
    let name = if readable.len() <= limits::NAME { readable } else { format!("{DESKTOP}%~{hash}") };
    EntryName::parse(&name).expect("a short ASCII text without NUL")
}

/// The attribute that holds an item's service.
pub const SERVICE: &str = "service";
/// The attribute that holds an item's user.
pub const USERNAME: &str = "username";
/// What every derived name begins with.
const FOLDER: &str = "keyring/";
/// What the name of anything else from a desktop's keyring begins with.
const DESKTOP: &str = "secret-service/";

fn encoded(text: &str) -> String {
    if text.is_empty() {
        return "%".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // A first dot would make a hidden file, or "." and "..", of an export into files.
            b'.' if at == 0 => out.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' | b':' | b'+' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decoded(text: &str) -> Option<String> {
    if text == "%" {
        return Some(String::new());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{FieldInfo, FieldKind};

    fn item(service: &str, username: &str) -> Item {
        Item::new(service, username).unwrap()
    }

    fn meta(name: &str, attributes: &[(&str, &str)]) -> Meta {
        let info = FieldInfo { kind: FieldKind::Inline, epoch: 0 };
        Meta {
            name: EntryName::parse(name).unwrap(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            fields: [(DEFAULT_FIELD.to_owned(), info)].into(),
            created: 0,
            modified: 0,
            expires: None,
            alternatives: Vec::new(),
        }
    }

    #[test]
    fn a_name_is_derived_reversibly() {
        for (service, username, name) in [
            ("pypi", "bob", "keyring/pypi/bob"),
            ("https://host:1/simple/", "a b", "keyring/https:%2F%2Fhost:1%2Fsimple%2F/a%20b"),
            ("", "", "keyring/%/%"),
            (".", "..", "keyring/%2E/%2E."),
            ("%", "a%2Fb", "keyring/%25/a%252Fb"),
            ("e\u{301}", "\u{e9}", "keyring/e%CC%81/%C3%A9"),
            ("a\0b", "\n", "keyring/a%00b/%0A"),
        ] {
            let item = item(service, username);
            assert_eq!(item.entry_name().as_str(), name);
            assert_eq!(Item::of_name(&item.entry_name()), Some(item));
        }
    }

    #[test]
    fn texts_that_normalise_to_the_same_are_two_items() {
        assert_ne!(item("e\u{301}", "u").entry_name(), item("\u{e9}", "u").entry_name());
        assert_ne!(item("a", "b/c").entry_name(), item("a/b", "c").entry_name());
    }

    #[test]
    fn a_pair_too_long_for_a_name_is_known_by_its_attributes() {
        let long = item(&"ü".repeat(4_000), "bob");
        let other = item(&"ü".repeat(4_000), "bab");
        let name = long.entry_name();
        assert!(name.as_str().starts_with("keyring/%") && name.as_str().len() == 73, "{name:?}");
        assert_ne!(name, other.entry_name());
        assert_eq!(Item::of_name(&name), None);
        let meta = meta(name.as_str(), &[(SERVICE, long.service()), (USERNAME, "bob")]);
        assert_eq!(Item::of_entry(&meta), Some(long));
        assert_eq!(Item::new("s", &"u".repeat(8_193)), Err(ItemTooLong(USERNAME)));
    }

    #[test]
    fn other_spellings_of_a_derived_name_are_none() {
        for name in [
            "keyring/a",
            "keyring/%41/b",
            "keyring/a/b/c",
            "keyring//b",
            "keyring/%e9/b",
            "keyring/a/%2",
            "a/b",
        ] {
            assert_eq!(Item::of_name(&EntryName::parse(name).unwrap()), None, "{name}");
        }
    }

    #[test]
    fn the_derived_name_wins_and_the_others_are_reported() {
        let by_hand = [(SERVICE, "s"), (USERNAME, "u")];
        let mut without = meta("without", &by_hand);
        without.fields = SmallMap::new();
        let all =
            [meta("a", &by_hand), meta("keyring/s/u", &[]), meta("z", &by_hand), without, meta("s", &[])];
        let found: Vec<_> = item("s", "u").entries(&all).iter().map(|meta| meta.name.as_str()).collect();
        assert_eq!(found, ["keyring/s/u", "a", "z"]);
        let duplicates = duplicates(&all);
        assert_eq!(duplicates.len(), 1);
        assert_eq!(duplicates[0].0, item("s", "u"));
        assert_eq!(duplicates[0].1[0].as_str(), "keyring/s/u");
    }

    #[test]
    fn what_is_no_item_is_named_by_its_label_and_attributes() {
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let name = desktop_name("git: h\u{fc}b", &of(&[("server", "a"), ("user", "b")]));
        assert!(name.as_str().starts_with("secret-service/git:%20h%C3%BCb~"), "{name:?}");
        assert_eq!(name.as_str().len(), "secret-service/git:%20h%C3%BCb~".len() + 16);
        assert_ne!(name, desktop_name("git: h\u{fc}b", &of(&[("server", "ab"), ("user", "")])));
        assert_ne!(name, desktop_name("git: h\u{fc}b", &of(&[("server", "auserb")])));
        let long = desktop_name(&"\u{fc}".repeat(300), &of(&[]));
        assert!(long.as_str().starts_with("secret-service/%~"), "{long:?}");
    }

    #[test]
    fn a_derived_name_counts_more_than_attributes() {
        let meta = meta("keyring/s/u", &[(SERVICE, "other"), (USERNAME, "u")]);
        assert_eq!(Item::of_entry(&meta), Some(item("s", "u")));
    }

    proptest::proptest! {
        #[test]
        fn every_pair_comes_back_from_its_name(service in "\\PC{0,40}", username in ".{0,40}") {
            let item = item(&service, &username);
            proptest::prop_assert_eq!(Item::of_name(&item.entry_name()), Some(item));
        }
    }
}
