//! A machine key's text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::keys::age::parse_identities;
use vault_core::keys::machine::MachineKey;
use vault_core::secret::Secret;

fuzz_target!(|data: &[u8]| {
    let text = Secret::new(data.to_vec());
    if let Ok(key) = MachineKey::parse(&text) {
        assert_eq!(key.to_text().expose(), data, "there is one spelling");
    }
    let _ = parse_identities(&text);
});
