//! A slot line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::slot::SlotLine;

fuzz_target!(|data: &[u8]| {
    if let Ok(slot) = SlotLine::parse(data) {
        assert_eq!(slot.write(), data, "there is one spelling");
    }
});
