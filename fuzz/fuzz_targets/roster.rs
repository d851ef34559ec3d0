//! The roster, as such and behind a valid tag.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::roster::Roster;
use vault_fuzz::{Forge, Wanted, worth_a_file};

fuzz_target!(|data: &[u8]| {
    let decoded = Roster::decode(data);
    if let Ok(again) = &decoded {
        assert_eq!(again.encode(), data, "there is one encoding");
    }
    if !worth_a_file(decoded.is_ok(), data) {
        return;
    }
    let forge = Forge::get();
    let accepted = forge.exercise(forge.text(&Wanted { roster: Some(data), ..Wanted::default() }));
    let right = decoded.is_ok_and(|roster| roster.slots.keys().eq(forge.slots.iter().map(|slot| &slot.id)));
    assert_eq!(accepted, right, "it is accepted exactly if it is the roster of these slots");
});
