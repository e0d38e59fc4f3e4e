//! Colours for output: on a terminal only.

use std::borrow::Cow;
use std::env;
use std::io::{IsTerminal as _, stdout};

use elector_crds::display_text::{MAX_LINE, shown};

/// The meaning of a text, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Heading,
    Good,
    Doubtful,
    Bad,
}

/// Whether output has colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// Colours if standard output is a terminal, unless the user refuses them as in <https://no-color.org>.
    pub(crate) fn of_stdout() -> Style {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let unable = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Style { colours: stdout().is_terminal() && !unwanted && !unable }
    }

    #[cfg(test)]
    pub(crate) fn new(colours: bool) -> Style {
        Style { colours }
    }

    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let text = printable(text);
        let code = match tone {
            Tone::Heading => 1,
            Tone::Good => 32,
            Tone::Doubtful => 33,
            Tone::Bad => 31,
            Tone::Plain => return text.into_owned(),
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into_owned() }
    }
}

/// A text on one line, of limited length, without hidden characters or such that control a terminal: a holder of a
/// Lease may call itself anything.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    shown(text, MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_and_a_name_brings_none_of_its_own() {
        assert_eq!(Style::new(true).paint("True", Tone::Good), "\x1b[32mTrue\x1b[0m");
        assert_eq!(Style::new(false).paint("True", Tone::Good), "True");
        assert_eq!(Style::new(false).paint("a\x1b[2Jb\nc\u{202e}", Tone::Plain), r"a\u{1b}[2Jb\nc\u{202e}");
    }
}
