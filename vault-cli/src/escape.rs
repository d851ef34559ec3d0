//! Text from outside, made harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every control, bidirectional and invisible character spelled as `\u{…}`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_harmful(character) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// The text in double quotes, as messages show names and paths.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// A path in double quotes.
pub(crate) fn quoted_path(path: &std::path::Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A number of things, in words.
pub(crate) fn counted(count: impl std::fmt::Display, one: &str, several: &str) -> String {
    let count = count.to_string();
    let things = if count == "1" { one } else { several };
    count + " " + things
}

/// Whether a character can move the cursor, reorder the line, or hide.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}'                       // soft hyphen
            | '\u{034f}'                     // combining grapheme joiner
            | '\u{061c}'                     // Arabic letter mark
            | '\u{115f}'..='\u{1160}'        // Hangul fillers
            | '\u{17b4}'..='\u{17b5}'        // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}'        // Mongolian selectors
            | '\u{200b}'..='\u{200f}'        // zero width, directional marks
            | '\u{2028}'..='\u{202e}'        // line and paragraph separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}'        // invisible operators, isolates, deprecated
            | '\u{3164}' | '\u{ffa0}'        // Hangul fillers
            | '\u{fe00}'..='\u{fe0f}'        // variation selectors
            | '\u{feff}'                     // byte order mark
            | '\u{fff0}'..='\u{fffb}'        // specials, annotations
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}') // tags, further variation selectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["github/token", "schlüssel", "鍵", "emoji 🔑", "a b", ""] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_can_deceive_is_spelled_out() {
        assert_eq!(escaped("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escaped("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(escaped("x\u{200b}y\u{feff}"), "x\\u{200b}y\\u{feff}");
        assert_eq!(escaped("line\nbreak\u{2028}"), "line\\u{a}break\\u{2028}");
        assert_eq!(escaped("\u{9b}31m\u{7f}\u{e0041}"), "\\u{9b}31m\\u{7f}\\u{e0041}");
        assert_eq!((counted(1, "x", "xs"), counted(0, "x", "xs")), ("1 x".to_owned(), "0 xs".to_owned()));
        assert_eq!(quoted("a\tb"), "\"a\\u{9}b\"");
    }
}
