//! The fast f32 form: lanes are columns, tasks are blocks of tokens of one image.
//!
//! Each block of the gradient pass leaves its sums for the modulation in scratch; these are added
//! in the order of the blocks.

use super::{Args, Grads, Halves, Output, check_backward, check_forward};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError, Scratch};
use rayon::prelude::*;

/// Tokens of one task.
const TOKENS: usize = 32;

/// Value pass; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward(args: &Args<'_, f32>, out: Output<'_, f32>) -> Result<(), KernelError> {
    forward_on(InstructionSet::current(), args, out)
}

/// Gradient pass; see [`reference::backward`](super::reference::backward).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward(
    args: &Args<'_, f32>,
    stats: &[f32],
    grad_out: &[f32],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    backward_on(InstructionSet::current(), args, stats, grad_out, grads, scratch)
}

/// [`forward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    out: Output<'_, f32>,
) -> Result<(), KernelError> {
    check_forward(args, &out)?;
    let width = args.shape.width;
    out.out
        .par_chunks_mut(TOKENS * width)
        .zip(out.stats.par_chunks_mut(TOKENS * 2))
        .enumerate()
        .for_each(|(i, (out, stats))| {
            dispatch(set, Forward { args, first_row: i * TOKENS, out, stats });
        });
    Ok(())
}

/// [`backward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    stats: &[f32],
    grad_out: &[f32],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    check_backward(args, stats, grad_out, &grads)?;
    let shape = args.shape;
    let width = shape.width;
    let blocks = shape.seq_len.div_ceil(TOKENS);
    let image_sums = blocks * 2 * width;
    let sums = scratch.take(shape.batch * image_sums);
    if shape.seq_len > 0 {
        let images = grads.x.par_chunks_mut(shape.seq_len * width);
        images.zip(sums.par_chunks_mut(image_sums)).enumerate().for_each(|(image, (x, sums))| {
            let blocks = x.par_chunks_mut(TOKENS * width).zip(sums.par_chunks_mut(2 * width));
            blocks.enumerate().for_each(|(i, (grad_x, sums))| {
                let first_row = image * shape.seq_len + i * TOKENS;
                dispatch(set, Backward { args, stats, grad_out, first_row, grad_x, sums });
            });
        });
    }
    if let Some(modulation) = grads.modulation {
        modulation.par_chunks_mut(2 * width).enumerate().for_each(|(image, total)| {
            total.fill(0.0);
            for sums in sums[image * image_sums..][..image_sums].chunks_exact(2 * width) {
                for (total, sum) in total.iter_mut().zip(sums) {
                    *total += sum;
                }
            }
        });
    }
    Ok(())
}

/// Shift and factor halves of one image's row of a modulation.
#[inline(always)]
fn split<T>(halves: Halves, (first, second): (T, T)) -> (T, T) {
    match halves {
        Halves::ShiftFirst => (first, second),
        Halves::FactorFirst => (second, first),
    }
}

/// Shift and factor of one image.
#[inline(always)]
fn shift_and_factor<'a>(args: &Args<'a, f32>, image: usize) -> Option<(&'a [f32], &'a [f32])> {
    let width = args.shape.width;
    let row = &args.modulation?[image * 2 * width..][..2 * width];
    Some(split(args.halves, row.split_at(width)))
}

struct Forward<'a, 'o> {
    args: &'a Args<'o, f32>,
    first_row: usize,
    out: &'a mut [f32],
    stats: &'a mut [f32],
}

impl Kernel for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Args { shape, x, eps, .. } = *self.args;
        let width = shape.width;
        let rows = self.out.chunks_exact_mut(width).zip(self.stats.chunks_exact_mut(2));
        for (i, (out, stats)) in rows.enumerate() {
            let row = self.first_row + i;
            let x = &x[row * width..][..width];
            let (mean, rstd) = mean_and_rstd(simd, x, eps as f32);
            stats.copy_from_slice(&[mean, rstd]);
            let (mean, rstd, one) = (simd.splat(mean), simd.splat(rstd), simd.splat(1.0));
            let outputs = out.chunks_mut(LANES).zip(x.chunks(LANES));
            if let Some((shift, factor)) = shift_and_factor(self.args, row / shape.seq_len) {
                let modulation = shift.chunks(LANES).zip(factor.chunks(LANES));
                for ((to, x), (shift, factor)) in outputs.zip(modulation) {
                    let factor = simd.add(one, simd.load_part(factor));
                    let normed = normed(simd, x, mean, rstd);
                    let value = simd.fma(normed, factor, simd.load_part(shift));
                    simd.store_part(value, to);
                }
            } else {
                for (to, x) in outputs {
                    simd.store_part(normed(simd, x, mean, rstd), to);
                }
            }
        }
    }
}

/// A group of columns after the norm. A function, since a closure may be compiled on its own, where
/// it lacks the instruction set.
#[inline(always)]
fn normed<S: Simd>(simd: S, x: &[f32], mean: S::V, rstd: S::V) -> S::V {
    simd.mul(simd.sub(simd.load_part(x), mean), rstd)
}

/// Mean, and from it the reciprocal root of the variance.
#[inline(always)]
fn mean_and_rstd<S: Simd>(simd: S, x: &[f32], eps: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mut sum = simd.splat(0.0);
    for x in x.chunks(LANES) {
        sum = simd.add(sum, simd.load_part(x));
    }
    let mean = simd.sum(sum) / count;
    let shift = simd.splat(mean);
    let mut squares = simd.splat(0.0);
    let (groups, rest) = x.as_chunks::<LANES>();
    for x in groups {
        let x = simd.sub(simd.load(x), shift);
        squares = simd.fma(x, x, squares);
    }
    // The lanes beyond the width would each add the square of the mean.
    let rest: f32 = rest.iter().map(|x| (x - mean) * (x - mean)).sum();
    let variance = (simd.sum(squares) + rest) / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Gradients of a group of columns of the output, and of the same after the norm.
#[inline(always)]
fn both_grads<S: Simd>(
    simd: S,
    grad_out: &[f32],
    factor: Option<&[f32]>,
    at: usize,
    end: usize,
) -> (S::V, S::V) {
    let grad = simd.load_part(grad_out);
    match factor {
        None => (grad, grad),
        Some(factor) => (grad, simd.fma(grad, simd.load_part(&factor[at..end]), grad)),
    }
}

struct Backward<'a, 'o> {
    args: &'a Args<'o, f32>,
    stats: &'a [f32],
    grad_out: &'a [f32],
    first_row: usize,
    grad_x: &'a mut [f32],
    /// `[2D]`: sums over this block for the modulation, overwritten.
    sums: &'a mut [f32],
}

impl Kernel for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Args { shape, x, halves, .. } = *self.args;
        let width = shape.width;
        let modulation = shift_and_factor(self.args, self.first_row / shape.seq_len);
        let factor = modulation.map(|(_, factor)| factor);
        self.sums.fill(0.0);
        let (shift_sums, factor_sums) = split(halves, self.sums.split_at_mut(width));
        for (i, grad_x) in self.grad_x.chunks_exact_mut(width).enumerate() {
            let row = self.first_row + i;
            let x = &x[row * width..][..width];
            let grad_out = &self.grad_out[row * width..][..width];
            let (mean, rstd) =
                (simd.splat(self.stats[2 * row]), simd.splat(self.stats[2 * row + 1]));
            let mut grads = simd.splat(0.0);
            let mut dots = simd.splat(0.0);
            for at in (0..width).step_by(LANES) {
                let end = width.min(at + LANES);
                let normed = normed(simd, &x[at..end], mean, rstd);
                let (_, grad) = both_grads(simd, &grad_out[at..end], factor, at, end);
                grads = simd.add(grads, grad);
                dots = simd.fma(grad, normed, dots);
            }
            let mean_grad = simd.splat(simd.sum(grads) / width as f32);
            let mean_dot = simd.splat(-simd.sum(dots) / width as f32);
            for at in (0..width).step_by(LANES) {
                let end = width.min(at + LANES);
                let normed = normed(simd, &x[at..end], mean, rstd);
                let (grad_out, grad) = both_grads(simd, &grad_out[at..end], factor, at, end);
                let grad = simd.fma(normed, mean_dot, simd.sub(grad, mean_grad));
                simd.store_part(simd.mul(rstd, grad), &mut grad_x[at..end]);
                let sums = &mut shift_sums[at..end];
                simd.store_part(simd.add(simd.load_part(sums), grad_out), sums);
                let sums = &mut factor_sums[at..end];
                simd.store_part(simd.fma(grad_out, normed, simd.load_part(sums)), sums);
            }
        }
    }
}
