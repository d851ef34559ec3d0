//! Header, slot table and log: the rest of the file is always the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::front::Front;
use vault_fuzz::front_round_trip;

fuzz_target!(|data: &[u8]| {
    // The part that is fuzzed is put before 256 empty sections, which no fuzzer finds by itself.
    let mut text = data.to_vec();
    for number in 0..256 {
        text.extend_from_slice(format!("log {number:02x}\n").as_bytes());
    }
    text.push(b'\n');
    for number in 0..256 {
        text.extend_from_slice(format!("page {number:02x}\n").as_bytes());
    }
    for text in [data.to_vec(), text] {
        if let Ok(front) = Front::parse(&text) {
            front_round_trip(&text, &front);
        }
    }
});
