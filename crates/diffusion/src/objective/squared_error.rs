//! Plain mean squared error against a linear target.

use super::Sample;
use crate::{Mix, Real};

/// `mse = mean (out - target)²` with `target = first·x0 + second·eps`; writes
/// `gradient_factor · d mse/d out = gradient_factor · 2 (out - target)/M`.
pub(super) fn loss<T: Real>(
    target: Mix,
    sample: Sample<'_, T>,
    gradient_factor: f64,
    grad: &mut [T],
) -> f64 {
    let count = sample.x0.len() as f64;
    let (of_x0, of_noise) = (T::from_f64(target.first), T::from_f64(target.second));
    let slope = T::from_f64(gradient_factor * 2.0 / count);
    let inputs = sample.output.iter().zip(sample.x0).zip(sample.noise);
    let mut sum = 0.0;
    for (((&out, &x0), &noise), grad) in inputs.zip(grad) {
        let difference = out - (of_x0 * x0 + of_noise * noise);
        sum += difference.to_f64() * difference.to_f64();
        *grad = slope * difference;
    }
    sum / count
}
