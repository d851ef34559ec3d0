//! What the fuzz targets share: a vault whose master key is known, so that any content can stand behind a right tag.
//!
//! vault-core has no door for this. Its primitives are public; the tag of a place, of which docs/format.md says how it is
//! made, is made here once more.

use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vault_core::crypto::aead::Sealer;
use vault_core::crypto::derive::Keys;
use vault_core::crypto::random::Random;
use vault_core::format::front::{Front, Head, Header, Pages, Table};
use vault_core::format::id::{EntryId, SealId};
use vault_core::format::page::{Look, Page};
use vault_core::format::pages::PageIndex;
use vault_core::format::roster::{Added, Roster};
use vault_core::format::seal::{Changes, Links, Place, PlaceLink};
use vault_core::format::slot::{Label, SlotLine};
use vault_core::format::text;
use vault_core::keys::age::Identity;
use vault_core::keys::{Credential, UnlockPolicy, VaultHeaderParts, new_age_slot};
use vault_core::secret::{Key, Master};
use vault_core::source::Source;
use vault_core::vault::{LockedVault, UnlockedVault};

/// The same bytes in every run: what is found must be found again.
pub struct Counting(u8);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// A vault of 256 pages whose every key is known.
pub struct Forge {
    pub header: Header,
    pub slots: Vec<SlotLine>,
    meta: Sealer,
    secret: Sealer,
    seal: Sealer,
    roster: Sealer,
    name: [u8; 32],
    table: [u8; 32],
    opened: UnlockedVault,
}

/// The sections of a file that a target chooses; the others are as they should be.
#[derive(Default)]
pub struct Wanted<'a> {
    /// Plaintext of the roster.
    pub roster: Option<&'a [u8]>,
    /// Plaintext of the links of a second seal.
    pub links: Option<&'a [u8]>,
    /// Plaintext of its changes.
    pub changes: Option<&'a [u8]>,
    /// A page, and what its tag covers and what stands in the file besides.
    pub page: Option<(u16, Vec<u8>, Vec<u8>)>,
}

const ROOT: SealId = SealId([1; 16]);
const SECOND: SealId = SealId([2; 16]);

impl Forge {
    /// The one that all runs use.
    pub fn get() -> &'static Self {
        static FORGE: OnceLock<Forge> = OnceLock::new();
        FORGE.get_or_init(Self::new)
    }

    fn new() -> Self {
        let random = &mut Counting(7);
        let master: Key<Master> = Key::init_with(|key| key.fill(9));
        let parts = VaultHeaderParts::of([1; 16], [2; 32], &master);
        let header =
            Header { pages: Pages::Few, uuid: parts.uuid, salt: parts.salt, commitment: parts.commitment };
        let identity = Identity::generate();
        let label = Label::parse("me").expect("a label");
        let slot = new_age_slot(&parts, label, identity.recipient().unwrap(), &master, random).expect("a slot");
        let keys = Keys::derive(&header.uuid, &header.salt, &master);
        let sealers = (
            Sealer::new(&keys.meta, "meta"),
            Sealer::new(&keys.secret, "secret"),
            Sealer::new(&keys.seal, "seal"),
            Sealer::new(&keys.roster, "roster"),
        );
        let forge = Unopened {
            header: header.clone(),
            slots: vec![slot.clone()],
            seal: &sealers.2,
            roster: &sealers.3,
            table: keys.table.expose(),
        };
        let text: Arc<dyn Source> = Arc::new(forge.text(&Wanted::default()));
        let credentials = [Credential::Identities(vec![identity])];
        let opened = LockedVault::open(text)
            .expect("the forged vault is well-formed")
            .unlock(&credentials, &UnlockPolicy::default())
            .unwrap_or_else(|still| panic!("the forged vault opens: {}", still.reason));
        opened.verify(&|_| ()).expect("the forged vault verifies");
        Self {
            header,
            slots: vec![slot],
            meta: sealers.0,
            secret: sealers.1,
            seal: sealers.2,
            roster: sealers.3,
            name: *keys.name.expose(),
            table: *keys.table.expose(),
            opened,
        }
    }

    /// The vault itself.
    pub fn opened(&self) -> &UnlockedVault {
        &self.opened
    }

    /// The id of an entry with this name.
    pub fn entry_id(&self, name: &str) -> EntryId {
        let mut id = [0; 16];
        id.copy_from_slice(&hmac(&self.name, &[name.as_bytes()])[..16]);
        EntryId(id)
    }

    /// An entry's line.
    pub fn entry_line(&self, id: EntryId, meta: &[u8], secrets: &[u8]) -> Vec<u8> {
        let random = &mut Counting(3);
        let mut line = Vec::new();
        text::push_hex(&mut line, &id.0);
        line.push(b' ');
        text::push_base64(&mut line, &self.meta.seal(&id.0, meta, random));
        line.push(b' ');
        text::push_base64(&mut line, &self.secret.seal(&id.0, secrets, random));
        line.push(b'\n');
        line
    }

    /// The file.
    pub fn text(&self, wanted: &Wanted<'_>) -> Vec<u8> {
        Unopened {
            header: self.header.clone(),
            slots: self.slots.clone(),
            seal: &self.seal,
            roster: &self.roster,
            table: &self.table,
        }
        .text(wanted)
    }

    /// Opens a forged file and does with it all that reading does. True if it verifies.
    pub fn exercise(&self, text: Vec<u8>) -> bool {
        let source: Arc<dyn Source> = Arc::new(text);
        let Ok(locked) = LockedVault::open(source) else { return false };
        let well_formed = locked.check().is_ok();
        let Ok(vault) = locked.unlock_as(&self.opened) else { return false };
        let verified = vault.verify(&|_| ()).is_ok();
        assert!(well_formed || !verified, "what verifies is well-formed");
        let visited = vault.each_entry(&|entry| {
            for field in entry.meta().fields.keys() {
                let _ = entry.value(field);
            }
        });
        if verified {
            assert!(visited.is_ok() && vault.log().is_ok(), "what verifies is read");
            for meta in vault.list().expect("what verifies is listed") {
                assert!(vault.meta(&meta.name).expect("it verified").is_some(), "what is listed is found");
            }
        }
        verified
    }
}

struct Unopened<'a> {
    header: Header,
    slots: Vec<SlotLine>,
    seal: &'a Sealer,
    roster: &'a Sealer,
    table: &'a [u8; 32],
}

impl Unopened<'_> {
    fn text(&self, wanted: &Wanted<'_>) -> Vec<u8> {
        let random = &mut Counting(5);
        let added = Added { time: 1, by: "fuzz".to_owned(), epoch: 0 };
        let slots = self.slots.iter().map(|slot| (slot.id, added.clone())).collect();
        let roster = Roster { epoch: 0, slots, removed: Vec::new() }.encode();
        let sealed = self.roster.seal(b"", wanted.roster.unwrap_or(&roster), random);
        let mut table = Table::new(Pages::Few, self.slots.clone(), sealed);
        table.head = Head { seal: ROOT, tag: self.tag(Place::SLOTS, ROOT, &table.lines) };

        let link = |place, tag| PlaceLink { place, previous: Vec::new(), tag };
        let root = Links {
            id: ROOT,
            parents: Vec::new(),
            generation: 1,
            places: vec![link(Place::SLOTS, table.head.tag)],
            restart: false,
        };
        let mut seals =
            vec![(None, self.seal_line(ROOT, &root.encode(), &Changes::default().encode(), random))];
        let mut page_head = None;
        if let Some((number, covered, _)) = &wanted.page {
            let tag = self.tag(Place::page(*number), SECOND, covered);
            page_head = Some((*number, Head { seal: SECOND, tag }));
            let links = Links {
                id: SECOND,
                parents: vec![ROOT],
                generation: 2,
                places: vec![link(Place::page(*number), tag)],
                restart: false,
            };
            let line = self.seal_line(SECOND, &links.encode(), &Changes::default().encode(), random);
            seals.push((Some(*number), line));
        } else if wanted.links.is_some() || wanted.changes.is_some() {
            let default = Links { parents: vec![ROOT], generation: 2, id: SECOND, ..root };
            let links = wanted.links.map_or_else(|| default.encode(), <[u8]>::to_vec);
            // In the section where it would belong; what does not decode belongs nowhere.
            let section = Links::decode(&links).ok().and_then(|links| links.section()).filter(|&n| n < 256);
            let changes = wanted.changes.map_or_else(|| Changes::default().encode(), <[u8]>::to_vec);
            seals.push((section, self.seal_line(SECOND, &links, &changes, random)));
        }

        let mut out = self.header.write();
        out.extend_from_slice(&table.write());
        for section in std::iter::once(None).chain((0..256).map(Some)) {
            let fixed = section.map_or("log slots\n".to_owned(), |n| format!("log {n:02x}\n"));
            out.extend_from_slice(fixed.as_bytes());
            for (_, line) in seals.iter().filter(|(at, _)| *at == section) {
                out.extend_from_slice(line);
            }
        }
        out.push(b'\n');
        for number in 0..256 {
            out.extend_from_slice(Page::fixed_line(Pages::Few, number).as_bytes());
            if let Some((_, head)) = page_head.filter(|(at, _)| *at == number) {
                out.extend_from_slice(&head.write());
            }
            if let Some((_, _, lines)) = wanted.page.as_ref().filter(|(at, _, _)| *at == number) {
                out.extend_from_slice(lines);
            }
        }
        out
    }

    fn seal_line(&self, id: SealId, links: &[u8], changes: &[u8], random: &mut dyn Random) -> Vec<u8> {
        let mut line = b"seal ".to_vec();
        text::push_hex(&mut line, &id.0);
        for (part, plain) in [(0, links), (1, changes)] {
            line.push(b' ');
            let place = [&id.0[..], &[part]].concat();
            text::push_base64(&mut line, &self.seal.seal(&place, plain, random));
        }
        line.push(b'\n');
        line
    }

    fn tag(&self, place: Place, seal: SealId, lines: &[u8]) -> [u8; 32] {
        let kind = [u8::from(place.page_number().is_some())];
        let number = place.page_number().unwrap_or_default().to_be_bytes();
        hmac(self.table, &[b"table\0", &kind, &number, &seal.0, lines])
    }
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether a content that did not decode is put into a file all the same: most are not, as a file costs a thousand times
/// what decoding does, and such a content is refused there as here.
pub fn worth_a_file(decoded: bool, data: &[u8]) -> bool {
    decoded || data.len().is_multiple_of(16)
}

/// Writes again what was parsed of everything before the pages, and compares.
pub fn front_round_trip(text: &[u8], front: &Front) {
    let mut again = front.header.write();
    assert_eq!(again.len() as u64, front.table_at.start);
    again.extend_from_slice(&front.table.write());
    assert_eq!(again.len() as u64, front.table_at.end);
    let mut seals = front.seals.iter().peekable();
    let pages = front.header.pages;
    for section in std::iter::once(None).chain((0..pages.count()).map(Some)) {
        let fixed = section.map_or("log slots\n".to_owned(), |n| format!("log {}\n", pages.digits(n)));
        again.extend_from_slice(fixed.as_bytes());
        while let Some(seal) = seals.next_if(|seal| seal.section == section) {
            assert_eq!(again.len() as u64, seal.line.start);
            again.extend_from_slice(b"seal ");
            text::push_hex(&mut again, &seal.id.0);
            again.push(b' ');
            text::push_base64(&mut again, &seal.links);
            again.push(b' ');
            again.extend_from_slice(&text[range(&seal.changes)]);
            again.push(b'\n');
            assert_eq!(again.len() as u64, seal.line.end);
        }
    }
    again.push(b'\n');
    assert_eq!(again.len() as u64, front.pages_at);
    assert!(text.starts_with(&again), "what was parsed is written as it was");
}

/// Writes every page again as it was parsed, and compares.
pub fn pages_round_trip(text: &[u8], front: &Front) {
    let source = text.to_vec();
    let pages = front.header.pages;
    let index = PageIndex::build(&source, front).expect("it was checked");
    let mut again = Vec::with_capacity(text.len());
    for number in 0..pages.count() {
        let page = Page::parse(&source, pages, number, index.start(number), Look::Canonical)
            .expect("it was checked");
        again.extend_from_slice(Page::fixed_line(pages, number).as_bytes());
        if let Some(head) = page.head {
            again.extend_from_slice(&head.write());
        }
        for entry in &page.entries {
            let mut at = entry.all.start;
            for file in &entry.files {
                again.extend_from_slice(&page.lines[at..file.line.end]);
                again.extend_from_slice(&text[range(&file.blobs)]);
                at = file.line.end;
            }
            again.extend_from_slice(&page.lines[at..entry.all.end]);
        }
    }
    assert!(
        text[usize::try_from(front.pages_at).expect("in memory")..] == again,
        "pages are written as they were"
    );
}

fn range(range: &std::ops::Range<u64>) -> std::ops::Range<usize> {
    let index = |at| usize::try_from(at).expect("in memory");
    index(range.start)..index(range.end)
}

/// Two parts of an input: a length of two bytes, that many bytes, the rest.
pub fn two_parts(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
