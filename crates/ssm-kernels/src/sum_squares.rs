//! Sum of squares of an arena, the square of a global gradient norm.
//!
//! Summed in f64 over fixed chunks of [`CHUNK`] elements, chunk sums added in order: the result
//! depends neither on threads nor on how the arena is split at chunk borders.

#[cfg(feature = "device")]
pub mod device;

use crate::real::Real;
use rayon::prelude::*;

/// Elements of one partial sum.
pub const CHUNK: usize = 65_536;

/// `sum x^2`, `x` of any length.
pub fn sum_squares<T: Real>(x: &[T]) -> f64 {
    let chunks: Vec<f64> = x.par_chunks(CHUNK).map(chunk_sum).collect();
    chunks.iter().sum()
}

/// Eight interleaved sums, so that the additions do not wait for each other.
fn chunk_sum<T: Real>(x: &[T]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (groups, rest) = x.as_chunks::<8>();
    for group in groups {
        for (sum, x) in sums.iter_mut().zip(group) {
            *sum += x.to_f64() * x.to_f64();
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_plain_sum_for_every_length() {
        for len in [0, 1, 7, 8, 9, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let x = parity::to_f32(&parity::uniform(len as u64, len));
            let plain: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            let got = sum_squares(&x);
            assert!((got - plain).abs() <= 1e-12 * plain, "{len}: {got} against {plain}");
        }
    }

    #[test]
    fn a_nan_anywhere_is_seen() {
        let mut x = vec![1.0f32; 2 * CHUNK];
        x[CHUNK + 3] = f32::NAN;
        assert!(sum_squares(&x).is_nan());
    }
}
