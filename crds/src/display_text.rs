//! Text that others wrote, made fit to be shown and stored: on one line, of limited length, and without characters that
//! cannot be seen or that control a terminal.
//!
//! A person or program that may write a Lease, a label selector or an annotation can put anything into it: line breaks,
//! escape sequences, letters that run from right to left, a megabyte. A server-side apply is read as YAML, which has no
//! DEL, no C1 control but U+0085, no U+FFFE and no U+FFFF: the API server would refuse a status with one of them.
//!
//! Characters become what Rust writes for them, `\n` or `\u{202e}`. A backslash stays as it is, so two texts can become
//! the same: what decides is compared before, or on both sides after.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest name that is shown, in bytes: the longest name of an object.
pub const MAX_NAME: usize = 253;

/// The longest identity of a holder that is shown, in bytes: `<pod>_<pod uid>` has 290 at most.
pub const MAX_IDENTITY: usize = 512;

/// The longest message, in bytes: the longest note of an event that the API takes.
pub const MAX_MESSAGE: usize = 1024;

/// The longest line that a program prints for people, in bytes. Such lines are commands that mend something, and errors
/// with their causes.
pub const MAX_LINE: usize = 4096;

/// The longest label selector that is shown, in bytes.
pub const MAX_SELECTOR: usize = 4096;

/// The mark at the place where a text was cut.
const CUT: char = '…';

/// `text` with hidden characters escaped, cut after a whole character to `most` bytes at most.
///
/// Applied to its own result, it changes nothing.
#[must_use]
pub fn shown(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    let mut fits_before_cut = 0;
    for character in text.chars() {
        if is_hidden(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > most {
            shown.truncate(fits_before_cut);
            shown.push(CUT);
            break;
        }
        if shown.len() + CUT.len_utf8() <= most {
            fits_before_cut = shown.len();
        }
    }
    Cow::Owned(shown)
}

/// Whether a character has no shape of its own, or changes how its neighbours are shown: controls, marks of direction,
/// joiners, spaces other than the usual one, combining marks, private use, and code points that are no characters.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    match character {
        // Debug escapes quotes and backslashes for the sake of literals.
        ' '..='~' => false,
        // Letters and symbols by their category, and blank.
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' => true,
        _ => character.escape_debug().len() > 1,
    }
}

/// `json` made harmless on a terminal: hidden characters in its strings are escaped, so that it still reads the same.
#[must_use]
pub fn json_shown(json: &str) -> Cow<'_, str> {
    escaped_in_quotes(json, |escaped, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // A String takes whatever it is given.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    })
}

/// `yaml` made harmless on a terminal, if all its strings are in double quotes. Unlike in JSON, a character is escaped
/// as one code point, because YAML knows no surrogates.
#[must_use]
pub fn quoted_yaml_shown(yaml: &str) -> Cow<'_, str> {
    escaped_in_quotes(yaml, |escaped, character| {
        // A String takes whatever it is given.
        let _ = write!(escaped, "\\U{:08x}", u32::from(character));
    })
}

/// Escapes hidden characters other than line breaks, which stand only between the values of such a text.
fn escaped_in_quotes(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let is_hidden = |character: char| character != '\n' && is_hidden(character);
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::new();
    for character in text.chars() {
        if is_hidden(character) {
            escape(&mut escaped, character);
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Code points that have no shape of their own or move their neighbours, by the names under which they are abused.
    const HIDDEN: &[(u32, u32)] = &[
        (0x00, 0x1f),
        (0x7f, 0x9f),
        (0xa0, 0xa0),
        (0xad, 0xad),
        (0x034f, 0x034f),
        (0x061c, 0x061c),
        (0x115f, 0x1160),
        (0x180b, 0x180f),
        (0x2000, 0x200f),
        (0x2028, 0x202f),
        (0x205f, 0x206f),
        (0x2800, 0x2800),
        (0x3000, 0x3000),
        (0x3164, 0x3164),
        (0xe000, 0xf8ff),
        (0xfdd0, 0xfdef),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffb),
        (0xfffe, 0xffff),
        (0x1_fffe, 0x1_ffff),
        (0xe_0000, 0xe_01ef),
        (0xf_0000, 0x10_ffff),
    ];

    #[test]
    fn whatever_has_no_shape_is_hidden_and_what_people_write_is_not() {
        let hidden = HIDDEN.iter().flat_map(|(first, last)| *first..=*last).filter_map(char::from_u32);
        assert_eq!(hidden.filter(|character| !is_hidden(*character)).collect::<Vec<_>>(), []);
        let shown: String = (' '..='~').chain("äßéñøçğ жλשعあ漢한 …–·€→✓😀".chars()).collect();
        assert_eq!(shown.chars().filter(|character| is_hidden(*character)).collect::<Vec<_>>(), []);
    }

    #[test]
    fn what_is_hidden_is_named() {
        assert_eq!(shown("a\u{202e}b\u{7f}c\nd\u{1b}[2J", 100), r"a\u{202e}b\u{7f}c\nd\u{1b}[2J");
        assert_eq!(shown("it's \"a\\b\"", 100), "it's \"a\\b\"");
        assert!(matches!(shown("billing-7d9-x_5f0c", 100), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(shown("abcdef", 6), "abcdef");
        assert_eq!(shown("abcdefg", 6), "abc…");
        assert_eq!(shown("ab😀😀", 10), "ab😀😀");
        assert_eq!(shown("ab😀😀", 9), "ab😀…");
        assert_eq!(shown("ab😀😀", 8), "ab…");
        assert_eq!(shown("\n\n\n\n", 8), r"\n\n\n\n");
        assert_eq!(shown("\n\n\n\n", 7), r"\n\n…");
        assert_eq!(shown(&"a".repeat(1_400_000), MAX_NAME).len(), MAX_NAME);
    }

    #[test]
    fn documents_read_the_same() {
        let document = Value::from("a\u{202e}b\u{7f}\u{9b}\u{e0041}\n\"\\");
        let json = serde_json::to_string(&document).unwrap();
        assert_eq!(json_shown(&json), r#""a\u202eb\u007f\u009b\udb40\udc41\n\"\\""#);
        assert_eq!(quoted_yaml_shown(&json), r#""a\U0000202eb\U0000007f\U0000009b\U000e0041\n\"\\""#);
        assert_eq!(json_shown("{\n  \"a\": 1\n}\n"), "{\n  \"a\": 1\n}\n");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_nothing_is_too_long(text in any::<String>(), most in 3_usize..300) {
            let shown = shown(&text, most);
            prop_assert!(shown.len() <= most);
            prop_assert!(!shown.chars().any(is_hidden), "{shown:?}");
            prop_assert_eq!(&super::shown(&shown, most), &shown);
        }

        #[test]
        fn a_text_that_fits_is_whole(text in any::<String>()) {
            let whole = shown(&text, usize::MAX);
            prop_assert_eq!(&shown(&text, whole.len().max(3)), &whole);
            prop_assert!(shown(&text, whole.len().saturating_sub(1).max(3)).len() <= whole.len());
        }

        #[test]
        fn any_document_reads_the_same(text in any::<String>()) {
            let json = serde_json::to_string_pretty(&[&text]).unwrap();
            let (as_json, as_yaml) = (json_shown(&json), quoted_yaml_shown(&json));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&as_json).unwrap(), vec![text.clone()]);
            prop_assert_eq!(serde_yaml_ng::from_str::<Vec<String>>(&as_yaml).unwrap(), vec![text]);
            let is_harmless = |character: char| character == '\n' || !is_hidden(character);
            prop_assert!(as_json.chars().all(is_harmless) && as_yaml.chars().all(is_harmless));
        }
    }
}
