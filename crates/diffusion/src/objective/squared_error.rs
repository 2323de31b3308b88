//! Mean squared error against a linear target, with or without a term of direction.

use super::Sample;
use crate::{Mix, Real};

/// Below this norm of an output or of a target, a pixel has no direction.
const LEAST_NORM: f64 = 1e-8;

/// Mean squared error, `mean (out - target)²` with `target = first·x0 + second·eps`; writes its
/// gradient `slope (out - target)`, `slope = 2/M` times weights.
pub(super) fn mse<T: Real>(target: Mix, sample: Sample<'_, T>, slope: f64, grad: &mut [T]) -> f64 {
    let count = sample.x0.len() as f64;
    let (of_x0, of_noise) = (T::from_f64(target.first), T::from_f64(target.second));
    let slope = T::from_f64(slope);
    let inputs = sample.output.iter().zip(sample.x0).zip(sample.noise);
    let mut sum = 0.0;
    for (((&out, &x0), &noise), grad) in inputs.zip(grad) {
        let difference = out - (of_x0 * x0 + of_noise * noise);
        sum += difference.to_f64() * difference.to_f64();
        *grad = slope * difference;
    }
    sum / count
}

/// Mean over the pixels of `1 - cos`, the cosine between output and target along the channels; adds
/// `slope · d(1 - cos)/d out` to the gradient, `slope = 1/pixels` times weights.
///
/// `d cos/d out = target/(|out| |target|) - cos out/|out|²`. A pixel of an output or a target that is
/// zero has cosine 0 and no gradient: a network whose head starts at zero begins with the other term.
///
/// Source: LightningDiT (arXiv 2501.01423), the direction part of its velocity loss.
pub(super) fn cosine<T: Real>(
    target: Mix,
    sample: Sample<'_, T>,
    slope: f64,
    grad: &mut [T],
) -> f64 {
    let pixels = sample.layout.pixels;
    let mut sum = 0.0;
    for pixel in 0..pixels {
        let channels = || (pixel..sample.x0.len()).step_by(pixels);
        let target_at = |i: usize| {
            target.first * sample.x0[i].to_f64() + target.second * sample.noise[i].to_f64()
        };
        let (mut product, mut out_square, mut target_square) = (0.0, 0.0, 0.0);
        for i in channels() {
            let (out, target) = (sample.output[i].to_f64(), target_at(i));
            product += out * target;
            out_square += out * out;
            target_square += target * target;
        }
        let (out_norm, target_norm) = (out_square.sqrt(), target_square.sqrt());
        if out_norm <= LEAST_NORM || target_norm <= LEAST_NORM {
            sum += 1.0;
            continue;
        }
        let cosine = product / (out_norm * target_norm);
        sum += 1.0 - cosine;
        for i in channels() {
            let towards = target_at(i) / (out_norm * target_norm);
            let along = cosine * sample.output[i].to_f64() / out_square;
            grad[i] = grad[i] + T::from_f64(slope * (along - towards));
        }
    }
    sum / pixels as f64
}
