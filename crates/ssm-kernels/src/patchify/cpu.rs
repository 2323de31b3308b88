//! The fast f32 form: tasks are images, and what is contiguous on both sides is copied as one.

use super::{Inner, Shape, check};
use crate::KernelError;
use rayon::prelude::*;

/// Image to tokens; see [`reference::gather`](super::reference::gather).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn gather(shape: &Shape, image: &[f32], tokens: &mut [f32]) -> Result<(), KernelError> {
    check(shape, image.len(), tokens.len())?;
    if tokens.is_empty() {
        return Ok(());
    }
    let image_len = image.len() / shape.batch;
    tokens.par_chunks_mut(tokens.len() / shape.batch).enumerate().for_each(|(b, tokens)| {
        let image = &image[b * image_len..][..image_len];
        let (extra, patches) = tokens.split_at_mut(shape.extra * shape.token_len());
        extra.fill(0.0);
        for_each_run(shape, |pixel, token, stride| {
            let run = &image[pixel..][..shape.patch];
            if stride == 1 {
                patches[token..][..shape.patch].copy_from_slice(run);
            } else {
                for (&pixel, to) in run.iter().zip(patches[token..].iter_mut().step_by(stride)) {
                    *to = pixel;
                }
            }
        });
    });
    Ok(())
}

/// Tokens to image; see [`reference::scatter`](super::reference::scatter).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn scatter(shape: &Shape, tokens: &[f32], image: &mut [f32]) -> Result<(), KernelError> {
    check(shape, image.len(), tokens.len())?;
    if image.is_empty() {
        return Ok(());
    }
    let tokens_len = tokens.len() / shape.batch;
    image.par_chunks_mut(image.len() / shape.batch).enumerate().for_each(|(b, image)| {
        let patches = &tokens[b * tokens_len..][..tokens_len][shape.extra * shape.token_len()..];
        for_each_run(shape, |pixel, token, stride| {
            let run = &mut image[pixel..][..shape.patch];
            if stride == 1 {
                run.copy_from_slice(&patches[token..][..shape.patch]);
            } else {
                for (to, &element) in run.iter_mut().zip(patches[token..].iter().step_by(stride)) {
                    *to = element;
                }
            }
        });
    });
    Ok(())
}

/// Calls `f` for the `patch` pixels of every row of every patch of one image: place of the first
/// in the image, place of the first in the tokens after the extra ones, stride in the tokens.
fn for_each_run(shape: &Shape, mut f: impl FnMut(usize, usize, usize)) {
    let &Shape { channels, height, width, patch, inner, .. } = shape;
    for c in 0..channels {
        for row in 0..height {
            for column in 0..width / patch {
                let pixel = (c * height + row) * width + column * patch;
                let token = (row / patch) * (width / patch) + column;
                let (element, stride) = match inner {
                    Inner::ChannelFirst => ((c * patch + row % patch) * patch, 1),
                    Inner::ChannelLast => ((row % patch) * patch * channels + c, channels),
                };
                f(pixel, token * shape.token_len() + element, stride);
            }
        }
    }
}
