//! The controlling terminal: everything that asks.
//!
//! What is typed goes straight into wiping memory, in a mode in which the terminal echoes nothing and does not act on
//! Ctrl-C itself. So the terminal is always restored, and the question erased, before the process ends.
//!
//! From the first hidden question on, nothing that is typed is echoed until the command is done: who types the next answer while a
//! key is derived must not see it.

#![expect(clippy::disallowed_methods, reason = "the terminal is opened for writing")]

mod asker;
mod hush;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use vault_core::secret::{Passphrase, Secret};

use crate::buffer::WipingBuffer;
pub(crate) use asker::asker;
use hush::Hush;

/// The terminal to ask at, if there is one and asking is allowed. It is opened when it is needed.
pub(crate) struct Prompt {
    allowed: bool,
    terminal: Option<File>,
    hush: Option<Hush>,
}

/// Why an answer could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum PromptError {
    /// There is no terminal, or asking was forbidden.
    NoTerminal,
    /// Ctrl-C, or the terminal went away.
    Interrupted,
    /// The two answers differ.
    Different,
    /// Nothing was typed where something is needed.
    Empty,
    /// More was typed than is allowed.
    TooLong(usize),
    /// The terminal failed.
    Terminal(io::Error),
}

/// Whether an empty answer is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// It is.
    Allowed,
    /// It is not.
    Refused,
}

impl Prompt {
    /// The process's controlling terminal, even when its streams are redirected.
    pub(crate) fn on_terminal() -> Self {
        Self { allowed: true, terminal: None, hush: None }
    }

    /// One that never asks.
    pub(crate) fn never() -> Self {
        Self { allowed: false, terminal: None, hush: None }
    }

    /// Whether there is someone to ask.
    pub(crate) fn can_ask(&mut self) -> bool {
        self.terminal().is_ok()
    }

    /// Whether anybody may be asked, there or elsewhere.
    pub(crate) fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Gives the terminal back as it was, before a program is started that uses it.
    pub(crate) fn release(&mut self) {
        self.hush = None;
    }

    /// Asks for something secret that exists: a passphrase, a recovery code.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn hidden_line(&mut self, question: &str) -> Result<Secret, PromptError> {
        self.hidden(question, MAX_PASSPHRASE, Empty::Refused)
    }

    /// Asks twice for a new passphrase.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn new_passphrase(&mut self, question: &str) -> Result<Passphrase, PromptError> {
        let typed = self.hidden_twice(question, MAX_PASSPHRASE, Empty::Refused)?;
        Ok(Passphrase::new(typed.expose().to_vec()))
    }

    /// Asks twice for a new secret. An empty one is a secret, too.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn new_secret(&mut self, question: &str) -> Result<Secret, PromptError> {
        self.hidden_twice(question, MAX_TYPED, Empty::Allowed)
    }

    /// Asks once for a secret that may be empty, as other programs' commands do.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn once(&mut self, question: &str) -> Result<Secret, PromptError> {
        self.hidden(question, MAX_TYPED, Empty::Allowed)
    }

    /// Asks a question whose answer is yes or no; anything but yes is no.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, PromptError> {
        let terminal = self.terminal()?;
        let answer = ask(terminal, &format!("{question} [y/N] "), Echo::On, MAX_LINE)?;
        Ok(matches!(answer.expose(), b"y" | b"Y" | b"yes" | b"Yes" | b"YES"))
    }

    /// Asks for something that is no secret, and shows what is typed.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn shown(&mut self, question: &str) -> Result<Secret, PromptError> {
        let terminal = self.terminal()?;
        ask(terminal, question, Echo::On, MAX_LINE)
    }

    /// Shows lines on a screen of their own until a line is typed, and leaves no trace of either: such a screen is not kept for
    /// scrolling back.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn shown_once(&mut self, lines: &[String], question: &str) -> Result<Secret, PromptError> {
        let terminal = self.terminal()?;
        let screen = OtherScreen::enter(terminal).map_err(PromptError::Terminal)?;
        for line in lines {
            let line = zeroize::Zeroizing::new(format!("{line}\r\n"));
            write_all(terminal, line.as_bytes()).map_err(PromptError::Terminal)?;
        }
        let typed = ask(terminal, question, Echo::On, MAX_LINE);
        drop(screen);
        typed
    }

    /// Asks for a line that is no secret, and shows it.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub(crate) fn line(&mut self, question: &str) -> Result<Secret, PromptError> {
        ask(self.terminal()?, &format!("{question}: "), Echo::On, MAX_LINE)
    }

    fn terminal(&mut self) -> Result<&mut File, PromptError> {
        if self.terminal.is_none() && self.allowed {
            self.terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
        }
        self.terminal.as_mut().ok_or(PromptError::NoTerminal)
    }

    fn hidden_twice(&mut self, question: &str, limit: usize, empty: Empty) -> Result<Secret, PromptError> {
        let first = self.hidden(question, limit, empty)?;
        let second = self.hidden(&format!("{question} (again)"), limit, Empty::Allowed)?;
        if first.expose() != second.expose() {
            return Err(PromptError::Different);
        }
        Ok(first)
    }

    fn hidden(&mut self, question: &str, limit: usize, empty: Empty) -> Result<Secret, PromptError> {
        if self.hush.is_none() {
            self.hush = Some(Hush::enter(self.terminal()?).map_err(PromptError::Terminal)?);
        }
        let typed = ask(self.terminal()?, &format!("{question}: "), Echo::Off, limit)?;
        if typed.expose().is_empty() && empty == Empty::Refused {
            return Err(PromptError::Empty);
        }
        Ok(typed)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

/// Writes the question, reads one line, erases both.
fn ask(terminal: &mut File, question: &str, echo: Echo, limit: usize) -> Result<Secret, PromptError> {
    let mode = QuietMode::enter(terminal).map_err(PromptError::Terminal)?;
    let typed = write_all(terminal, question.as_bytes())
        .map_err(PromptError::Terminal)
        .and_then(|()| read_line(&mut Keys(terminal), &mut Screen { terminal, echo }, limit));
    let erased = write_all(terminal, ERASE_LINE);
    drop(mode);
    let typed = typed?;
    erased.map_err(PromptError::Terminal)?;
    Ok(typed)
}

/// Reads keys until the line ends. Separate from the terminal so that it can be tested without one.
fn read_line(
    keys: &mut dyn Iterator<Item = io::Result<u8>>,
    screen: &mut Screen<'_>,
    limit: usize,
) -> Result<Secret, PromptError> {
    let mut line = WipingBuffer::new();
    for key in keys {
        match key.map_err(PromptError::Terminal)? {
            b'\n' | b'\r' => {
                return match line.as_slice().len() {
                    length if length > limit => Err(PromptError::TooLong(limit)),
                    _ => Ok(line.into_secret()),
                };
            }
            CTRL_C | CTRL_BACKSLASH => return Err(PromptError::Interrupted),
            // At the start of a line it ends the input, as everywhere; nobody answered.
            CTRL_D if line.as_slice().is_empty() => return Err(PromptError::Interrupted),
            CTRL_D => {}
            CTRL_U => {
                screen.back(characters(line.as_slice()));
                line.clear();
            }
            DELETE | BACKSPACE if line.as_slice().is_empty() => {}
            DELETE | BACKSPACE => {
                screen.back(1);
                // One character: its continuation bytes, then its first byte.
                while matches!(line.pop(), Some(0x80..=0xbf)) {}
            }
            // What is beyond the limit is read to the end of the line, so that the shell does not get the rest.
            byte if line.as_slice().len() <= limit => {
                screen.show(byte);
                line.push(byte);
            }
            _ => {}
        }
    }
    Err(PromptError::Interrupted)
}

fn characters(line: &[u8]) -> usize {
    line.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count()
}

/// The terminal with neither echo, line editing nor signals, until dropped.
struct QuietMode {
    terminal: File,
    before: Termios,
}

impl QuietMode {
    fn enter(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mode = Self { terminal: terminal.try_clone()?, before };
        let mut quiet = mode.before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(terminal, OptionalActions::Drain, &quiet)?;
        Ok(mode)
    }
}

impl Drop for QuietMode {
    fn drop(&mut self) {
        // Nothing better can be done when this fails: the terminal is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// The terminal's other screen, until dropped.
struct OtherScreen(File);

impl OtherScreen {
    fn enter(terminal: &File) -> io::Result<Self> {
        let screen = Self(terminal.try_clone()?);
        write_all(terminal, b"\x1b[?1049h\x1b[2J\x1b[H")?;
        Ok(screen)
    }
}

impl Drop for OtherScreen {
    fn drop(&mut self) {
        // For terminals that have no other screen: at least nothing stays on this one.
        let _ = write_all(&self.0, b"\x1b[2J\x1b[H\x1b[?1049l");
    }
}

struct Keys<'a>(&'a File);

impl Iterator for Keys<'_> {
    type Item = io::Result<u8>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut byte = [0];
        loop {
            return match (&mut &*self.0).read(&mut byte) {
                Ok(0) => None,
                Ok(_) => Some(Ok(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Some(Err(error)),
            };
        }
    }
}

/// What of the typing is shown. A failure to show is no reason to lose what was typed.
struct Screen<'a> {
    terminal: &'a File,
    echo: Echo,
}

impl Screen<'_> {
    fn show(&mut self, byte: u8) {
        if self.echo == Echo::On && !byte.is_ascii_control() {
            let _ = write_all(self.terminal, &[byte]);
        }
    }

    fn back(&mut self, characters: usize) {
        if self.echo == Echo::On {
            for _ in 0..characters {
                let _ = write_all(self.terminal, b"\x08 \x08");
            }
        }
    }
}

fn write_all(mut terminal: &File, bytes: &[u8]) -> io::Result<()> {
    terminal.write_all(bytes)
}

const ERASE_LINE: &[u8] = b"\r\x1b[K";
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const CTRL_BACKSLASH: u8 = 0x1c;
const DELETE: u8 = 0x7f;
/// docs/format.md, "Limits".
const MAX_PASSPHRASE: usize = 4096;
/// Nobody types more; a paste beyond it is meant for `--secret-file`.
const MAX_TYPED: usize = 16 * 1024;
const MAX_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8], limit: usize) -> Result<Vec<u8>, PromptError> {
        let terminal = tempfile::tempfile().unwrap();
        let mut screen = Screen { terminal: &terminal, echo: Echo::Off };
        let line = read_line(&mut keys.iter().map(|key| Ok(*key)), &mut screen, limit)?;
        Ok(line.expose().to_vec())
    }

    #[test]
    fn a_line_ends_at_return() {
        assert_eq!(typed(b"abc\rdef", 10).unwrap(), b"abc");
        assert_eq!(typed(b"\n", 10).unwrap(), b"");
    }

    #[test]
    fn backspace_takes_one_character_and_ctrl_u_all() {
        assert_eq!(typed("aäö\u{7f}b\r".as_bytes(), 10).unwrap(), "aäb".as_bytes());
        assert_eq!(typed(b"\x08\x08x\r", 10).unwrap(), b"x");
        assert_eq!(typed(b"wrong\x15right\r", 20).unwrap(), b"right");
    }

    #[test]
    fn ctrl_c_and_a_vanished_terminal_interrupt() {
        for keys in [&b"abc\x03"[..], b"\x04", b"abc", b"", b"a\x1c"] {
            assert!(matches!(typed(keys, 10), Err(PromptError::Interrupted)), "{keys:?}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_refused_but_read_to_its_end() {
        assert_eq!(typed(b"0123456789\r", 10).unwrap(), b"0123456789");
        assert!(matches!(typed(b"01234567890\r", 10), Err(PromptError::TooLong(10))));
        assert!(matches!(typed(&[b'x'; 5000], 10), Err(PromptError::Interrupted)));
    }

    #[test]
    fn without_a_terminal_every_question_fails_at_once() {
        let mut prompt = Prompt::never();
        assert!(!prompt.can_ask());
        assert!(!prompt.is_allowed());
        assert!(matches!(prompt.hidden_line("passphrase"), Err(PromptError::NoTerminal)));
        assert!(matches!(prompt.new_secret("secret"), Err(PromptError::NoTerminal)));
        assert!(matches!(prompt.confirm("sure?"), Err(PromptError::NoTerminal)));
    }
}
