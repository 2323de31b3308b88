//! Depthwise causal convolution with bias and SiLU, in one or both scan orders.
//!
//! ```text
//! left to right:  out[l] = silu(bias + sum_k weight[k] x[l - (K-1) + k])
//! right to left:  out[l] = silu(bias + sum_k weight[k] x[l + (K-1) - k])      x = 0 outside
//! ```
//!
//! | operand | shape | meaning |
//! |---|---|---|
//! | `x` | `B L x E`, strided rows | input channels |
//! | `weight` | `[E, K]` | taps, the last on the token itself |
//! | `bias` | `[E]` | |
//! | output | `[B, L, E]` per order | |
//!
//! The gradient pass recomputes the value before SiLU. The gradient of `x` is the sum over the
//! orders.
//!
//! # Source
//! The causal convolution of Mamba, arXiv 2312.00752; the official code flips the sequence for the
//! second order where this one mirrors the taps.

pub mod cases;
mod check;
pub mod cpu;
pub mod reference;

use crate::{Mat, MatMut, ScanOrder};
pub(crate) use check::{check_backward, check_forward};

/// Sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images, `B`.
    pub batch: usize,
    /// Tokens, `L`.
    pub seq_len: usize,
    /// Channels, `E`.
    pub channels: usize,
    /// Taps, `K`.
    pub width: usize,
}

/// Parameters of one scan order.
#[derive(Clone, Copy, Debug)]
pub struct Direction<'a, T> {
    /// Direction in which the convolution is causal.
    pub order: ScanOrder,
    /// `[E, K]`.
    pub weight: &'a [T],
    /// `[E]`.
    pub bias: &'a [T],
}

/// Operands of one call.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a, T> {
    /// Sizes.
    pub shape: Shape,
    /// `B L x E`.
    pub x: Mat<'a, T>,
    /// One or two scan orders.
    pub directions: &'a [Direction<'a, T>],
}

/// Gradients of one scan order's parameters, added to.
#[derive(Debug)]
pub struct DirectionGrads<'a, T> {
    /// `[E, K]`.
    pub weight: &'a mut [T],
    /// `[E]`.
    pub bias: &'a mut [T],
}

/// Gradients of all operands.
#[derive(Debug)]
pub struct Grads<'a, T> {
    /// `B L x E`, overwritten with the sum over the scan orders.
    pub x: MatMut<'a, T>,
    /// One per entry of [`Args::directions`], in the same order.
    pub directions: &'a mut [DirectionGrads<'a, T>],
}
