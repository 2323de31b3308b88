//! Batches in the order of the run, prefetched on threads.

use crate::batch::BatchRequest;
use crate::pool::Pool;
use crate::{Batch, DataError, Dataset};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// What a [`Loader`] yields, and how it works. No field of the second kind changes what it yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Seed of the run.
    pub seed: u64,
    /// Samples of a batch, 1 to 2^20.
    pub batch_size: usize,
    /// Positions from the start of a batch to the start of the next. With one process the batch size;
    /// with several the batch of all of them, each then starting at its own `start_position`.
    pub stride: usize,
    /// Position of the first sample: zero, or what a checkpoint has seen.
    pub start_position: u64,
    /// Whether to mirror images left to right with probability 0.5.
    pub flip: bool,
    /// Threads, at most 256. Each loads whole batches. Zero loads on the caller's thread.
    pub workers: usize,
    /// Batches that are ready or being loaded ahead of the caller, at most 1024; at least as many as
    /// workers keeps all of those busy. Without workers it means nothing.
    pub prefetch: usize,
}

/// An endless stream of batches at consecutive positions.
///
/// Batch k holds positions `start_position + k stride` and the `batch_size - 1` after it, each sample
/// being the one of [`crate::sample_index`]. Order and content depend on `seed`, `flip` and the
/// positions only, never on threads or timing. Dropping the loader stops its threads after the
/// samples that they are at.
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    config: LoaderConfig,
    /// Number of the batch that is handed out next, and of the one that is asked of workers next.
    next: u64,
    next_request: u64,
    /// Batches that workers finished before earlier ones.
    early: BTreeMap<u64, Result<Batch, DataError>>,
    spare: Vec<Batch>,
    pool: Option<Pool>,
    waited: Duration,
}

impl Loader {
    /// Starts the threads, which begin with the first batches at once.
    ///
    /// # Errors
    /// [`DataError::Config`] when a number is out of range or the data set is empty;
    /// [`DataError::Io`] when a thread cannot be started.
    pub fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Result<Self, DataError> {
        check(&config, dataset.as_ref())?;
        let pool = match config.workers {
            0 => None,
            workers => Some(Pool::start(&dataset, workers, config.prefetch.max(1))?),
        };
        let mut loader = Self {
            dataset,
            config,
            next: 0,
            next_request: 0,
            early: BTreeMap::new(),
            spare: Vec::new(),
            pool,
            waited: Duration::ZERO,
        };
        loader.request_up_to(config.prefetch as u64);
        Ok(loader)
    }

    /// The next batch.
    ///
    /// # Errors
    /// [`DataError::Sample`] for the first sample of the batch that cannot be loaded. Batches before
    /// it have been handed out; the loader stays where it is, so the next call tries the same batch
    /// again. [`DataError::Panicked`] when the data set panicked on a worker.
    pub fn next_batch(&mut self) -> Result<Batch, DataError> {
        let start = Instant::now();
        let result = if self.pool.is_none() {
            self.load_here()
        } else {
            self.request_up_to(self.next + 1);
            self.receive()
        };
        self.waited += start.elapsed();
        if result.is_ok() {
            self.next += 1;
            self.request_up_to(self.next + self.config.prefetch as u64);
        } else if let Some(pool) = &self.pool {
            pool.submit(self.next, self.request(self.next), Batch::default());
        }
        result
    }

    /// Gives a batch's memory back, for the loader to fill again.
    pub fn recycle(&mut self, batch: Batch) {
        if self.spare.len() <= self.config.prefetch {
            self.spare.push(batch);
        }
    }

    /// Position of the first sample of the next batch: what a checkpoint stores.
    pub fn position(&self) -> u64 {
        self.request(self.next).first_position
    }

    /// How long calls of [`Loader::next_batch`] have taken in all. Where this grows as fast as the
    /// clock, the data are too slow.
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// The data set.
    pub fn dataset(&self) -> &dyn Dataset {
        self.dataset.as_ref()
    }

    fn request(&self, number: u64) -> BatchRequest {
        let LoaderConfig { seed, flip, batch_size, stride, start_position, .. } = self.config;
        let first_position = start_position + number * stride as u64;
        BatchRequest { seed, flip, first_position, size: batch_size }
    }

    /// Asks the workers for all batches before `end` that they were not asked for yet.
    fn request_up_to(&mut self, end: u64) {
        let Some(pool) = &self.pool else { return };
        while self.next_request < end {
            let buffer = self.spare.pop().unwrap_or_default();
            pool.submit(self.next_request, self.request(self.next_request), buffer);
            self.next_request += 1;
        }
    }

    fn receive(&mut self) -> Result<Batch, DataError> {
        loop {
            if let Some(result) = self.early.remove(&self.next) {
                return result;
            }
            let finished = self.pool.as_ref().and_then(Pool::receive);
            let Some((number, result)) = finished else {
                return Err(DataError::WorkersGone { position: self.position() });
            };
            self.early.insert(number, result);
        }
    }

    fn load_here(&mut self) -> Result<Batch, DataError> {
        let mut batch = self.spare.pop().unwrap_or_default();
        let never = AtomicBool::new(false);
        self.request(self.next).load_into(self.dataset.as_ref(), &mut batch, &never)?;
        Ok(batch)
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("dataset", &self.dataset.name())
            .field("config", &self.config)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

fn check(config: &LoaderConfig, dataset: &dyn Dataset) -> Result<(), DataError> {
    let size = config.batch_size as u64;
    DataError::check_range("batch size", size, 1..=1 << 20)?;
    DataError::check_range("stride", config.stride as u64, size..=1 << 32)?;
    DataError::check_range("start position", config.start_position, 0..=1 << 62)?;
    DataError::check_range("workers", config.workers as u64, 0..=256)?;
    DataError::check_range("prefetch", config.prefetch as u64, 0..=1024)?;
    DataError::check_range("number of samples", dataset.len(), 1..=u64::MAX)
}
