//! How much each input weighs in each output of one axis.

use super::Filter;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// Fractional bits of a weight.
pub(super) const PRECISION: u32 = 22;

/// What weights depend on: inputs, outputs of the whole axis, outputs that are wanted.
type Axis = (usize, usize, Range<usize>, Filter);

/// Axes that a thread remembers: two an image, and photographs have few sizes.
const REMEMBERED: usize = 8;

thread_local! {
    static RECENT: RefCell<Vec<(Axis, Rc<Weights>)>> = const { RefCell::new(Vec::new()) };
}

/// The weights of an axis, made anew unless the thread used them not long ago.
pub(super) fn weights_of(axis: Axis) -> Rc<Weights> {
    RECENT.with_borrow_mut(|recent| {
        if let Some((_, weights)) = recent.iter().find(|(known, _)| *known == axis) {
            return Rc::clone(weights);
        }
        let (input, output, window, filter) = axis.clone();
        let weights = Rc::new(Weights::new(input, output, window, filter));
        if recent.len() == REMEMBERED {
            recent.remove(0);
        }
        recent.push((axis, Rc::clone(&weights)));
        weights
    })
}

/// Weights of consecutive inputs for consecutive outputs, the same number of inputs for each.
///
/// Where the filter covers fewer inputs, at the borders, the others weigh zero.
pub(super) struct Weights {
    /// The inputs from the first to the last that any output uses.
    span: Range<usize>,
    /// First input of each output, counted from the start of the span.
    first: Vec<usize>,
    /// Inputs of an output.
    taps: usize,
    /// `[outputs, taps]`, with [`PRECISION`] fractional bits.
    values: Vec<i32>,
}

impl Weights {
    /// For the outputs `window` of an axis that goes from `input` to `output` pixels.
    fn new(input: usize, output: usize, window: Range<usize>, filter: Filter) -> Self {
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
            Self { span: 0..0, first: Vec::with_capacity(window.len()), taps, values: Vec::new() };
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
        weights.span = weights.first.first().copied().unwrap_or(0)
            ..weights.first.last().map_or(0, |last| last + taps);
        weights.first.iter_mut().for_each(|first| *first -= weights.span.start);
        weights
    }

    /// Number of outputs.
    pub(super) fn outputs(&self) -> usize {
        self.first.len()
    }

    /// The inputs from the first to the last that any output uses.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// First input, counted from the start of the span, and weights of each output.
    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.first.iter().copied().zip(self.values.chunks_exact(self.taps))
    }
}

/// Rounds away from zero at ties.
fn fixed_point(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION) + 0.5f64.copysign(weight)) as i32
}
