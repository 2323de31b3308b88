//! Which rows a random subset is made of.

use philox::{Draws, Purpose};

/// What a subset is for: the `sub` of its address, so that no two uses share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Use {
    /// Generated images of a subset of the kernel distance.
    KernelFirst = 0,
    /// Reference images of it.
    KernelSecond = 1,
    /// A subset of the fit over sizes.
    FidInfinity = 2,
    /// A replicate of the bootstrap.
    Bootstrap = 3,
}

fn draws(seed: u64, purpose: Use, number: u64) -> Draws {
    Draws::new(seed, Purpose::EvaluationSubset, number).sub(purpose as u32)
}

/// `size` of `len` rows, each at most once: the first steps of a Fisher-Yates shuffle. Subset `number` is
/// the same on every machine and whatever other subsets were drawn.
pub(crate) fn without_replacement(
    seed: u64,
    purpose: Use,
    number: u64,
    len: usize,
    size: usize,
) -> Vec<usize> {
    assert!(size <= len, "{size} of {len} rows without replacement");
    let draws = draws(seed, purpose, number);
    let mut picks: Vec<usize> = (0..len).collect();
    for place in 0..size {
        let other = place as u64 + draws.below(2 * place as u64, (len - place) as u64);
        picks.swap(place, other as usize);
    }
    picks.truncate(size);
    picks
}

/// `len` of `len` rows, each any number of times.
pub(crate) fn with_replacement(seed: u64, purpose: Use, number: u64, len: usize) -> Vec<usize> {
    let draws = draws(seed, purpose, number);
    (0..len as u64).map(|place| draws.below(2 * place, len as u64) as usize).collect()
}
