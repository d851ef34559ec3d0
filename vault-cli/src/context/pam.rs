//! What PAM says about a login. It stands in the environment, which the user may have a hand in.

#![expect(clippy::disallowed_methods, reason = "the environment is read in `context`")]

use std::ffi::OsString;

/// A login, as PAM describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// Who logs in.
    pub(crate) user: Option<String>,
    /// Which part of the login it is: `auth`, `open_session`, and others.
    pub(crate) part: Option<String>,
    /// Whether it was done with a key, as sshd tells.
    pub(crate) with_key: bool,
}

impl Login {
    /// The one of this process.
    pub(crate) fn of_process() -> Self {
        Self::from(std::env::vars_os())
    }

    /// A variable that is there twice counts for nothing: one of the two is not PAM's.
    pub(crate) fn from(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let all: Vec<_> = variables.collect();
        let only = |name: &str| {
            let mut found = all.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
            let value = found.next()?.to_str()?.to_owned();
            found.next().is_none().then_some(value)
        };
        Self {
            user: only("PAM_USER"),
            part: only("PAM_TYPE"),
            with_key: only("SSH_AUTH_INFO_0")
                .is_some_and(|info| !info.contains("password") && !info.contains("keyboard-interactive")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_there_twice_counts_for_nothing() {
        let of = |variables: &[(&str, &str)]| {
            Login::from(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
        };
        let login = of(&[
            ("PAM_USER", "a"),
            ("PAM_TYPE", "auth"),
            ("SSH_AUTH_INFO_0", "publickey ssh-ed25519 AAAA\n"),
        ]);
        assert_eq!(login, Login { user: Some("a".into()), part: Some("auth".into()), with_key: true });
        assert_eq!(of(&[("PAM_USER", "a"), ("PAM_USER", "b")]).user, None);
        assert!(!of(&[("SSH_AUTH_INFO_0", "password\n")]).with_key);
    }
}
