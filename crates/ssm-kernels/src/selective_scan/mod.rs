//! Selective scan of a token sequence, in one or both scan orders, with everything around it fused.
//!
//! For every image and channel, walking the tokens `l` in scan order:
//!
//! ```text
//! delta = softplus(delta_raw[l] + delta_bias)
//! h     = exp(delta A) h + delta u[l] B[l]          A = -exp(a_log), h starts at 0
//! y[l]  = <C[l], h> + d_skip u[l]
//! out   = direction_sum (y_first + y_second) silu(z)
//! ```
//!
//! | operand | shape | meaning |
//! |---|---|---|
//! | `u` | `[B, L, E]` | input channels |
//! | `delta_raw` | `[B, L, E]` | step size before bias and softplus |
//! | `bc` | `B L x 2N`, strided rows | input and output projections, `[B \| C]` |
//! | `a_log` | `[E, N]` | log of the decay rates |
//! | `d_skip`, `delta_bias` | `[E]` | direct path, bias of the step size |
//! | `z` | `B L x E`, strided rows | gate before SiLU |
//!
//! # Source
//! Mamba, arXiv 2312.00752; DiS, arXiv 2402.05608, equations 3 to 5. Differs from the paper: the
//! input term is `delta B` (Euler), as in the official code, not zero-order hold. The two orders
//! share one gate; the official code gates each and adds, which is the same sum.

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
    /// States per channel, `N`.
    pub states: usize,
}

/// Operands of one scan order.
#[derive(Clone, Copy, Debug)]
pub struct Direction<'a, T> {
    /// Direction of the walk.
    pub order: ScanOrder,
    /// `[B, L, E]`.
    pub u: &'a [T],
    /// `[B, L, E]`, before bias and softplus.
    pub delta_raw: &'a [T],
    /// `B L x 2N`: `[B | C]` of each token.
    pub bc: Mat<'a, T>,
    /// `[E, N]`.
    pub a_log: &'a [T],
    /// `[E]`.
    pub d_skip: &'a [T],
    /// `[E]`.
    pub delta_bias: &'a [T],
}

/// Operands of one call.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a, T> {
    /// Sizes.
    pub shape: Shape,
    /// One or two scan orders.
    pub directions: &'a [Direction<'a, T>],
    /// `B L x E`, before SiLU.
    pub z: Mat<'a, T>,
    /// Factor on the sum over the scan orders; 1 in the official code.
    pub direction_sum: T,
}

/// Where the value pass writes.
#[derive(Debug)]
pub struct Output<'a, T> {
    /// `[B, L, E]`, gated.
    pub gated: &'a mut [T],
    /// What the gradient pass needs; inference leaves it out.
    pub kept: Option<KeptMut<'a, T>>,
}

/// What the value pass keeps for the gradient pass.
#[derive(Debug)]
pub struct KeptMut<'a, T> {
    /// `[B, L, E]`, `direction_sum` times the sum over the scan orders before the gate.
    pub pre_gate: &'a mut [T],
    /// States after every tile of tokens, in a layout of the backend's own; as many elements as
    /// its `states_len` says.
    pub states: &'a mut [T],
}

/// [`KeptMut`] as the gradient pass reads it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a, T> {
    /// `[B, L, E]`.
    pub pre_gate: &'a [T],
    /// States after every tile of tokens.
    pub states: &'a [T],
}

/// Gradients of one scan order's operands.
#[derive(Debug)]
pub struct DirectionGrads<'a, T> {
    /// `[B, L, E]`, overwritten.
    pub u: &'a mut [T],
    /// `[B, L, E]`, overwritten.
    pub delta_raw: &'a mut [T],
    /// `B L x 2N`, overwritten.
    pub bc: MatMut<'a, T>,
    /// `[E, N]`, added to.
    pub a_log: &'a mut [T],
    /// `[E]`, added to.
    pub d_skip: &'a mut [T],
    /// `[E]`, added to.
    pub delta_bias: &'a mut [T],
}

/// What the gradient pass writes.
#[derive(Debug)]
pub struct Grads<'a, T> {
    /// One per entry of [`Args::directions`], in the same order.
    pub directions: &'a mut [DirectionGrads<'a, T>],
    /// `B L x E`, overwritten.
    pub z: MatMut<'a, T>,
    /// `[B, L, E]`, overwritten: no gradient but the gated output once more, which costs nothing here
    /// and need not be kept since the value pass.
    pub gated: &'a mut [T],
}
