//! Sizes as people write them: `256MiB`, `1GiB`, `64 KiB`, or bytes.

/// The number of bytes.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err("write a size as 256MiB or 1GiB".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "write a size as 256MiB or 1GiB".to_owned())
}

/// A number of bytes with a unit that suits it.
pub(crate) fn shown(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => tenths(bytes, 1 << 10, "KiB"),
        1_048_576..1_073_741_824 => tenths(bytes, 1 << 20, "MiB"),
        _ => tenths(bytes, 1 << 30, "GiB"),
    }
}

fn tenths(bytes: u64, unit: u64, name: &str) -> String {
    let (whole, tenth) = (bytes / unit, bytes % unit * 10 / unit);
    if tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(parse("256MiB"), Ok(256 << 20));
        assert_eq!(parse("1 GiB"), Ok(1 << 30));
        assert_eq!(parse("19K"), Ok(19 << 10));
        assert_eq!(parse("77"), Ok(77));
        assert_eq!(shown(77), "77 B");
        assert_eq!(shown(1536), "1.5 KiB");
        assert_eq!(shown(256 << 20), "256 MiB");
        assert_eq!(shown(8 << 30), "8 GiB");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "-1", "1.5GiB", "1 TB", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
