//! What a machine remembers of the vault at a path. Whoever can write the file can put anything into it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::vault::pin::{Pins, Sighting, Standing};
use vault_fuzz::Forge;

const MAIN: Option<&[u8]> = Some(b"main");

fuzz_target!(|data: &[u8]| {
    let Ok(mut pins) = Pins::parse(data) else { return };
    // Of whatever bytes the path is: they do not get into other lines.
    round_trip(&pins, data);

    let vault = Forge::get().opened();
    let id = vault.id();
    let is_known = pins.check_id(&id).is_ok();
    assert!(is_known || !pins.is_empty(), "where nothing is known, nothing is refused");
    for branch in [None, Some(&b""[..]), MAIN] {
        let standing = pins.compare(branch, vault).expect("the vault verifies");
        assert!(pins.is_empty() == (standing == Standing::FirstSeen), "{standing:?}");
        pins.is_apart(branch, vault).expect("the vault verifies");
    }
    let _ = pins.news(vault);
    let read = pins.clone();
    pins.record_beside(MAIN, vault, 1).expect("the vault verifies");
    round_trip(&pins, b"/a");
    pins.record_saved(&read, MAIN, &Sighting::of(vault), 2);
    round_trip(&pins, b"/a");

    // Whatever was remembered: what somebody accepted is as it should be from then on.
    pins.trust(MAIN, &Sighting::of(vault), 3);
    round_trip(&pins, b"/a");
    assert!(pins.check_id(&id).is_ok() && pins.news(vault).is_empty());
    let standing = pins.compare(MAIN, vault).expect("the vault verifies");
    assert!(matches!(standing, Standing::Expected { .. }), "{standing:?}");
});

fn round_trip(pins: &Pins, path: &[u8]) {
    let text = pins.to_text(path);
    assert_eq!(Pins::parse(text.as_bytes()).as_ref(), Ok(pins), "what is written is read again");
}
