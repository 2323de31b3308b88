//! Timestep, label and position: the parts of the tokens that are no product of matrices.
//!
//! ```text
//! timestep_phases   e = [cos(t f) | sin(t f)],   f_i = 10000^(-i / floor(D/2))     odd D: a last 0
//! condition         sum = time + table[label],   condition = silu(sum)
//! tokens            patches += bias,   leading = [table[label], time],   all += position
//! ```
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `timesteps` | `[B]` | f64 on the host | |
//! | `phases`, `time`, `sum`, `condition` | `[B, D]` | `T` | |
//! | `tokens` | `[B, L, D]` | `T` | `extra` leading tokens, then patches |
//! | `table` | `[classes, D]` | `W` | |
//! | `labels` | `[B]` | u32 | rows of the table |
//! | `position`, `bias` | `[L, D]`, `[D]` | `W` | |
//!
//! # Source
//! DiS, arXiv 2402.05608, section 3.2. The phase is computed in f64 and rounded once; the official
//! code computes it in f32 and is off by up to 7e-5.

mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
pub(crate) use check::{
    check_condition, check_condition_backward, check_phases, check_tokens, check_tokens_backward,
};

/// Sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images, `B`.
    pub batch: usize,
    /// Tokens, `L`.
    pub seq_len: usize,
    /// Width, `D`.
    pub width: usize,
    /// Leading tokens: none, time, or label and time.
    pub extra: usize,
}

/// The class of every image.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a, W: Element, M: Memory = Host> {
    /// `[classes, D]`.
    pub table: M::Ref<'a, W>,
    /// `[B]`, rows of the table; a host backend panics at others.
    pub labels: M::Ref<'a, u32>,
}

/// Operands of `embed_condition`.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, D]`.
    pub time: M::Ref<'a, T>,
    /// Absent without classes: `sum = time`.
    pub classes: Option<Classes<'a, W, M>>,
}

/// Where `embed_condition` writes.
#[derive(Debug)]
pub struct ConditionOutput<'a, T: Element, M: Memory = Host> {
    /// `[B, D]`.
    pub sum: M::Mut<'a, T>,
    /// `[B, D]`.
    pub condition: M::Mut<'a, T>,
}

/// Operands of `embed_tokens`, which completes `tokens` that hold the projected patches.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `[D]`, of the patches' projection.
    pub bias: M::Ref<'a, W>,
    /// `[L, D]`.
    pub position: M::Ref<'a, W>,
    /// `[B, D]`, read where time is a token.
    pub time: M::Ref<'a, T>,
    /// Read where the label is a token.
    pub classes: Option<Classes<'a, W, M>>,
}

/// Gradients of the parameters of `embed_tokens`, added to.
#[derive(Debug)]
pub struct TokensGrads<'a, W: Element, M: Memory = Host> {
    /// `[L, D]`.
    pub position: M::Mut<'a, W>,
    /// `[D]`.
    pub bias: M::Mut<'a, W>,
}

/// Operands of `embed_condition_backward`: what reaches time and label, as condition and as tokens.
#[derive(Clone, Copy, Debug)]
pub struct ConditionBackward<'a, T: Element, M: Memory = Host> {
    /// Sizes.
    pub shape: Shape,
    /// `[B, D]`, as written by the value pass.
    pub sum: M::Ref<'a, T>,
    /// `[B, L, D]`, gradient of the tokens.
    pub grad_tokens: M::Ref<'a, T>,
    /// `[B]`; given together with the gradient of the table.
    pub labels: Option<M::Ref<'a, u32>>,
}

/// Gradients of `embed_condition_backward`.
#[derive(Debug)]
pub struct ConditionGrads<'a, T: Element, W: Element = T, M: Memory = Host> {
    /// `[B, D]`. In: gradient of the condition. Out: gradient of time.
    pub condition: M::Mut<'a, T>,
    /// `[classes, D]`, added to; each image adds its condition's part, then its token's.
    pub table: Option<M::Mut<'a, W>>,
}
