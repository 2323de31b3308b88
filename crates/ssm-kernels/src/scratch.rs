//! Memory that outlives a call.

use crate::memory::zeros;
use crate::real::Real;

/// A buffer that only grows, so that steady-state calls neither allocate nor fault pages in.
#[derive(Debug, Default)]
pub struct Scratch<T>(Vec<T>);

impl<T: Real> Scratch<T> {
    /// No memory yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// `len` elements of unspecified content.
    pub fn take(&mut self, len: usize) -> &mut [T] {
        if self.0.len() < len {
            self.0 = zeros(len);
        }
        &mut self.0[..len]
    }
}
