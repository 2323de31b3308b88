//! Softmax of every row of a matrix, in place.
//!
//! ```text
//! x[r, c] = e^(f x[r, c] - m) / (sum over c of e^(f x[r, c] - m))        m the largest f x[r, c]
//! ```
//!
//! `f` is the factor of attention scores, `1 / sqrt(width)`. The rows may be a part of wider ones.
//!
//! # Source
//! Attention, arXiv 1706.03762, equation 1.

pub mod cases;
mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

pub(crate) use check::check;
