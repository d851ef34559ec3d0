//! Any lines in a page, behind a valid tag.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::front::{Head, Pages};
use vault_core::format::id::SealId;
use vault_core::format::page::{Look, Page};
use vault_fuzz::{Forge, Wanted, worth_a_file};

fuzz_target!(|data: &[u8]| {
    // The tag covers all lines but those of chunks.
    let mut covered = Vec::new();
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        if !line.starts_with(b"blob ") {
            covered.extend_from_slice(line);
        }
    }
    let forge = Forge::get();
    // The page of the seeds' first entry.
    let number = u16::from(forge.entry_id("seed").0[0]);
    let head = Head { seal: SealId([2; 16]), tag: [0; 32] };
    let section = [Page::fixed_line(Pages::Few, number).as_bytes(), &head.write(), data].concat();
    let parsed = Page::parse(&section, Pages::Few, number, 0, Look::Canonical);
    if !worth_a_file(parsed.is_ok(), data) {
        return;
    }
    let page = Some((number, covered, data.to_vec()));
    forge.exercise(forge.text(&Wanted { page, ..Wanted::default() }));
});
