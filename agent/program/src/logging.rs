//! The log of the agent and the operator.

use std::io;

use clap::{Args, ValueEnum};
use elector_crds::display_text::{json_shown, shown};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The filter that turns the libraries' logs off: the programs themselves log what matters, once and not at each
/// attempt.
const LIBRARIES: &str = "kube=off,kube_client=off,kube_runtime=off";

/// How many lines wait for a reader at most; further lines are dropped.
const MAX_WAITING_LINES: usize = 1024;

/// The longest line of text, in bytes; longer than any line whose parts have limits of their own.
const MAX_LINE_BYTES: usize = 16_384;

/// The format of the log, and which lines are in it.
#[derive(Debug, Args)]
pub struct LogOptions {
    /// Format of the log
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Level of the lines to log: error, warn, info, debug, trace or off, or a list of target=level
    #[arg(long, env = "LOG_LEVEL", value_name = "FILTER", default_value = "info")]
    log_level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines of text, for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// A level or filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log level {level:?}: {reason}")]
pub struct InvalidLevel {
    level: String,
    reason: String,
}

impl LogOptions {
    /// Starts the log on standard error. It ends when the guard is dropped; the last lines are written by then.
    ///
    /// A thread of its own writes the lines, and drops lines if the reader is too slow: a leader that waited for a
    /// reader of its log could not stop leading in time.
    ///
    /// # Errors
    /// If the level cannot be read.
    pub fn start(&self) -> Result<WorkerGuard, InvalidLevel> {
        let level = &self.log_level;
        let filter = filter(level).map_err(|reason| InvalidLevel { level: level.clone(), reason })?;
        let (lines, guard) =
            NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING_LINES).finish(io::stderr());
        let lines = LineWriter { lines, format: self.log_format };
        let layer = tracing_subscriber::fmt::layer().with_writer(lines);
        let layer = match self.log_format {
            LogFormat::Text => layer.with_ansi(false).boxed(),
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(layer).init();
        Ok(guard)
    }
}

/// Writes each line without line breaks or control characters in it. A line may repeat what others wrote, in a Lease
/// for instance, which must neither move a terminal's cursor nor look like a line of its own.
#[derive(Clone)]
struct LineWriter<W> {
    lines: W,
    format: LogFormat,
}

impl<'a> MakeWriter<'a> for LineWriter<NonBlocking> {
    type Writer = LineWriter<NonBlocking>;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

impl<W: io::Write> io::Write for LineWriter<W> {
    /// Writes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\n');
        let text = match self.format {
            LogFormat::Text => shown(text, MAX_LINE_BYTES),
            LogFormat::Json => json_shown(text),
        };
        // At once: another thread's line must not come in between.
        self.lines.write_all(format!("{text}\n").as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

/// The filter for a level or a list of levels. Any other single word is refused: as the name of a target it would turn
/// off all other logs.
fn filter(level: &str) -> Result<Targets, String> {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    match level.split(',').map(str::trim).find(|word| !word.contains('=') && !is_level(word)) {
        Some(word) => {
            Err(format!("{word:?} is none: use error, warn, info, debug, trace or off, or a list of target=level"))
        }
        None => format!("{LIBRARIES},{level}").parse().map_err(|error| format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_stays_one_line_without_what_a_terminal_would_follow() {
        let written = |format, line: &str| {
            let mut writer = LineWriter { lines: Vec::new(), format };
            writer.write_all(line.as_bytes()).unwrap();
            String::from_utf8(writer.lines).unwrap()
        };
        let forged = "INFO holder=a\n2026 WARN lost\u{1b}[2J\u{9b}\u{202e}\n";
        assert_eq!(written(LogFormat::Text, forged), "INFO holder=a\\n2026 WARN lost\\u{1b}[2J\\u{9b}\\u{202e}\n");
        assert_eq!(written(LogFormat::Json, "{\"holder\":\"a\u{202e}\"}\n"), "{\"holder\":\"a\\u202e\"}\n");
        assert_eq!(written(LogFormat::Text, &"a".repeat(1_400_000)).len(), MAX_LINE_BYTES + 1);
    }

    #[test]
    fn a_level_is_a_word_that_is_known_or_said_of_a_target() {
        for level in ["info", "WARN", "off", "leader_elector=debug", "info,leader_elector=trace", "warn, kube=info"] {
            filter(level).unwrap();
        }
        for level in ["warning", "loud", "", "info,verbose", "kube=loud"] {
            filter(level).unwrap_err();
        }
    }
}
