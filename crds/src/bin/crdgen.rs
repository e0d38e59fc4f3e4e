//! Writes the CRD's manifest from the types; with `--check` it only says whether it is current.

fn main() -> std::process::ExitCode {
    elector_crds::manifest::run(std::env::args().any(|argument| argument == "--check"))
}
