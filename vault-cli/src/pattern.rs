//! Patterns of names: `*` is any text, `?` one character.

/// Whether a name matches; a pattern without `*` and `?` is the name itself.
pub(crate) fn is(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    glob(&pattern, &name)
}

/// As [`is`], where it is enough to contain a pattern without `*` and `?`.
pub(crate) fn is_like(pattern: &str, name: &str) -> bool {
    if pattern.contains(['*', '?']) { is(pattern, name) } else { name.contains(pattern) }
}

/// Goes back to the last star only: linear in most cases, and never worse than pattern times name.
fn glob(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_they_say() {
        for (pattern, name, expected) in [
            ("hub", "github/token", true),
            ("hug", "github/token", false),
            ("github/*", "github/token", true),
            ("github/*", "my/github/token", false),
            ("*token", "github/token", true),
            ("*/t?ken", "github/token", true),
            ("?", "ä", true),
            ("?", "", false),
            ("*", "", true),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("", "x", true),
        ] {
            assert_eq!(is_like(pattern, name), expected, "{pattern:?} {name}");
        }
        assert!(is("a", "a") && !is("a", "ab") && !is("", "x"));
    }

    #[test]
    fn many_stars_cost_little() {
        assert!(!is(&"a*".repeat(200), &"a".repeat(199)));
        assert!(!is(&format!("{}b", "a*".repeat(100)), &"a".repeat(1000)));
    }
}
