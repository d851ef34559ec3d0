//! How Python's keyring is told of this program: its configuration, our opt-in beside it, and the module itself.

use std::path::{Path, PathBuf};

use vault_core::store::Existing;

use super::files;
use super::keyring::BACKEND;
use crate::failure::Failure;

/// When Python's keyring uses our backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Always: its configuration names it.
    Chosen,
    /// If there is no Secret Service: a priority below that one's.
    Fallback,
    /// Before all others, among others: a priority above Secret Service's.
    Preferred,
    /// Never.
    Off,
}

/// The files that say so.
pub(crate) struct Places {
    /// `keyringrc.cfg`.
    pub(crate) configuration: PathBuf,
    /// The configuration that was there before ours.
    pub(crate) before: PathBuf,
    /// Our opt-in: one word.
    pub(crate) opt_in: PathBuf,
    /// Where the module is put for every Python that has none installed.
    pub(crate) modules: PathBuf,
}

impl Places {
    /// Below the folders of XDG.
    pub(crate) fn below(config: &Path, data: &Path) -> Self {
        let configuration = config.join("python_keyring/keyringrc.cfg");
        Self {
            before: configuration.with_extension("cfg.before-vault"),
            configuration,
            opt_in: config.join("vault/python-keyring"),
            modules: data.join("vault/python"),
        }
    }

    /// What is the case now.
    ///
    /// # Errors
    /// As [`files::text`].
    pub(crate) fn choice(&self) -> Result<Choice, Failure> {
        if files::text(&self.configuration)?.is_some_and(|text| default_of(&text) == Some(BACKEND)) {
            return Ok(Choice::Chosen);
        }
        Ok(match files::text(&self.opt_in)?.as_deref().map(str::trim) {
            Some("fallback") => Choice::Fallback,
            Some("prefer") => Choice::Preferred,
            _ => Choice::Off,
        })
    }

    /// Makes it so. A configuration of somebody else is replaced only if `replace`; it is put aside, and comes back with
    /// [`Choice::Off`].
    ///
    /// # Errors
    /// [`Failure::DoorTaken`] if there is such a configuration; what [`files`] says.
    pub(crate) fn choose(&self, choice: Choice, replace: bool) -> Result<(), Failure> {
        let text = files::text(&self.configuration)?;
        let is_ours = text.as_deref().is_some_and(|text| text.starts_with(FIRST_LINE));
        if choice == Choice::Chosen {
            if let Some(text) = text.filter(|_| !is_ours) {
                if !replace {
                    return Err(Failure::DoorTaken(self.configuration.clone()));
                }
                files::write(&self.before, &text, Existing::Replace)?;
            }
            files::write(&self.modules.join(MODULE_FILE), MODULE, Existing::Replace)?;
            files::write(&self.configuration, &self.configuration_text(), Existing::Replace)?;
        } else if is_ours {
            match files::text(&self.before)? {
                Some(before) => files::write(&self.configuration, &before, Existing::Replace)?,
                None => drop(files::remove(&self.configuration)?),
            }
            files::remove(&self.before)?;
            files::remove(&self.modules.join(MODULE_FILE))?;
        }
        match choice {
            Choice::Fallback => files::write(&self.opt_in, "fallback\n", Existing::Replace),
            Choice::Preferred => files::write(&self.opt_in, "prefer\n", Existing::Replace),
            Choice::Chosen | Choice::Off => files::remove(&self.opt_in).map(drop),
        }
    }

    fn configuration_text(&self) -> String {
        let modules = self.modules.display();
        format!("{FIRST_LINE}\n[backend]\ndefault-keyring={BACKEND}\nkeyring-path={modules}\n")
    }
}

/// The backend that a `keyringrc.cfg` names.
pub(crate) fn default_of(configuration: &str) -> Option<&str> {
    let mut in_section = false;
    for line in configuration.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            in_section = section == "backend";
        } else if in_section
            && let Some((key, value)) = line.split_once(['=', ':'])
            && key.trim().eq_ignore_ascii_case("default-keyring")
        {
            return Some(value.trim());
        }
    }
    None
}

const FIRST_LINE: &str = "# Written by \"vault door python --enable\". To undo: vault door python --disable";
/// The backend itself, so that it works in every virtual environment that has keyring, whether or not ours is installed.
const MODULE: &str = include_str!("../../../python/vault_keyring/__init__.py");
const MODULE_FILE: &str = "vault_keyring.py";

#[cfg(test)]
mod tests {
    use super::*;

    fn places(folder: &Path) -> Places {
        Places::below(&folder.join("config"), &folder.join("data"))
    }

    #[test]
    fn every_choice_is_made_and_undone() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        assert_eq!(places.choice().ok(), Some(Choice::Off));
        for choice in [Choice::Chosen, Choice::Fallback, Choice::Preferred, Choice::Chosen, Choice::Off] {
            places.choose(choice, false).ok().unwrap();
            assert_eq!(places.choice().ok(), Some(choice));
        }
        assert!(!places.configuration.exists() && !places.opt_in.exists());
        assert!(!places.modules.join(MODULE_FILE).exists());
    }

    #[test]
    fn somebody_else_s_configuration_is_kept_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let text = "[backend]\ndefault-keyring = keyring.backends.null.Keyring\n";
        files::write(&places.configuration, text, Existing::Keep).ok().unwrap();
        assert!(matches!(places.choose(Choice::Chosen, false), Err(Failure::DoorTaken(_))));
        places.choose(Choice::Fallback, false).ok().unwrap();
        assert_eq!(files::text(&places.configuration).ok().unwrap().as_deref(), Some(text));
        places.choose(Choice::Chosen, true).ok().unwrap();
        places.choose(Choice::Chosen, true).ok().unwrap();
        assert_eq!(places.choice().ok(), Some(Choice::Chosen));
        places.choose(Choice::Off, false).ok().unwrap();
        assert_eq!(files::text(&places.configuration).ok().unwrap().as_deref(), Some(text));
        assert!(!places.before.exists());
    }

    #[test]
    fn a_configuration_is_read_as_python_does() {
        for (text, backend) in [
            ("[backend]\ndefault-keyring=a.B", Some("a.B")),
            ("# x\n[other]\ndefault-keyring=a.B\n[backend]\nDefault-Keyring : c.D \n", Some("c.D")),
            ("default-keyring=a.B", None),
            ("[backend]\n# default-keyring=a.B", None),
        ] {
            assert_eq!(default_of(text), backend, "{text}");
        }
    }
}
