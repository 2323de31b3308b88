//! The fast f32 form: lanes are columns, tasks are blocks of rows.
//!
//! Each block of the gradient pass leaves its sums for the weight in scratch; these are added in
//! the order of the blocks.

use super::{Args, BackwardArgs, Grads, Output, check_backward, check_forward};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError, Scratch};
use rayon::prelude::*;

/// Rows of one task.
const ROWS: usize = 32;

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
    args: &BackwardArgs<'_, f32>,
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    backward_on(InstructionSet::current(), args, grads, scratch)
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
    let block = ROWS * args.shape.width;
    out.residual
        .par_chunks_mut(block)
        .zip(out.normed.par_chunks_mut(block))
        .zip(out.rstd.par_chunks_mut(ROWS))
        .enumerate()
        .for_each(|(i, ((residual, normed), rstd))| {
            dispatch(set, Forward { args, first_row: i * ROWS, residual, normed, rstd });
        });
    Ok(())
}

/// [`backward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward_on(
    set: InstructionSet,
    args: &BackwardArgs<'_, f32>,
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    check_backward(args, &grads)?;
    let width = args.shape.width;
    let blocks = args.rstd.len().div_ceil(ROWS);
    let sums = scratch.take(blocks * width);
    grads
        .residual
        .par_chunks_mut(ROWS * width)
        .zip(grads.hidden.par_chunks_mut(ROWS * width))
        .zip(sums.par_chunks_mut(width))
        .enumerate()
        .for_each(|(i, ((residual, hidden), weight))| {
            let grads = Grads { residual, hidden, weight };
            dispatch(set, Backward { args, first_row: i * ROWS, grads });
        });
    for sums in sums.chunks_exact(width) {
        for (total, sum) in grads.weight.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    Ok(())
}

struct Forward<'a, 'o> {
    args: &'a Args<'o, f32>,
    first_row: usize,
    residual: &'a mut [f32],
    normed: &'a mut [f32],
    rstd: &'a mut [f32],
}

impl Kernel for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Args { shape, hidden, residual, drop_path, weight, eps } = *self.args;
        let width = shape.width;
        let rows = self.residual.chunks_exact_mut(width).zip(self.normed.chunks_exact_mut(width));
        for (i, ((new, normed), rstd)) in rows.zip(self.rstd).enumerate() {
            let row = self.first_row + i;
            let hidden = &hidden[row * width..][..width];
            let mut squares = simd.splat(0.0);
            if let Some(residual) = residual {
                let factor = simd.splat(drop_path.map_or(1.0, |f| f[row / shape.seq_len]));
                let residual = &residual[row * width..][..width];
                let inputs = hidden.chunks(LANES).zip(residual.chunks(LANES));
                for (to, (hidden, residual)) in new.chunks_mut(LANES).zip(inputs) {
                    let hidden = simd.load_part(hidden);
                    let sum = simd.fma(factor, hidden, simd.load_part(residual));
                    squares = simd.fma(sum, sum, squares);
                    simd.store_part(sum, to);
                }
            } else {
                for (to, hidden) in new.chunks_mut(LANES).zip(hidden.chunks(LANES)) {
                    let hidden = simd.load_part(hidden);
                    squares = simd.fma(hidden, hidden, squares);
                    simd.store_part(hidden, to);
                }
            }
            *rstd = 1.0 / (simd.sum(squares) / width as f32 + eps as f32).sqrt();
            let factor = simd.splat(*rstd);
            let inputs = new.chunks(LANES).zip(weight.chunks(LANES));
            for (to, (residual, weight)) in normed.chunks_mut(LANES).zip(inputs) {
                let weight = simd.mul(factor, simd.load_part(weight));
                simd.store_part(simd.mul(simd.load_part(residual), weight), to);
            }
        }
    }
}

/// `grads.weight` is the sum over this block, overwritten.
struct Backward<'a, 'o> {
    args: &'a BackwardArgs<'o, f32>,
    first_row: usize,
    grads: Grads<'a, f32>,
}

impl Kernel for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let BackwardArgs { shape, residual, rstd, weight, drop_path, grad_normed } = *self.args;
        let width = shape.width;
        self.grads.weight.fill(0.0);
        let grads = self.grads.residual.chunks_exact_mut(width);
        let grads = grads.zip(self.grads.hidden.chunks_exact_mut(width));
        for (i, (grad_residual, grad_hidden)) in grads.enumerate() {
            let row = self.first_row + i;
            let rstd = rstd[row];
            let residual = &residual[row * width..][..width];
            let grad_normed = &grad_normed[row * width..][..width];
            let inputs = || {
                let inputs = residual.chunks(LANES).zip(grad_normed.chunks(LANES));
                inputs.zip(weight.chunks(LANES))
            };
            let mut dot = simd.splat(0.0);
            for ((residual, grad), weight) in inputs() {
                let grad = simd.mul(simd.load_part(weight), simd.load_part(grad));
                dot = simd.fma(grad, simd.load_part(residual), dot);
            }
            let mean = simd.sum(dot) / width as f32;
            let along = simd.splat(-rstd * rstd * rstd * mean);
            let rstd = simd.splat(rstd);
            let factor = simd.splat(drop_path.map_or(1.0, |f| f[row / shape.seq_len]));
            let outputs = grad_residual.chunks_mut(LANES).zip(grad_hidden.chunks_mut(LANES));
            let outputs = outputs.zip(self.grads.weight.chunks_mut(LANES));
            for (((residual, grad), weight), ((to_residual, to_hidden), sum)) in
                inputs().zip(outputs)
            {
                let residual = simd.load_part(residual);
                let grad = simd.mul(rstd, simd.load_part(grad));
                let total = simd.fma(grad, simd.load_part(weight), simd.load_part(to_residual));
                let total = simd.fma(along, residual, total);
                simd.store_part(total, to_residual);
                simd.store_part(simd.mul(factor, total), to_hidden);
                simd.store_part(simd.fma(grad, residual, simd.load_part(sum)), sum);
            }
        }
    }
}
