//! Layer normalisation without parameters, then a shift and a factor per image.
//!
//! ```text
//! x^  = (x - mean) (variance + eps)^(-1/2)              biased variance over the width
//! out = x^ (1 + factor[b]) + shift[b]
//! ```
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `x` | `[B, L, D]` | `X` | activation `T` or residual `W` |
//! | `modulation` | `[B, 2D]`, optional | `T` | shift and factor of each image, in the order of `halves` |
//! | output | `[B, L, D]` | `T` | |
//!
//! # Source
//! Adaptive layer normalisation of the final layer of DiS (shift first) and of the "adaLN"
//! ablation of arXiv 2402.05608, section 3.3 (factor first).

pub mod cases;
mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
pub(crate) use check::{check_backward, check_forward};

/// Sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images, `B`.
    pub batch: usize,
    /// Tokens, `L`.
    pub seq_len: usize,
    /// Width, `D`.
    pub width: usize,
}

/// Which half of a modulation row is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halves {
    /// `[shift | factor]`.
    ShiftFirst,
    /// `[factor | shift]`.
    FactorFirst,
}

/// Operands of both passes.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a, X: Element, T: Element = X, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, L, D]`.
    pub x: M::Ref<'a, X>,
    /// `[B, 2D]`; without it the output is `x^`.
    pub modulation: Option<M::Ref<'a, T>>,
    /// Order of the two halves.
    pub halves: Halves,
    /// Added to the variance.
    pub eps: f64,
}

/// Where the value pass writes.
#[derive(Debug)]
pub struct Output<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, L, D]`.
    pub out: M::Mut<'a, T>,
    /// `[B, L, 2]`: mean and reciprocal standard deviation of each token.
    pub stats: M::Mut<'a, W>,
}

/// Gradients.
#[derive(Debug)]
pub struct Grads<'a, T: Element, M: Memory = Host> {
    /// `[B, L, D]`, overwritten.
    pub x: M::Mut<'a, T>,
    /// `[B, 2D]`, overwritten; absent where there is no modulation.
    pub modulation: Option<M::Mut<'a, T>>,
}
