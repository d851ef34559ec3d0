//! One entry: found by its name, opened and sealed. docs/format.md, "Pages and entries".

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::crypto::aead::Sealer;
use crate::crypto::derive::Keys;
use crate::crypto::hash::{Hasher, equal};
use crate::crypto::random::Random;
use crate::error::VerifyError;
use crate::format::entry::{Attachment, EntryName, Meta, Secrets, Stored};
use crate::format::id::{BlobId, EntryId, SealId};
use crate::format::page::{EntryLine, Page};
use crate::format::seal::Place;
use crate::format::{limits, text};
use crate::secret::Secret;
use crate::source::Source;
use crate::vault::blob::BlobReader;

/// The keys of a vault, each set up for its use.
pub(crate) struct Sealers {
    name: Hasher,
    table: Hasher,
    pub(crate) meta: Sealer,
    pub(crate) secret: Sealer,
    pub(crate) seal: Sealer,
    pub(crate) roster: Sealer,
}

impl Sealers {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self {
            meta: Sealer::new(&keys.meta, "meta"),
            secret: Sealer::new(&keys.secret, "secret"),
            seal: Sealer::new(&keys.seal, "seal"),
            roster: Sealer::new(&keys.roster, "roster"),
            name: Hasher::new(keys.name.expose()),
            table: Hasher::new(keys.table.expose()),
        }
    }

    /// First 16 bytes of `HMAC(K[name], entry name)`.
    pub(crate) fn entry_id(&self, name: &EntryName) -> EntryId {
        let mut hasher = self.name.clone();
        hasher.update(name.as_str().as_bytes());
        let hash = hasher.finish();
        EntryId(*hash.first_chunk().expect("a hash has 32 bytes"))
    }

    /// `HMAC(K[table], "table" ‖ 00 ‖ kind ‖ u16 number ‖ seal id ‖ lines)`
    pub(crate) fn tag(&self, place: Place, seal: SealId, lines: &[u8]) -> [u8; 32] {
        let mut hasher = self.table.clone();
        hasher.update(b"table\0");
        hasher.update(&[u8::from(place.page_number().is_some())]);
        hasher.update(&place.page_number().unwrap_or_default().to_be_bytes());
        hasher.update(&seal.0);
        hasher.update(lines);
        hasher.finish()
    }
}

/// Lines of an attachment that stand in some source.
#[derive(Clone)]
pub(crate) struct BlobLines {
    pub(crate) blob: BlobId,
    pub(crate) chunks: u32,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) at: Range<u64>,
}

/// An entry as it stands in a page, or will: sealed text and where its attachments' lines are.
#[derive(Clone)]
pub(crate) struct SealedEntry {
    pub(crate) id: EntryId,
    /// The entry line and its `file` lines, each with its newline: what the page's tag covers.
    pub(crate) lines: Vec<u8>,
    /// Ascending by blob id.
    pub(crate) files: Vec<BlobLines>,
}

/// An entry, opened.
pub(crate) struct OpenEntry {
    pub(crate) meta: Meta,
    pub(crate) secrets: Secrets,
    pub(crate) files: Vec<BlobLines>,
}

impl SealedEntry {
    /// The entry as it stands in that page of that source.
    pub(crate) fn from_page(page: &Page, entry: &EntryLine, source: &Arc<dyn Source>) -> Self {
        let files = entry.files.iter().map(|file| BlobLines {
            blob: file.blob,
            chunks: file.chunks,
            source: Arc::clone(source),
            at: file.blobs.clone(),
        });
        Self { id: entry.id, lines: page.lines[entry.all.clone()].to_vec(), files: files.collect() }
    }

    /// Opens the metadata only.
    pub(crate) fn open_meta(&self, sealers: &Sealers) -> Result<Meta, VerifyError> {
        let (meta, _) = self.parts();
        open_meta(self.id, meta, sealers)
    }

    /// Opens both parts and checks that they and the attachments belong together.
    pub(crate) fn open(&self, sealers: &Sealers) -> Result<OpenEntry, VerifyError> {
        let wrong = || VerifyError::Entry(self.id);
        let (meta, secrets) = self.parts();
        let meta = open_meta(self.id, meta, sealers)?;
        let secrets = self.open_secrets(secrets, sealers)?;
        if !secrets.belong_to(&meta) {
            return Err(wrong());
        }
        // The attachments among the values are exactly the files, with the right number of chunks.
        let mut attachments: BTreeMap<BlobId, &Attachment> = BTreeMap::new();
        for (_, value) in secrets.all() {
            let Stored::Attachment(attachment) = value else { continue };
            let first = *attachments.entry(attachment.id).or_insert(attachment);
            let same = equal(first.key.expose(), attachment.key.expose());
            if !same || first.length != attachment.length {
                return Err(wrong());
            }
        }
        let wanted = attachments.values().map(|one| (one.id, Attachment::chunks(one.length)));
        if !wanted.eq(self.files.iter().map(|file| (file.blob, u64::from(file.chunks)))) {
            return Err(wrong());
        }
        Ok(OpenEntry { meta, secrets, files: self.files.clone() })
    }

    /// Opens the secrets alone, without asking whether they belong to the metadata.
    pub(crate) fn open_secrets(&self, encoded: &[u8], sealers: &Sealers) -> Result<Secrets, VerifyError> {
        let wrong = || VerifyError::Entry(self.id);
        let sealed = text::base64(encoded, limits::ENTRY_LINE).map_err(|_| wrong())?;
        let plain = sealers.secret.open_here(&self.id.0, sealed).map_err(|_| wrong())?;
        Secrets::decode(&plain).map_err(|_| wrong())
    }

    /// The base64 of the two parts.
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        let line = self.lines.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let mut words = line.splitn(3, |&byte| byte == b' ').skip(1);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

/// Opens the metadata of an entry line and checks that its name gives the line's id.
pub(crate) fn open_meta(id: EntryId, encoded: &[u8], sealers: &Sealers) -> Result<Meta, VerifyError> {
    open_encoded_meta(id, encoded, sealers).map(|(meta, _)| meta)
}

/// As [`open_meta`], with the CBOR that it was in.
pub(crate) fn open_encoded_meta(
    id: EntryId,
    encoded: &[u8],
    sealers: &Sealers,
) -> Result<(Meta, Secret), VerifyError> {
    let wrong = || VerifyError::Entry(id);
    let sealed = text::base64(encoded, limits::ENTRY_LINE).map_err(|_| wrong())?;
    let plain = sealers.meta.open_here(&id.0, sealed).map_err(|_| wrong())?;
    let meta = Meta::decode(plain.expose()).map_err(|_| wrong())?;
    if sealers.entry_id(&meta.name) == id { Ok((meta, plain)) } else { Err(wrong()) }
}

impl OpenEntry {
    /// The reader of one of the entry's attachments.
    pub(crate) fn reader(&self, attachment: &Attachment) -> Option<BlobReader> {
        let lines = self.files.iter().find(|lines| lines.blob == attachment.id)?;
        Some(BlobReader::new(attachment, lines.clone()))
    }

    /// Whether an attachment opens from its first chunk to its last.
    pub(crate) fn reads_whole(&self, attachment: &Attachment) -> bool {
        let Some(mut reader) = self.reader(attachment) else { return false };
        loop {
            match reader.next_chunk() {
                Ok([]) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Seals the entry. `None` if its line would be longer than the format allows.
    pub(crate) fn seal(self, sealers: &Sealers, random: &mut dyn Random) -> Option<SealedEntry> {
        let id = sealers.entry_id(&self.meta.name);
        let mut files = self.files;
        let wanted: Vec<BlobId> = self
            .secrets
            .all()
            .filter_map(|(_, value)| match value {
                Stored::Attachment(attachment) => Some(attachment.id),
                Stored::Inline(_) => None,
            })
            .collect();
        files.retain(|file| wanted.contains(&file.blob));
        files.sort_by_key(|file| file.blob);
        files.dedup_by_key(|file| file.blob);

        let meta = sealers.meta.seal(&id.0, &self.meta.encode(), random);
        let secrets = sealers.secret.seal(&id.0, self.secrets.encode().expose(), random);
        let mut lines =
            Vec::with_capacity(64 + text::encoded_len(meta.len()) + text::encoded_len(secrets.len()));
        text::push_hex(&mut lines, &id.0);
        lines.push(b' ');
        text::push_base64(&mut lines, &meta);
        lines.push(b' ');
        text::push_base64(&mut lines, &secrets);
        lines.push(b'\n');
        if lines.len() > limits::ENTRY_LINE {
            return None;
        }
        for file in &files {
            lines.extend_from_slice(format!("file {id} {} {}\n", file.blob, file.chunks).as_bytes());
        }
        Some(SealedEntry { id, lines, files })
    }
}
