//! `dis data`: getting data sets and judging them.

mod check;
mod download;
mod verify;

pub(crate) use check::kind::Kind;

use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

/// Get data sets, look at them, and verify caches of latents.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Download(download::Args),
    Check(check::Args),
    Verify(verify::Args),
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Download(args) => download::run(args),
        Command::Check(args) => check::run(args),
        Command::Verify(args) => verify::run(&args),
    }
}
