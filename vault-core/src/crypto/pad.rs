//! How lengths are hidden. docs/format.md, "Sealing".

/// `pad(n)`: a multiple of 64 up to 1 KiB, Padmé above.
#[must_use]
pub fn pad(n: u64) -> u64 {
    let step = if n <= 1024 {
        64
    } else {
        let e = n.ilog2();
        let s = e.ilog2() + 1;
        1 << (e - s)
    };
    n.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::pad;

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(pad(1), 64);
        assert_eq!(pad(64), 64);
        assert_eq!(pad(65), 128);
        assert_eq!(pad(1024), 1024);
        assert_eq!(pad(1025), 1088);
        assert_eq!(pad(5000), 5120);
        assert_eq!(pad(1 << 30), 1 << 30);
        assert_eq!(pad((1 << 26) + 1), (1 << 26) + (1 << 21));
    }

    #[test]
    fn padding_is_idempotent_and_never_adds_more_than_an_eighth() {
        for n in 1025..200_000 {
            let padded = pad(n);
            assert!(padded >= n && padded - n <= n / 8, "{n} -> {padded}");
            assert_eq!(pad(padded), padded);
        }
    }
}
