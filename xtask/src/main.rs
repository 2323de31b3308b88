//! Developer commands of the workspace: `cargo xtask <command>`.
//!
//! Each command is a list of processes or a text check.
//! Nothing here knows a tensor, a model or a configuration key: a new training flag goes to `dis`.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask talks to a person at a terminal, and to CI logs"
)]

mod bench;
mod check_layer;
mod ci;
mod devices;
mod dis;
mod gpu;
mod kernels;
mod nearest;
mod process;
mod suite;
mod tidy;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xshell::Shell;

/// Build, train, check: every command of the project.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true,
    after_help = "\
Start here:
  cargo xtask train                        train a small model on the CPU, in minutes, no download
  cargo xtask test                         everything that passes without a GPU
  cargo xtask check-layer selective_scan   work on one layer: its values and its gradients
  cargo xtask ci                           what CI runs, before you open a pull request

`cargo xtask train --help` shows the flags of `dis train`, and so on for every `dis` command."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Dis(dis::Command),

    /// Run every test that needs no GPU, and the doc tests
    ///
    /// Uses cargo-nextest when it is installed, else cargo test.
    /// Any other choice of tests is plain cargo: `cargo test -p diffusion`.
    Test {
        /// Run only the tests whose name contains one of these
        filters: Vec<String>,
    },

    /// Run what CI runs: formatting, repository rules, lints, docs, kernels, tests
    ///
    /// Stops at the first stage that fails and prints the command that runs it alone.
    Ci,

    /// Check the repository's own rules
    ///
    /// Errors: crate arrows, unsafe code, unfinished code, ignored tests, machine paths,
    /// configs the README does not name, orphan source files.
    /// Warnings: files that grew long.
    Tidy,

    /// Test one op or one layer alone
    ///
    /// An op is a module of crates/ssm-kernels, a layer is a module of crates/dis-model.
    /// Runs the unit tests of the module, the integration tests in the file of that name,
    /// and every other integration test named after it.
    CheckLayer {
        /// The op or layer, for example `selective_scan`; without it, the list of them
        name: Option<String>,
    },

    /// Compile, check and look at the CUDA kernels
    ///
    /// Their sources are in kernels/. What a build with `--features cuda` needs of them is checked
    /// in, so only who changes a kernel needs the CUDA compiler: `cargo xtask kernels toolkit`.
    #[command(subcommand)]
    Kernels(kernels::Command),

    /// Make what goes to a machine with a GPU
    ///
    /// `cargo xtask gpu bundle` makes one folder of executables that needs no cargo there.
    /// Where the repository is on the machine with the GPU: `cargo xtask kernels parity` and `bench`.
    #[command(subcommand)]
    Gpu(gpu::Command),

    /// Run the criterion benches, and the comparison with PyTorch
    ///
    /// `cargo xtask bench peers` runs the comparison alone: operators and networks take turns with
    /// their PyTorch peers, and a table sets the ratios against their marks.
    /// It first makes a Python with torch at .venv-peers (5 GB), unless DIS_PEER_PYTHON names one.
    /// Its flags: `cargo xtask bench peers --help`.
    ///
    /// Other arguments go to criterion: `cargo xtask bench selective_scan --save-baseline main`.
    /// Criterion's own help is `cargo xtask bench -- --help`.
    ///
    /// Where the time of one network goes on this machine: `dis bench S/2`, and `dis bench --help`.
    Bench {
        /// `peers` and its flags, or a filter and criterion's own flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Returning the error from `main` would add a backtrace where those are switched on.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    // The shell starts in the caller's directory, so paths typed by a person keep their meaning.
    let shell = Shell::new()?;
    match command {
        Command::Dis(command) => dis::run(&shell, &command),
        Command::Test { filters } => suite::run(&shell, &filters),
        Command::Ci => ci::run(&shell),
        Command::Tidy => tidy::run(&shell),
        Command::CheckLayer { name } => check_layer::run(&shell, name.as_deref()),
        Command::Kernels(command) => kernels::run(&shell, &command),
        Command::Gpu(command) => gpu::run(&shell, &command),
        Command::Bench { arguments } => bench::run(&shell, &arguments),
    }
}
