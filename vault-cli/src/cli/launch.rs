//! Arguments of the commands that hand secrets to other programs, and of the one that looks at the machine.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

/// Run a program with secrets in its environment, or in files that are gone afterwards
///
/// Only that program gets them. A reference is ENTRY or ENTRY#FIELD; "%23" is a "#" in a name. Everything is looked up before
/// the program starts; if anything is missing, it does not start. The exit code is the program's own; 125 if it was not
/// started, 126 if it cannot be executed, 127 if it was not found.
///
/// Without --as-file and --mask, vault becomes the program: process id, terminal and signals are the program's own. Otherwise,
/// and as the first process of a container, it waits for the program, passes signals on and exits with 128+n for signal n.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").args(["env", "env_file", "prefix", "as_file"]).required(true).multiple(true),
    after_help = "Examples:\n  vault run --env PGPASSWORD=db/password -- psql -h db app\n  vault run --env AWS_SECRET_ACCESS_KEY=aws --env AWS_ACCESS_KEY_ID=aws#key_id -- aws s3 ls\n  vault run --prefix app/ -- ./server\n  vault run --env-file app.env --mask -- make deploy\n  vault run --as-file KEY=tls/key -- sh -c 'serve --key \"$KEY\"'"
)]
pub(crate) struct Start {
    /// Put a secret into a variable (repeatable)
    #[arg(long, value_name = "NAME=ENTRY[#FIELD]", value_parser = assignment)]
    pub(crate) env: Vec<(String, String)>,
    /// Set the variables of a file of NAME=value lines with references: vault://ENTRY#FIELD, or {{ … }} within text
    #[arg(long, value_name = "TEMPLATE", value_hint = ValueHint::FilePath)]
    pub(crate) env_file: Option<PathBuf>,
    /// Set a variable for every entry whose name begins so: app/DB_URL is DB_URL, app/db/url is DB_URL
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Write a secret into a private file in memory, and its path into a variable (repeatable)
    #[arg(long, value_name = "NAME=ENTRY[#FIELD]", value_parser = assignment)]
    pub(crate) as_file: Vec<(String, String)>,
    /// Make the files in this folder, even if it is on a disk
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, requires = "as_file")]
    pub(crate) files_in: Option<PathBuf>,
    /// Replace the secrets in the program's output by ***
    #[arg(long)]
    pub(crate) mask: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) program: Vec<OsString>,
}

/// Fill a template with secrets
///
/// "{{ vault://ENTRY#FIELD }}" is replaced by the value, "{{ vault://ENTRY | FORM }}" by it in another form: json (for the
/// inside of a string), base64, or shell (a word in quotes). Two braces that are no reference are written as four: "{{{{".
/// Everything is looked up before anything is written. The file is written at once or not at all, with mode 0600.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault render app.conf.tmpl -o app.conf\n  vault render app.conf.tmpl -o app.conf --yes\n  printf '{\"password\": \"{{ vault://db/password | json }}\"}' | vault render - -o db.json"
)]
pub(crate) struct Render {
    /// The template ("-": standard input)
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) template: PathBuf,
    /// The file to write [default: standard output]
    #[arg(long, short = 'o', value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that exists
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Say what works here and what does not, with remedies
///
/// Nothing is unlocked, asked for or changed. The exit code is 1 if there is a problem, and with --strict if there is a warning.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault doctor\n  vault doctor --strict --json\n  vault doctor --python")]
pub(crate) struct Doctor {
    /// Ask python3, too, which keyring backend it would use
    #[arg(long)]
    pub(crate) python: bool,
}

/// Unlock the vault of a user who logs in: for pam_exec, which gives the password
///
/// It never decides about the login: it says in the system's log what it did, and always ends with success. See docs/pam.md.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples, lines for /etc/pam.d:\n  auth optional pam_exec.so quiet expose_authtok /usr/bin/vault pam-unlock\n  auth optional pam_exec.so quiet expose_authtok /usr/bin/vault pam-unlock --vault secrets/work.vault"
)]
pub(crate) struct PamUnlock {
    /// The vault, below the user's home [default: the user's own]
    #[arg(long, value_name = "PATH")]
    pub(crate) vault: Option<PathBuf>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, reference)) if !name.is_empty() => Ok((name.to_owned(), reference.to_owned())),
        _ => Err("write NAME=ENTRY or NAME=ENTRY#FIELD".to_owned()),
    }
}
