//! `vault get NAME`, as scripts write it all the time, understood without describing it to clap first, which takes as long as asking
//! the agent. Whatever has anything else in it is left to clap.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::{Cli, Color, Command, DEFAULT_FIELD, Get, Global, Unlocking};

impl Cli {
    /// `vault [--file PATH] [--identity PATH] get NAME [FIELD]`, with the options anywhere; nothing if it is not that.
    pub(super) fn parse_plainly(arguments: &[OsString]) -> Option<Self> {
        let mut rest = arguments.iter().skip(1).map(OsString::as_os_str);
        let (mut file, mut identity, mut words) = (None, Vec::new(), Vec::new());
        while let Some(argument) = rest.next() {
            match argument.to_str()? {
                "-f" | "--file" if file.is_none() => file = Some(value(rest.next()?)?),
                "-i" | "--identity" => identity.push(value(rest.next()?)?),
                word if is_plain(argument) => words.push(word),
                _ => return None,
            }
        }
        let (name, field) = match words[..] {
            ["get", name] => (name, DEFAULT_FIELD),
            ["get", name, field] => (name, field),
            _ => return None,
        };
        let get = Get {
            name: name.to_owned(),
            field: field.to_owned(),
            output: None,
            ours: false,
            theirs: None,
            at: None,
        };
        let unlock = Unlocking {
            passphrase_file: None,
            passphrase_fd: None,
            identity,
            machine_key_file: None,
            recovery_code_file: None,
            run_secret: Vec::new(),
            slot: None,
            max_kdf_memory: None,
            allow_rollback: false,
            vault_id: None,
        };
        let global = Global {
            file,
            json: false,
            quiet: false,
            verbose: false,
            color: Color::Auto,
            no_input: false,
            strict: false,
            no_agent: false,
            unlock,
        };
        Some(Self { global, command: Command::Get(get) })
    }
}

fn value(argument: &OsStr) -> Option<PathBuf> {
    is_plain(argument).then(|| PathBuf::from(argument))
}

/// Not an option, nor anything else that clap looks at closely.
fn is_plain(argument: &OsStr) -> bool {
    !argument.is_empty() && !argument.as_encoded_bytes().starts_with(b"-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command line of up to five of these words.
    fn lines() -> Vec<Vec<&'static str>> {
        let words = ["get", "a", "list", "-f", "--file", "-i", "-q", "", "--"];
        let mut lines = vec![vec!["vault"]];
        let mut start = 0;
        for _ in 0..5 {
            let end = lines.len();
            for at in start..end {
                // What begins in a way that is not understood is left to clap, whatever follows.
                let line: Vec<OsString> = lines[at].iter().map(OsString::from).collect();
                let hopeless = line
                    .iter()
                    .skip(1)
                    .any(|word| !is_plain(word) && !word.to_string_lossy().contains(['f', 'i']));
                if !hopeless {
                    lines.extend(
                        words.iter().map(|word| [&lines[at][..], &[word]].concat()).collect::<Vec<_>>(),
                    );
                }
            }
            start = end;
        }
        lines
    }

    #[test]
    fn what_is_understood_means_the_same_to_clap() {
        let mut understood = 0;
        for line in lines() {
            let typed: Vec<OsString> = line.iter().map(OsString::from).collect();
            if let Some(plain) = Cli::parse_plainly(&typed) {
                understood += 1;
                let said = Cli::parse_quickly(&typed).map(|cli| format!("{cli:?}"));
                assert_eq!(Some(format!("{plain:?}")), said, "{line:?}");
            }
        }
        assert!(understood > 50, "{understood}");
    }

    #[test]
    fn the_usual_ways_to_get_are_understood() {
        for line in ["get a", "get a b", "-f x get a", "get a --file x -i y", "-i x -i y get a"] {
            let typed: Vec<OsString> =
                ["vault"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            assert!(Cli::parse_plainly(&typed).is_some(), "{line}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_text_is_left_to_clap() {
        use std::os::unix::ffi::OsStringExt;
        let typed = ["vault".into(), "get".into(), OsString::from_vec(vec![0xff])];
        assert!(Cli::parse_plainly(&typed).is_none());
    }
}
