//! Printing to standard output.

use std::io::{self, Write as _};

use clap::ValueEnum;
use elector_crds::display_text::{is_hidden, json_shown, quoted_yaml_shown};
use serde::Serialize;

use crate::style::printable;
use elector_program::failure::Failure;

/// A format for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Json,
    Yaml,
}

/// Prints `text` as it is. If the reader has closed the pipe, as `head` does, the program ends without a failure.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(0),
        _ => Failure::failed(format!("failed to print: {error}")),
    })
}

/// Prints a line for people on standard error. A failure to print it is ignored.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// Prints a value in a format for programs.
///
/// # Errors
/// As for [`print()`].
pub(crate) fn document(document: &impl Serialize, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Json => {
            json_shown(&serde_json::to_string_pretty(document).map_err(Failure::failed)?).into_owned() + "\n"
        }
        Output::Yaml => yaml(document)?,
    };
    print(&text)
}

/// Prints one of several values in a format for programs: as a line of JSON, or a document of YAML.
///
/// # Errors
/// As for [`print()`].
pub(crate) fn item(item: &impl Serialize, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Json => json_shown(&serde_json::to_string(item).map_err(Failure::failed)?).into_owned() + "\n",
        Output::Yaml => format!("---\n{}", yaml(item)?),
    };
    print(&text)
}

/// A value as YAML in blocks. If it has hidden characters, which only strings in double quotes can escape, it is in the
/// form of JSON.
fn yaml(document: &impl Serialize) -> Result<String, Failure> {
    let blocks = serde_yaml_ng::to_string(document).map_err(Failure::failed)?;
    if blocks.chars().all(|character| character == '\n' || !is_hidden(character)) {
        return Ok(blocks);
    }
    let quoted = serde_json::to_string_pretty(document).map_err(Failure::failed)?;
    Ok(quoted_yaml_shown(&quoted).into_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn yaml_names_what_is_hidden() {
        let plain = json!({"holder": "billing-0", "lines": "a\nb"});
        assert_eq!(yaml(&plain).unwrap(), "holder: billing-0\nlines: |-\n  a\n  b\n");
        for hidden in ["\u{7f}", "\u{9b}", "\u{202e}", "\u{200b}", "\u{e0041}", "\u{feff}", "\u{ffff}", "\0", "\u{85}"]
        {
            let document = json!({"holder": format!("a{hidden}b"), hidden: [1, null]});
            let text = yaml(&document).unwrap();
            assert!(text.chars().all(|character| character == '\n' || !is_hidden(character)), "{text:?}");
            assert_eq!(serde_yaml_ng::from_str::<Value>(&text).unwrap(), document);
        }
    }
}
