//! `dis`: train, sample and inspect DiS models.
//!
//! Flags and glue: each command parses its arguments, joins the libraries and prints. The meaning of
//! every exit code is in [`exit`].
#![forbid(unsafe_code)]

mod autoencoder;
mod bench;
mod convert;
mod data;
mod device;
mod doctor;
mod ema;
mod encode;
mod eval;
mod exit;
mod forward;
mod image_sink;
mod images;
mod info;
mod load;
mod network;
mod pictures;
mod precision;
mod progress;
mod sample;
mod sampling;
mod threads;
mod train;
mod weak;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Train, sample and inspect DiS: diffusion models with a state-space backbone (arXiv 2402.05608).
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Sample(Box<sample::Args>),
    Eval(Box<eval::Args>),
    Encode(encode::Args),
    Ema(ema::Args),
    Data(data::Args),
    Forward(forward::Args),
    Info(info::Args),
    Bench(bench::Args),
    Convert(convert::Args),
    Doctor(doctor::Args),
}

fn main() -> ExitCode {
    exit::install_panic_hook();
    let cli = Cli::parse();
    progress::install_log();
    let result = match cli.command {
        Command::Train(args) => train::run(args),
        Command::Sample(args) => sample::run(*args),
        Command::Eval(args) => eval::run(*args),
        Command::Encode(args) => encode::run(args),
        Command::Ema(args) => ema::run(args),
        Command::Data(args) => data::run(args),
        Command::Forward(args) => forward::run(args),
        Command::Info(args) => info::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Doctor(args) => doctor::run(args),
    };
    exit::report(result)
}
