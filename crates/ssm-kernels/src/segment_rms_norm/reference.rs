//! The definition.

use super::{Kept, SEGMENTS, Shape, check_backward, check_forward};
use crate::{KernelError, Real};

/// Value pass.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward<T: Real>(
    shape: &Shape,
    eps: f64,
    x: &mut [T],
    rstd: &mut [T],
) -> Result<(), KernelError> {
    check_forward(shape, x.len(), rstd.len())?;
    let rows = x.chunks_exact_mut(shape.row_len()).zip(rstd.chunks_exact_mut(SEGMENTS));
    for (mut row, rstd) in rows {
        for (&width, rstd) in shape.widths.iter().zip(rstd) {
            let segment = row.split_off_mut(..width).expect("a row has all segments");
            let squares: T = segment.iter().map(|&x| x * x).sum();
            let mean_square = squares / T::from_f64(width as f64);
            *rstd = T::ONE / (mean_square + T::from_f64(eps)).sqrt();
            segment.iter_mut().for_each(|x| *x *= *rstd);
        }
    }
    Ok(())
}

/// Gradient pass, in place: in comes the gradient of the normed segments, out goes that of what they
/// were made from.
///
/// ```text
/// d x = rstd (grad - normed mean(grad normed))        the mean over one segment of one row
/// ```
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward<T: Real>(
    shape: &Shape,
    kept: &Kept<'_, T>,
    grad: &mut [T],
) -> Result<(), KernelError> {
    check_backward(shape, kept, grad.len())?;
    let rows = kept.normed.chunks_exact(shape.row_len()).zip(kept.rstd.chunks_exact(SEGMENTS));
    for (mut row, (mut normed, rstd)) in grad.chunks_exact_mut(shape.row_len()).zip(rows) {
        for (&width, &rstd) in shape.widths.iter().zip(rstd) {
            let grad = row.split_off_mut(..width).expect("a row has all segments");
            let normed = normed.split_off(..width).expect("a row has all segments");
            let dot: T = grad.iter().zip(normed).map(|(&g, &y)| g * y).sum();
            let mean = dot / T::from_f64(width as f64);
            for (g, &y) in grad.iter_mut().zip(normed) {
                *g = rstd * (*g - y * mean);
            }
        }
    }
    Ok(())
}
