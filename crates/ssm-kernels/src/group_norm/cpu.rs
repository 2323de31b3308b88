//! The fast f32 form: lanes are channels, tasks are blocks of pixels of one image.
//!
//! Each block sums its values and their squares about its own means while it is in the cache; the
//! blocks of an image are joined in their order, in f64.

use super::{Args, Shape, check};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError, Scratch};
use rayon::prelude::*;

/// Pixels of one block. Fixed, since the cut of a sum decides its bits.
const PIXELS: usize = 64;

/// Value pass; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward(
    args: &Args<'_, f32>,
    out: &mut [f32],
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    forward_on(InstructionSet::current(), args, out, scratch)
}

/// [`forward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    out: &mut [f32],
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    check(args, out.len())?;
    let Shape { batch, pixels, channels, .. } = args.shape;
    let image_sums = pixels.div_ceil(PIXELS) * 2 * channels;
    let memory = scratch.take(batch * (image_sums + 2 * channels));
    let (sums, factors) = memory.split_at_mut(batch * image_sums);
    let block = PIXELS * channels;
    let images = args.x.par_chunks(pixels * channels);
    images.zip(sums.par_chunks_mut(image_sums)).for_each(|(x, sums)| {
        let blocks = x.par_chunks(block).zip(sums.par_chunks_mut(2 * channels));
        blocks.for_each(|(x, sums)| dispatch(set, Sums { x, sums }));
    });
    let images = sums.par_chunks(image_sums).zip(factors.par_chunks_mut(2 * channels));
    images.for_each(|(sums, factors)| join(args, sums, factors));
    let images = args.x.par_chunks(pixels * channels).zip(out.par_chunks_mut(pixels * channels));
    images.zip(factors.par_chunks(2 * channels)).for_each(|((x, out), factors)| {
        let blocks = x.par_chunks(block).zip(out.par_chunks_mut(block));
        blocks.for_each(|(x, out)| dispatch(set, Apply { args, factors, x, out }));
    });
    Ok(())
}

/// Sums of one block.
struct Sums<'a> {
    x: &'a [f32],
    /// `[2C]`: mean of each channel over the block, sum of squares about it.
    sums: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.sums.len() / 2;
        let per_pixel = simd.splat(channels as f32 / self.x.len() as f32);
        let (means, squares) = self.sums.split_at_mut(channels);
        for (i, (mean, squares)) in
            means.chunks_mut(LANES).zip(squares.chunks_mut(LANES)).enumerate()
        {
            let lanes = i * LANES..i * LANES + mean.len();
            let mut sum = simd.splat(0.0);
            for x in self.x.chunks_exact(channels) {
                sum = simd.add(sum, simd.load_part(&x[lanes.clone()]));
            }
            let center = simd.mul(sum, per_pixel);
            simd.store_part(center, mean);
            let mut sum = simd.splat(0.0);
            for x in self.x.chunks_exact(channels) {
                let x = simd.sub(simd.load_part(&x[lanes.clone()]), center);
                sum = simd.fma(x, x, sum);
            }
            simd.store_part(sum, squares);
        }
    }
}

/// Statistics of one image from those of its blocks, `[blocks, 2C]`: into `[2C]`, the mean of each
/// channel's group and the factor of what remains.
fn join(args: &Args<'_, f32>, sums: &[f32], factors: &mut [f32]) {
    let Shape { pixels, channels, groups, .. } = args.shape;
    let width = channels / groups;
    let (means, scales) = factors.split_at_mut(channels);
    // The pixels of each block with its means and squares.
    let blocks = || {
        let counts = (0..pixels).step_by(PIXELS).map(|first| PIXELS.min(pixels - first) as f64);
        counts.zip(sums.chunks_exact(2 * channels))
    };
    for first in (0..channels).step_by(width) {
        let group = first..first + width;
        let count = (pixels * width) as f64;
        let total: f64 = blocks()
            .map(|(n, sums)| n * sums[group.clone()].iter().map(|&x| f64::from(x)).sum::<f64>())
            .sum();
        let mean = total / count;
        // Squares about the mean of all are those about a part's own mean and of the means' distance.
        let squares: f64 = blocks()
            .map(|(n, sums)| {
                let (means, squares) = sums.split_at(channels);
                let own: f64 = squares[group.clone()].iter().map(|&x| f64::from(x)).sum();
                let apart = means[group.clone()].iter().map(|&x| (f64::from(x) - mean).powi(2));
                own + n * apart.sum::<f64>()
            })
            .sum();
        let rstd = 1.0 / (squares / count + args.eps).sqrt();
        for c in group {
            means[c] = mean as f32;
            scales[c] = (f64::from(args.weight[c]) * rstd) as f32;
        }
    }
}

/// Norm of one block.
struct Apply<'a, 'o> {
    args: &'a Args<'o, f32>,
    factors: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Apply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.args.silu {
            self.pixels::<S, true>(simd);
        } else {
            self.pixels::<S, false>(simd);
        }
    }
}

impl Apply<'_, '_> {
    #[inline(always)]
    fn pixels<S: Simd, const SILU: bool>(self, simd: S) {
        let channels = self.args.shape.channels;
        let (means, scales) = self.factors.split_at(channels);
        for (x, out) in self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels)) {
            for at in (0..channels).step_by(LANES) {
                let lanes = at..(at + LANES).min(channels);
                let mean = simd.load_part(&means[lanes.clone()]);
                let scale = simd.load_part(&scales[lanes.clone()]);
                let bias = simd.load_part(&self.args.bias[lanes.clone()]);
                let centered = simd.sub(simd.load_part(&x[lanes.clone()]), mean);
                let mut value = simd.fma(centered, scale, bias);
                if SILU {
                    value = simd.mul(value, simd.sigmoid(value));
                }
                simd.store_part(value, &mut out[lanes]);
            }
        }
    }
}
