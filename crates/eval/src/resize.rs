//! Images to 299 x 299, in the three ways of the protocols.
//!
//! | way | positions | weights | when shrinking |
//! |---|---|---|---|
//! | [`Resize::TensorFlow1`] | corner of pixel to corner of pixel, `y in / out` | linear, in f32 | as when growing |
//! | [`Resize::HalfPixel`] | centre to centre, `(y + 1/2) in / out - 1/2` | linear | as when growing |
//! | [`Resize::Bicubic`] | centre to centre | cubic with `a = -1/2`, in f64 | wider, so that every pixel counts |
//!
//! The first is bit for bit what the graph of TensorFlow computes, and the third what Pillow computes
//! of images of mode F, one a channel. Features of differently resized images are not comparable: the
//! ways differ by a hundredth of the largest feature.
//!
//! # Source
//! The graph of guided-diffusion's `evaluator.py`, `F.interpolate` in pytorch-fid, and the mode "clean" of
//! clean-fid (arXiv 2104.11222).

mod bicubic;
mod linear;

use crate::ImageBatch;
use bicubic::Bicubic;
use linear::{Linear, Positions};
use rayon::prelude::*;

/// Channels of an image.
pub(crate) const CHANNELS: usize = 3;

/// How an image becomes one of another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resize {
    /// Bilinear between corners of pixels, in f32.
    TensorFlow1,
    /// Bilinear between centres of pixels.
    HalfPixel,
    /// Cubic with a support that grows with the shrinking, then clipped to 0 .. 255.
    Bicubic,
}

/// A resize of images of one size, prepared once for all of them.
#[derive(Clone, Debug)]
pub struct Resizer {
    height: usize,
    width: usize,
    side: usize,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Linear(Linear),
    Bicubic(Bicubic),
}

impl Resizer {
    /// From `height` x `width` pixels to `side` x `side`.
    ///
    /// # Panics
    /// When a size is 0, which no [`ImageBatch`] has.
    pub fn new(resize: Resize, height: usize, width: usize, side: usize) -> Self {
        assert!(height > 0 && width > 0 && side > 0, "{height}x{width} to {side}x{side} pixels");
        let linear = |positions| Form::Linear(Linear::new(positions, height, width, side));
        let form = match resize {
            Resize::TensorFlow1 => linear(Positions::Corners),
            Resize::HalfPixel => linear(Positions::Centres),
            Resize::Bicubic => Form::Bicubic(Bicubic::new(height, width, side)),
        };
        Self { height, width, side, form }
    }

    /// Whether this is for images of that size.
    pub fn is_for(&self, height: usize, width: usize) -> bool {
        (self.height, self.width) == (height, width)
    }

    /// Elements of a resized image.
    pub fn out_len(&self) -> usize {
        self.side * self.side * CHANNELS
    }

    /// One image `[H, W, 3]` to `out`, `[side, side, 3]` with values 0 .. 255.
    ///
    /// # Panics
    /// When `image` or `out` has another length.
    pub fn image(&self, image: &[u8], out: &mut [f32]) {
        assert_eq!(image.len(), self.height * self.width * CHANNELS, "elements of the image");
        assert_eq!(out.len(), self.out_len(), "elements of the resized image");
        match &self.form {
            Form::Linear(linear) => linear.image(image, out),
            Form::Bicubic(bicubic) => bicubic.image(image, out),
        }
    }

    /// Images `first ..` of a batch, as many as `out` has room for: `map` of each value, `[n, side, side, 3]`.
    ///
    /// # Panics
    /// When the images are of another size, or too few.
    pub fn batch<T: Send>(
        &self,
        images: ImageBatch<'_>,
        first: usize,
        map: impl Fn(f32) -> T + Sync,
        out: &mut [T],
    ) {
        let buffer = || vec![0.0; self.out_len()];
        out.par_chunks_mut(self.out_len()).enumerate().for_each_init(buffer, |buffer, (i, out)| {
            self.image(images.image(first + i), buffer);
            for (out, &value) in out.iter_mut().zip(&*buffer) {
                *out = map(value);
            }
        });
    }
}
