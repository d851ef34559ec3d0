//! Where the bytes of a vault come from: a positional, read-only view of an unchanging text.
//!
//! A file that is only ever replaced by renaming is such a text for whoever holds it open. So is a `Vec<u8>`.

use std::io;
use std::ops::Range;
use std::sync::Arc;

/// An unchanging sequence of bytes that can be read at any position, by several threads.
pub trait Source: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end; whatever the device says otherwise.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// True if there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end_of_file = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let start = usize::try_from(offset).map_err(|_| end_of_file())?;
        let end = start.checked_add(buffer.len()).ok_or_else(end_of_file)?;
        buffer.copy_from_slice(self.get(start..end).ok_or_else(end_of_file)?);
        Ok(())
    }
}

/// A text to be written: pieces one after another, either new or taken from a source.
#[derive(Default)]
pub struct Text {
    pieces: Vec<Piece>,
}

enum Piece {
    New(Vec<u8>),
    Copy(Arc<dyn Source>, Range<u64>),
}

/// How much of a source is in memory while it is copied.
const COPY_BUFFER: usize = 256 * 1024;

impl Text {
    /// An empty text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends new bytes.
    pub fn push(&mut self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        match self.pieces.last_mut() {
            Some(Piece::New(last)) => last.extend_from_slice(&bytes),
            _ => self.pieces.push(Piece::New(bytes)),
        }
    }

    /// Appends a range of a source.
    pub fn copy(&mut self, source: &Arc<dyn Source>, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some(Piece::Copy(last, before)) = self.pieces.last_mut()
            && Arc::ptr_eq(last, source)
            && before.end == range.start
        {
            before.end = range.end;
            return;
        }
        self.pieces.push(Piece::Copy(Arc::clone(source), range));
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::New(bytes) => bytes.len() as u64,
                Piece::Copy(_, range) => range.end - range.start,
            })
            .sum()
    }

    /// True if there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes all pieces, with a bounded amount of memory.
    ///
    /// # Errors
    /// The first error of reading a source or of writing.
    pub fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut buffer = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::New(bytes) => out.write_all(bytes)?,
                Piece::Copy(source, range) => {
                    let mut at = range.start;
                    while at < range.end {
                        let step =
                            usize::try_from(range.end - at).map_or(COPY_BUFFER, |n| n.min(COPY_BUFFER));
                        buffer.resize(step, 0);
                        source.read_exact_at(&mut buffer, at)?;
                        out.write_all(&buffer)?;
                        at += step as u64;
                    }
                }
            }
        }
        Ok(())
    }

    /// The text as one vector: for tests and for small texts.
    ///
    /// # Errors
    /// As [`Text::write_to`].
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }
}
