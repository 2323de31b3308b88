//! `cargo xtask gpu`: what a machine with a GPU is given.

mod bundle;
mod executables;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use xshell::Shell;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a folder that checks and times everything on a machine with no more than a GPU
    ///
    /// Release executables, a config and run.sh, below 48 MiB. That machine needs the NVIDIA driver
    /// and cuBLAS 13, which come with any Python package of PyTorch for CUDA 13; neither cargo nor
    /// the repository. There `./run.sh RESULTS` does everything; here `./run.sh --cpu RESULTS` tries
    /// what needs no GPU.
    Bundle {
        /// The folder, which is made anew; without it target/gpu-bundle
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// Runs one of the commands.
pub(crate) fn run(shell: &Shell, command: &Command) -> Result<()> {
    match command {
        Command::Bundle { out } => bundle::run(shell, out.as_deref()),
    }
}
