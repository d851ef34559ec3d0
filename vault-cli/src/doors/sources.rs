//! Keyrings that passwords are moved from: read as a whole, and emptied item by item on request.

mod desktop;
mod python;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use vault_core::format::entry::{EntryName, NameError, check_field_name};
use vault_core::format::limits;
use vault_core::item::{Item, SERVICE, USERNAME, desktop_name};
use vault_core::secret::Secret;

use crate::failure::SourceFailure;

pub(crate) use desktop::Desktop;
pub(crate) use python::Python;

/// A keyring that gives away what it holds.
pub(crate) trait Source {
    /// What it is, for people.
    fn name(&self) -> &'static str;

    /// All items, or only these of a service and a user.
    ///
    /// # Errors
    /// [`SourceFailure`]. Nothing is given if anything is locked.
    fn read(
        &mut self,
        only: &[(String, String)],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Contents, SourceFailure>;

    /// Removes items that still hold what was read. Gives for each why it is still there, if it is; fewer answers than items
    /// if the keyring falls silent.
    ///
    /// # Errors
    /// [`SourceFailure`] if nothing was removed.
    fn remove(&mut self, items: Vec<(String, Secret)>) -> Result<Vec<Result<(), String>>, SourceFailure>;
}

/// What a keyring holds.
#[derive(Default)]
pub(crate) struct Contents {
    /// What can be moved.
    pub(crate) items: Vec<Foreign>,
    /// What was seen or asked for, and cannot.
    pub(crate) left: Vec<Left>,
    /// Whether users' names may have lost their capitals.
    pub(crate) without_capitals: bool,
}

/// An item of a keyring.
pub(crate) struct Foreign {
    /// What its keyring knows it by.
    pub(crate) handle: String,
    /// Which of a vault's items it becomes; an entry by its attributes only if none.
    pub(crate) item: Option<Item>,
    /// The entry that it becomes if there is none yet.
    pub(crate) name: EntryName,
    /// Every attribute.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The password.
    pub(crate) secret: Secret,
}

/// Something that is not moved.
pub(crate) struct Left {
    /// What it is, for people: a label, or service and user.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}

impl Contents {
    /// Takes an item, or says why a vault cannot keep it.
    fn take(&mut self, handle: String, label: &str, attributes: BTreeMap<String, String>, secret: Secret) {
        match named(label, &attributes) {
            Ok((item, name)) => self.items.push(Foreign { handle, item, name, attributes, secret }),
            Err(why) => self.left.push(Left { what: shown(label, &attributes), why }),
        }
    }

    /// Leaves something where it is.
    fn leave(&mut self, what: String, why: impl Into<String>) {
        self.left.push(Left { what, why: why.into() });
    }
}

impl Foreign {
    /// What it is, for people.
    pub(crate) fn shown(&self) -> String {
        match &self.item {
            Some(item) => pair(item.service(), item.username()),
            None => self.name.as_str().to_owned(),
        }
    }
}

/// Which item a keyring's attributes make, and the name of its entry.
fn named(label: &str, attributes: &BTreeMap<String, String>) -> Result<(Option<Item>, EntryName), String> {
    for (name, value) in attributes {
        match check_field_name(name) {
            Ok(()) => {}
            Err(NameError::TooLong) => return Err("an attribute's name is too long".to_owned()),
            Err(_) => return Err("an attribute has a name that cannot be kept".to_owned()),
        }
        if value.len() > limits::ATTRIBUTE {
            return Err(format!("an attribute has more than {} bytes", limits::ATTRIBUTE));
        }
    }
    if attributes.len() > limits::ATTRIBUTES {
        return Err(format!("it has more than {} attributes", limits::ATTRIBUTES));
    }
    match (attributes.get(SERVICE), attributes.get(USERNAME)) {
        (Some(service), Some(username)) => {
            let item = Item::new(service, username).map_err(|error| error.to_string())?;
            let name = item.entry_name();
            Ok((Some(item), name))
        }
        _ => Ok((None, desktop_name(label, attributes))),
    }
}

fn shown(label: &str, attributes: &BTreeMap<String, String>) -> String {
    match (attributes.get(SERVICE), attributes.get(USERNAME)) {
        (Some(service), Some(username)) => pair(service, username),
        _ => label.to_owned(),
    }
}

/// A service and a user, for people.
fn pair(service: &str, username: &str) -> String {
    format!("{service} {username}")
}

/// Where Python's keyrings are, and how they are opened.
pub(crate) struct PythonPlace {
    /// Which of them: a word of our script.
    pub(crate) kind: &'static str,
    /// The Python that has them.
    pub(crate) program: OsString,
    /// The keyring's file, if it is not where it is by default.
    pub(crate) file: Option<PathBuf>,
    /// The passphrase of the keyring.
    pub(crate) passphrase: Option<Secret>,
    /// Whether a person may be asked for it.
    pub(crate) may_ask: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(label: &str, attributes: &[(&str, &str)]) -> Contents {
        let mut contents = Contents::default();
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        contents.take(String::new(), label, attributes, Secret::new(Vec::new()));
        contents
    }

    #[test]
    fn a_service_and_a_user_make_an_item_and_anything_else_an_entry() {
        let pair = contents("l", &[("service", "s"), ("username", "u"), ("application", "a")]);
        assert_eq!(pair.items[0].name.as_str(), "keyring/s/u");
        assert_eq!(pair.items[0].shown(), "s u");
        let other = contents("git", &[("server", "s"), ("user", "u")]);
        assert!(other.items[0].item.is_none());
        assert!(other.items[0].name.as_str().starts_with("secret-service/git~"));
    }

    #[test]
    fn what_a_vault_cannot_keep_is_left_with_a_reason() {
        for (attributes, why) in [
            (vec![("", "v")], "name"),
            (vec![("a\0b", "v")], "name"),
            (vec![("service", "s"), ("username", &"u".repeat(8_193))], "bytes"),
        ] {
            let contents = contents("l", &attributes);
            assert!(contents.items.is_empty());
            assert!(contents.left[0].why.contains(why), "{}", contents.left[0].why);
        }
    }
}
