//! Test support: how close is close, goldens, finite differences, repeatable inputs.
//!
//! Only ever a dev-dependency. Functions panic with a message that names the operand, the worst
//! element and both values, because a failed comparison is a failed test.
#![forbid(unsafe_code)]

mod finite_difference;
mod golden;
mod tolerance;

pub use finite_difference::{central_difference, check_gradient};
pub use golden::Golden;
pub use tolerance::{ToF64, assert_close, max_relative_error};

/// `len` numbers uniform in [-1, 1), the same for the same seed on every machine.
///
/// SplitMix64; exact in f32, so that f32 and f64 paths start from equal inputs.
pub fn uniform(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..len).map(|_| (next() >> 40) as f64 / (1u64 << 23) as f64 - 1.0).collect()
}

/// The same numbers rounded to f32.
pub fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}
