//! Residual addition and root-mean-square normalisation in one pass.
//!
//! ```text
//! residual' = residual + drop_path[b] hidden         (residual absent: hidden, no drop-path)
//! rstd      = (mean(residual'^2) + eps)^(-1/2)
//! out       = residual' rstd weight
//! ```
//!
//! | operand | shape | meaning |
//! |---|---|---|
//! | `hidden` | `[B, L, D]` | branch value |
//! | `residual` | `[B, L, D]`, optional | stream under the branches |
//! | `drop_path` | `[B]`, optional | 0 or 1 / keep probability of each image |
//! | `weight` | `[D]` | |
//!
//! # Source
//! The fused add + norm of Mamba's reference models; add first, then norm.

pub mod cases;
mod check;
pub mod cpu;
pub mod reference;

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
pub struct Args<'a, T> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, L, D]`.
    pub hidden: &'a [T],
    /// `[B, L, D]`.
    pub residual: Option<&'a [T]>,
    /// `[B]`; not applied where there is no residual.
    pub drop_path: Option<&'a [T]>,
    /// `[D]`.
    pub weight: &'a [T],
    /// Added to the mean square.
    pub eps: f64,
}

/// Where the value pass writes.
#[derive(Debug)]
pub struct Output<'a, T> {
    /// `[B, L, D]`.
    pub residual: &'a mut [T],
    /// `[B, L, D]`.
    pub normed: &'a mut [T],
    /// `[B, L]`.
    pub rstd: &'a mut [T],
}

/// Operands of the gradient pass.
#[derive(Clone, Copy, Debug)]
pub struct BackwardArgs<'a, T> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, L, D]`, as written by the value pass.
    pub residual: &'a [T],
    /// `[B, L]`, as written by the value pass.
    pub rstd: &'a [T],
    /// `[D]`.
    pub weight: &'a [T],
    /// `[B]`, as in the value pass; `None` where it was absent or not applied.
    pub drop_path: Option<&'a [T]>,
    /// `[B, L, D]`, gradient of the normed output.
    pub grad_normed: &'a [T],
}

/// Gradients.
#[derive(Debug)]
pub struct Grads<'a, T> {
    /// `[B, L, D]`. In: the gradient that reaches the new residual from later blocks. Out: that plus
    /// the part through the norm, which is the gradient of the old residual.
    pub residual: &'a mut [T],
    /// `[B, L, D]`, overwritten with `drop_path` times the above: the gradient of `hidden`.
    pub hidden: &'a mut [T],
    /// `[D]`, added to.
    pub weight: &'a mut [T],
}
