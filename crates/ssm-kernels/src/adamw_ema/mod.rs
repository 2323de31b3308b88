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
pub mod reference;

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

/// The arenas, all of one length.
#[derive(Debug)]
pub struct Arenas<'a, T> {
    /// Parameters, updated.
    pub params: &'a mut [T],
    /// Gradients.
    pub grads: &'a [T],
    /// First moments, updated.
    pub m: &'a mut [T],
    /// Second moments, updated.
    pub v: &'a mut [T],
    /// Averages, updated after the parameters.
    pub averages: &'a mut [Average<'a, T>],
}

/// One exponential moving average of the parameters.
#[derive(Debug)]
pub struct Average<'a, T> {
    /// Share of the old average that is kept.
    pub decay: f64,
    /// The average.
    pub values: &'a mut [T],
}
