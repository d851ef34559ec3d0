//! What was typed means here: which vault, which way to unlock it, who is at work. The environment is read once, here.

#![expect(clippy::disallowed_methods, reason = "the environment is read here, once")]

pub(crate) mod attributes;
mod branch;
pub(crate) mod config;
pub(crate) mod pam;
mod sources;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub(crate) use vault_core::keys::SECRET_VARIABLES;
use vault_core::keys::VaultId;
use vault_core::secret::{Passphrase, Secret};

pub(crate) use branch::Branch;
pub(crate) use config::{Config, ConfigError, ConfigProblem};
pub(crate) use sources::{
    RunSecret, SourceKind, UnlockOptions, UnlockSource, Unlocker, unlock_files, unlock_sources,
};

/// The environment's variables that mean something to this program. An empty variable counts as unset.
#[derive(Default)]
pub(crate) struct Environment {
    file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    passphrase: Option<Passphrase>,
    identity_file: Option<PathBuf>,
    identity: Option<Secret>,
    machine_key_file: Option<PathBuf>,
    machine_key: Option<Secret>,
    recovery_code_file: Option<PathBuf>,
    credentials: Vec<(SourceKind, PathBuf)>,
    askpass: Option<OsString>,
    pinentry: Option<OsString>,
    display: bool,
    terminal_type: Option<String>,
    author: Option<String>,
    user: Option<String>,
    home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    state_home: Option<PathBuf>,
    config_home: Option<PathBuf>,
    vault_id: Option<String>,
    config_root: Option<PathBuf>,
    search_path: Option<OsString>,
    keyring_backend: Option<String>,
    runtime_folder: Option<PathBuf>,
    bus_address: Option<String>,
    agent_socket: Option<PathBuf>,
    /// For which process sockets are, and how many.
    passed_sockets: Option<(u32, u32)>,
    shell_folder: Option<PathBuf>,
    editor: Option<OsString>,
    empty: Option<&'static str>,
}

impl Environment {
    /// The process's environment.
    pub(crate) fn of_process() -> Self {
        Self::from(|name| std::env::var_os(name))
    }

    /// An environment in which `lookup` knows the variables.
    pub(crate) fn from(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let bytes = |name: &str| variable(name).map(OsString::into_encoded_bytes);
        Self {
            file: path("VAULT_FILE"),
            passphrase_file: path("VAULT_PASSPHRASE_FILE"),
            passphrase: bytes(SECRET_VARIABLES[0]).map(Passphrase::new),
            identity_file: path("VAULT_IDENTITY_FILE"),
            identity: bytes(SECRET_VARIABLES[1]).map(Secret::new),
            machine_key_file: path("VAULT_MACHINE_KEY_FILE"),
            machine_key: bytes(SECRET_VARIABLES[2]).map(Secret::new),
            recovery_code_file: path("VAULT_RECOVERY_CODE_FILE"),
            credentials: path("CREDENTIALS_DIRECTORY")
                .map(|folder| sources::credentials(&folder))
                .unwrap_or_default(),
            askpass: variable("VAULT_ASKPASS"),
            pinentry: variable("VAULT_PINENTRY"),
            display: variable("DISPLAY").or_else(|| variable("WAYLAND_DISPLAY")).is_some(),
            terminal_type: text("TERM"),
            author: text("VAULT_AUTHOR"),
            user: text("USER").or_else(|| text("LOGNAME")),
            home: path("HOME"),
            data_home: path("XDG_DATA_HOME").filter(|path| path.is_absolute()),
            state_home: path("XDG_STATE_HOME").filter(|path| path.is_absolute()),
            config_home: path("XDG_CONFIG_HOME").filter(|path| path.is_absolute()),
            vault_id: text("VAULT_ID"),
            config_root: path("XDG_CONFIG_HOME"),
            search_path: variable("PATH"),
            keyring_backend: text("PYTHON_KEYRING_BACKEND"),
            runtime_folder: path("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()),
            bus_address: text("DBUS_SESSION_BUS_ADDRESS"),
            agent_socket: path("VAULT_AGENT_SOCK"),
            passed_sockets: text("LISTEN_PID")
                .zip(text("LISTEN_FDS"))
                .and_then(|(process, count)| Some((process.parse().ok()?, count.parse().ok()?))),
            shell_folder: path("PWD").filter(|path| path.is_absolute()),
            empty: UNLOCKING_VARIABLES
                .into_iter()
                .find(|name| lookup(name).is_some_and(|value| value.is_empty())),
            editor: variable("VISUAL").or_else(|| variable("EDITOR")),
        }
    }

    /// A variable that would unlock, but is set to nothing.
    pub(crate) fn empty_variable(&self) -> Option<&'static str> {
        self.empty
    }

    /// A variable that should name a file and holds a key itself.
    pub(crate) fn key_as_path(&self) -> Option<&'static str> {
        let paths = [
            ("VAULT_FILE", &self.file),
            ("VAULT_PASSPHRASE_FILE", &self.passphrase_file),
            ("VAULT_IDENTITY_FILE", &self.identity_file),
            ("VAULT_MACHINE_KEY_FILE", &self.machine_key_file),
            ("VAULT_RECOVERY_CODE_FILE", &self.recovery_code_file),
        ];
        let holds = |path: &PathBuf| holds_key(path.as_os_str());
        paths.into_iter().find(|(_, path)| path.as_ref().is_some_and(holds)).map(|(name, _)| name)
    }

    /// Where this machine keeps what it remembers.
    pub(crate) fn state_folder(&self) -> Option<StateFolder> {
        match (&self.state_home, &self.home) {
            (Some(state), _) => {
                Some(StateFolder { base: state.parent()?.to_owned(), path: state.join("vault") })
            }
            (None, Some(home)) => {
                Some(StateFolder { base: home.clone(), path: home.join(".local/state/vault") })
            }
            (None, None) => None,
        }
    }

    /// Where the config file is, if there is one.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        let folder = match (&self.config_home, &self.home) {
            (Some(config), _) => config.clone(),
            (None, Some(home)) => home.join(".config"),
            (None, None) => return None,
        };
        Some(folder.join("vault/config.toml"))
    }

    /// The vaults that `VAULT_ID` names, separated by commas.
    pub(crate) fn vault_id(&self) -> Option<&str> {
        self.vault_id.as_deref()
    }

    /// The editor that the user prefers.
    pub(crate) fn editor(&self) -> Option<&OsString> {
        self.editor.as_ref()
    }

    /// Whether there is a screen on which a program could open a window.
    pub(crate) fn has_display(&self) -> bool {
        self.display
    }

    /// What the terminal is called.
    pub(crate) fn terminal_type(&self) -> Option<&str> {
        self.terminal_type.as_deref()
    }

    /// The user's home.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Where the user's configuration is, as Python's keyring has it, too.
    pub(crate) fn config_folder(&self) -> Option<PathBuf> {
        self.config_root.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))
    }

    /// Where the user's data is.
    pub(crate) fn data_folder(&self) -> Option<PathBuf> {
        self.data_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/share")))
    }

    /// The folders in which programs are looked for.
    pub(crate) fn search_path(&self) -> Option<&OsString> {
        self.search_path.as_ref()
    }

    /// The backend that Python's keyring was told to use.
    pub(crate) fn keyring_backend(&self) -> Option<&str> {
        self.keyring_backend.as_deref()
    }

    /// The user's folder for what must not outlive the session.
    pub(crate) fn runtime_folder(&self) -> Option<&Path> {
        self.runtime_folder.as_deref()
    }

    /// The address of the session's bus.
    pub(crate) fn bus_address(&self) -> Option<&str> {
        self.bus_address.as_deref()
    }

    /// The folders in which this program keeps files for the user, whether they are there or not.
    pub(crate) fn own_folders(&self) -> Vec<PathBuf> {
        let beside = |below: &str| self.home.as_ref().map(|home| home.join(below).join("vault"));
        let places = [
            (&self.data_home, ".local/share"),
            (&self.config_home, ".config"),
            (&self.state_home, ".local/state"),
        ];
        let folder = |(named, usual): (&Option<PathBuf>, &str)| {
            named.as_ref().map(|folder| folder.join("vault")).or_else(|| beside(usual))
        };
        places.into_iter().filter_map(folder).collect()
    }

    /// Where the shell says that it is: a claim.
    pub(crate) fn shell_folder(&self) -> Option<&PathBuf> {
        self.shell_folder.as_ref()
    }

    /// The agent's socket, if it was named.
    pub(crate) fn agent_socket(&self) -> Option<&Path> {
        self.agent_socket.as_deref()
    }

    /// How many sockets a supervisor passed to this process, if it did: sd_listen_fds(3).
    pub(crate) fn passed_sockets(&self) -> Option<u32> {
        self.passed_sockets.filter(|(process, _)| *process == std::process::id()).map(|(_, count)| count)
    }

    /// The name under which changes are logged: a claim, which nothing depends on.
    pub(crate) fn author(&self) -> String {
        let author = self.author.clone().unwrap_or_else(|| {
            let user = self.user.clone().unwrap_or_else(|| format!("uid{}", crate::sys::host::user_number()));
            format!("{user}@{}", crate::sys::host::name())
        });
        let mut end = author.len().min(MAX_AUTHOR);
        while !author.is_char_boundary(end) {
            end -= 1;
        }
        author[..end].to_owned()
    }
}

/// A folder for what this machine remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateFolder {
    /// It has to exist; what is missing below it is made.
    pub(crate) base: PathBuf,
    /// The folder.
    pub(crate) path: PathBuf,
}

/// The vaults that an option or variable names: `uuid:commitment`, separated by commas.
///
/// # Errors
/// The part that is none.
pub(crate) fn vault_ids(text: &str) -> Result<Vec<VaultId>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let ids: Vec<VaultId> =
        parts.map(|part| VaultId::parse(part).map_err(|_| part.to_owned())).collect::<Result<_, _>>()?;
    if ids.is_empty() { Err(text.to_owned()) } else { Ok(ids) }
}

const UNLOCKING_VARIABLES: [&str; 7] = [
    "VAULT_PASSPHRASE_FILE",
    "VAULT_IDENTITY_FILE",
    "VAULT_MACHINE_KEY_FILE",
    "VAULT_RECOVERY_CODE_FILE",
    SECRET_VARIABLES[0],
    SECRET_VARIABLES[1],
    SECRET_VARIABLES[2],
];

/// Whether an argument or a path is, or holds, the text of a secret key.
pub(crate) fn holds_key(text: &OsStr) -> bool {
    let text = text.to_string_lossy().to_ascii_lowercase();
    let machine = |rest: &str| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).starts_with(':');
    text.contains("age-secret-key-") || text.split("vault-machine-key-").skip(1).any(machine)
}

/// Where the vault is, and why there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// The vault's file.
    pub(crate) path: PathBuf,
    /// What named it.
    pub(crate) reason: Reason,
}

/// What named the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// `--file`.
    Option,
    /// `VAULT_FILE`.
    Variable,
    /// It is the nearest one upwards from the current folder.
    Nearest,
    /// There is no nearer one: the user's own.
    User,
}

impl Reason {
    /// As `status` shows it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Option => "--file",
            Self::Variable => "VAULT_FILE",
            Self::Nearest => "nearest secrets.vault upwards from here",
            Self::User => "your own vault: no secrets.vault upwards from here",
        }
    }
}

/// Why there is no answer to "which vault".
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ContextError {
    /// Neither HOME nor XDG_DATA_HOME is set, so there is no place for the user's own vault.
    NoHome,
}

/// The vault to use: `--file`, `VAULT_FILE`, the nearest `secrets.vault` upwards, the user's own.
///
/// # Errors
/// [`ContextError::NoHome`] if it comes to the last and there is no home.
pub(crate) fn vault(
    option: Option<&Path>,
    environment: &Environment,
    folder: &Path,
) -> Result<Location, ContextError> {
    let found = |path: PathBuf, reason| Ok(Location { path, reason });
    if let Some(path) = option {
        return found(folder.join(path), Reason::Option);
    }
    if let Some(path) = &environment.file {
        return found(folder.join(path), Reason::Variable);
    }
    match nearest(folder) {
        Some(path) => found(path, Reason::Nearest),
        None => found(user_vault(environment)?, Reason::User),
    }
}

/// The vault that doors use: `--file`, `VAULT_FILE`, the user's own. Programs go through them from any folder, and a vault
/// that lies in one must not swallow a password.
///
/// # Errors
/// [`ContextError::NoHome`] if it comes to the last and there is no home.
pub(crate) fn own_vault(
    option: Option<&Path>,
    environment: &Environment,
    folder: &Path,
) -> Result<Location, ContextError> {
    match (option, &environment.file) {
        (Some(path), _) => Ok(Location { path: folder.join(path), reason: Reason::Option }),
        (None, Some(path)) => Ok(Location { path: folder.join(path), reason: Reason::Variable }),
        (None, None) => Ok(Location { path: user_vault(environment)?, reason: Reason::User }),
    }
}

/// Where `init` makes a vault: `--file`, `VAULT_FILE`, the user's own if asked for, the current folder.
///
/// # Errors
/// [`ContextError::NoHome`] if the user's own is asked for and there is no home.
pub(crate) fn new_vault(
    option: Option<&Path>,
    user: bool,
    environment: &Environment,
    folder: &Path,
) -> Result<Location, ContextError> {
    let (path, reason) = match (option, &environment.file) {
        (Some(path), _) => (folder.join(path), Reason::Option),
        (None, _) if user => (user_vault(environment)?, Reason::User),
        (None, Some(path)) => (folder.join(path), Reason::Variable),
        (None, None) => (folder.join(FILE_NAME), Reason::Nearest),
    };
    Ok(Location { path, reason })
}

/// Whether the file at this path is, or would be, inside a git work tree.
pub(crate) fn in_work_tree(path: &Path) -> bool {
    let real = path.canonicalize().ok();
    let folder = real.as_deref().unwrap_or(path).parent().map(|folder| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
    });
    folder.is_some_and(|folder| work_tree(&folder).is_some())
}

/// Seals after which the log is restarted by itself. A restart makes merges with older branches need a key, so in git work trees
/// somebody is asked first: see `status`. docs/format.md, "Restart".
pub(crate) fn longest_log(vault: &Path) -> usize {
    if in_work_tree(vault) { usize::MAX } else { LONGEST_LOG }
}

const LONGEST_LOG: usize = 4_096;

/// The root of the git work tree that a folder belongs to.
pub(crate) fn work_tree(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| is_repository_root(folder))
}

fn nearest(folder: &Path) -> Option<PathBuf> {
    for folder in folder.ancestors() {
        let path = folder.join(FILE_NAME);
        // A dangling link is found, too, and its opening then says what is wrong.
        if path.symlink_metadata().is_ok() {
            return Some(path);
        }
        if is_repository_root(folder) {
            return None;
        }
    }
    None
}

/// `.git` is a folder, or a file in a linked work tree or a submodule.
fn is_repository_root(folder: &Path) -> bool {
    folder.join(".git").symlink_metadata().is_ok()
}

fn user_vault(environment: &Environment) -> Result<PathBuf, ContextError> {
    let data = match (&environment.data_home, &environment.home) {
        (Some(data), _) => data.clone(),
        (None, Some(home)) => home.join(".local/share"),
        (None, None) => return Err(ContextError::NoHome),
    };
    Ok(data.join("vault").join("default.vault"))
}

/// A vault's usual name in a project.
pub(crate) const FILE_NAME: &str = "secrets.vault";
/// docs/format.md, "Limits".
const MAX_AUTHOR: usize = 256;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::from(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        })
    }

    fn located(
        option: Option<&str>,
        variables: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Location, ContextError> {
        vault(option.map(Path::new), &environment(variables), folder)
    }

    #[test]
    fn the_option_goes_before_the_variable_before_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), "").unwrap();
        let variable = [("VAULT_FILE", "v.vault")];
        let location = located(Some("o.vault"), &variable, folder.path()).unwrap();
        assert_eq!(location, Location { path: folder.path().join("o.vault"), reason: Reason::Option });
        let location = located(None, &variable, folder.path()).unwrap();
        assert_eq!(location, Location { path: folder.path().join("v.vault"), reason: Reason::Variable });
        let location = located(None, &[("VAULT_FILE", "")], folder.path()).unwrap();
        assert_eq!(location, Location { path: folder.path().join(FILE_NAME), reason: Reason::Nearest });
    }

    #[test]
    fn the_search_goes_upwards_to_the_repository_s_root_and_no_further() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("repo");
        let deep = root.join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(outside.path().join(FILE_NAME), "").unwrap();
        let home = [("HOME", "/home/someone")];

        assert_eq!(located(None, &home, &deep).unwrap().path, outside.path().join(FILE_NAME));
        // A file, as in a linked work tree.
        fs::write(root.join(".git"), "gitdir: elsewhere").unwrap();
        let location = located(None, &home, &deep).unwrap();
        assert_eq!(location.reason, Reason::User);
        assert_eq!(location.path, Path::new("/home/someone/.local/share/vault/default.vault"));
        fs::write(root.join(FILE_NAME), "").unwrap();
        assert_eq!(located(None, &home, &deep).unwrap().path, root.join(FILE_NAME));
        assert_eq!(work_tree(&deep), Some(root.as_path()));
    }

    #[test]
    fn the_user_s_vault_is_in_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".git")).unwrap();
        let location = located(None, &[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], folder.path()).unwrap();
        assert_eq!(location.path, Path::new("/d/vault/default.vault"));
        // The XDG specification says to ignore relative paths.
        let location = located(None, &[("HOME", "/h"), ("XDG_DATA_HOME", "d")], folder.path()).unwrap();
        assert_eq!(location.path, Path::new("/h/.local/share/vault/default.vault"));
        assert_eq!(located(None, &[("HOME", "")], folder.path()), Err(ContextError::NoHome));
    }

    #[test]
    fn a_new_vault_is_made_here_unless_told_otherwise() {
        let here = Path::new("/here");
        let at = |option: Option<&str>, user, variables: &[(&str, &str)]| {
            new_vault(option.map(Path::new), user, &environment(variables), here)
                .map(|location| location.path)
        };
        assert_eq!(at(None, false, &[]).unwrap(), Path::new("/here/secrets.vault"));
        assert_eq!(at(None, false, &[("VAULT_FILE", "/v")]).unwrap(), Path::new("/v"));
        assert_eq!(
            at(None, true, &[("VAULT_FILE", "/v"), ("HOME", "/h")]).unwrap(),
            Path::new("/h/.local/share/vault/default.vault")
        );
        assert_eq!(at(Some("x"), false, &[("VAULT_FILE", "/v")]).unwrap(), Path::new("/here/x"));
        assert_eq!(at(None, true, &[]), Err(ContextError::NoHome));
    }

    #[test]
    fn keys_are_known_wherever_they_stand() {
        for text in [
            "vault-machine-key-1:66UesAw",
            "--machine-key-file=vault-machine-key-1:66",
            "-iAGE-SECRET-KEY-1UMZ",
            "age-secret-key-1umz",
            "note=AGE-SECRET-KEY-PQ-1",
        ] {
            assert!(holds_key(OsStr::new(text)), "{text}");
        }
        for text in ["vault-machine-key-prod", "machine.key", "age1abc", "vault-machine-key-1"] {
            assert!(!holds_key(OsStr::new(text)), "{text}");
        }
        assert_eq!(
            environment(&[("VAULT_IDENTITY_FILE", "AGE-SECRET-KEY-1X")]).key_as_path(),
            Some("VAULT_IDENTITY_FILE")
        );
        assert_eq!(
            environment(&[("VAULT_IDENTITY_FILE", "id"), ("VAULT_IDENTITY", "AGE-SECRET-KEY-1X")])
                .key_as_path(),
            None
        );
    }

    #[test]
    fn what_is_remembered_is_in_the_state_folder_and_the_config_in_its_own() {
        let folder = |variables: &[(&str, &str)]| environment(variables).state_folder();
        let state = |base: &str, path: &str| Some(StateFolder { base: base.into(), path: path.into() });
        assert_eq!(folder(&[("HOME", "/h")]), state("/h", "/h/.local/state/vault"));
        assert_eq!(folder(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s/t")]), state("/s", "/s/t/vault"));
        assert_eq!(folder(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")]), state("/h", "/h/.local/state/vault"));
        assert_eq!(folder(&[]), None);
        let config = |variables: &[(&str, &str)]| environment(variables).config_file();
        assert_eq!(config(&[("HOME", "/h")]), Some("/h/.config/vault/config.toml".into()));
        assert_eq!(config(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]), Some("/c/vault/config.toml".into()));
        assert_eq!(config(&[]), None);
    }

    #[test]
    fn one_of_several_vaults_can_be_named() {
        let id = |digit: &str| format!("{}:{}", digit.repeat(32), digit.repeat(64));
        assert_eq!(vault_ids(&id("a")).unwrap().len(), 1);
        assert_eq!(vault_ids(&format!("{}, {},", id("a"), id("b"))).unwrap().len(), 2);
        for wrong in ["", ",", "abc", &format!("{},x", id("a")), &id("a").to_uppercase()] {
            assert!(vault_ids(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_author_is_the_named_one_or_the_user_at_the_host() {
        assert_eq!(environment(&[("VAULT_AUTHOR", "Ada"), ("USER", "u")]).author(), "Ada");
        assert!(environment(&[("USER", "u")]).author().starts_with("u@"));
        assert!(environment(&[]).author().starts_with("uid"));
        let long = "ä".repeat(200);
        assert_eq!(environment(&[("VAULT_AUTHOR", &long)]).author().len(), 256);
    }
}
