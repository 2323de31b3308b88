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
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `u` | `[B, L, E]` | `T` | input channels |
//! | `delta_raw` | `[B, L, E]` | `T` | step size before bias and softplus |
//! | `bc` | `B L x 2N`, strided rows | `T` | input and output projections, `[B \| C]` |
//! | `a_log` | `[E, N]` | `W` | log of the decay rates |
//! | `d_skip`, `delta_bias` | `[E]` | `W` | direct path, bias of the step size |
//! | `z` | `B L x E`, strided rows | `T` | gate before SiLU |
//! | output | `[B, L, E]` | `T` | |
//!
//! # Source
//! Mamba, arXiv 2312.00752; DiS, arXiv 2402.05608, equations 3 to 5. Differs from the paper: the
//! input term is `delta B` (Euler), as in the official code, not zero-order hold. The two orders
//! share one gate; the official code gates each and adds, which is the same sum.

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
    /// States per channel, `N`.
    pub states: usize,
}

/// Operands of one scan order.
#[derive(Clone, Copy, Debug)]
pub struct Direction<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Direction of the walk.
    pub order: ScanOrder,
    /// `[B, L, E]`.
    pub u: M::Ref<'a, T>,
    /// `[B, L, E]`, before bias and softplus.
    pub delta_raw: M::Ref<'a, T>,
    /// `B L x 2N`: `[B | C]` of each token.
    pub bc: Mat<'a, T, M>,
    /// `[E, N]`.
    pub a_log: M::Ref<'a, W>,
    /// `[E]`.
    pub d_skip: M::Ref<'a, W>,
    /// `[E]`.
    pub delta_bias: M::Ref<'a, W>,
}

/// Operands of one call.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// One or two scan orders.
    pub directions: &'a [Direction<'a, T, W, M>],
    /// `B L x E`, before SiLU.
    pub z: Mat<'a, T, M>,
    /// Factor on the sum over the scan orders; 1 in the official code.
    pub direction_sum: W,
}

/// Where the value pass writes.
#[derive(Debug)]
pub struct Output<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, L, E]`, gated.
    pub gated: M::Mut<'a, T>,
    /// What the gradient pass needs; inference leaves it out.
    pub kept: Option<KeptMut<'a, T, W, M>>,
}

/// What the value pass keeps for the gradient pass.
#[derive(Debug)]
pub struct KeptMut<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, L, E]`, `direction_sum` times the sum over the scan orders before the gate.
    pub pre_gate: M::Mut<'a, T>,
    /// States after every tile of tokens, in a layout of the backend's own; as many elements as
    /// its `states_len` says.
    pub states: M::Mut<'a, W>,
}

/// [`KeptMut`] as the gradient pass reads it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, L, E]`.
    pub pre_gate: M::Ref<'a, T>,
    /// States after every tile of tokens.
    pub states: M::Ref<'a, W>,
}

/// Gradients of one scan order's operands.
#[derive(Debug)]
pub struct DirectionGrads<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, L, E]`, overwritten.
    pub u: M::Mut<'a, T>,
    /// `[B, L, E]`, overwritten.
    pub delta_raw: M::Mut<'a, T>,
    /// `B L x 2N`, overwritten.
    pub bc: MatMut<'a, T, M>,
    /// `[E, N]`, added to.
    pub a_log: M::Mut<'a, W>,
    /// `[E]`, added to.
    pub d_skip: M::Mut<'a, W>,
    /// `[E]`, added to.
    pub delta_bias: M::Mut<'a, W>,
}

/// What the gradient pass writes.
#[derive(Debug)]
pub struct Grads<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// One per entry of [`Args::directions`], in the same order.
    pub directions: &'a mut [DirectionGrads<'a, T, W, M>],
    /// `B L x E`, overwritten.
    pub z: MatMut<'a, T, M>,
    /// `[B, L, E]`, overwritten: no gradient but the gated output once more, which costs nothing here
    /// and need not be kept since the value pass.
    pub gated: M::Mut<'a, T>,
}
