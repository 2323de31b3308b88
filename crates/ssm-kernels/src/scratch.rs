//! Memory that outlives a call.

use crate::memory::Buffer;
use crate::space::Element;

/// A buffer that only grows, so that steady-state calls neither allocate nor fault pages in.
#[derive(Debug, Default)]
pub struct Scratch<T>(Option<Buffer<T>>);

impl<T: Element> Scratch<T> {
    /// No memory yet.
    pub const fn new() -> Self {
        Self(None)
    }

    /// `len` elements of unspecified content.
    pub fn take(&mut self, len: usize) -> &mut [T] {
        let buffer = self.0.take().filter(|buffer| buffer.len() >= len);
        &mut self.0.insert(buffer.unwrap_or_else(|| Buffer::zeros(len)))[..len]
    }
}
