//! The config file: small, optional, without secrets. Every key stands in one table, from which its help is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::RunSecret;

/// What the config file says; without a file, the defaults.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// `require-pin`
    pub(crate) require_pin: bool,
    /// `run-secrets`
    pub(crate) run_secrets: Vec<RunSecret>,
}

/// Why the config file cannot be used.
#[derive(Debug)]
pub(crate) enum ConfigProblem {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is no TOML; the line, if known.
    Syntax(Option<usize>),
    /// There is no such key.
    UnknownKey(String),
    /// The key's value is of another type.
    Value {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// A config file that cannot be used.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// The file.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) problem: ConfigProblem,
}

impl Config {
    /// What the file says; a missing one says nothing.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let failed = |problem| ConfigError { path: path.to_owned(), problem };
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(failed),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Self::default())
            }
            Err(error) => Err(failed(ConfigProblem::Unreadable(error))),
        }
    }

    fn parse(text: &str) -> Result<Self, ConfigProblem> {
        let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let table = DeTable::parse(text)
            .map_err(|error| ConfigProblem::Syntax(error.span().map(|span| line(span.start))))?;
        let mut config = Self::default();
        for (name, value) in table.get_ref() {
            let name: &str = name.get_ref();
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                return Err(ConfigProblem::UnknownKey(name.to_owned()));
            };
            let expected = key.expected;
            (key.set)(&mut config, value.get_ref())
                .ok_or(ConfigProblem::Value { key: key.name, expected })?;
        }
        Ok(config)
    }
}

/// A key of the config file.
struct ConfigKey {
    name: &'static str,
    expected: &'static str,
    meaning: &'static str,
    set: fn(&mut Config, &DeValue<'_>) -> Option<()>,
}

/// To add a key: a field of [`Config`], and a line here.
const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "require-pin",
        expected: "true or false",
        meaning: "fail when this machine cannot remember the vault (no state folder, or a read-only one) and neither \
                  VAULT_ID nor a machine key names it; by default that is a warning before a change",
        set: |config, value| boolean(value).map(|value| config.require_pin = value),
    },
    ConfigKey {
        name: "run-secrets",
        expected: "a list of NAME or KIND=NAME",
        meaning: "files of /run/secrets to unlock with, as --run-secret takes them",
        set: |config, value| {
            let secrets =
                texts(value)?.iter().map(|text| RunSecret::parse(text).ok()).collect::<Option<_>>()?;
            config.run_secrets = secrets;
            Some(())
        },
    },
];

fn boolean(value: &DeValue<'_>) -> Option<bool> {
    if let DeValue::Boolean(value) = value { Some(*value) } else { None }
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let DeValue::Array(values) = value else { return None };
    let text = |value: &DeValue<'_>| {
        if let DeValue::String(text) = value { Some(text.as_ref().to_owned()) } else { None }
    };
    values.iter().map(|value| text(value.get_ref())).collect()
}

/// What `vault help config` says.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "The config file is $XDG_CONFIG_HOME/vault/config.toml, by default ~/.config/vault/config.toml. It is optional,\n\
         holds no secrets, and an option or a variable goes before it. An unknown key is an error.\n\n",
    );
    for ConfigKey { name, expected, meaning, .. } in KEYS {
        text.push_str(&format!("  {name} = {expected}\n      {meaning}\n"));
    }
    text.push_str("\nExample:\n  require-pin = true\n  run-secrets = [\"vault-passphrase\"]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_says_and_a_missing_one_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(Config::read(None).unwrap(), Config::default());
        assert_eq!(Config::read(Some(&path)).unwrap(), Config::default());
        fs::write(
            &path,
            "# mine\nrequire-pin = true\nrun-secrets = [\"vault-identity\", \"passphrase=b\"]\n",
        )
        .unwrap();
        let config = Config::read(Some(&path)).unwrap();
        let run_secrets =
            ["vault-identity", "passphrase=b"].map(|text| RunSecret::parse(text).unwrap()).to_vec();
        assert_eq!(config, Config { require_pin: true, run_secrets });
        assert!(matches!(
            Config::read(Some(folder.path())).unwrap_err().problem,
            ConfigProblem::Unreadable(_)
        ));
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_it() {
        let problem = |text| Config::parse(text).unwrap_err();
        assert!(
            matches!(problem("require-pins = true"), ConfigProblem::UnknownKey(key) if key == "require-pins")
        );
        assert!(matches!(problem("[agent]\nlease = 1"), ConfigProblem::UnknownKey(key) if key == "agent"));
        assert!(matches!(problem("require-pin = 1"), ConfigProblem::Value { key: "require-pin", .. }));
        assert!(matches!(problem("run-secrets = [1]"), ConfigProblem::Value { key: "run-secrets", .. }));
        assert!(matches!(problem("run-secrets = [\"x\"]"), ConfigProblem::Value { key: "run-secrets", .. }));
        assert!(matches!(problem("\n\nrequire-pin true"), ConfigProblem::Syntax(Some(3))));
    }

    #[test]
    fn the_help_has_every_key() {
        let text = help();
        for key in KEYS {
            assert!(text.contains(&format!("  {} = ", key.name)), "{}", key.name);
        }
    }
}
