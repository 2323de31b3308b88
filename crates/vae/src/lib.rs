//! The autoencoder of latent diffusion: images to latents and back.
//!
//! [`AutoencoderKl`] is the network that diffusers calls so, of Stable Diffusion, DiT and DiS, generic
//! over a [`ssm_kernels::ImageBackend`]. Its weights are frozen, so there is a value pass alone.
//! Weights and configuration are read from, and written to, the files of diffusers ([`weights`]).
//!
//! ```no_run
//! use ssm_kernels::Cpu;
//! use vae::{AutoencoderKl, Extent, Tiling};
//!
//! # fn main() -> Result<(), vae::VaeError> {
//! let mut network = AutoencoderKl::open(Cpu, "sd-vae-ft-ema".as_ref())?;
//! let images = vec![0.0; 3 * 256 * 256]; // channels first, in [-1, 1]
//! let posterior = network.encode(&images, Extent { height: 256, width: 256 })?;
//!
//! let mut latents = posterior.mean().to_vec();
//! let scaling = network.config().scaling.clone();
//! scaling.apply(&mut latents, 4, 32 * 32); // what a diffusion model is trained on
//! scaling.undo(&mut latents, 4, 32 * 32);
//! let images = network.decode_tiled(&latents, Extent { height: 32, width: 32 }, Tiling::DEFAULT)?;
//! # assert_eq!(images.len(), 3 * 256 * 256);
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! image -> conv_in -> levels (residual blocks, halving) -> mid block -> norm, conv_out -> quant_conv -> moments
//! latent -> post_quant_conv -> conv_in -> mid block -> levels (residual blocks, doubling) -> norm, conv_out -> image
//! ```
//!
//! Activations are channels-last `[B, H, W, C]` inside, images and latents channels-first
//! `[B, C, H, W]` at both ends. `f` is the number of image pixels along one side of a latent pixel.
//!
//! # Source
//! Latent diffusion, arXiv 2112.10752. Names of weights and keys are those of diffusers.
#![forbid(unsafe_code)]

mod autoencoder;
mod config;
mod config_json;
mod decoder;
mod encoder;
mod error;
mod files;
mod layers;
mod layout;
mod posterior;
mod scaling;
mod tiled;
mod tiling;
pub mod weights;
mod workspace;

pub use autoencoder::{AutoencoderKl, Extent};
pub use config::VaeConfig;
pub use error::VaeError;
pub use files::VaeFiles;
pub use layout::{Param, params};
pub use posterior::Posterior;
pub use scaling::LatentScaling;
pub use tiling::Tiling;
