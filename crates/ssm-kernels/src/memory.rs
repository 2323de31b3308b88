//! Large buffers.
#![allow(unsafe_code, reason = "advice to the operating system takes an address")]

use crate::space::Element;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a cache line, and of the longest vector.
const LINE: usize = 64;
/// Bytes after which addresses use the same sets of the first cache again, and of a page.
const PAGE: usize = 4096;
/// Bytes from which on a buffer is worth huge pages and a start of its own.
const LARGE: usize = 64 << 10;

/// A slice of fixed length for operands of the kernels.
///
/// It starts at a cache line, where no vector straddles two. Large buffers stand on huge pages where
/// the system has them: with pages of 4 KB a network's working set is hundreds of thousands of
/// pages, and each costs a fault once and a table walk often. And they start at different lines of
/// a page: a kernel reads the same row of many buffers, which would else all want the same few
/// sets of the cache.
#[derive(Debug, Default)]
pub struct Buffer<T> {
    memory: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Element> Buffer<T> {
    /// `len` zeros. The pages of a large buffer are mapped at the first write, by the thread that
    /// writes.
    pub fn zeros(len: usize) -> Self {
        /// Lines between the starts of successive buffers; odd, so that all lines take their turn.
        const STEP: usize = 5;
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let is_large = len * size_of::<T>() >= LARGE;
        let spare = if is_large { PAGE + LINE } else { LINE };
        let memory = vec![T::default(); len + spare / size_of::<T>()];
        advise_huge_pages(&memory);
        let place =
            if is_large { COUNT.fetch_add(1, Ordering::Relaxed) * STEP * LINE % PAGE } else { 0 };
        let address = memory.as_ptr().addr();
        let start = (address.next_multiple_of(LINE) - address + place) / size_of::<T>();
        Self { memory, start, len }
    }
}

impl<T: Element> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.start..][..self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// Asks for huge pages under `memory`.
#[cfg(target_os = "linux")]
pub(crate) fn advise_huge_pages<T>(memory: &[T]) {
    let bytes = size_of_val(memory);
    if bytes < LARGE {
        return;
    }
    let skipped = memory.as_ptr().addr().next_multiple_of(PAGE) - memory.as_ptr().addr();
    let start = memory.as_ptr().cast::<libc::c_void>().wrapping_byte_add(skipped);
    // SAFETY: whole pages inside the buffer, rounded down; the advice leaves their content alone.
    // A system without huge pages refuses it, which changes nothing.
    unsafe {
        libc::madvise(start.cast_mut(), (bytes - skipped) / PAGE * PAGE, libc::MADV_HUGEPAGE)
    };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn advise_huge_pages<T>(_memory: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_hold_zeros_and_start_at_a_line() {
        for len in [0, 1, 1000, 1 << 14, (1 << 14) + 1, (3 << 20) + 1] {
            for _ in 0..20 {
                let mut buffer = Buffer::<f32>::zeros(len);
                assert_eq!(buffer.len(), len);
                assert_eq!(buffer.as_ptr().addr() % LINE, 0, "{len}");
                assert!(buffer.iter().all(|&x| x == 0.0), "{len}");
                buffer.fill(1.0);
            }
        }
    }

    #[test]
    fn large_buffers_take_turns_with_the_lines_of_a_page() {
        let buffers: Vec<_> = (0..8).map(|_| Buffer::<f64>::zeros(LARGE)).collect();
        let mut places: Vec<_> = buffers.iter().map(|b| b.as_ptr().addr() % PAGE).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() >= 4, "{places:?}");
    }
}
