//! Writes the Inception network with random weights, to try out everything around the published ones:
//! `cargo run -p eval --example random_inception -- FILE`.
//!
//! Distances between its features say nothing of images.
#![allow(clippy::print_stderr, reason = "an example speaks to a person")]

use eval::inception::weights::{random, write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("usage: random_inception FILE");
        return ExitCode::from(2);
    };
    match write(file.as_ref(), &random(0), None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(74)
        }
    }
}
