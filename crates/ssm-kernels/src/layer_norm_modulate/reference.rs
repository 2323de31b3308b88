//! The definition.

use super::{Args, Grads, Halves, Output, Shape, check_backward, check_forward};
use crate::{KernelError, Real, Scratch};

/// Value pass.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward<T: Real>(args: &Args<'_, T>, out: Output<'_, T>) -> Result<(), KernelError> {
    check_forward(args, &out)?;
    let Shape { batch, seq_len, width } = args.shape;
    let count = T::from_f64(width as f64);
    for row in 0..batch * seq_len {
        let x = &args.x[row * width..][..width];
        let mean = x.iter().copied().sum::<T>() / count;
        let variance = x.iter().map(|&x| (x - mean) * (x - mean)).sum::<T>() / count;
        let rstd = T::ONE / (variance + T::from_f64(args.eps)).sqrt();
        for (i, &x) in x.iter().enumerate() {
            let (shift, factor) = shift_and_factor(args, row / seq_len, i);
            out.out[row * width + i] = (x - mean) * rstd * (T::ONE + factor) + shift;
        }
        out.stats[2 * row] = mean;
        out.stats[2 * row + 1] = rstd;
    }
    Ok(())
}

/// Gradient pass; `stats` as written by [`forward`]. With `g = (1 + factor) grad_out`:
///
/// ```text
/// d x      = rstd (g - mean(g) - x^ mean(g x^))
/// d shift  = sum over the image's tokens of grad_out
/// d factor = sum over the image's tokens of grad_out x^
/// ```
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward<T: Real>(
    args: &Args<'_, T>,
    stats: &[T],
    grad_out: &[T],
    mut grads: Grads<'_, T>,
    _scratch: &mut Scratch<T>,
) -> Result<(), KernelError> {
    check_backward(args, stats, grad_out, &grads)?;
    let Shape { batch, seq_len, width } = args.shape;
    let count = T::from_f64(width as f64);
    if let Some(modulation) = &mut grads.modulation {
        modulation.fill(T::ZERO);
    }
    for row in 0..batch * seq_len {
        let image = row / seq_len;
        let (mean, rstd) = (stats[2 * row], stats[2 * row + 1]);
        let grad_out = &grad_out[row * width..][..width];
        let normed = |i: usize| (args.x[row * width + i] - mean) * rstd;
        let grad_normed = |i: usize| grad_out[i] * (T::ONE + shift_and_factor(args, image, i).1);
        let mean_grad = (0..width).map(grad_normed).sum::<T>() / count;
        let mean_dot = (0..width).map(|i| grad_normed(i) * normed(i)).sum::<T>() / count;
        for (i, &grad) in grad_out.iter().enumerate() {
            grads.x[row * width + i] = rstd * (grad_normed(i) - mean_grad - normed(i) * mean_dot);
            if let Some(modulation) = &mut grads.modulation {
                let (shift, factor) = places(args, image, i);
                modulation[shift] += grad;
                modulation[factor] += grad * normed(i);
            }
        }
    }
    Ok(())
}

fn shift_and_factor<T: Real>(args: &Args<'_, T>, image: usize, i: usize) -> (T, T) {
    let Some(modulation) = args.modulation else { return (T::ZERO, T::ZERO) };
    let (shift, factor) = places(args, image, i);
    (modulation[shift], modulation[factor])
}

/// Where the shift and the factor of one column stand in the modulation.
fn places<T: Real>(args: &Args<'_, T>, image: usize, i: usize) -> (usize, usize) {
    let width = args.shape.width;
    let first = 2 * width * image + i;
    match args.halves {
        Halves::ShiftFirst => (first, first + width),
        Halves::FactorFirst => (first + width, first),
    }
}
