//! Weights of one layer as panels.

use super::Images;
use super::engine::{Engine, PANEL};
use super::phases::{Axis, phases};
use crate::Mat;
use crate::conv2d::Kernel;

/// Inputs of fewer channels are made deep.
const SHALLOW: usize = PANEL;

/// Weights of one layer.
#[derive(Clone, Debug)]
pub(super) struct Packed<P> {
    pub(super) source: Source,
    /// Channels of a pixel of a strip.
    pub(super) depth: usize,
    /// Slabs of 32 channels of a chunk; the last chunk may be shorter.
    pub(super) chunk: usize,
    pub(super) phases: Vec<Phase<P>>,
}

/// What a pixel of a strip is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A pixel of the input.
    Pixels,
    /// All pixels under the kernel of one output.
    Patches,
}

/// One kind of outputs.
#[derive(Clone, Debug)]
pub(super) struct Phase<P> {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    /// `[panel, slab, tap]`, a step each, and one step more.
    pub(super) panels: P,
}

impl<P> Packed<P> {
    /// From `[O, I, R, S]`.
    pub(super) fn new<E: Engine<Panels = P>>(engine: E, kernel: &Kernel, weight: &[f32]) -> Self {
        let (source, geometry) = if kernel.inputs < SHALLOW {
            let inputs = kernel.inputs * kernel.height * kernel.width;
            (Source::Patches, Kernel::same(inputs, kernel.outputs, 1))
        } else {
            (Source::Pixels, *kernel)
        };
        let depth = geometry.inputs;
        let axes = phases(&geometry);
        let taps = axes.iter().map(|[rows, columns]| rows.taps.len() * columns.taps.len()).max();
        let slabs = depth.div_ceil(PANEL);
        let most = (E::CHUNK / taps.unwrap_or(1)).max(1);
        let chunk = slabs.div_ceil(slabs.div_ceil(most));
        let weight = Weight { kernel, source, weight };
        let phase = |[rows, columns]: [Axis; 2]| {
            let matrix = weight.matrix(&rows, &columns, depth);
            let terms = matrix.len() / kernel.outputs;
            let panels = engine.panels(Mat::new(&matrix, terms, kernel.outputs));
            Phase { rows, columns, panels }
        };
        let phases = axes.into_iter().map(phase).collect();
        Self { source, depth, chunk, phases }
    }

    /// Columns of the images from which strips are made.
    pub(super) fn width(&self, images: &Images<'_>) -> usize {
        match self.source {
            Source::Pixels => images.shape.width,
            Source::Patches => images.columns,
        }
    }
}

/// A weight as it comes.
#[derive(Clone, Copy)]
struct Weight<'a> {
    kernel: &'a Kernel,
    source: Source,
    weight: &'a [f32],
}

impl Weight<'_> {
    /// Weights of one phase in the order of its steps, `[slab, tap, 32, O]`, 0 beyond `depth`.
    fn matrix(&self, rows: &Axis, columns: &Axis, depth: usize) -> Vec<f32> {
        let outputs = self.kernel.outputs;
        let taps: Vec<_> =
            rows.taps.iter().flat_map(|r| columns.taps.iter().map(move |c| (r, c))).collect();
        let mut matrix = vec![0.0; depth.div_ceil(PANEL) * taps.len() * PANEL * outputs];
        for (k, row) in matrix.chunks_exact_mut(outputs).enumerate() {
            let (step, within) = (k / PANEL, k % PANEL);
            let channel = step / taps.len() * PANEL + within;
            if channel >= depth {
                continue;
            }
            let (r, c) = taps[step % taps.len()];
            for (o, to) in row.iter_mut().enumerate() {
                let places = r.places.iter().flat_map(|&r| c.places.iter().map(move |&c| (r, c)));
                let sum: f64 = places.map(|(r, c)| f64::from(self.at(o, channel, r, c))).sum();
                *to = sum as f32;
            }
        }
        matrix
    }

    /// The weight of a channel of a strip.
    fn at(&self, output: usize, channel: usize, r: usize, s: usize) -> f32 {
        let &Kernel { inputs, height, width, .. } = self.kernel;
        let (input, tap) = match self.source {
            Source::Pixels => (channel, r * width + s),
            Source::Patches => (channel % inputs, channel / inputs),
        };
        self.weight[(output * inputs + input) * height * width + tap]
    }
}
