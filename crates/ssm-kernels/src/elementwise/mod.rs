//! The small steps between the fused operators.
//!
//! ```text
//! fill_rows         out[r] = row
//! add_column_sums   sums += sum over r of x[r]
//! add               out = a + b
//! add_assign        to += from
//! residual_add      out = residual + drop_path[b] hidden      (residual absent: hidden, no drop-path)
//! add_to_residual   residual += x
//! apply_drop_path   out = drop_path[b] x
//! silu              out = x sigmoid(x)
//! silu_backward     grad *= silu'(x)
//! ```
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `row`, `sums` | `[D]` | `W` | a bias and its gradient |
//! | `residual` | `[B, ..]` | `W` | stream under the branches |
//! | `drop_path` | `[B]`, optional | `W` | factor of each image |
//! | all others | equally many elements | `T` | |
//!
//! Column sums add the rows from the first to the last.

mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
pub(crate) use check::{
    check_add, check_add_column_sums, check_drop_path, check_fill_rows, check_pair,
    check_residual_add,
};

/// Operands of `residual_add`.
#[derive(Clone, Copy, Debug)]
pub struct ResidualAdd<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Images, `B`.
    pub batch: usize,
    /// `[B, ..]`.
    pub hidden: M::Ref<'a, T>,
    /// `[B, ..]`.
    pub residual: Option<M::Ref<'a, W>>,
    /// `[B]`; not applied where there is no residual.
    pub drop_path: Option<M::Ref<'a, W>>,
}

/// Operands of `apply_drop_path`.
#[derive(Clone, Copy, Debug)]
pub struct DropPath<'a, W: Element, M: Memory = Host> {
    /// Images, `B`.
    pub batch: usize,
    /// `[B, ..]`.
    pub x: M::Ref<'a, W>,
    /// `[B]`; absent: 1.
    pub drop_path: Option<M::Ref<'a, W>>,
}
