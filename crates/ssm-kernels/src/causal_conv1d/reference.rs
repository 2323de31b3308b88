//! The definition.

use super::{Args, Direction, Grads, Shape, check_backward, check_forward};
use crate::{KernelError, Real, ScanOrder, Scratch};

/// Value pass: one output `[B, L, E]` per entry of [`Args::directions`], overwritten.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward<T: Real>(args: &Args<'_, T>, outs: &mut [&mut [T]]) -> Result<(), KernelError> {
    check_forward(args, outs)?;
    let Shape { batch, seq_len, channels, .. } = args.shape;
    for (direction, out) in args.directions.iter().zip(outs) {
        for image in 0..batch {
            for token in 0..seq_len {
                for channel in 0..channels {
                    out[(image * seq_len + token) * channels + channel] =
                        before_silu(args, direction, image, token, channel).silu();
                }
            }
        }
    }
    Ok(())
}

/// Gradient pass: `grad_outs` as the outputs of [`forward`].
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward<T: Real>(
    args: &Args<'_, T>,
    grad_outs: &[&[T]],
    mut grads: Grads<'_, T>,
    _scratch: &mut Scratch<T>,
) -> Result<(), KernelError> {
    check_backward(args, grad_outs, &grads)?;
    let Shape { batch, seq_len, channels, width } = args.shape;
    for row in 0..batch * seq_len {
        grads.x.row_mut(row).fill(T::ZERO);
    }
    for ((direction, grad_out), sums) in args.directions.iter().zip(grad_outs).zip(grads.directions)
    {
        for image in 0..batch {
            for token in 0..seq_len {
                for channel in 0..channels {
                    let slope = before_silu(args, direction, image, token, channel).silu_slope();
                    let at = (image * seq_len + token) * channels + channel;
                    let grad = grad_out[at] * slope;
                    sums.bias[channel] += grad;
                    for tap in 0..width {
                        if let Some(source) = source(&args.shape, direction.order, token, tap) {
                            let row = image * seq_len + source;
                            let weight = channel * width + tap;
                            sums.weight[weight] += grad * args.x.row(row)[channel];
                            grads.x.row_mut(row)[channel] += grad * direction.weight[weight];
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

fn before_silu<T: Real>(
    args: &Args<'_, T>,
    direction: &Direction<'_, T>,
    image: usize,
    token: usize,
    channel: usize,
) -> T {
    let Shape { seq_len, width, .. } = args.shape;
    let mut sum = direction.bias[channel];
    for tap in 0..width {
        if let Some(source) = source(&args.shape, direction.order, token, tap) {
            let x = args.x.row(image * seq_len + source)[channel];
            sum += direction.weight[channel * width + tap] * x;
        }
    }
    sum
}

/// Token that `tap` reads for the output at `token`; `None` outside the sequence.
fn source(shape: &Shape, order: ScanOrder, token: usize, tap: usize) -> Option<usize> {
    let distance = shape.width - 1 - tap;
    match order {
        ScanOrder::LeftToRight => token.checked_sub(distance),
        ScanOrder::RightToLeft => Some(token + distance).filter(|&t| t < shape.seq_len),
    }
}
