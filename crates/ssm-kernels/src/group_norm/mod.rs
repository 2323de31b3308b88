//! Group normalisation of images, with weight and bias of each channel, and SiLU after it.
//!
//! ```text
//! x^  = (x - mean) (variance + eps)^(-1/2)     over all pixels and the channels of one group
//! out = f(weight[c] x^ + bias[c])              f: nothing, or silu
//! ```
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `x` | `[B, P, C]` | `T` | images, channels last |
//! | `weight`, `bias` | `[C]` | `W` | |
//! | output | as `x` | `T` | |
//!
//! Channel `c` belongs to group `c / (C / groups)`; the variance is the biased one. The weights are
//! those of a frozen network, so there is no gradient pass.
//!
//! # Source
//! arXiv 1803.08494, equations 1, 2, 6 and 7; the norms of the autoencoder of Stable Diffusion,
//! which has 32 groups and an `eps` of 1e-6.

pub mod cases;
mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
pub(crate) use check::check;

/// Sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images, `B`.
    pub batch: usize,
    /// Pixels of an image, `P`.
    pub pixels: usize,
    /// Channels, `C`, a multiple of `groups`.
    pub channels: usize,
    /// Groups of channels.
    pub groups: usize,
}

/// Operands.
#[derive(Debug)]
pub struct Args<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, P, C]`.
    pub x: M::Ref<'a, T>,
    /// `[C]`.
    pub weight: M::Ref<'a, W>,
    /// `[C]`.
    pub bias: M::Ref<'a, W>,
    /// Added to the variance.
    pub eps: f64,
    /// Whether SiLU follows.
    pub silu: bool,
}
