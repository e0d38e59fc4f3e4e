//! What a program says of arguments that it cannot use.

/// One line: what is wrong and what would do. The rest of what clap says is the program's usage.
#[must_use]
pub fn refusal(error: &clap::Error) -> String {
    let said = error.to_string();
    let lines: Vec<&str> = said.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    format!("{}; see --help", lines.join(" "))
}
