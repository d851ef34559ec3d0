//! The command line of Python's `keyring`, understood as its argparse does: options anywhere, `=` or a blank, unique
//! beginnings of long options, the same words for what is wrong.

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The help.
    Help,
    /// `--print-completion SHELL`.
    Completion(String),
    /// `--list-backends`.
    ListBackends,
    /// `--disable`.
    Disable,
    /// `diagnose`.
    Diagnose,
    /// `get SERVICE USER`, or with `--mode creds` `get SERVICE [USER]`.
    Get {
        /// The service.
        service: String,
        /// The user.
        username: Option<String>,
        /// Print the user, too.
        creds: bool,
        /// As JSON.
        json: bool,
    },
    /// `set SERVICE USER`.
    Set {
        /// The service.
        service: String,
        /// The user.
        username: String,
    },
    /// `del SERVICE USER`.
    Delete {
        /// The service.
        service: String,
        /// The user.
        username: String,
    },
}

/// What is wrong, in argparse's words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UsageError(pub(crate) String);

/// What these arguments, without the program's name, mean.
///
/// # Errors
/// [`UsageError`].
pub(crate) fn parse(arguments: &[String]) -> Result<Request, UsageError> {
    let mut typed = Typed::default();
    if let Some(at_once) = typed.read(arguments)? {
        return Ok(at_once);
    }
    let mut words = std::mem::take(&mut typed.words).into_iter();
    let (operation, service, username) = (words.next(), words.next(), words.next());
    if let Some(operation) = &operation {
        choice("operation", operation, &OPERATIONS)?;
    }
    if !typed.unknown.is_empty() {
        return Err(UsageError(format!("unrecognized arguments: {}", typed.unknown.join(" "))));
    }
    if typed.list_backends {
        return Ok(Request::ListBackends);
    }
    if typed.disable {
        return Ok(Request::Disable);
    }
    let Some(operation) = operation else {
        return Err(UsageError(format!("Specify operation ({}).", OPERATIONS.join(", "))));
    };
    if operation == "diagnose" {
        return Ok(Request::Diagnose);
    }
    let creds = typed.mode.as_deref() == Some("creds");
    let needs_username = operation != "get" || !creds;
    let Some(service) = service.filter(|_| username.is_some() || !needs_username) else {
        let required = if needs_username { "service and username" } else { "service" };
        return Err(UsageError(format!("{operation} requires {required}")));
    };
    if let Some(backend) = typed.backend.filter(|backend| backend != super::BACKEND) {
        return Err(UsageError(format!(
            "Unable to load specified keyring: {backend} is not {}",
            super::BACKEND
        )));
    }
    let named = |username: Option<String>| username.unwrap_or_default();
    Ok(match operation.as_str() {
        "get" => Request::Get { service, username, creds, json: typed.output.as_deref() == Some("json") },
        "set" => Request::Set { service, username: named(username) },
        _ => Request::Delete { service, username: named(username) },
    })
}

#[derive(Default)]
struct Typed {
    words: Vec<String>,
    unknown: Vec<String>,
    backend: Option<String>,
    mode: Option<String>,
    output: Option<String>,
    list_backends: bool,
    disable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Help,
    Path,
    Backend,
    ListBackends,
    Disable,
    Mode,
    Output,
    PrintCompletion,
}

/// What argparse takes an argument for.
enum Kind {
    Word,
    Option(Known, Option<String>),
    Unknown,
}

impl Typed {
    /// Sorts the arguments. Some options act as soon as they are seen.
    fn read(&mut self, arguments: &[String]) -> Result<Option<Request>, UsageError> {
        let mut rest = arguments.iter();
        let mut only_words = false;
        while let Some(argument) = rest.next() {
            if !only_words && argument == "--" {
                only_words = true;
                continue;
            }
            let kind = if only_words { Kind::Word } else { kind(argument)? };
            match kind {
                Kind::Word if self.words.len() < 3 => self.words.push(argument.clone()),
                Kind::Word | Kind::Unknown => self.unknown.push(argument.clone()),
                Kind::Option(known, given) => {
                    let value = match known.takes_value() {
                        true => Some(value(known, given, &mut rest)?),
                        false => no_value(known, given)?,
                    };
                    if let Some(at_once) = self.option(known, value)? {
                        return Ok(Some(at_once));
                    }
                }
            }
        }
        Ok(None)
    }

    fn option(&mut self, known: Known, value: Option<String>) -> Result<Option<Request>, UsageError> {
        match known {
            Known::Help => return Ok(Some(Request::Help)),
            Known::PrintCompletion => {
                let shell = value.unwrap_or_default();
                choice("--print-completion", &shell, &SHELLS)?;
                return Ok(Some(Request::Completion(shell)));
            }
            Known::ListBackends => self.list_backends = true,
            Known::Disable => self.disable = true,
            // There is one backend, so there is nowhere to look for others.
            Known::Path => {}
            Known::Backend => self.backend = value,
            Known::Mode => {
                choice("--mode", value.as_deref().unwrap_or_default(), &["password", "creds"])?;
                self.mode = value;
            }
            Known::Output => {
                choice("--output", value.as_deref().unwrap_or_default(), &["plain", "json"])?;
                self.output = value;
            }
        }
        Ok(None)
    }
}

impl Known {
    fn takes_value(self) -> bool {
        !matches!(self, Self::Help | Self::ListBackends | Self::Disable)
    }

    /// As argparse names it in an error.
    fn names(self) -> &'static str {
        match self {
            Self::Help => "-h/--help",
            Self::Path => "-p/--keyring-path",
            Self::Backend => "-b/--keyring-backend",
            Self::ListBackends => "--list-backends",
            Self::Disable => "--disable",
            Self::Mode => "--mode",
            Self::Output => "--output",
            Self::PrintCompletion => "--print-completion",
        }
    }
}

fn kind(argument: &str) -> Result<Kind, UsageError> {
    if !argument.starts_with('-') || argument.len() == 1 {
        return Ok(Kind::Word);
    }
    let exact = |text: &str| OPTIONS.iter().find(|(name, _)| *name == text).map(|(_, known)| *known);
    if let Some(known) = exact(argument) {
        return Ok(Kind::Option(known, None));
    }
    let (name, given) = match argument.split_once('=') {
        Some((name, given)) => (name, Some(given.to_owned())),
        None => (argument, None),
    };
    if let (Some(known), Some(_)) = (exact(name), &given) {
        return Ok(Kind::Option(known, given));
    }
    if !argument.starts_with("--") {
        let (short, attached) = argument.split_at(2.min(argument.len()));
        if argument.is_char_boundary(2)
            && let Some(known) = exact(short)
        {
            return Ok(Kind::Option(known, Some(attached.to_owned())));
        }
    } else {
        let alike: Vec<_> = OPTIONS.iter().filter(|(option, _)| option.starts_with(name)).collect();
        match alike[..] {
            [] => {}
            [(_, known)] => return Ok(Kind::Option(*known, given)),
            _ => {
                let names: Vec<_> = alike.iter().map(|(option, _)| *option).collect();
                let text = format!("ambiguous option: {argument} could match {}", names.join(", "));
                return Err(UsageError(text));
            }
        }
    }
    let is_number = argument[1..].parse::<f64>().is_ok()
        && argument[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    Ok(if is_number || argument.contains(' ') { Kind::Word } else { Kind::Unknown })
}

/// The value of an option: attached, or the next argument if that is none itself.
fn value<'a>(
    known: Known,
    given: Option<String>,
    rest: &mut (impl Iterator<Item = &'a String> + Clone),
) -> Result<String, UsageError> {
    if let Some(given) = given {
        return Ok(given);
    }
    let next = rest.clone().next();
    let is_word = |text: &String| text != "--" && matches!(kind(text), Ok(Kind::Word));
    match next.filter(|next| is_word(next)) {
        Some(next) => {
            rest.next();
            Ok(next.clone())
        }
        None => Err(UsageError(format!("argument {}: expected one argument", known.names()))),
    }
}

fn no_value(known: Known, given: Option<String>) -> Result<Option<String>, UsageError> {
    match given {
        None => Ok(None),
        Some(given) => {
            Err(UsageError(format!("argument {}: ignored explicit argument '{given}'", known.names())))
        }
    }
}

fn choice(what: &str, given: &str, known: &[&str]) -> Result<(), UsageError> {
    if known.contains(&given) {
        return Ok(());
    }
    let all: Vec<_> = known.iter().map(|word| format!("'{word}'")).collect();
    Err(UsageError(format!("argument {what}: invalid choice: '{given}' (choose from {})", all.join(", "))))
}

const OPERATIONS: [&str; 4] = ["get", "set", "del", "diagnose"];
const SHELLS: [&str; 3] = ["bash", "zsh", "tcsh"];
const OPTIONS: [(&str, Known); 11] = [
    ("-h", Known::Help),
    ("--help", Known::Help),
    ("-p", Known::Path),
    ("--keyring-path", Known::Path),
    ("-b", Known::Backend),
    ("--keyring-backend", Known::Backend),
    ("--list-backends", Known::ListBackends),
    ("--disable", Known::Disable),
    ("--mode", Known::Mode),
    ("--output", Known::Output),
    ("--print-completion", Known::PrintCompletion),
];

/// As argparse prints it.
pub(crate) const USAGE: &str = "\
usage: keyring [-h] [-p KEYRING_PATH] [-b KEYRING_BACKEND] [--list-backends]
               [--disable] [--mode {password,creds}] [--output {plain,json}]
               [--print-completion {bash,zsh,tcsh}]
               [{get,set,del,diagnose}] [service] [username]
";

/// What follows [`USAGE`] in the help.
pub(crate) const HELP: &str = "
positional arguments:
  {get,set,del,diagnose}
  service
  username

options:
  -h, --help            show this help message and exit
  -p KEYRING_PATH, --keyring-path KEYRING_PATH
                        Path to the keyring backend
  -b KEYRING_BACKEND, --keyring-backend KEYRING_BACKEND
                        Name of the keyring backend
  --list-backends       List keyring backends and exit
  --disable             Disable keyring and exit
  --mode {password,creds}
                        Mode for 'get' operation. 'password' requires a
                        username and will return only the password. 'creds'
                        does not require a username and will return both the
                        username and password separated by a newline. Default
                        is 'password'
  --output {plain,json}
                        Output format for 'get' operation. Default is 'plain'
  --print-completion {bash,zsh,tcsh}
                        print shell completion script
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<Request, String> {
        let arguments: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        parse(&arguments).map_err(|UsageError(text)| text)
    }

    fn get(service: &str, username: Option<&str>, creds: bool, json: bool) -> Result<Request, String> {
        Ok(Request::Get { service: service.to_owned(), username: username.map(str::to_owned), creds, json })
    }

    #[test]
    fn what_the_clients_type_is_understood() {
        let pip = get("http://h/", None, true, true);
        assert_eq!(parsed(&["--mode=creds", "--output=json", "get", "http://h/"]), pip);
        assert_eq!(parsed(&["get", "http://h/", "--mode", "creds", "--output", "json"]), pip);
        assert_eq!(parsed(&["get", "--mode", "creds", "http://h/", "--out", "json"]), pip);
        assert_eq!(parsed(&["get", "h", "u"]), get("h", Some("u"), false, false));
        assert_eq!(parsed(&["get", "", ""]), get("", Some(""), false, false));
        assert_eq!(parsed(&["get", "--", "-s", "--mode"]), get("-s", Some("--mode"), false, false));
        assert_eq!(parsed(&["get", "-1", "-a b"]), get("-1", Some("-a b"), false, false));
        assert_eq!(
            parsed(&["-bvault_keyring.Keyring", "-p", ".", "get", "s", "u"]),
            get("s", Some("u"), false, false)
        );
        assert_eq!(parsed(&["--list"]), Ok(Request::ListBackends));
        assert_eq!(parsed(&["diagnose", "x"]), Ok(Request::Diagnose));
    }

    #[test]
    fn what_is_wrong_is_said_in_argparse_s_words() {
        for (line, text) in [
            (&[][..], "Specify operation (get, set, del, diagnose)."),
            (&["get"], "get requires service and username"),
            (&["get", "s"], "get requires service and username"),
            (&["get", "--mode=creds"], "get requires service"),
            (&["set", "s", "--mode", "creds"], "set requires service and username"),
            (
                &["fetch", "s", "u"],
                "argument operation: invalid choice: 'fetch' (choose from 'get', 'set', 'del', 'diagnose')",
            ),
            (&["get", "s", "u", "x", "--y"], "unrecognized arguments: x --y"),
            (
                &["--mode", "all", "get"],
                "argument --mode: invalid choice: 'all' (choose from 'password', 'creds')",
            ),
            (&["get", "s", "--mode"], "argument --mode: expected one argument"),
            (&["-b", "--mode", "creds"], "argument -b/--keyring-backend: expected one argument"),
            (
                &["--keyring", "x"],
                "ambiguous option: --keyring could match --keyring-path, --keyring-backend",
            ),
            (&["--disable=1"], "argument --disable: ignored explicit argument '1'"),
            (
                &["-b", "other.Keyring", "get", "s", "u"],
                "Unable to load specified keyring: other.Keyring is not vault_keyring.Keyring",
            ),
        ] {
            assert_eq!(parsed(line), Err(text.to_owned()), "{line:?}");
        }
    }
}
