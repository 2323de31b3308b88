//! The definition.

use super::{Args, check};
use crate::{KernelError, Real};

/// Value pass: mean, then variance about it, then every element.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward<T: Real>(args: &Args<'_, T>, out: &mut [T]) -> Result<(), KernelError> {
    check(args, out.len())?;
    let shape = &args.shape;
    let image = shape.pixels * shape.channels;
    let width = shape.channels / shape.groups;
    let count = T::from_f64((shape.pixels * width) as f64);
    for (x, out) in args.x.chunks_exact(image).zip(out.chunks_exact_mut(image)) {
        for first in (0..shape.channels).step_by(width) {
            let group =
                || x.chunks_exact(shape.channels).flat_map(|pixel| &pixel[first..][..width]);
            let mean = group().copied().sum::<T>() / count;
            let squares: T = group().map(|&x| (x - mean) * (x - mean)).sum();
            let rstd = T::ONE / (squares / count + T::from_f64(args.eps)).sqrt();
            let pixels = x.chunks_exact(shape.channels).zip(out.chunks_exact_mut(shape.channels));
            for (x, out) in pixels {
                for c in first..first + width {
                    let value = args.weight[c] * ((x[c] - mean) * rstd) + args.bias[c];
                    out[c] = if args.silu { value.silu() } else { value };
                }
            }
        }
    }
    Ok(())
}
