//! Large buffers.
#![allow(unsafe_code, reason = "advice to the operating system takes an address")]

use crate::real::Real;

/// Buffers from this size on are worth huge pages.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 << 20;

/// `len` zeros, on huge pages where the system has them: with pages of 4 KB a network's working
/// set is hundreds of thousands of pages, and each costs a fault once and a table walk often.
///
/// The pages of a large buffer are mapped at the first write, by the thread that writes.
pub fn zeros<T: Real>(len: usize) -> Vec<T> {
    let zeros = vec![T::ZERO; len];
    advise_huge_pages(&zeros);
    zeros
}

#[cfg(target_os = "linux")]
fn advise_huge_pages<T>(buffer: &[T]) {
    const PAGE: usize = 4096;
    let bytes = size_of_val(buffer);
    if bytes < LARGE {
        return;
    }
    let skipped = buffer.as_ptr().addr().next_multiple_of(PAGE) - buffer.as_ptr().addr();
    let start = buffer.as_ptr().cast::<libc::c_void>().wrapping_byte_add(skipped);
    // SAFETY: whole pages inside the buffer, rounded down; the advice leaves their content alone.
    // A system without huge pages refuses it, which changes nothing.
    unsafe {
        libc::madvise(start.cast_mut(), (bytes - skipped) / PAGE * PAGE, libc::MADV_HUGEPAGE)
    };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages<T>(_buffer: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_hold_zeros() {
        for len in [0, 1, 1000, 1 << 20, (3 << 20) + 1] {
            let buffer = zeros::<f32>(len);
            assert!(buffer.len() == len && buffer.iter().all(|&x| x == 0.0), "{len}");
        }
    }
}
