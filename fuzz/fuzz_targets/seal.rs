//! Links and changes of a seal, as such and behind a valid tag.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::seal::{Changes, Links};
use vault_fuzz::{Forge, Wanted, two_parts, worth_a_file};

fuzz_target!(|data: &[u8]| {
    let Some((links, changes)) = two_parts(data) else { return };
    let decoded = (Links::decode(links), Changes::decode(changes));
    if let Ok(links_again) = &decoded.0 {
        assert_eq!(links_again.encode(), links, "there is one encoding");
    }
    if let Ok(changes_again) = &decoded.1 {
        assert_eq!(changes_again.encode(), changes, "there is one encoding");
    }
    if !worth_a_file(decoded.0.is_ok() && decoded.1.is_ok(), data) {
        return;
    }
    let forge = Forge::get();
    forge.exercise(forge.text(&Wanted { links: Some(links), changes: Some(changes), ..Wanted::default() }));
    // Beside right links, so that what the changes say is looked at.
    let accepted = forge.exercise(forge.text(&Wanted { changes: Some(changes), ..Wanted::default() }));
    assert!(!accepted, "a second seal of the slot table that names no previous is refused");
});
