//! The order of an epoch, as a function instead of a shuffled list.

use crate::Purpose;
use crate::block::block;

/// Rounds of the Feistel network. On ten samples, position counts over 20,000 seeds are uniform
/// (chi-square 77, expected 90) with eight rounds and visibly are not with four (683) or six (135).
const ROUNDS: u32 = 8;

/// A keyed bijection of `[0, len)` for every epoch, with nothing in memory.
///
/// A Feistel network permutes the power of four next above `len`; results outside `[0, len)` are
/// permuted again until one is inside (cycle walking), fewer than four times on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    key: [u32; 2],
    len: u64,
    half_bits: u32,
}

impl Permutation {
    /// The permutations of `len` samples under a seed.
    ///
    /// # Panics
    /// When `len` is zero.
    pub const fn new(seed: u64, len: u64) -> Self {
        assert!(len > 0, "a permutation of nothing");
        let bits = 64 - (len - 1).leading_zeros();
        let half_bits = if bits <= 2 { 1 } else { bits.div_ceil(2) };
        Self { key: [seed as u32, (seed >> 32) as u32], len, half_bits }
    }

    /// The sample at a place of an epoch.
    ///
    /// # Panics
    /// When `place` is not below the number of samples.
    pub fn index(&self, epoch: u64, place: u64) -> u64 {
        assert!(place < self.len, "place {place} of an epoch of {} samples", self.len);
        let mut index = self.feistel(epoch, place);
        while index >= self.len {
            index = self.feistel(epoch, index);
        }
        index
    }

    /// One pass of the network over `[0, 4^half_bits)`.
    fn feistel(&self, epoch: u64, x: u64) -> u64 {
        let mask = u32::MAX >> (32 - self.half_bits);
        let mut left = (x >> self.half_bits) as u32 & mask;
        let mut right = x as u32 & mask;
        for round in 0..ROUNDS {
            let purpose = Purpose::Shuffle as u32 | round << 8;
            let counter = [right, purpose, epoch as u32, (epoch >> 32) as u32];
            (left, right) = (right, left ^ (block(counter, self.key)[0] & mask));
        }
        u64::from(left) << self.half_bits | u64::from(right)
    }
}
