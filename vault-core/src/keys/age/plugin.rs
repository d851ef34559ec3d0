//! age plugins: programs called `age-plugin-NAME` that wrap and unwrap file keys (C2SP age-plugin).
//!
//! Written out here rather than taken from the `age` crate, which waits for a plugin without a limit, reads whatever it
//! sends, cannot end it, and hands it our environment.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use age::secrecy::ExposeSecret;
use age_core::format::{FileKey, Stanza};
use zeroize::{Zeroize, Zeroizing};

use crate::format::text;
use crate::keys::SECRET_VARIABLES;
use crate::keys::ask::Asker;

/// How long a plugin may say nothing. Waiting for an answer of the user does not count.
pub const SILENCE: Duration = Duration::from_secs(30);
/// Most bytes that a plugin may send in one run.
pub const MAX_OUTPUT: u64 = 1024 * 1024;
/// Most bytes of one line, far more than any stanza needs.
const MAX_LINE: u64 = 64 * 1024;
/// Most characters of a message of a plugin that are kept.
const MAX_MESSAGE: usize = 1024;
/// Columns of base64 in a body.
const COLUMNS: usize = 64;
const FILE_KEY: usize = 16;

/// A plugin did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFailure {
    /// Its name: the program is `age-plugin-NAME`.
    pub name: String,
    /// What happened.
    pub why: PluginTrouble,
}

/// Why a plugin did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginTrouble {
    /// There is no such program in the folders of `PATH`.
    Missing,
    /// It could not be started, or ended too early.
    Ended,
    /// It said nothing for [`SILENCE`], and was ended.
    Silent,
    /// It sent something else than the protocol allows, or too much.
    Protocol,
    /// It had a question, and nobody answered.
    NotAsked,
    /// It says why. Somebody else's text: at most 1,024 characters, possibly control characters.
    Says(String),
}

impl fmt::Display for PluginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, why } = self;
        match why {
            PluginTrouble::Missing => write!(f, "there is no program age-plugin-{name}"),
            PluginTrouble::Ended => write!(f, "age-plugin-{name} could not be run to its end"),
            PluginTrouble::Silent => write!(f, "age-plugin-{name} said nothing for 30 seconds"),
            PluginTrouble::Protocol => write!(f, "age-plugin-{name} does not speak the plugin protocol"),
            PluginTrouble::NotAsked => write!(f, "age-plugin-{name} has a question, and nobody answered"),
            PluginTrouble::Says(message) => write!(f, "age-plugin-{name}: {message:?}"),
        }
    }
}

impl std::error::Error for PluginFailure {}

/// A recipient, or with `identity` an identity, of a plugin.
pub(super) struct Plugin<'a> {
    /// Checked by age: letters, digits and `+-._`, so no path.
    pub(super) name: &'a str,
    pub(super) ask: &'a Asker,
    /// [`SILENCE`], but for tests.
    pub(super) silence: Duration,
}

impl Plugin<'_> {
    /// The stanzas that wrap the file key for a recipient.
    pub(super) fn wrap(&self, recipient: &str, file_key: &FileKey) -> Result<Vec<Stanza>, PluginFailure> {
        let mut run = Run::start(self, "recipient-v1")?;
        run.send("add-recipient", &[recipient], &[])?;
        run.send("wrap-file-key", &[], file_key.expose_secret())?;
        run.send("done", &[], &[])?;
        let (mut stanzas, mut says) = (Vec::new(), None);
        while let Some(command) = run.next()? {
            match (command.tag.as_str(), command.args.as_slice()) {
                ("recipient-stanza", [file, tag, args @ ..]) if file == "0" => {
                    stanzas.push(Stanza {
                        tag: tag.clone(),
                        args: args.to_vec(),
                        body: command.body.to_vec(),
                    });
                    run.send("ok", &[], &[])?;
                }
                ("labels", _) => run.send("ok", &[], &[])?,
                _ => run.common(&command, &mut says)?,
            }
        }
        match says {
            None if !stanzas.is_empty() => Ok(stanzas),
            None => Err(run.failed(PluginTrouble::Protocol)),
            Some(says) => Err(run.failed(says)),
        }
    }

    /// The file key that one of the stanzas wraps for an identity; `None` if none is its.
    pub(super) fn unwrap(
        &self,
        identity: &str,
        stanzas: &[Stanza],
    ) -> Result<Option<FileKey>, PluginFailure> {
        let mut run = Run::start(self, "identity-v1")?;
        run.send("add-identity", &[identity], &[])?;
        for stanza in stanzas {
            let args: Vec<&str> =
                ["0", &stanza.tag].into_iter().chain(stanza.args.iter().map(String::as_str)).collect();
            run.send("recipient-stanza", &args, &stanza.body)?;
        }
        run.send("done", &[], &[])?;
        let (mut file_key, mut says) = (None, None);
        while let Some(command) = run.next()? {
            match (command.tag.as_str(), command.args.as_slice()) {
                ("file-key", [file]) if file == "0" && file_key.is_none() => {
                    let Ok(bytes) = <&[u8; FILE_KEY]>::try_from(command.body.as_slice()) else {
                        return Err(run.failed(PluginTrouble::Protocol));
                    };
                    file_key = Some(FileKey::init_with_mut(|key| key.copy_from_slice(bytes)));
                    run.send("ok", &[], &[])?;
                }
                _ => run.common(&command, &mut says)?,
            }
        }
        match (file_key, says) {
            (Some(file_key), _) => Ok(Some(file_key)),
            (None, None) => Ok(None),
            (None, Some(says)) => Err(run.failed(says)),
        }
    }
}

/// A command of the plugin. Its body may be a file key.
struct Incoming {
    tag: String,
    args: Vec<String>,
    body: Zeroizing<Vec<u8>>,
}

/// A plugin that is running. It is ended when this is dropped.
struct Run<'a> {
    name: &'a str,
    ask: &'a Asker,
    silence: Duration,
    child: Child,
    stdin: ChildStdin,
    commands: Receiver<io::Result<Incoming>>,
    asked_in_vain: bool,
}

impl<'a> Run<'a> {
    fn start(plugin: &Plugin<'a>, machine: &str) -> Result<Self, PluginFailure> {
        let failed = |why| PluginFailure { name: plugin.name.to_owned(), why };
        let mut command = Command::new(format!("age-plugin-{}", plugin.name));
        command.arg(format!("--age-plugin={machine}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        for variable in SECRET_VARIABLES {
            command.env_remove(variable);
        }
        let mut child = command.spawn().map_err(|error| {
            failed(if error.kind() == io::ErrorKind::NotFound {
                PluginTrouble::Missing
            } else {
                PluginTrouble::Ended
            })
        })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(PluginTrouble::Ended));
        };
        let (to, commands) = sync_channel(1);
        // Not joined: a grandchild may hold the pipe open for as long as it likes.
        let reading = std::thread::Builder::new().spawn(move || {
            let mut out = BufReader::new(stdout.take(MAX_OUTPUT));
            loop {
                let command = read_stanza(&mut out);
                let over = command.is_err();
                if to.send(command).is_err() || over {
                    return;
                }
            }
        });
        if reading.is_err() {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(failed(PluginTrouble::Ended));
        }
        let Plugin { name, ask, silence } = *plugin;
        Ok(Self { name, ask, silence, child, stdin, commands, asked_in_vain: false })
    }

    fn failed(&self, why: PluginTrouble) -> PluginFailure {
        let why = if self.asked_in_vain { PluginTrouble::NotAsked } else { why };
        PluginFailure { name: self.name.to_owned(), why }
    }

    fn send(&mut self, tag: &str, args: &[&str], body: &[u8]) -> Result<(), PluginFailure> {
        let mut encoded = Zeroizing::new(Vec::with_capacity(text::encoded_len(body.len())));
        text::push_base64(&mut encoded, body);
        let mut out = Zeroizing::new(Vec::with_capacity(64 + 2 * encoded.len()));
        out.extend_from_slice(b"-> ");
        out.extend_from_slice(tag.as_bytes());
        for arg in args {
            out.push(b' ');
            out.extend_from_slice(arg.as_bytes());
        }
        out.push(b'\n');
        // The last line is shorter than the others, and so may be empty.
        for line in encoded.chunks(COLUMNS) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        if encoded.len().is_multiple_of(COLUMNS) {
            out.push(b'\n');
        }
        let sent = self.stdin.write_all(&out).and_then(|()| self.stdin.flush());
        sent.map_err(|_| self.failed(PluginTrouble::Ended))
    }

    /// The next command; `None` when the plugin is done.
    fn next(&mut self) -> Result<Option<Incoming>, PluginFailure> {
        match self.commands.recv_timeout(self.silence) {
            Ok(Ok(command)) if command.tag == "done" => Ok(None),
            Ok(Ok(command)) => Ok(Some(command)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.failed(PluginTrouble::Protocol))
            }
            Err(RecvTimeoutError::Timeout) => Err(self.failed(PluginTrouble::Silent)),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(self.failed(PluginTrouble::Ended)),
        }
    }

    /// What a plugin may send in either direction.
    fn common(&mut self, command: &Incoming, says: &mut Option<PluginTrouble>) -> Result<(), PluginFailure> {
        let message: String = String::from_utf8_lossy(&command.body).chars().take(MAX_MESSAGE).collect();
        match command.tag.as_str() {
            "msg" => {
                self.ask.show(&message);
                self.send("ok", &[], &[])
            }
            "confirm" => {
                let decode = |arg: &String| {
                    text::base64(arg.as_bytes(), MAX_MESSAGE).ok().and_then(|arg| String::from_utf8(arg).ok())
                };
                let mut answers = command.args.iter().map(decode);
                let Some(Some(yes)) = answers.next() else {
                    return Err(self.failed(PluginTrouble::Protocol));
                };
                let no = answers.next().flatten();
                match self.ask.confirm(&message, &yes, no.as_deref()) {
                    Some(true) => self.send("ok", &["yes"], &[]),
                    Some(false) => self.send("ok", &["no"], &[]),
                    None => self.not_asked(),
                }
            }
            "request-public" => match self.ask.text(&message) {
                Some(answer) => self.send("ok", &[], answer.as_bytes()),
                None => self.not_asked(),
            },
            "request-secret" => match self.ask.secret(&message) {
                Some(answer) => self.send("ok", &[], answer.expose()),
                None => self.not_asked(),
            },
            "error" => {
                says.get_or_insert(PluginTrouble::Says(message));
                self.send("ok", &[], &[])
            }
            _ => self.send("unsupported", &[], &[]),
        }
    }

    fn not_asked(&mut self) -> Result<(), PluginFailure> {
        self.asked_in_vain = true;
        self.send("fail", &[], &[])
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // It may have ended by itself. Nothing can be done about a failure, and nothing depends on it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `-> tag args…`, then lines of 64 characters of base64 and a shorter one.
fn read_stanza(out: &mut impl BufRead) -> io::Result<Incoming> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let line = read_line(out)?;
    let line = std::str::from_utf8(&line).map_err(|_| wrong())?;
    let mut words = line.strip_prefix("-> ").ok_or_else(wrong)?.split(' ').map(str::to_owned);
    let tag = words.next().filter(|tag| !tag.is_empty()).ok_or_else(wrong)?;
    let args = words.collect();
    let mut encoded = Zeroizing::new(Vec::new());
    loop {
        let line = read_line(out)?;
        if line.len() > COLUMNS {
            return Err(wrong());
        }
        encoded.extend_from_slice(&line);
        if line.len() < COLUMNS {
            break;
        }
    }
    let length = text::decoded_len(encoded.len()).ok_or_else(wrong)?;
    let mut body = Zeroizing::new(vec![0; length]);
    text::base64_into(&encoded, &mut body).map_err(|_| wrong())?;
    encoded.zeroize();
    Ok(Incoming { tag, args, body })
}

fn read_line(out: &mut impl BufRead) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(COLUMNS + 1));
    out.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() as u64 + 1 == MAX_LINE => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
