//! Attachments: values over 16 KiB, cut into chunks that are sealed one by one, so that memory stays bounded.
//! docs/format.md, "Attachments".

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::aead::{BlobCipher, CHUNK, ChunkPlace};
use crate::crypto::pad::pad;
use crate::crypto::random::{self, Random};
use crate::error::VerifyError;
use crate::format::entry::Attachment;
use crate::format::id::BlobId;
use crate::format::page::{FULL_CHUNK, blob_prefix};
use crate::format::{limits, text};
use crate::secret::Key;
use crate::source::Source;
use crate::vault::entry::BlobLines;

/// An attachment whose lines were written somewhere.
pub struct SealedBlob {
    pub(crate) attachment: Attachment,
    pub(crate) lines: BlobLines,
}

/// What is wrong with a value that is to become an attachment.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlobError {
    /// It cannot be read, or its lines cannot be written.
    Io(io::Error),
    /// Longer than allowed.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An attachment whose lines are being written.
pub struct BlobWriter {
    attachment: Attachment,
    chunks: u32,
    length: u64,
}

impl BlobWriter {
    /// Reads `value` to its end and writes the `blob` lines of a new attachment to `out`. What is written is ciphertext.
    ///
    /// # Errors
    /// [`BlobError`]; what was written then is of no use.
    ///
    /// # Panics
    /// Never: the limit keeps the number of chunks within 32 bits.
    pub fn write(
        value: &mut dyn Read,
        limit: u64,
        out: &mut dyn Write,
        random: &mut dyn Random,
    ) -> Result<Self, BlobError> {
        let limit = limit.min(limits::ATTACHMENT);
        let id = BlobId(random::array(random));
        let key = Key::init_with(|key| random.fill(key));
        let cipher = BlobCipher::new(&key, &id.0);
        let mut attachment = Attachment { id, key, length: 0 };
        let mut chunk = Zeroizing::new(Vec::with_capacity(FULL_CHUNK));
        let mut index = 0;
        // A chunk is sealed when it is known not to be the last one: when there is a byte after it.
        let mut ahead = read_chunk(value, &mut chunk)?;
        attachment.length = chunk.len() as u64;
        std::thread::scope(|scope| {
            let mut lines = ChunkLines::new(scope, &cipher, id, if ahead { parallelism() } else { 1 }, out);
            let mut next = Zeroizing::new(Vec::with_capacity(FULL_CHUNK));
            while ahead {
                ahead = read_chunk(value, &mut next)?;
                attachment.length += next.len() as u64;
                if attachment.length > limit {
                    return Err(BlobError::TooLarge { limit });
                }
                if next.is_empty() {
                    break;
                }
                lines.put(ChunkPlace { index, last: false }, &mut chunk)?;
                index += 1;
                std::mem::swap(&mut chunk, &mut next);
            }
            if attachment.length > limit {
                return Err(BlobError::TooLarge { limit });
            }
            // Zeros up to the padded length, which may need chunks of their own.
            let mut zeros = pad(attachment.length.max(1)) - attachment.length;
            loop {
                let room = (CHUNK - chunk.len()) as u64;
                let fill = zeros.min(room);
                let filled = chunk.len() + usize::try_from(fill).expect("less than a chunk");
                chunk.resize(filled, 0);
                zeros -= fill;
                lines.put(ChunkPlace { index, last: zeros == 0 }, &mut chunk)?;
                if zeros == 0 {
                    break;
                }
                index += 1;
                chunk.clear();
            }
            let length = lines.finish()?;
            Ok(Self { attachment, chunks: index + 1, length })
        })
    }

    /// The lines stand in `source` from `offset` on.
    #[must_use]
    pub fn finish(self, source: Arc<dyn Source>, offset: u64) -> SealedBlob {
        let lines = BlobLines {
            blob: self.attachment.id,
            chunks: self.chunks,
            source,
            at: offset..offset + self.length,
        };
        SealedBlob { attachment: self.attachment, lines }
    }

    /// Bytes of text that were written.
    #[must_use]
    pub fn text_len(&self) -> u64 {
        self.length
    }
}

/// A chunk on its way to being a line.
struct Chunk {
    place: ChunkPlace,
    bytes: Zeroizing<Vec<u8>>,
    line: Vec<u8>,
}

impl Chunk {
    fn new() -> Self {
        let place = ChunkPlace { index: 0, last: false };
        let line = Vec::with_capacity(64 + text::encoded_len(FULL_CHUNK));
        Self { place, bytes: Zeroizing::new(Vec::with_capacity(FULL_CHUNK)), line }
    }

    fn seal(&mut self, cipher: &BlobCipher, id: BlobId) {
        cipher.seal(self.place, &mut self.bytes);
        self.line.clear();
        self.line.extend_from_slice(blob_prefix(id, self.place.index).as_bytes());
        text::push_base64(&mut self.line, &self.bytes);
        self.line.push(b'\n');
    }
}

/// The lines of an attachment, sealed by workers in turn, while this thread reads what comes next and writes what is done.
struct ChunkLines<'a> {
    cipher: &'a BlobCipher,
    id: BlobId,
    out: &'a mut dyn Write,
    /// None: chunks are sealed by this thread.
    workers: Vec<Worker>,
    sent: usize,
    received: usize,
    /// Bytes of text that were written.
    written: u64,
    /// A buffer to be used again.
    spare: Option<Chunk>,
}

struct Worker {
    to: SyncSender<Chunk>,
    from: Receiver<Chunk>,
}

/// Chunks that a worker has: one in work, one waiting.
const CHUNKS_EACH: usize = 2;

/// How many threads may seal chunks of one attachment.
fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(4))
}

impl<'a> ChunkLines<'a> {
    fn new<'scope>(
        scope: &'scope Scope<'scope, 'a>,
        cipher: &'a BlobCipher,
        id: BlobId,
        threads: usize,
        out: &'a mut dyn Write,
    ) -> Self {
        let worker = |_| {
            let (to, chunks) = sync_channel::<Chunk>(CHUNKS_EACH);
            let (done, from) = sync_channel(CHUNKS_EACH);
            let seal = move || {
                for mut chunk in chunks {
                    chunk.seal(cipher, id);
                    if done.send(chunk).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new().spawn_scoped(scope, seal).ok().map(|_| Worker { to, from })
        };
        // Fewer where there can be no more threads.
        let workers = if threads > 1 { (0..threads).map_while(worker).collect() } else { Vec::new() };
        Self { cipher, id, out, workers, sent: 0, received: 0, written: 0, spare: None }
    }

    /// Takes the chunk's bytes, and leaves some others that mean nothing.
    fn put(&mut self, place: ChunkPlace, bytes: &mut Zeroizing<Vec<u8>>) -> io::Result<()> {
        if !self.workers.is_empty() && self.sent - self.received == CHUNKS_EACH * self.workers.len() {
            self.receive()?;
        }
        let mut chunk = self.spare.take().unwrap_or_else(Chunk::new);
        chunk.place = place;
        std::mem::swap(&mut chunk.bytes, bytes);
        if self.workers.is_empty() {
            chunk.seal(self.cipher, self.id);
            return self.write(chunk);
        }
        let worker = self.sent % self.workers.len();
        self.sent += 1;
        self.workers[worker].to.send(chunk).map_err(|_| stopped())
    }

    /// Writes the oldest chunk that is in work.
    fn receive(&mut self) -> io::Result<()> {
        let worker = self.received % self.workers.len();
        self.received += 1;
        let chunk = self.workers[worker].from.recv().map_err(|_| stopped())?;
        self.write(chunk)
    }

    fn write(&mut self, chunk: Chunk) -> io::Result<()> {
        self.written += chunk.line.len() as u64;
        self.out.write_all(&chunk.line)?;
        self.spare = Some(chunk);
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        while self.received < self.sent {
            self.receive()?;
        }
        Ok(self.written)
    }
}

/// Only a panic ends a worker early, and the scope passes that on.
fn stopped() -> io::Error {
    io::Error::other("a thread ended early")
}

/// Fills `chunk` with a full chunk's bytes or, at the end, fewer. True if it is full.
fn read_chunk(value: &mut dyn Read, chunk: &mut Zeroizing<Vec<u8>>) -> io::Result<bool> {
    chunk.resize(CHUNK, 0);
    let mut filled = 0;
    while filled < CHUNK {
        match value.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk[filled..].zeroize();
    chunk.truncate(filled);
    Ok(filled == CHUNK)
}

/// Reads an attachment, chunk by chunk. What it gives out was verified; the end is given out only after the last chunk.
pub struct BlobReader {
    cipher: BlobCipher,
    lines: BlobLines,
    length: u64,
    given: u64,
    index: u32,
    at: u64,
    line: Vec<u8>,
    chunk: Zeroizing<Vec<u8>>,
    /// How much of the chunk belongs to the value, and how much of that was given out.
    part: usize,
    taken: usize,
}

impl BlobReader {
    pub(crate) fn new(attachment: &Attachment, lines: BlobLines) -> Self {
        Self {
            cipher: BlobCipher::new(&attachment.key, &attachment.id.0),
            length: attachment.length,
            given: 0,
            index: 0,
            at: lines.at.start,
            line: Vec::new(),
            chunk: Zeroizing::new(Vec::with_capacity(FULL_CHUNK)),
            part: 0,
            taken: 0,
            lines,
        }
    }

    /// Bytes of the whole value.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next chunk's part of the value; empty at the end, when all chunks were verified.
    ///
    /// # Errors
    /// [`VerifyError::Attachment`], or reading errors.
    ///
    /// # Panics
    /// Never.
    pub fn next_chunk(&mut self) -> Result<&[u8], VerifyError> {
        (self.part, self.taken) = (0, 0);
        if self.index == self.lines.chunks {
            return Ok(&[]);
        }
        self.open_next()?;
        let left = usize::try_from(self.length - self.given).unwrap_or(usize::MAX);
        let part = left.min(self.chunk.len());
        if self.chunk[part..].iter().any(|&byte| byte != 0) {
            return Err(VerifyError::Attachment(self.lines.blob));
        }
        self.given += part as u64;
        self.part = part;
        if part == 0 {
            // Padding may fill chunks of its own: they are verified, and then the value is at its end.
            while self.index < self.lines.chunks {
                self.open_next()?;
                if self.chunk.iter().any(|&byte| byte != 0) {
                    return Err(VerifyError::Attachment(self.lines.blob));
                }
            }
        }
        Ok(&self.chunk[..part])
    }

    fn open_next(&mut self) -> Result<(), VerifyError> {
        let wrong = || VerifyError::Attachment(self.lines.blob);
        let last = self.index + 1 == self.lines.chunks;
        let prefix = blob_prefix(self.lines.blob, self.index);
        let left = self.lines.at.end.saturating_sub(self.at);
        let full = (prefix.len() + text::encoded_len(FULL_CHUNK) + 1) as u64;
        let length = if last { left } else { full };
        if length > full || length > left {
            return Err(wrong());
        }
        self.line.resize(usize::try_from(length).map_err(|_| wrong())?, 0);
        self.lines.source.read_exact_at(&mut self.line, self.at)?;
        let encoded = self
            .line
            .strip_suffix(b"\n")
            .and_then(|line| line.strip_prefix(prefix.as_bytes()))
            .ok_or_else(wrong)?;
        let size = text::decoded_len(encoded.len()).filter(|&size| size <= FULL_CHUNK).ok_or_else(wrong)?;
        self.chunk.resize(size, 0);
        text::base64_into(encoded, &mut self.chunk).map_err(|_| wrong())?;
        self.cipher.open(ChunkPlace { index: self.index, last }, &mut self.chunk).map_err(|_| wrong())?;
        // Every chunk but the last is full, and the last one ends where the padded value does.
        let before = u64::from(self.index) * CHUNK as u64;
        let padded = pad(self.length.max(1)).saturating_sub(before);
        if self.chunk.len() as u64 != padded.min(CHUNK as u64) {
            return Err(wrong());
        }
        self.at += length;
        self.index += 1;
        Ok(())
    }
}

impl Read for BlobReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.part {
            self.next_chunk().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        let count = (self.part - self.taken).min(out.len());
        out[..count].copy_from_slice(&self.chunk[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
