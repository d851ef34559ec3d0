//! Reading pages: one that is searched for, or all of them, in parallel; and verifying each.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use crate::error::VerifyError;
use crate::format::front::Front;
use crate::format::lines::FormatError;
use crate::format::page::{Look, Page};
use crate::format::pages::{PageIndex, search};
use crate::format::seal::Place;
use crate::format::{limits, text};
use crate::source::Source;
use crate::vault::UnlockedVault;

/// Pages that were read last, and where others were found.
#[derive(Default)]
pub(super) struct Recent {
    /// The last one that was asked for at the end.
    pages: Vec<Arc<Page>>,
    starts: BTreeMap<u16, u64>,
}

impl Recent {
    fn page(&mut self, number: u16) -> Option<Arc<Page>> {
        let at = self.pages.iter().position(|page| page.number == number)?;
        let page = self.pages.remove(at);
        self.pages.push(Arc::clone(&page));
        Some(page)
    }

    fn keep(&mut self, page: &Arc<Page>) {
        self.starts.insert(page.number, page.at.start);
        self.pages.retain(|other| other.number != page.number);
        self.pages.push(Arc::clone(page));
        let mut bytes: usize = self.pages.iter().map(|page| page.lines.capacity()).sum();
        // The last one stays, however long it is.
        while bytes > RECENT && self.pages.len() > 1 {
            bytes -= self.pages.remove(0).lines.capacity();
        }
    }
}

/// Bytes of pages that are kept.
const RECENT: usize = 512 << 10;
/// Bytes of short pages that are read at once.
const AT_ONCE: u64 = 64 << 10;
/// Bytes after them.
const BEYOND: u64 = 2 << 10;

impl UnlockedVault {
    /// As [`UnlockedVault::page`], for whoever holds a vault for long: what was read and verified last is not read again. The
    /// state of a vault does not change; who holds it sees that the file is still the one that was read.
    pub(super) fn recent_page(&self, number: u16) -> Result<Arc<Page>, VerifyError> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = recent().page(number) {
            return Ok(page);
        }
        let start = recent().starts.get(&number).copied();
        let page = Arc::new(match start {
            Some(start) => self.page_at(number, start)?,
            None => self.page(number)?,
        });
        recent().keep(&page);
        Ok(page)
    }

    /// A page, verified. Without an index it is searched for, which reads little of the file.
    pub(super) fn page(&self, number: u16) -> Result<Page, VerifyError> {
        let start = match self.index.get() {
            Some(index) => index.start(number),
            None => match search(&*self.source, &self.front, number)? {
                Some(start) => start,
                None => self.index()?.start(number),
            },
        };
        self.page_at(number, start)
    }

    fn page_at(&self, number: u16, start: u64) -> Result<Page, VerifyError> {
        let pages = self.front.header.pages;
        let average = (self.source.len() - self.front.pages_at) / u64::from(pages.count()) * 3 / 2;
        let page = Page::parse_expecting(&*self.source, pages, number, start, Look::Outline, average)?;
        self.verify_page(&page)?;
        Ok(page)
    }

    pub(super) fn index(&self) -> Result<&PageIndex, VerifyError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = PageIndex::build(&*self.source, &self.front)?;
        Ok(self.index.get_or_init(|| index))
    }

    /// Rules 1 and 3 for one page.
    pub(super) fn verify_page(&self, page: &Page) -> Result<(), VerifyError> {
        let place = Place::page(page.number);
        self.log.check_head(place, page.head.as_ref())?;
        match &page.head {
            Some(head) if self.sealers.tag(place, head.seal, &page.lines) != head.tag => {
                Err(VerifyError::Tag(place))
            }
            _ => Ok(()),
        }
    }

    /// Every page, verified, in parallel; results in the order of the pages. Together with the index, which accepts no
    /// other lines between the pages, this is rule 1 for all pages.
    pub(super) fn each_verified_page<T: Send>(
        &self,
        look: Look,
        visit: impl Fn(Page) -> Result<T, VerifyError> + Sync,
    ) -> Result<Vec<T>, VerifyError> {
        let index = self.index()?;
        let pages = self.front.header.pages;
        let entries = AtomicUsize::new(0);
        let groups = groups(index, pages.count());
        let count = u16::try_from(groups.len()).unwrap_or(u16::MAX);
        let results = each_page(count, self.source.len(), |group| {
            let numbers = groups[usize::from(group)].clone();
            let read = Section::read(&*self.source, index.start(numbers.start)..index.start(numbers.end))?;
            let mut results = Vec::with_capacity(numbers.len());
            for number in numbers {
                let start = index.start(number);
                let length = index.start(number + 1) - start;
                let page = Page::parse_expecting(&read, pages, number, start, look, length)?;
                check_page_end(&page, index)?;
                let before = entries.fetch_add(page.entries.len(), Ordering::Relaxed);
                if before + page.entries.len() > limits::ENTRIES {
                    let error = FormatError::Limit { offset: start, what: "more than 2,000,000 entries" };
                    return Err(VerifyError::from(error));
                }
                self.verify_page(&page)?;
                results.push(visit(page)?);
            }
            Ok(results)
        })?;
        Ok(results.into_iter().flatten().collect())
    }
}

/// Consecutive pages that are read at once: as many as are short together.
fn groups(index: &PageIndex, pages: u16) -> Vec<Range<u16>> {
    let mut groups: Vec<Range<u16>> = Vec::new();
    for number in 0..pages {
        match groups.last_mut() {
            Some(group) if index.start(number + 1) - index.start(group.start) <= AT_ONCE => {
                group.end = number + 1;
            }
            _ => groups.push(number..number + 1),
        }
    }
    groups
}

/// A section of a source that was read, and the rest of it.
struct Section<'a> {
    source: &'a dyn Source,
    at: Range<u64>,
    bytes: Vec<u8>,
}

impl<'a> Section<'a> {
    /// Reads it, unless it is so long that it is better read step by step.
    fn read(source: &'a dyn Source, at: Range<u64>) -> std::io::Result<Self> {
        let length = match at.end - at.start {
            // And what a reader of lines looks at beyond it, to see that it ends.
            length if length <= AT_ONCE => (at.end + BEYOND).min(source.len()) - at.start,
            _ => 0,
        };
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        source.read_exact_at(&mut bytes, at.start)?;
        Ok(Self { source, at, bytes })
    }
}

impl Source for Section<'_> {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let start = offset.checked_sub(self.at.start).and_then(|start| usize::try_from(start).ok());
        let there = start.and_then(|start| self.bytes.get(start..start.checked_add(buffer.len())?));
        match there {
            Some(there) => buffer.copy_from_slice(there),
            None => self.source.read_exact_at(buffer, offset)?,
        }
        Ok(())
    }
}

pub(super) fn parse_page(
    source: &dyn Source,
    front: &Front,
    index: &PageIndex,
    number: u16,
) -> Result<Page, FormatError> {
    let (start, end) = (index.start(number), index.start(number + 1));
    let pages = front.header.pages;
    let page = Page::parse_expecting(source, pages, number, start, Look::Canonical, end - start)?;
    check_page_end(&page, index)?;
    Ok(page)
}

pub(super) fn check_page_end(page: &Page, index: &PageIndex) -> Result<(), FormatError> {
    if page.at.end == index.start(page.number + 1) {
        Ok(())
    } else {
        Err(FormatError::Malformed { offset: page.at.end, expected: "the next page" })
    }
}

/// The base64 of every seal's changes, which reading one entry does not look at.
pub(super) fn check_seal_text(source: &dyn Source, front: &Front) -> Result<(), FormatError> {
    for seal in &front.seals {
        let length = usize::try_from(seal.changes.end - seal.changes.start).unwrap_or(usize::MAX);
        let mut encoded = vec![0; length];
        source.read_exact_at(&mut encoded, seal.changes.start)?;
        if !text::decoded_len(length).is_some_and(|decoded| text::is_base64(&encoded, decoded)) {
            return Err(FormatError::Malformed {
                offset: seal.changes.start,
                expected: "the sealed changes of a seal",
            });
        }
    }
    Ok(())
}

/// Bytes of file from which on a second thread is worth starting.
const WORTH_A_THREAD: u64 = 256 << 10;

/// Calls `work` for every page number on as many threads as there are processors, fewer for a small file; stops at the
/// first error.
pub(super) fn each_page<T: Send, E: Send>(
    count: u16,
    bytes: u64,
    work: impl Fn(u16) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let worth = usize::try_from(bytes / WORTH_A_THREAD).unwrap_or(usize::MAX);
    let threads = processors().min(worth.saturating_add(1));
    let work = |number| work(u16::try_from(number).expect("below a count of 16 bits"));
    in_parallel(count.into(), threads, work)
}

/// How many threads are worth having.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(8))
}

/// Calls `work` for every number below `count`, on as many threads as there can be up to this number; stops at the first error.
pub(super) fn in_parallel<T: Send, E: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return done;
            }
            let result = work(number);
            if result.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            done.push((number, result));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let work = || {
            let done = run();
            // The memory of its stack is given to the next thread as it is.
            crate::secret::scrub_stack();
            done
        };
        // Where there can be no more threads, those that there are do it all.
        let workers: Vec<_> =
            (1..threads).map_while(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut all = run();
        for worker in workers {
            all.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::crypto::random::SystemRandom;
    use crate::format::front::Pages;
    use crate::keys::UnlockPolicy;
    use crate::vault::LockedVault;
    use crate::vault::tests::{Fixture, inline, name};

    /// A text that remembers what was read of it.
    struct Watched(Arc<Vec<u8>>, Mutex<Vec<(u64, usize)>>);

    impl Source for Watched {
        fn len(&self) -> u64 {
            self.0.as_slice().len() as u64
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
            self.1.lock().unwrap().push((offset, buffer.len()));
            self.0.read_exact_at(buffer, offset)
        }
    }

    fn watched(fixture: &Fixture) -> (Arc<Watched>, UnlockedVault) {
        let source = Arc::new(Watched(Arc::clone(&fixture.text), Mutex::default()));
        let locked = LockedVault::open(Arc::clone(&source) as _).unwrap();
        let vault = locked.unlock(&fixture.credentials(), &UnlockPolicy::default()).ok().unwrap();
        (source, vault)
    }

    fn large(count: usize) -> Fixture {
        Fixture::new(Pages::Few).edit(|edit| {
            for number in 0..count {
                let update = inline("secret", &vec![7; 3_000]);
                edit.set(&name(&format!("entry/{number}")), update, &mut SystemRandom).unwrap();
            }
        })
    }

    #[test]
    fn what_was_read_last_is_not_read_again_and_the_rest_is_forgotten() {
        let fixture = large(400);
        let (source, vault) = watched(&fixture);
        let get = |number: usize| {
            source.1.lock().unwrap().clear();
            assert!(vault.meta(&name(&format!("entry/{number}"))).unwrap().is_some());
            source.1.lock().unwrap().len()
        };
        assert!(get(0) > 0);
        assert_eq!(get(0), 0);
        for number in 1..400 {
            get(number);
        }
        let kept: usize = vault.recent.lock().unwrap().pages.iter().map(|page| page.lines.capacity()).sum();
        assert!(kept <= RECENT && kept > RECENT / 2, "{kept}");
        let page_of =
            |number: usize| Pages::Few.of(vault.sealers.entry_id(&name(&format!("entry/{number}"))).0);
        let is_kept = |number: &usize| {
            vault.recent.lock().unwrap().pages.iter().any(|page| page.number == page_of(*number))
        };
        let forgotten = (0..400).find(|number| !is_kept(number)).expect("they are more than are kept");
        let start = vault.recent.lock().unwrap().starts[&page_of(forgotten)];
        assert!(get(forgotten) > 0);
        assert_eq!(source.1.lock().unwrap()[0].0, start, "where it is was not forgotten");
    }

    #[test]
    fn short_pages_are_read_many_at_once() {
        let fixture = large(20);
        let (source, vault) = watched(&fixture);
        vault.list().unwrap();
        source.1.lock().unwrap().clear();
        assert_eq!(vault.list().unwrap().len(), 20);
        let reads = source.1.lock().unwrap().len();
        assert!(reads <= 8, "{reads} times for 256 pages");
    }
}
