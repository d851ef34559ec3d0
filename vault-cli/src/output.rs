//! Standard output: the value or the list, and nothing else. Plaintext leaves through [`Output::secret`] alone.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Read, Write};

use serde::Serialize;
use vault_core::secret::Secret;
use zeroize::Zeroizing;

use crate::buffer::WipingBuffer;
use crate::escape::escaped;

/// Where results go.
pub(crate) struct Output {
    stream: Box<dyn Write>,
    reader: Reader,
}

/// Who reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A person: text is made harmless, a last line is ended.
    Person,
    /// A program: bytes are passed as they are.
    Program,
}

/// What to do with a secret that is not text when a person reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    /// Refuse.
    Refuse,
    /// It was asked for by `-o -`.
    Write,
}

/// Why a result could not be given out.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum OutputError {
    /// The reader went away. This is how `vault list | head -1` ends.
    BrokenPipe,
    /// Writing failed: what was written is not the whole result.
    Write(io::Error),
    /// A secret that is not text, and a terminal.
    BinaryToTerminal,
    /// Reading what was to be written failed, after some of it may have been written.
    Read(io::Error),
}

impl Output {
    /// The process's standard output.
    pub(crate) fn of_process() -> Self {
        let reader = if io::stdout().is_terminal() { Reader::Person } else { Reader::Program };
        Self { stream: Box::new(UnbufferedStdout), reader }
    }

    /// Whether a person reads.
    pub(crate) fn is_terminal(&self) -> bool {
        self.reader == Reader::Person
    }

    /// Gives out a secret, byte by byte as it is. On a terminal a newline follows.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub(crate) fn secret(&mut self, secret: &Secret, binary: Binary) -> Result<(), OutputError> {
        if self.reader == Reader::Program || binary == Binary::Write {
            return self.write(secret.expose());
        }
        if !is_text(secret.expose()) {
            return Err(OutputError::BinaryToTerminal);
        }
        self.write(secret.expose())?;
        if secret.expose().ends_with(b"\n") { Ok(()) } else { self.write(b"\n") }
    }

    /// Gives out a secret that is too large for memory. To a terminal only if it was asked for.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub(crate) fn secret_stream(&mut self, from: &mut dyn Read, binary: Binary) -> Result<(), OutputError> {
        if self.reader == Reader::Person && binary == Binary::Refuse {
            return Err(OutputError::BinaryToTerminal);
        }
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) => self.write(&chunk[..n])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(OutputError::Read(error)),
            }
        }
    }

    /// Gives out a report, line by line. Names in it are somebody else's: whoever reads, none of them makes a line or drives a
    /// terminal. Each line must come without its newline.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub(crate) fn lines<S: AsRef<str>>(
        &mut self,
        lines: impl IntoIterator<Item = S>,
    ) -> Result<(), OutputError> {
        self.joined(lines, escaped)
    }

    /// Gives out names, one a line, which programs use as they are.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub(crate) fn names<S: AsRef<str>>(
        &mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<(), OutputError> {
        match self.reader {
            Reader::Person => self.lines(names),
            Reader::Program => self.joined(names, |name| Cow::Borrowed(name)),
        }
    }

    fn joined<S: AsRef<str>>(
        &mut self,
        lines: impl IntoIterator<Item = S>,
        written: impl Fn(&str) -> Cow<'_, str>,
    ) -> Result<(), OutputError> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&written(line.as_ref()));
            text.push('\n');
            if text.len() > CHUNK {
                self.write(text.as_bytes())?;
                text.clear();
            }
        }
        self.write(text.as_bytes())
    }

    /// Gives out text that this program made itself: help, completions, tables.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub(crate) fn text(&mut self, text: &str) -> Result<(), OutputError> {
        self.write(text.as_bytes())
    }

    /// Gives out one JSON object and a newline. It may hold a secret, if the command is one that gives out secrets.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub(crate) fn json(&mut self, object: &impl Serialize) -> Result<(), OutputError> {
        let mut text = WipingBuffer::new();
        serde_json::to_writer(&mut text, object)
            .expect("our structures serialise, and a buffer takes all bytes");
        text.push(b'\n');
        self.write(text.as_slice())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.stream.write_all(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => OutputError::BrokenPipe,
            _ => OutputError::Write(error),
        })
    }
}

/// Whether a terminal shows these bytes without being driven by them.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        !text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t'))
    })
}

/// Not `io::stdout()`: its buffer is never wiped, and its failure at the end of the process is never seen.
struct UnbufferedStdout;

impl Write for UnbufferedStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Rc<RefCell<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(reader: Reader) -> (Output, Page) {
        let page = Page::default();
        (Output { stream: Box::new(page.clone()), reader }, page)
    }

    fn given_out(secret: &[u8], reader: Reader, binary: Binary) -> Result<Vec<u8>, OutputError> {
        let (mut output, page) = output(reader);
        output.secret(&Secret::new(secret.to_vec()), binary)?;
        Ok(page.0.take())
    }

    #[test]
    fn a_program_gets_the_exact_bytes() {
        for secret in [&b"abc"[..], b"abc\n", b"", b"\0\xff\x1b"] {
            assert_eq!(given_out(secret, Reader::Program, Binary::Refuse).unwrap(), secret);
        }
    }

    #[test]
    fn a_person_gets_a_newline_if_there_is_none() {
        assert_eq!(given_out(b"abc", Reader::Person, Binary::Refuse).unwrap(), b"abc\n");
        assert_eq!(given_out(b"abc\n", Reader::Person, Binary::Refuse).unwrap(), b"abc\n");
    }

    #[test]
    fn binary_is_refused_to_a_person_unless_asked_for() {
        for secret in [&b"\xff"[..], b"a\x1b[2J", b"\0", "\u{9b}".as_bytes()] {
            assert!(matches!(
                given_out(secret, Reader::Person, Binary::Refuse),
                Err(OutputError::BinaryToTerminal)
            ));
            assert_eq!(given_out(secret, Reader::Person, Binary::Write).unwrap(), secret);
        }
    }

    #[test]
    fn a_stream_is_copied_and_its_failure_is_told() {
        let (mut out, page) = output(Reader::Program);
        out.secret_stream(&mut &[5; 200_000][..], Binary::Refuse).unwrap();
        assert_eq!(page.0.take(), [5; 200_000]);

        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        assert!(matches!(out.secret_stream(&mut Broken, Binary::Refuse), Err(OutputError::Read(_))));
        let (mut out, _) = output(Reader::Person);
        assert!(matches!(
            out.secret_stream(&mut &b"x"[..], Binary::Refuse),
            Err(OutputError::BinaryToTerminal)
        ));
    }

    #[test]
    fn names_are_escaped_for_a_person_and_raw_for_a_program() {
        let (mut out, page) = output(Reader::Person);
        out.names(["a\u{202e}b"]).unwrap();
        assert_eq!(page.0.take(), b"a\\u{202e}b\n");
        let (mut out, page) = output(Reader::Program);
        out.names(["a\u{202e}b"]).unwrap();
        assert_eq!(page.0.take(), "a\u{202e}b\n".as_bytes());
        out.lines(["a\n::error::"]).unwrap();
        assert_eq!(page.0.take(), b"a\\u{a}::error::\n", "a name makes no line of a report");
    }

    #[test]
    fn a_full_disk_and_a_closed_pipe_are_told_apart() {
        struct Fails(io::ErrorKind);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let to = |kind| Output { stream: Box::new(Fails(kind)), reader: Reader::Program };
        assert!(matches!(to(io::ErrorKind::BrokenPipe).lines(["x"]), Err(OutputError::BrokenPipe)));
        assert!(matches!(to(io::ErrorKind::StorageFull).text("x"), Err(OutputError::Write(_))));
    }
}
