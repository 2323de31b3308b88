//! The DiS network: a diffusion backbone of bidirectional state-space blocks.
//!
//! [`Dis`] is generic over a [`ssm_kernels::Backend`] and keeps no parameters: every call takes them
//! as one flat arena laid out by [`ParamLayout`], and the gradient pass adds to an arena of the same
//! layout. Gradients are explicit, layer by layer; there is no tape. The network knows no noise, no
//! diffusion and no optimiser: drop-path factors and dropped labels are inputs.
//!
//! Shapes: `B` batch, `L` tokens, `D` width, `E = 2D` inner channels, `N` states, `R` rank of the step
//! size, `K` taps, `C H W` image, `P` patch. Activations are token-major `[B, L, channels]`.
//!
//! # Source
//! DiS, arXiv 2402.05608. Names and order of parameters are those of the official code.
#![forbid(unsafe_code)]

mod activations;
mod bidirectional_ssm;
mod config;
pub mod counts;
mod dis;
mod embed;
mod error;
mod final_layer;
pub mod init;
mod linear;
mod net;
mod params;
mod ssm_block;
pub mod weights;

pub use activations::{Activations, Recompute};
pub use config::{Conditioning, DisConfig, DisPreset, Skip};
pub use dis::{Dis, Input};
pub use error::ModelError;
pub use net::Params;
pub use params::{Param, ParamLayout};
