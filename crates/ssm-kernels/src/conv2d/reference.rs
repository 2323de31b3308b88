//! The definition.

use super::{Args, Kernel, check, check_weights};
use crate::{KernelError, MatMut, Real};

/// Weights as they come, `[O, I, R, S]`.
#[derive(Clone, Debug)]
pub struct Weights<T> {
    kernel: Kernel,
    weight: Vec<T>,
}

impl<T: Real> Weights<T> {
    /// Weights of one layer.
    ///
    /// # Errors
    /// [`KernelError`] when a size is 0 or `weight` has another length.
    pub fn new(kernel: &Kernel, weight: &[T]) -> Result<Self, KernelError> {
        check_weights(kernel, weight.len())?;
        Ok(Self { kernel: *kernel, weight: weight.to_vec() })
    }
}

/// Value pass: for every output, the sum over the kernel in its order, then bias, `add` and activation.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward<T: Real>(
    args: &Args<'_, Weights<T>, T>,
    mut out: MatMut<'_, T>,
) -> Result<(), KernelError> {
    let kernel = &args.weights.kernel;
    let (rows, columns) = check(kernel, args, &out)?;
    let taps = kernel.height * kernel.width;
    for pixel in 0..out.rows {
        let (b, y, x) = (pixel / (rows * columns), pixel / columns % rows, pixel % columns);
        for (o, out) in out.row_mut(pixel).iter_mut().enumerate() {
            let weight = &args.weights.weight[o * kernel.inputs * taps..][..kernel.inputs * taps];
            let mut sum = T::ZERO;
            for r in 0..kernel.height {
                for s in 0..kernel.width {
                    let Some(input) =
                        input_pixel(args, b, y * kernel.stride + r, x * kernel.stride + s)
                    else {
                        continue;
                    };
                    for (i, &value) in input.iter().enumerate() {
                        sum += weight[i * taps + r * kernel.width + s] * value;
                    }
                }
            }
            sum += args.bias[o];
            if let Some(add) = args.add {
                sum += add[pixel * kernel.outputs + o];
            }
            *out = args.activation.of(sum);
        }
    }
    Ok(())
}

/// Channels of a pixel of the padded input; none in the padding.
fn input_pixel<'a, T: Real>(
    args: &Args<'a, Weights<T>, T>,
    b: usize,
    y: usize,
    x: usize,
) -> Option<&'a [T]> {
    let (kernel, shape) = (&args.weights.kernel, &args.shape);
    let growth = if kernel.upsample2 { 2 } else { 1 };
    let inside = |at: usize, before: usize, size: usize| {
        let at = at.checked_sub(before)? / growth;
        (at < size).then_some(at)
    };
    let y = inside(y, kernel.padding.top, shape.height)?;
    let x = inside(x, kernel.padding.left, shape.width)?;
    Some(args.x.row((b * shape.height + y) * shape.width + x))
}
