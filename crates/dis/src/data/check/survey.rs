//! Every sample decoded once, and counted.

use data::{DataError, Dataset, Probe};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Samples that a thread takes at a time.
const CHUNK: usize = 32;

/// What is in a data set.
#[derive(Default)]
pub(super) struct Survey {
    /// Images by width and height.
    pub(super) sizes: BTreeMap<(usize, usize), u64>,
    /// Images by file format and kind of colour.
    pub(super) formats: BTreeMap<(&'static str, &'static str), u64>,
    /// Samples that cannot be read, in order, and why.
    pub(super) broken: Vec<(u64, DataError)>,
}

impl Survey {
    /// Decodes all samples on all threads. `watch` is told how many are done, from any of them.
    ///
    /// Returns the label of every sample too, none where the sample is broken.
    pub(super) fn of(
        dataset: &dyn Dataset,
        watch: &(dyn Fn(u64) + Sync),
    ) -> (Self, Vec<Option<u32>>) {
        let mut labels = vec![None; dataset.len() as usize];
        let chunks = labels.par_chunks_mut(CHUNK).enumerate();
        let survey = chunks
            .fold(Self::default, |mut survey, (chunk, labels)| {
                let first = (chunk * CHUNK) as u64;
                for (index, label) in (first..).zip(labels.iter_mut()) {
                    *label = survey.add(index, dataset.probe(index));
                }
                watch(labels.len() as u64);
                survey
            })
            .reduce(Self::default, Self::join);
        (survey, labels)
    }

    /// Samples that can be read.
    pub(super) fn whole(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Counts a sample; returns its label where it is whole.
    fn add(&mut self, index: u64, probe: Result<Probe, DataError>) -> Option<u32> {
        match probe {
            Ok(Probe { width, height, format, colour, label }) => {
                *self.sizes.entry((width, height)).or_default() += 1;
                *self.formats.entry((format, colour)).or_default() += 1;
                Some(label)
            }
            Err(error) => {
                self.broken.push((index, error));
                None
            }
        }
    }

    /// Both together. Parts are joined in the order of their samples, so `broken` stays in order.
    fn join(mut self, other: Self) -> Self {
        for (size, count) in other.sizes {
            *self.sizes.entry(size).or_default() += count;
        }
        for (format, count) in other.formats {
            *self.formats.entry(format).or_default() += count;
        }
        self.broken.extend(other.broken);
        self
    }
}
