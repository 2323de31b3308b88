//! Consecutive positions as one batch.

use crate::{DataError, Dataset, Visit, sample_index};
use philox::Purpose;
use std::sync::atomic::{AtomicBool, Ordering};

/// Probability that an image is mirrored, where mirroring is on.
const FLIP_PROBABILITY: f64 = 0.5;

/// Samples at consecutive positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[B, C, H, W]`, in [-1, 1].
    pub images: Vec<f32>,
    /// `[B]`; zeros where the data set has no labels.
    pub labels: Vec<u32>,
    /// `[B]`, global sample indices since the start of the run: the address of all noise.
    pub positions: Vec<u64>,
    /// `[B]`, indices in the data set.
    pub indices: Vec<u64>,
}

impl Batch {
    /// Number of samples.
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// One image, `[C, H, W]`.
    ///
    /// # Panics
    /// When the batch has no such sample.
    pub fn image(&self, sample: usize) -> &[f32] {
        let len = self.images.len() / self.len();
        &self.images[sample * len..(sample + 1) * len]
    }

    fn resize(&mut self, samples: usize, image_len: usize) {
        self.images.resize(samples * image_len, 0.0);
        self.labels.resize(samples, 0);
        self.positions.resize(samples, 0);
        self.indices.resize(samples, 0);
    }
}

/// The batch of `size` samples from `first_position` on; what a [`crate::Loader`] prefetches.
///
/// With `flip`, each image is mirrored with probability 0.5, drawn at its position.
///
/// # Errors
/// [`DataError::Sample`] for the first sample that cannot be loaded.
///
/// # Panics
/// When the data set is empty.
pub fn load_batch(
    dataset: &dyn Dataset,
    seed: u64,
    flip: bool,
    first_position: u64,
    size: usize,
) -> Result<Batch, DataError> {
    let mut batch = Batch::default();
    let request = BatchRequest { seed, flip, first_position, size };
    request.load_into(dataset, &mut batch, &AtomicBool::new(false))?;
    Ok(batch)
}

/// Which batch is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchRequest {
    pub(crate) seed: u64,
    pub(crate) flip: bool,
    pub(crate) first_position: u64,
    pub(crate) size: usize,
}

impl BatchRequest {
    /// Overwrites `batch`. Returns early, with the batch unfinished, once `stop` is set.
    pub(crate) fn load_into(
        &self,
        dataset: &dyn Dataset,
        batch: &mut Batch,
        stop: &AtomicBool,
    ) -> Result<(), DataError> {
        let shape = dataset.shape();
        batch.resize(self.size, shape.len());
        let images = batch.images.chunks_exact_mut(shape.len());
        for (i, (position, image)) in (self.first_position..).zip(images).enumerate() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let visit = Visit { seed: self.seed, position };
            let index = sample_index(self.seed, dataset.len(), position);
            let coin = visit.draws(Purpose::HorizontalFlip);
            let loaded = match self.flip && coin.bernoulli(0, FLIP_PROBABILITY) {
                true => dataset.load_mirrored(index, visit, image),
                false => dataset.load(index, visit, image),
            };
            let label = loaded.map_err(|cause| DataError::Sample {
                dataset: dataset.name().to_string(),
                position,
                index,
                cause: Box::new(cause),
            })?;
            batch.labels[i] = label;
            batch.positions[i] = position;
            batch.indices[i] = index;
        }
        Ok(())
    }
}
