//! What Pillow's BICUBIC makes of images of mode F, one a channel.

use super::CHANNELS;

/// Half the width of the kernel, in pixels of the input where the image grows.
const SUPPORT: f64 = 2.0;

/// The kernel of Keys with `a = -1/2`.
fn kernel(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

/// The inputs that one output is a sum of.
#[derive(Clone, Debug)]
struct Taps {
    first: usize,
    /// Of inputs `first ..`, with sum 1.
    weights: Vec<f64>,
}

/// Taps of all outputs of one axis.
fn taps(input: usize, output: usize) -> Vec<Taps> {
    let ratio = input as f64 / output as f64;
    let widening = ratio.max(1.0);
    let support = SUPPORT * widening;
    let of_output = |o: usize| {
        let centre = (o as f64 + 0.5) * ratio;
        // Casts stop at 0.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(input);
        let weight = |x: usize| kernel((x as f64 - centre + 0.5) * (1.0 / widening));
        let mut weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Taps { first, weights }
    };
    (0..output).map(of_output).collect()
}

/// The taps of one size of images.
#[derive(Clone, Debug)]
pub(super) struct Bicubic {
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    /// Elements of a row of the input.
    stride: usize,
}

impl Bicubic {
    pub(super) fn new(height: usize, width: usize, side: usize) -> Self {
        Self { rows: taps(height, side), columns: taps(width, side), stride: width * CHANNELS }
    }

    /// All rows first get their width and are rounded to f32; then rows are mixed.
    pub(super) fn image(&self, image: &[u8], out: &mut [f32]) {
        let width = self.columns.len() * CHANNELS;
        let widened: Vec<f32> =
            image.chunks_exact(self.stride).flat_map(|row| self.widened(row)).collect();
        let mut sums = vec![0.0f64; width];
        for (out, Taps { first, weights }) in out.chunks_exact_mut(width).zip(&self.rows) {
            sums.fill(0.0);
            for (row, weight) in widened[first * width..].chunks_exact(width).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += f64::from(value) * weight;
                }
            }
            for (out, &sum) in out.iter_mut().zip(&sums) {
                *out = (sum as f32).clamp(0.0, 255.0);
            }
        }
    }

    fn widened(&self, row: &[u8]) -> impl Iterator<Item = f32> {
        let (pixels, _) = row.as_chunks::<CHANNELS>();
        self.columns.iter().flat_map(|Taps { first, weights }| {
            let mut sums = [0.0f64; CHANNELS];
            for (pixel, weight) in pixels[*first..].iter().zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += f64::from(value) * weight;
                }
            }
            sums.map(|sum| sum as f32)
        })
    }
}
