//! Root-mean-square normalisation of the segments of each row, without weight, in place.
//!
//! ```text
//! rstd = (mean(x^2) + eps)^(-1/2)        the mean over one segment of one row
//! x    = x rstd
//! ```
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `x` | `[rows, sum of widths]` | `T` | three segments a row, side by side |
//! | `rstd` | `[rows, 3]` | `W` | factor of each segment |
//!
//! The gradient pass reads the normed rows and not what they were made from, so `rstd` is all that a
//! value pass keeps for it.
//!
//! # Source
//! The norms of step size, B and C in Jamba (arXiv 2403.19887), here without weights as in Falcon
//! Mamba (arXiv 2410.05355 and its released code).

pub mod cases;
mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
pub(crate) use check::{check_backward, check_forward};

/// Segments of a row.
pub const SEGMENTS: usize = 3;

/// Sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: usize,
    /// Elements of each segment.
    pub widths: [usize; SEGMENTS],
}

impl Shape {
    /// Elements of a row.
    pub fn row_len(&self) -> usize {
        self.widths.iter().sum()
    }
}

/// What the value pass leaves for the gradient pass.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[rows, sum of widths]`, as written by the value pass.
    pub normed: M::Ref<'a, T>,
    /// `[rows, 3]`, as written by the value pass.
    pub rstd: M::Ref<'a, W>,
}
