//! The definition.

use super::{Args, BackwardArgs, Grads, Output, Shape, check_backward, check_forward};
use crate::{KernelError, Real, Scratch};

/// Value pass.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward<T: Real>(args: &Args<'_, T>, out: Output<'_, T>) -> Result<(), KernelError> {
    check_forward(args, &out)?;
    let Shape { batch, seq_len, width } = args.shape;
    for row in 0..batch * seq_len {
        let at = row * width;
        for i in at..at + width {
            out.residual[i] = match args.residual {
                None => args.hidden[i],
                Some(residual) => {
                    residual[i] + drop_path(args.drop_path, row / seq_len) * args.hidden[i]
                }
            };
        }
        let squares: T = out.residual[at..at + width].iter().map(|&r| r * r).sum();
        let mean_square = squares / T::from_f64(width as f64);
        let rstd = T::ONE / (mean_square + T::from_f64(args.eps)).sqrt();
        for i in 0..width {
            out.normed[at + i] = out.residual[at + i] * rstd * args.weight[i];
        }
        out.rstd[row] = rstd;
    }
    Ok(())
}

/// Gradient pass. With `g = weight grad_normed`:
///
/// ```text
/// d residual' = rstd g - residual' rstd^3 mean(g residual')        added to what comes in
/// d weight    = sum over tokens of grad_normed residual' rstd
/// ```
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward<T: Real>(
    args: &BackwardArgs<'_, T>,
    grads: Grads<'_, T>,
    _scratch: &mut Scratch<T>,
) -> Result<(), KernelError> {
    check_backward(args, &grads)?;
    let Shape { batch, seq_len, width } = args.shape;
    for row in 0..batch * seq_len {
        let rstd = args.rstd[row];
        let residual = &args.residual[row * width..][..width];
        let grad_normed = &args.grad_normed[row * width..][..width];
        let dot: T = (0..width).map(|i| args.weight[i] * grad_normed[i] * residual[i]).sum();
        let mean = dot / T::from_f64(width as f64);
        for i in 0..width {
            let g = args.weight[i] * grad_normed[i];
            let grad = rstd * g - residual[i] * rstd * rstd * rstd * mean;
            let at = row * width + i;
            grads.residual[at] += grad;
            grads.hidden[at] = drop_path(args.drop_path, row / seq_len) * grads.residual[at];
            grads.weight[i] += grad_normed[i] * residual[i] * rstd;
        }
    }
    Ok(())
}

fn drop_path<T: Real>(factors: Option<&[T]>, image: usize) -> T {
    factors.map_or(T::ONE, |factors| factors[image])
}
