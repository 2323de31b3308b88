//! Depthwise causal convolution with bias and SiLU, in one or both scan orders.
//!
//! ```text
//! left to right:  out[l] = silu(bias + sum_k weight[k] x[l - (K-1) + k])
//! right to left:  out[l] = silu(bias + sum_k weight[k] x[l + (K-1) - k])      x = 0 outside
//! ```
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `x` | `B L x E`, strided rows | `T` | input channels |
//! | `weight` | `[E, K]` | `W` | taps, the last on the token itself |
//! | `bias` | `[E]` | `W` | |
//! | output | `[B, L, E]` per order | `T` | |
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
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
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
pub struct Direction<'a, W: Element, M: Memory = Host> {
    /// Direction in which the convolution is causal.
    pub order: ScanOrder,
    /// `[E, K]`.
    pub weight: M::Ref<'a, W>,
    /// `[E]`.
    pub bias: M::Ref<'a, W>,
}

/// Operands of one call.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `B L x E`.
    pub x: Mat<'a, T, M>,
    /// One or two scan orders.
    pub directions: &'a [Direction<'a, W, M>],
}

/// Gradients of one scan order's parameters, added to.
#[derive(Debug)]
pub struct DirectionGrads<'a, W: Element, M: Memory = Host> {
    /// `[E, K]`.
    pub weight: M::Mut<'a, W>,
    /// `[E]`.
    pub bias: M::Mut<'a, W>,
}

/// Gradients of all operands.
#[derive(Debug)]
pub struct Grads<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `B L x E`, overwritten with the sum over the scan orders.
    pub x: MatMut<'a, T, M>,
    /// One per entry of [`Args::directions`], in the same order.
    pub directions: &'a mut [DirectionGrads<'a, W, M>],
}
