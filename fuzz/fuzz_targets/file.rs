//! A whole file, without a key and with one.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vault_core::format::front::Front;
use vault_core::vault::LockedVault;
use vault_fuzz::{Forge, front_round_trip, pages_round_trip};

fuzz_target!(|data: &[u8]| {
    let text = data.to_vec();
    if let Ok(front) = Front::parse(&text) {
        front_round_trip(&text, &front);
        let locked = LockedVault::open(Arc::new(text.clone())).expect("it was parsed");
        if locked.check().is_ok() {
            pages_round_trip(&text, &front);
        }
    }
    Forge::get().exercise(text);
});
