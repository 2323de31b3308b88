//! How much each input weighs in each output of one axis.

use super::Filter;
use std::ops::Range;

/// Fractional bits of a weight.
pub(super) const PRECISION: u32 = 22;

/// Weights of consecutive inputs for consecutive outputs, the same number of inputs for each.
///
/// Where the filter covers fewer inputs, at the borders, the others weigh zero.
pub(super) struct Weights {
    /// First input of each output.
    first: Vec<usize>,
    /// Inputs of an output.
    taps: usize,
    /// `[outputs, taps]`, with [`PRECISION`] fractional bits.
    values: Vec<i32>,
}

impl Weights {
    /// For the outputs `window` of an axis that goes from `input` to `output` pixels.
    pub(super) fn new(input: usize, output: usize, window: Range<usize>, filter: Filter) -> Self {
        let ratio = input as f64 / output as f64;
        let widening = ratio.max(1.0);
        let support = filter.support() * widening;
        // Float to integer casts truncate and saturate: a negative start becomes 0.
        let covered = |i: usize| {
            let centre = (i as f64 + 0.5) * ratio;
            let end = ((centre + support + 0.5) as usize).min(input);
            (centre, (centre - support + 0.5) as usize..end)
        };
        let taps = window.clone().map(|i| covered(i).1.len()).max().unwrap_or(0);
        let mut weights =
            Self { first: Vec::with_capacity(window.len()), taps, values: Vec::new() };
        weights.values.reserve_exact(window.len() * taps);
        let mut exact = Vec::with_capacity(taps);
        for i in window {
            let (centre, inputs) = covered(i);
            let weight = |x| filter.weight((x as f64 - centre + 0.5) * (1.0 / widening));
            exact.clear();
            exact.extend(inputs.clone().map(weight));
            let sum: f64 = exact.iter().sum();
            // Zeros in front where zeros behind would be beyond the last input.
            let first = inputs.start.min(input - taps);
            let start = weights.values.len() + inputs.start - first;
            weights.first.push(first);
            weights.values.resize(start, 0);
            weights.values.extend(exact.iter().map(|w| fixed_point(w / sum)));
            weights.values.resize(weights.first.len() * taps, 0);
        }
        weights
    }

    /// Number of outputs.
    pub(super) fn outputs(&self) -> usize {
        self.first.len()
    }

    /// The inputs from the first to the last that any output uses.
    pub(super) fn span(&self) -> Range<usize> {
        let first = self.first.first().copied().unwrap_or(0);
        first..self.first.last().map_or(0, |last| last + self.taps)
    }

    /// The same weights of inputs that are counted from `start` on.
    pub(super) fn counted_from(mut self, start: usize) -> Self {
        self.first.iter_mut().for_each(|first| *first -= start);
        self
    }

    /// First input and weights of each output.
    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.first.iter().copied().zip(self.values.chunks_exact(self.taps))
    }
}

/// Rounds away from zero at ties.
fn fixed_point(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION) + 0.5f64.copysign(weight)) as i32
}
