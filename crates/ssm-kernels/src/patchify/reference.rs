//! The definition.

use super::{Inner, Shape, check};
use crate::{KernelError, Real};

/// Patches of `image`, after `extra` tokens of zeros.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn gather<T: Real>(shape: &Shape, image: &[T], tokens: &mut [T]) -> Result<(), KernelError> {
    check(shape, image.len(), tokens.len())?;
    tokens.fill(T::ZERO);
    for_each_pixel(shape, |pixel, token| tokens[token] = image[pixel]);
    Ok(())
}

/// Image made of the patches in `tokens`, whose first `extra` are not read.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn scatter<T: Real>(shape: &Shape, tokens: &[T], image: &mut [T]) -> Result<(), KernelError> {
    check(shape, image.len(), tokens.len())?;
    for_each_pixel(shape, |pixel, token| image[pixel] = tokens[token]);
    Ok(())
}

/// Calls `f` with the places of every pixel in the image and in the tokens.
fn for_each_pixel(shape: &Shape, mut f: impl FnMut(usize, usize)) {
    let &Shape { batch, channels, height, width, patch, extra, inner } = shape;
    for b in 0..batch {
        for c in 0..channels {
            for row in 0..height {
                for column in 0..width {
                    let pixel = ((b * channels + c) * height + row) * width + column;
                    let token = (row / patch) * (width / patch) + column / patch;
                    let (r, k) = (row % patch, column % patch);
                    let element = match inner {
                        Inner::ChannelFirst => (c * patch + r) * patch + k,
                        Inner::ChannelLast => (r * patch + k) * channels + c,
                    };
                    let first = (b * (extra + shape.patches()) + extra + token) * shape.token_len();
                    f(pixel, first + element);
                }
            }
        }
    }
}
