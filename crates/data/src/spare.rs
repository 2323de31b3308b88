//! Memory of images that a thread is done with, for its next one.
//!
//! Buffers of images are so large that an allocator asks the system for them and hands them back at
//! once. Their pages would then be mapped and cleared anew for every image: a tenth of what a JPEG
//! costs.

use std::cell::RefCell;

/// Buffers that a thread keeps: a file, its image, the image between two passes, the square.
const MAX_BUFFERS: usize = 4;
/// Bytes of the largest buffer that is kept: an image of 2 Mpx and more.
const MAX_BYTES: usize = 8 << 20;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// `len` bytes, whatever they are, for someone who writes them all.
pub(crate) fn unspecified(len: usize) -> Vec<u8> {
    let mut bytes = empty(len);
    bytes.resize(len, 0);
    bytes
}

/// `len` zeros.
pub(crate) fn zeros(len: usize) -> Vec<u8> {
    let mut bytes = empty(len);
    bytes.clear();
    bytes.resize(len, 0);
    bytes
}

/// The smallest kept buffer with room for `len` bytes, with whatever it holds; else an empty one.
fn empty(len: usize) -> Vec<u8> {
    SPARE.with_borrow_mut(|spare| {
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= len;
        let best = (0..spare.len()).filter(|&i| fits(&spare[i]));
        match best.min_by_key(|&i| spare[i].capacity()) {
            Some(best) => spare.swap_remove(best),
            None => Vec::with_capacity(len),
        }
    })
}

/// Keeps a buffer for the next who asks, if it is of a usual size; of too many the largest stay.
pub(crate) fn give_back(buffer: Vec<u8>) {
    if buffer.capacity() > MAX_BYTES {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        spare.push(buffer);
        let smallest = (0..spare.len()).min_by_key(|&i| spare[i].capacity());
        if let (true, Some(smallest)) = (spare.len() > MAX_BUFFERS, smallest) {
            spare.swap_remove(smallest);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_zeros_are_zero() {
        let (small, large) = (vec![1; 100], vec![2; 1000]);
        let (small_at, large_at) = (small.as_ptr(), large.as_ptr());
        give_back(large);
        give_back(small);
        let fitting = zeros(90);
        assert_eq!(fitting.as_ptr(), small_at, "the smallest that fits");
        assert_eq!(fitting, [0; 90]);
        let longer = unspecified(500);
        assert_eq!((longer.as_ptr(), longer.len()), (large_at, 500));
        give_back(longer);
        assert_eq!(zeros(1000), [0; 1000]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        give_back(Vec::with_capacity(MAX_BYTES + 1));
        (1..20).for_each(|size| give_back(Vec::with_capacity(size * 100)));
        let kept = SPARE.with_borrow(|spare| spare.iter().map(Vec::capacity).collect::<Vec<_>>());
        assert_eq!(kept.len(), MAX_BUFFERS);
        assert!(kept.iter().all(|&capacity| (1600..=1900).contains(&capacity)), "{kept:?}");
    }
}
