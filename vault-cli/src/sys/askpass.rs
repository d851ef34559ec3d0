//! Programs that ask a person for a passphrase: an askpass program, as ssh starts it, and pinentry, which speaks Assuan.
//!
//! They get no variable that holds a secret, and answer through a pipe into memory that is wiped. How long they take is up
//! to the person whom they ask.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use vault_core::secret::Secret;
use zeroize::Zeroizing;

use crate::buffer::WipingBuffer;
use crate::context::SECRET_VARIABLES;

/// Why such a program gave no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// It cannot be started.
    NotStarted(io::Error),
    /// The person declined, or it could not show its question: most programs do not tell which.
    Dismissed,
    /// It does not speak as it should, or broke off.
    Failed,
    /// The answer has more bytes than allowed.
    TooLong(usize),
}

/// Asks through an askpass program: the question is its argument, the answer its first line.
///
/// # Errors
/// [`AskError`]
pub(crate) fn askpass(program: &OsStr, question: &str, limit: usize) -> Result<Secret, AskError> {
    let mut command = Command::new(program);
    command.arg(question).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = without_secrets(&mut command).spawn().map_err(AskError::NotStarted)?;
    let mut answer = WipingBuffer::new();
    let mut out = child.stdout.take().ok_or(AskError::Failed)?;
    // Room for the newline.
    let whole = answer.read_up_to(&mut out, limit + 2);
    // What it still wants to say, nobody reads: it must not wait for that.
    drop(out);
    let status = child.wait().map_err(|_| AskError::Failed)?;
    if !whole.map_err(|_| AskError::Failed)? {
        return Err(AskError::TooLong(limit));
    }
    if !status.success() {
        return Err(AskError::Dismissed);
    }
    let line = answer.as_slice().split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    match line.len() {
        length if length > limit => Err(AskError::TooLong(limit)),
        _ => Ok(Secret::new(line.to_vec())),
    }
}

/// Asks through a pinentry program. Without a terminal's type it can only open a window.
///
/// # Errors
/// [`AskError`]
pub(crate) fn pinentry(
    program: &OsStr,
    question: &str,
    terminal_type: Option<&str>,
    limit: usize,
) -> Result<Secret, AskError> {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = without_secrets(&mut command).spawn().map_err(AskError::NotStarted)?;
    let answer = Assuan::with(&mut child).and_then(|mut assuan| {
        let answer = assuan.ask(question, terminal_type, limit);
        // It ends when its input does; if it was dismissed or failed, it need not be told.
        let _ = assuan.say("BYE");
        answer
    });
    if answer.is_err() {
        // It may wait for something that nobody will do.
        let _ = child.kill();
    }
    let _ = child.wait();
    answer
}

fn without_secrets(command: &mut Command) -> &mut Command {
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// A conversation with pinentry: a line there, lines back.
struct Assuan {
    to: ChildStdin,
    from: Bytes<ChildStdout>,
}

impl Assuan {
    fn with(child: &mut Child) -> Result<Self, AskError> {
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { return Err(AskError::Failed) };
        Ok(Self { to, from: Bytes::of(from) })
    }

    fn ask(&mut self, question: &str, terminal_type: Option<&str>, limit: usize) -> Result<Secret, AskError> {
        self.answer(limit)?;
        if let Some(terminal_type) = terminal_type {
            // What it does not know, it may refuse.
            for option in ["ttyname=/dev/tty".to_owned(), format!("ttytype={terminal_type}")] {
                self.say(&format!("OPTION {}", escaped(&option)))?;
                let _ = self.answer(limit);
            }
        }
        for line in [
            "SETTITLE vault".to_owned(),
            format!("SETDESC {}", escaped(question)),
            "SETPROMPT passphrase:".to_owned(),
        ] {
            self.say(&line)?;
            self.answer(limit)?;
        }
        self.say("GETPIN")?;
        self.answer(limit)
    }

    fn say(&mut self, line: &str) -> Result<(), AskError> {
        self.to.write_all(format!("{line}\n").as_bytes()).map_err(|_| AskError::Failed)
    }

    /// The data of one answer.
    fn answer(&mut self, limit: usize) -> Result<Secret, AskError> {
        answer(&mut self.from, limit)
    }
}

/// Reads lines up to `OK` or `ERR`.
fn answer(from: &mut dyn Iterator<Item = io::Result<u8>>, limit: usize) -> Result<Secret, AskError> {
    let mut data = WipingBuffer::new();
    loop {
        let line = line(from)?;
        match line.as_slice() {
            b"OK" => return Ok(data.into_secret()),
            ok if ok.starts_with(b"OK ") => return Ok(data.into_secret()),
            [b'D', b' ', encoded @ ..] => {
                decode(encoded, &mut data)?;
                if data.as_slice().len() > limit {
                    return Err(AskError::TooLong(limit));
                }
            }
            [b'E', b'R', b'R', b' ', rest @ ..] => return Err(refusal(rest)),
            // Status and comments.
            [b'S', b' ', ..] | [b'#', ..] => {}
            _ => return Err(AskError::Failed),
        }
    }
}

fn line(from: &mut dyn Iterator<Item = io::Result<u8>>) -> Result<WipingBuffer, AskError> {
    let mut line = WipingBuffer::new();
    for byte in from {
        match byte.map_err(|_| AskError::Failed)? {
            b'\n' => return Ok(line),
            byte if line.as_slice().len() < MAX_LINE => line.push(byte),
            _ => break,
        }
    }
    Err(AskError::Failed)
}

/// The lower 16 bits of libgpg-error's number say what happened.
fn refusal(rest: &[u8]) -> AskError {
    let digits = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u32>().ok());
    match number.map(|number| number & 0xffff) {
        Some(TIMEOUT | CANCELED | FULLY_CANCELED | NOT_CONFIRMED) => AskError::Dismissed,
        _ => AskError::Failed,
    }
}

fn decode(encoded: &[u8], data: &mut WipingBuffer) -> Result<(), AskError> {
    let mut rest = encoded;
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'%' {
            data.push(*first);
            continue;
        }
        let [high, low, more @ ..] = rest else { return Err(AskError::Failed) };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(AskError::Failed) };
        data.push(high << 4 | low);
        rest = more;
    }
    Ok(())
}

/// `%`, and what ends a line.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Bytes of a pipe one by one, from a buffer that is wiped.
struct Bytes<R> {
    reader: R,
    buffer: Zeroizing<[u8; 1024]>,
    at: usize,
    end: usize,
}

impl<R: Read> Bytes<R> {
    fn of(reader: R) -> Self {
        Self { reader, buffer: Zeroizing::new([0; 1024]), at: 0, end: 0 }
    }
}

impl<R: Read> Iterator for Bytes<R> {
    type Item = io::Result<u8>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at == self.end {
            match self.reader.read(&mut self.buffer[..]) {
                Ok(0) => return None,
                Ok(count) => (self.at, self.end) = (0, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error)),
            }
        }
        self.at += 1;
        Some(Ok(self.buffer[self.at - 1]))
    }
}

/// Assuan allows 1,000 bytes a line.
const MAX_LINE: usize = 1024;
/// From libgpg-error.
const TIMEOUT: u32 = 62;
const CANCELED: u32 = 99;
const NOT_CONFIRMED: u32 = 114;
const FULLY_CANCELED: u32 = 198;

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &[u8]) -> Result<Vec<u8>, AskError> {
        let secret = answer(&mut Bytes::of(text), 2000)?;
        Ok(secret.expose().to_vec())
    }

    #[test]
    fn data_is_put_together_and_decoded() {
        assert_eq!(answered(b"OK Pleased to meet you\n").unwrap(), b"");
        assert_eq!(answered(b"S PIN_REPEATED\n# note\nD 100%25 a%0D%0Ab\nOK\n").unwrap(), b"100% a\r\nb");
        assert_eq!(answered(b"D ab\nD cd\nOK\n").unwrap(), b"abcd");
        assert_eq!(answered("D pässwort\nOK\n".as_bytes()).unwrap(), "pässwort".as_bytes());
    }

    #[test]
    fn a_dismissal_is_told_from_a_failure() {
        for text in [
            &b"ERR 83886179 Operation cancelled <Pinentry>\n"[..],
            b"ERR 83886142 Timeout\n",
            b"ERR 83886278\n",
        ] {
            assert!(matches!(answered(text), Err(AskError::Dismissed)));
        }
        for text in [
            &b"ERR 83918950 Inappropriate ioctl for device\n"[..],
            b"ERR x\n",
            b"what?\n",
            b"D %4\nOK\n",
            b"D %zz\nOK\n",
            b"D abc",
            b"",
        ] {
            assert!(matches!(answered(text), Err(AskError::Failed)), "{text:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_an_answer() {
        let line = [b"D ".as_slice(), &[b'a'; 900], b"\n"].concat();
        let many = [line.repeat(3), b"OK\n".to_vec()].concat();
        assert!(matches!(answered(&many), Err(AskError::TooLong(2000))));
        assert!(matches!(answered(&[b'a'; 5000]), Err(AskError::Failed)));
    }

    #[test]
    fn an_askpass_program_gives_its_first_line() {
        let program = OsStr::new("/bin/echo");
        assert_eq!(askpass(program, "the question", 100).ok().unwrap().expose(), b"the question");
        assert!(matches!(askpass(program, "0123456789", 9), Err(AskError::TooLong(9))));
        assert!(matches!(askpass(OsStr::new("/bin/false"), "?", 9), Err(AskError::Dismissed)));
        assert!(matches!(askpass(OsStr::new("/nonexistent"), "?", 9), Err(AskError::NotStarted(_))));
        assert!(matches!(pinentry(OsStr::new("/bin/false"), "?", None, 9), Err(AskError::Failed)));
    }
}
