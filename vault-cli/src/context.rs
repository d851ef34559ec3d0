//! What was typed means here: which vault, which way to unlock it, who is at work. The environment is read once, here.

#![expect(clippy::disallowed_methods, reason = "the environment is read here, once")]

pub(crate) mod attributes;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use vault_core::secret::{Passphrase, Secret};

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
    author: Option<String>,
    user: Option<String>,
    home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    config_root: Option<PathBuf>,
    search_path: Option<OsString>,
    keyring_backend: Option<String>,
    runtime_folder: Option<PathBuf>,
    agent_socket: Option<PathBuf>,
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
            author: text("VAULT_AUTHOR"),
            user: text("USER").or_else(|| text("LOGNAME")),
            home: path("HOME"),
            data_home: path("XDG_DATA_HOME").filter(|path| path.is_absolute()),
            config_root: path("XDG_CONFIG_HOME"),
            search_path: variable("PATH"),
            keyring_backend: text("PYTHON_KEYRING_BACKEND"),
            runtime_folder: path("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()),
            agent_socket: path("VAULT_AGENT_SOCK"),
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
        ];
        let holds = |path: &PathBuf| holds_key(path.as_os_str());
        paths.into_iter().find(|(_, path)| path.as_ref().is_some_and(holds)).map(|(name, _)| name)
    }

    /// The editor that the user prefers.
    pub(crate) fn editor(&self) -> Option<&OsString> {
        self.editor.as_ref()
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

    /// The agent's socket, if it was named.
    pub(crate) fn agent_socket(&self) -> Option<&Path> {
        self.agent_socket.as_deref()
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

/// Variables that hold a secret themselves. No process that is started here inherits them.
pub(crate) const SECRET_VARIABLES: [&str; 3] = ["VAULT_PASSPHRASE", "VAULT_IDENTITY", "VAULT_MACHINE_KEY"];

const UNLOCKING_VARIABLES: [&str; 6] = [
    "VAULT_PASSPHRASE_FILE",
    "VAULT_IDENTITY_FILE",
    "VAULT_MACHINE_KEY_FILE",
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

impl UnlockOptions {
    /// Nothing was typed.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { passphrase_file, passphrase_fd, identities, machine_key_file } = self;
        passphrase_file.is_none()
            && passphrase_fd.is_none()
            && identities.is_empty()
            && machine_key_file.is_none()
    }
}

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
    /// A passphrase to be asked for.
    Terminal,
}

/// What to unlock with: all that options name; else all that `…_FILE` variables name; else what other variables hold;
/// else the terminal. What is named must work: there is no going on to the next level.
pub(crate) fn unlock_sources<'a>(
    options: &'a UnlockOptions,
    environment: &'a Environment,
) -> Vec<UnlockSource<'a>> {
    let levels = [typed(options), named_files(environment), held(environment)];
    levels
        .into_iter()
        .find(|level| !level.is_empty())
        .unwrap_or_else(|| vec![UnlockSource { what: Unlocker::Terminal, named_by: "the terminal" }])
}

/// The files among these sources.
pub(crate) fn unlock_files(options: &UnlockOptions, environment: &Environment) -> Vec<PathBuf> {
    let files = unlock_sources(options, environment).into_iter().filter_map(|source| match source.what {
        Unlocker::PassphraseFile(file) | Unlocker::IdentityFile(file) | Unlocker::MachineKeyFile(file) => {
            Some(file.to_owned())
        }
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

    fn named(options: &UnlockOptions, variables: &[(&str, &str)]) -> Vec<&'static str> {
        unlock_sources(options, &environment(variables)).iter().map(|source| source.named_by).collect()
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
    fn a_higher_level_of_unlock_sources_hides_the_lower_ones() {
        let all = [
            ("VAULT_PASSPHRASE_FILE", "/p"),
            ("VAULT_PASSPHRASE", "p"),
            ("VAULT_IDENTITY_FILE", "/i"),
            ("VAULT_IDENTITY", "i"),
            ("VAULT_MACHINE_KEY_FILE", "/m"),
            ("VAULT_MACHINE_KEY", "m"),
        ];
        let options = UnlockOptions {
            passphrase_file: Some("-".into()),
            passphrase_fd: Some(3),
            identities: vec!["/a".into(), "/b".into()],
            machine_key_file: Some("/m".into()),
        };
        let every =
            ["--identity", "--identity", "--machine-key-file", "--passphrase-file", "--passphrase-fd"];
        assert_eq!(named(&options, &all), every);
        let none = UnlockOptions::default();
        assert_eq!(
            named(&none, &all),
            ["VAULT_IDENTITY_FILE", "VAULT_MACHINE_KEY_FILE", "VAULT_PASSPHRASE_FILE"]
        );
        let plain = [("VAULT_PASSPHRASE_FILE", ""), all[1], all[3], all[5]];
        assert_eq!(named(&none, &plain), ["VAULT_IDENTITY", "VAULT_MACHINE_KEY", "VAULT_PASSPHRASE"]);
        assert_eq!(named(&none, &[("VAULT_PASSPHRASE", "")]), ["the terminal"]);
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
    fn the_author_is_the_named_one_or_the_user_at_the_host() {
        assert_eq!(environment(&[("VAULT_AUTHOR", "Ada"), ("USER", "u")]).author(), "Ada");
        assert!(environment(&[("USER", "u")]).author().starts_with("u@"));
        assert!(environment(&[]).author().starts_with("uid"));
        let long = "ä".repeat(200);
        assert_eq!(environment(&[("VAULT_AUTHOR", &long)]).author().len(), 256);
    }
}
