//! `cargo static`: builds the programs as they are shipped, with all libraries in them, into `dist/`, where the Dockerfile
//! finds them.

use std::process::ExitCode;

use elector_tests::images;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    eprintln!("building the programs, which takes some minutes");
    match images::dist().await {
        Ok(folder) => {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
