//! `cargo supply-chain`: checks what everything here depends on, and writes into `dist/` what the programs are made of.

use std::process::ExitCode;

use anyhow::Result;
use elector_tests::supply_chain::{bills, check};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    check().await?;
    println!("licences, sources and bans: as deny.toml has them");
    for bill in bills().await? {
        println!("{}", bill.display());
    }
    Ok(())
}
