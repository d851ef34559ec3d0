//! What to unlock with, and in which order. docs/unlocking.md has the table.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use vault_core::secret::{Passphrase, Secret};

use super::{Config, Environment, SECRET_VARIABLES};

/// The unlock options that were typed.
#[derive(Debug, Default, Clone)]
pub(crate) struct UnlockOptions {
    /// `--passphrase-file`; `-` is standard input.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// `--passphrase-fd`.
    pub(crate) passphrase_fd: Option<u32>,
    /// `--identity`.
    pub(crate) identities: Vec<PathBuf>,
    /// `--machine-key-file`.
    pub(crate) machine_key_file: Option<PathBuf>,
    /// `--recovery-code-file`; `-` is standard input.
    pub(crate) recovery_code_file: Option<PathBuf>,
    /// `--run-secret`.
    pub(crate) run_secrets: Vec<RunSecret>,
}

/// What a file holds that is named by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A passphrase.
    Passphrase,
    /// age identities.
    Identity,
    /// A machine key.
    MachineKey,
    /// A recovery code.
    RecoveryCode,
}

/// A file of `/run/secrets`, where container engines put secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunSecret {
    kind: SourceKind,
    path: PathBuf,
}

impl RunSecret {
    /// `NAME` if it is one that says what it holds; else `KIND=NAME`.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('=') {
            Some((kind, name)) => (KINDS.iter().find(|known| known.0 == kind), name),
            None => (KINDS.iter().find(|known| known.1 == text), text),
        };
        let Some((_, _, kind)) = kind else {
            let kinds: Vec<&str> = KINDS.iter().map(|known| known.0).collect();
            return Err(format!("write KIND=NAME, where KIND is {}", kinds.join(", ")));
        };
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err("the name is that of a file in /run/secrets".to_owned());
        }
        Ok(Self { kind: *kind, path: Path::new(RUN_SECRETS).join(name) })
    }
}

/// The files that systemd may have put into its folder for a service.
pub(super) fn credentials(folder: &Path) -> Vec<(SourceKind, PathBuf)> {
    KINDS.iter().map(|(_, name, kind)| (*kind, folder.join(name))).collect()
}

impl UnlockOptions {
    /// Nothing was typed.
    pub(crate) fn is_empty(&self) -> bool {
        typed(self).is_empty() && self.run_secrets.is_empty()
    }
}

/// Something that may open a slot, and what named it.
pub(crate) struct UnlockSource<'a> {
    /// What it is.
    pub(crate) what: Unlocker<'a>,
    /// The option or variable, as the user knows it.
    pub(crate) named_by: &'static str,
}

/// Something that may open a slot.
pub(crate) enum Unlocker<'a> {
    /// A passphrase in a file; `-` is standard input.
    PassphraseFile(&'a Path),
    /// A passphrase from an inherited descriptor.
    PassphraseDescriptor(u32),
    /// A passphrase.
    Passphrase(&'a Passphrase),
    /// A file of age identities.
    IdentityFile(&'a Path),
    /// age identities, a line each.
    Identities(&'a Secret),
    /// A machine key in a file.
    MachineKeyFile(&'a Path),
    /// A machine key.
    MachineKey(&'a Secret),
    /// A recovery code in a file; `-` is standard input.
    RecoveryCodeFile(&'a Path),
    /// What this askpass program answers.
    Askpass(&'a OsStr),
    /// What this pinentry program answers.
    Pinentry(&'a OsStr),
    /// A passphrase to be asked for.
    Terminal,
}

impl Unlocker<'_> {
    /// Whether somebody has to be asked.
    pub(crate) fn asks(&self) -> bool {
        matches!(self, Self::Askpass(_) | Self::Pinentry(_) | Self::Terminal)
    }
}

/// What to unlock with: all that the first level names that names anything. What is named must work: there is no going on to
/// the next level. At the end somebody is asked.
pub(crate) fn unlock_sources<'a>(
    options: &'a UnlockOptions,
    environment: &'a Environment,
    config: &'a Config,
) -> Vec<UnlockSource<'a>> {
    let levels: [&dyn Fn() -> Vec<UnlockSource<'a>>; 5] = [
        &|| typed(options),
        &|| named_files(environment),
        &|| system_credentials(environment),
        &|| config.run_secrets.iter().map(|secret| file(secret.kind, &secret.path, "run-secrets")).collect(),
        &|| held(environment),
    ];
    let named = levels.iter().map(|level| level()).find(|level| !level.is_empty());
    named.unwrap_or_else(|| vec![person(environment)])
}

/// Who is asked: a program that was chosen for it, or whoever is at the terminal.
fn person(environment: &Environment) -> UnlockSource<'_> {
    let (what, named_by) = match (&environment.askpass, &environment.pinentry) {
        (Some(program), _) => (Unlocker::Askpass(program), "VAULT_ASKPASS"),
        (None, Some(program)) => (Unlocker::Pinentry(program), "VAULT_PINENTRY"),
        (None, None) => (Unlocker::Terminal, "the terminal"),
    };
    UnlockSource { what, named_by }
}

/// Files of this kind; what is there and cannot be read is an error later.
fn system_credentials(environment: &Environment) -> Vec<UnlockSource<'_>> {
    let is_there = |path: &PathBuf| match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => {
            !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        }
    };
    let there = environment.credentials.iter().filter(|(_, path)| is_there(path));
    there.map(|(kind, path)| file(*kind, path, "CREDENTIALS_DIRECTORY")).collect()
}

fn file<'a>(kind: SourceKind, path: &'a Path, named_by: &'static str) -> UnlockSource<'a> {
    let what = match kind {
        SourceKind::Passphrase => Unlocker::PassphraseFile(path),
        SourceKind::Identity => Unlocker::IdentityFile(path),
        SourceKind::MachineKey => Unlocker::MachineKeyFile(path),
        SourceKind::RecoveryCode => Unlocker::RecoveryCodeFile(path),
    };
    UnlockSource { what, named_by }
}

/// The files among these sources.
pub(crate) fn unlock_files(
    options: &UnlockOptions,
    environment: &Environment,
    config: &Config,
) -> Vec<PathBuf> {
    let sources = unlock_sources(options, environment, config).into_iter();
    let files = sources.filter_map(|source| match source.what {
        Unlocker::PassphraseFile(file)
        | Unlocker::IdentityFile(file)
        | Unlocker::MachineKeyFile(file)
        | Unlocker::RecoveryCodeFile(file) => Some(file.to_owned()),
        _ => None,
    });
    files.collect()
}

fn typed(options: &UnlockOptions) -> Vec<UnlockSource<'_>> {
    let mut sources = Vec::new();
    let mut add = |what, named_by| sources.push(UnlockSource { what, named_by });
    for path in &options.identities {
        add(Unlocker::IdentityFile(path), "--identity");
    }
    if let Some(path) = &options.machine_key_file {
        add(Unlocker::MachineKeyFile(path), "--machine-key-file");
    }
    if let Some(path) = &options.passphrase_file {
        add(Unlocker::PassphraseFile(path), "--passphrase-file");
    }
    if let Some(number) = options.passphrase_fd {
        add(Unlocker::PassphraseDescriptor(number), "--passphrase-fd");
    }
    if let Some(path) = &options.recovery_code_file {
        add(Unlocker::RecoveryCodeFile(path), "--recovery-code-file");
    }
    for secret in &options.run_secrets {
        sources.push(file(secret.kind, &secret.path, "--run-secret"));
    }
    sources
}

fn named_files(environment: &Environment) -> Vec<UnlockSource<'_>> {
    let mut sources = Vec::new();
    let mut add = |what, named_by| sources.push(UnlockSource { what, named_by });
    if let Some(path) = &environment.identity_file {
        add(Unlocker::IdentityFile(path), "VAULT_IDENTITY_FILE");
    }
    if let Some(path) = &environment.machine_key_file {
        add(Unlocker::MachineKeyFile(path), "VAULT_MACHINE_KEY_FILE");
    }
    if let Some(path) = &environment.passphrase_file {
        add(Unlocker::PassphraseFile(path), "VAULT_PASSPHRASE_FILE");
    }
    if let Some(path) = &environment.recovery_code_file {
        add(Unlocker::RecoveryCodeFile(path), "VAULT_RECOVERY_CODE_FILE");
    }
    sources
}

fn held(environment: &Environment) -> Vec<UnlockSource<'_>> {
    let mut sources = Vec::new();
    let mut add = |what, named_by| sources.push(UnlockSource { what, named_by });
    if let Some(identity) = &environment.identity {
        add(Unlocker::Identities(identity), SECRET_VARIABLES[1]);
    }
    if let Some(key) = &environment.machine_key {
        add(Unlocker::MachineKey(key), SECRET_VARIABLES[2]);
    }
    if let Some(passphrase) = &environment.passphrase {
        add(Unlocker::Passphrase(passphrase), SECRET_VARIABLES[0]);
    }
    sources
}

/// What each kind is called in `KIND=NAME`, and the file's name that says it.
const KINDS: [(&str, &str, SourceKind); 4] = [
    ("passphrase", "vault-passphrase", SourceKind::Passphrase),
    ("identity", "vault-identity", SourceKind::Identity),
    ("machine-key", "vault-machine-key", SourceKind::MachineKey),
    ("recovery-code", "vault-recovery-code", SourceKind::RecoveryCode),
];
/// Where Docker, Podman and Kubernetes put secrets.
const RUN_SECRETS: &str = "/run/secrets";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::from(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        })
    }

    fn named(options: &UnlockOptions, variables: &[(&str, &str)], config: &Config) -> Vec<&'static str> {
        unlock_sources(options, &environment(variables), config)
            .iter()
            .map(|source| source.named_by)
            .collect()
    }

    #[test]
    fn a_higher_level_hides_the_lower_ones() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vault-machine-key"), "").unwrap();
        fs::write(folder.path().join("vault-passphrase"), "").unwrap();
        let all = [
            ("VAULT_PASSPHRASE_FILE", "/p"),
            ("VAULT_PASSPHRASE", "p"),
            ("VAULT_IDENTITY_FILE", "/i"),
            ("VAULT_IDENTITY", "i"),
            ("VAULT_MACHINE_KEY_FILE", "/m"),
            ("VAULT_MACHINE_KEY", "m"),
            ("VAULT_RECOVERY_CODE_FILE", "/r"),
            ("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap()),
            ("VAULT_ASKPASS", "/a"),
            ("VAULT_PINENTRY", "/b"),
        ];
        let config =
            Config { run_secrets: vec![RunSecret::parse("identity=i").unwrap()], ..Config::default() };
        let options = UnlockOptions {
            passphrase_file: Some("-".into()),
            passphrase_fd: Some(3),
            identities: vec!["/a".into(), "/b".into()],
            machine_key_file: Some("/m".into()),
            recovery_code_file: Some("/r".into()),
            run_secrets: vec![RunSecret::parse("vault-passphrase").unwrap()],
        };
        let every = [
            "--identity",
            "--identity",
            "--machine-key-file",
            "--passphrase-file",
            "--passphrase-fd",
            "--recovery-code-file",
            "--run-secret",
        ];
        assert_eq!(named(&options, &all, &config), every);
        let none = UnlockOptions::default();
        let files = [
            "VAULT_IDENTITY_FILE",
            "VAULT_MACHINE_KEY_FILE",
            "VAULT_PASSPHRASE_FILE",
            "VAULT_RECOVERY_CODE_FILE",
        ];
        assert_eq!(named(&none, &all, &config), files);
        // An empty variable counts as none.
        let mut rest = all;
        for at in [0, 2, 4, 6] {
            rest[at].1 = "";
        }
        assert_eq!(named(&none, &rest, &config), ["CREDENTIALS_DIRECTORY", "CREDENTIALS_DIRECTORY"]);
        rest[7].1 = "/nonexistent";
        assert_eq!(named(&none, &rest, &config), ["run-secrets"]);
        let config = Config::default();
        assert_eq!(named(&none, &rest, &config), ["VAULT_IDENTITY", "VAULT_MACHINE_KEY", "VAULT_PASSPHRASE"]);
        for at in [1, 3, 5] {
            rest[at].1 = "";
        }
        assert_eq!(named(&none, &rest, &config), ["VAULT_ASKPASS"]);
        rest[8].1 = "";
        assert_eq!(named(&none, &rest, &config), ["VAULT_PINENTRY"]);
        rest[9].1 = "";
        assert_eq!(named(&none, &rest, &config), ["the terminal"]);
    }

    #[test]
    fn a_run_secret_says_what_it_holds_and_stays_in_its_folder() {
        let secret = |text| RunSecret::parse(text).unwrap();
        assert_eq!(
            secret("vault-machine-key"),
            RunSecret { kind: SourceKind::MachineKey, path: "/run/secrets/vault-machine-key".into() }
        );
        assert_eq!(secret("recovery-code=x").kind, SourceKind::RecoveryCode);
        assert_eq!(secret("passphrase=a=b").path, Path::new("/run/secrets/a=b"));
        for wrong in ["", "db", "key=x", "passphrase=", "passphrase=../x", "passphrase=a/b", "passphrase=.."]
        {
            assert!(RunSecret::parse(wrong).is_err(), "{wrong}");
        }
    }
}
