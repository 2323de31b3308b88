//! Writes a small autoencoder with random weights, to try out everything around a trained one:
//! `cargo run -p vae --example random_autoencoder -- FOLDER`.
//!
//! It makes 8x8 pixels one of four channels, as Stable Diffusion's does, with a 250th of its weights.
#![allow(clippy::print_stderr, reason = "an example speaks to a person")]

use std::path::Path;
use std::process::ExitCode;
use vae::weights::{random, write_folder};
use vae::{VaeConfig, VaeError};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: random_autoencoder FOLDER");
        return ExitCode::from(2);
    };
    match write(folder.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(74)
        }
    }
}

fn write(folder: &Path) -> Result<(), VaeError> {
    let config = VaeConfig {
        block_out_channels: vec![8, 16, 32, 32],
        layers_per_block: 1,
        norm_num_groups: 8,
        ..VaeConfig::stable_diffusion()
    };
    write_folder(folder, &config, &random(&config, 0))
}
