//! Residual addition and root-mean-square normalisation in one pass.
//!
//! ```text
//! residual' = residual + drop_path[b] hidden         (residual absent: hidden, no drop-path)
//! rstd      = (mean(residual'^2) + eps)^(-1/2)
//! out       = residual' rstd weight
//! ```
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `hidden` | `[B, L, D]` | `T` | branch value |
//! | `residual` | `[B, L, D]`, optional | `W` | stream under the branches |
//! | `drop_path` | `[B]`, optional | `W` | 0 or 1 / keep probability of each image |
//! | `weight` | `[D]` | `W` | |
//! | output | `[B, L, D]` | `T` | |
//!
//! # Source
//! The fused add + norm of Mamba's reference models; add first, then norm.

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

/// Operands of the value pass.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, L, D]`.
    pub hidden: M::Ref<'a, T>,
    /// `[B, L, D]`.
    pub residual: Option<M::Ref<'a, W>>,
    /// `[B]`; not applied where there is no residual.
    pub drop_path: Option<M::Ref<'a, W>>,
    /// `[D]`.
    pub weight: M::Ref<'a, W>,
    /// Added to the mean square.
    pub eps: f64,
}

/// Where the value pass writes.
#[derive(Debug)]
pub struct Output<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, L, D]`.
    pub residual: M::Mut<'a, W>,
    /// `[B, L, D]`.
    pub normed: M::Mut<'a, T>,
    /// `[B, L]`.
    pub rstd: M::Mut<'a, W>,
}

/// Operands of the gradient pass.
#[derive(Clone, Copy, Debug)]
pub struct BackwardArgs<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, L, D]`, as written by the value pass.
    pub residual: M::Ref<'a, W>,
    /// `[B, L]`, as written by the value pass.
    pub rstd: M::Ref<'a, W>,
    /// `[D]`.
    pub weight: M::Ref<'a, W>,
    /// `[B]`, as in the value pass; `None` where it was absent or not applied.
    pub drop_path: Option<M::Ref<'a, W>>,
    /// `[B, L, D]`, gradient of the normed output.
    pub grad_normed: M::Ref<'a, T>,
}

/// Gradients.
#[derive(Debug)]
pub struct Grads<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, L, D]`. In: the gradient that reaches the new residual from later blocks. Out: that plus
    /// the part through the norm, which is the gradient of the old residual.
    pub residual: M::Mut<'a, W>,
    /// `[B, L, D]`, overwritten with `drop_path` times the above: the gradient of `hidden`.
    pub hidden: M::Mut<'a, T>,
    /// `[D]`, added to.
    pub weight: M::Mut<'a, W>,
}
