//! Where normal random numbers come from.

use crate::Real;
use philox::{Draws, Purpose};

/// Standard normal noise for the steps of a sampler.
///
/// A draw is a function of its index, not of the draws before it: a draw that is skipped, or made
/// twice, changes nothing.
pub trait NoiseSource<T> {
    /// Fills `out`, the state of all images `[B, C, H, W]`, with draw number `draw_index` (from 0).
    fn fill(&mut self, draw_index: u32, out: &mut [T]);
}

/// Noise addressed by image: image `i` of the state is image `first_image + i` of the run.
///
/// So an image has the same noise in any batch. The values are those of
/// [`Purpose::SampleStepNoise`], position = image index, sub = draw index.
#[derive(Clone, Debug)]
pub struct PhiloxNoise {
    seed: u64,
    first_image: u64,
    image_len: usize,
}

impl PhiloxNoise {
    /// The noise of images `first_image ..` of `image_len` elements each.
    ///
    /// # Panics
    /// When `image_len` is 0.
    pub fn new(seed: u64, first_image: u64, image_len: usize) -> Self {
        assert!(image_len > 0, "an image has elements");
        Self { seed, first_image, image_len }
    }
}

impl<T: Real> NoiseSource<T> for PhiloxNoise {
    /// # Panics
    /// When `out` is not a whole number of images, or `draw_index` needs more than 24 bits.
    fn fill(&mut self, draw_index: u32, out: &mut [T]) {
        let positions = self.first_image..;
        fill_images(out, self.image_len, positions, |image| {
            Draws::new(self.seed, Purpose::SampleStepNoise, image).sub(draw_index)
        });
    }
}

/// Fills `x` with the noise that sampling starts from, `[B, image_len]` for images `first_image ..`.
///
/// # Panics
/// When `image_len` is 0 or `x` is not a whole number of images.
pub fn draw_start_noise<T: Real>(seed: u64, first_image: u64, image_len: usize, x: &mut [T]) {
    fill_images(x, image_len, first_image.., |image| {
        Draws::new(seed, Purpose::InitialNoise, image)
    });
}

/// Fills `noise` with the training noise of the samples at `positions`, `[B, image_len]`.
///
/// # Panics
/// When `noise` cannot be divided evenly among the positions.
pub fn draw_training_noise<T: Real>(seed: u64, positions: &[u64], noise: &mut [T]) {
    assert!(
        !positions.is_empty() && noise.len().is_multiple_of(positions.len()),
        "{} elements of noise for {} samples",
        noise.len(),
        positions.len()
    );
    fill_images(noise, noise.len() / positions.len(), positions.iter().copied(), |position| {
        Draws::new(seed, Purpose::DiffusionNoise, position)
    });
}

/// Fills each image of `out` from its own address. Values are f32 for every `T`.
fn fill_images<T: Real>(
    out: &mut [T],
    image_len: usize,
    positions: impl Iterator<Item = u64>,
    draws: impl Fn(u64) -> Draws,
) {
    assert!(
        image_len > 0 && out.len().is_multiple_of(image_len),
        "{} elements are no whole number of images of {image_len}",
        out.len()
    );
    let mut values = vec![0.0f32; image_len];
    for (image, position) in out.chunks_exact_mut(image_len).zip(positions) {
        draws(position).fill_normal(&mut values);
        for (element, &value) in image.iter_mut().zip(&values) {
            *element = T::from_f64(f64::from(value));
        }
    }
}
