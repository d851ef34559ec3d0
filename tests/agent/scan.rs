//! Looks for secrets in all memory of a process, in whatever spelling.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// The memory of a process at one moment: every mapping that the kernel lets root read, also what is left out of cores.
pub(super) struct Memory(Vec<Mapping>);

struct Mapping {
    start: u64,
    name: String,
    bytes: Vec<u8>,
}

impl Memory {
    pub(super) fn of(pid: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let memory = File::open(format!("/proc/{pid}/mem"))
            .unwrap_or_else(|error| panic!("an agent's memory is readable for root alone: {error}"));
        let mappings: Vec<Mapping> = maps.lines().filter_map(|line| Mapping::read(line, &memory)).collect();
        assert!(mappings.iter().any(|mapping| mapping.name == "[heap]"), "{maps}");
        Self(mappings)
    }

    /// Where this is, and how it is spelled: as it is, a quarter of it, hex, base64 at each offset, UTF-16.
    pub(super) fn copies(&self, secret: &[u8]) -> Vec<String> {
        let forms = forms(secret);
        let mut first: [Vec<usize>; 256] = std::array::from_fn(|_| Vec::new());
        for (number, (_, form)) in forms.iter().enumerate() {
            first[usize::from(form[0])].push(number);
        }
        let mut found = Vec::new();
        for mapping in &self.0 {
            for (at, byte) in mapping.bytes.iter().enumerate() {
                for &number in &first[usize::from(*byte)] {
                    let (name, form) = &forms[number];
                    if mapping.bytes[at..].starts_with(form) {
                        let address = mapping.start + at as u64;
                        found.push(format!("{name} at {address:x} in {:?}", mapping.name));
                    }
                }
            }
        }
        found
    }

    /// The address of the first copy of these bytes as they are.
    pub(super) fn address(&self, secret: &[u8]) -> Option<u64> {
        self.0.iter().find_map(|mapping| {
            let at = mapping.bytes.windows(secret.len()).position(|window| window == secret)?;
            Some(mapping.start + at as u64)
        })
    }
}

impl Mapping {
    fn read(line: &str, memory: &File) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let name = words.nth(4).unwrap_or_default().to_owned();
        let mut bytes = vec![0; usize::try_from(end - start).ok()?];
        // Page by page, if the whole cannot be read: guards, and what belongs to the kernel.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            for (number, page) in bytes.chunks_mut(4096).enumerate() {
                let _ = memory.read_exact_at(page, start + 4096 * number as u64);
            }
        }
        Some(Self { start, name, bytes })
    }
}

/// All spellings that are looked for, each with its name.
pub(super) fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let widened = |wide: fn(u16) -> [u8; 2]| secret.iter().flat_map(|byte| wide(u16::from(*byte))).collect();
    let mut forms = vec![
        ("raw", secret.to_vec()),
        ("upper hex", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
        ("UTF-16LE", widened(u16::to_le_bytes)),
        ("UTF-16BE", widened(u16::to_be_bytes)),
    ];
    // What a cipher or a hash leaves of the last block.
    forms.extend(secret.chunks_exact(16).map(|part| ("16 bytes of it", part.to_vec())));
    for offset in 0..3 {
        let text = base64_inside(secret, offset);
        let url = text.iter().map(|digit| match digit {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        let url: Vec<u8> = url.collect();
        if url != text {
            forms.push(("base64url", url));
        }
        forms.push(("base64", text));
    }
    forms
}

/// The part of the base64 of a longer text that these bytes decide, when they begin at this offset.
fn base64_inside(bytes: &[u8], offset: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let skip = (3 - offset) % 3;
    let whole = bytes[skip..].chunks_exact(3).flat_map(|three| {
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| DIGITS[(number >> shift & 63) as usize])
    });
    whole.collect()
}
