//! Metadata and secrets of an entry, as such and behind a valid tag.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::entry::{Meta, Secrets};
use vault_core::secret::Secret;
use vault_fuzz::{Forge, Wanted, two_parts, worth_a_file};

fuzz_target!(|data: &[u8]| {
    let Some((meta, secrets)) = two_parts(data) else { return };
    let decoded = Meta::decode(meta);
    if let Ok(again) = &decoded {
        assert_eq!(again.encode(), meta, "there is one encoding");
    }
    let values = Secrets::decode(&Secret::new(secrets.to_vec()));
    let both = decoded.is_ok() && values.is_ok();
    if let Ok(again) = values {
        assert_eq!(again.encode().expose(), secrets, "there is one encoding");
    }
    if !worth_a_file(both, data) {
        return;
    }
    let forge = Forge::get();
    let name = decoded.as_ref().map_or("x", |meta| meta.name.as_str());
    let id = forge.entry_id(name);
    let line = forge.entry_line(id, meta, secrets);
    let page = Some((u16::from(id.0[0]), line.clone(), line));
    let accepted = forge.exercise(forge.text(&Wanted { page, ..Wanted::default() }));
    assert!(!accepted || decoded.is_ok(), "what is accepted was decoded");
});
