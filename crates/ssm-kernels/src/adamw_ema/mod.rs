//! AdamW and exponential moving averages in one pass over flat arenas.
//!
//! ```text
//! g  = grad_factor grad                                (clipping and averaging)
//! m  = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
//! p  = p - lr weight_decay p - lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
//! e  = decay e + (1 - decay) p                         for every average
//! ```
//!
//! Weight decay is skipped inside [`Hyper::no_decay`].
//!
//! # Source
//! Decoupled weight decay, arXiv 1711.05101, algorithm 2 with the schedule factor in `lr`.

mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
pub(crate) use check::check;
use std::ops::Range;

/// Numbers of one update.
#[derive(Clone, Debug)]
pub struct Hyper<'a> {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Steps made, this one included: 1 for the first.
    pub step: u64,
    /// Factor on the gradient.
    pub grad_factor: f64,
    /// Ranges of the arena without weight decay, sorted and disjoint.
    pub no_decay: &'a [Range<usize>],
}

/// The arenas, all of one length: `W`, the format of parameters, and `T`, that of activations.
#[derive(Debug)]
pub struct Arenas<'a, W: Element, T: Element = W, M: Memory = Host> {
    /// Parameters, updated.
    pub params: M::Mut<'a, W>,
    /// Gradients.
    pub grads: M::Ref<'a, W>,
    /// First moments, updated.
    pub m: M::Mut<'a, W>,
    /// Second moments, updated.
    pub v: M::Mut<'a, W>,
    /// Averages, updated after the parameters.
    pub averages: &'a mut [Average<'a, W, M>],
    /// The new parameters once more, in the format that matrix products read; absent where that
    /// is the format of the parameters.
    pub compute_copy: Option<M::Mut<'a, T>>,
}

/// One exponential moving average of the parameters.
#[derive(Debug)]
pub struct Average<'a, W: Element, M: Memory = Host> {
    /// Share of the old average that is kept.
    pub decay: f64,
    /// The average.
    pub values: M::Mut<'a, W>,
}
