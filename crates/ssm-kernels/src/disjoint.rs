//! A mutable slice that parallel tasks write in disjoint places.
#![allow(unsafe_code, reason = "tasks own column blocks of shared rows, which slices cannot say")]

use std::marker::PhantomData;

/// A borrowed slice whose parts are handed to parallel tasks one by one.
///
/// Channel blocks of token-major rows interleave in memory, so `split_at_mut` cannot separate them.
#[derive(Clone, Copy)]
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `part`, whose caller promises that no element is reached twice.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// Where the slice starts, for prefetching.
    #[inline(always)]
    pub(crate) fn address(&self) -> *const T {
        self.start
    }

    /// Where element `at` is, for those who access parts of `at .. at + len` by pointer.
    ///
    /// # Panics
    /// When the range reaches beyond the slice.
    #[inline(always)]
    pub(crate) fn pointer(&self, at: usize, len: usize) -> *mut T {
        assert!(at + len <= self.len, "elements {at}+{len} of {}", self.len);
        self.start.wrapping_add(at)
    }

    /// Elements `at .. at + len`.
    ///
    /// # Safety
    /// While the returned slice lives, no other live slice from this value may share an element
    /// with it.
    ///
    /// # Panics
    /// When the range reaches beyond the slice.
    #[inline(always)]
    pub(crate) unsafe fn part(&self, at: usize, len: usize) -> &'a mut [T] {
        assert!(at + len <= self.len, "elements {at}+{len} of {}", self.len);
        // SAFETY: inside the borrowed slice by the assertion above.
        let first = unsafe { self.start.add(at) };
        // SAFETY: `len` elements from `first` lie inside the slice; exclusive by the contract.
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}
