//! The fast f32 form: lanes are columns of a segment, tasks are blocks of rows.

use super::{Kept, SEGMENTS, Shape, check_backward, check_forward};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError};
use rayon::prelude::*;

/// Rows of one task.
const ROWS: usize = 64;

/// Value pass; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward(
    shape: &Shape,
    eps: f64,
    x: &mut [f32],
    rstd: &mut [f32],
) -> Result<(), KernelError> {
    forward_on(InstructionSet::current(), shape, eps, x, rstd)
}

/// Gradient pass; see [`reference::backward`](super::reference::backward).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward(shape: &Shape, kept: &Kept<'_, f32>, grad: &mut [f32]) -> Result<(), KernelError> {
    backward_on(InstructionSet::current(), shape, kept, grad)
}

/// [`forward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward_on(
    set: InstructionSet,
    shape: &Shape,
    eps: f64,
    x: &mut [f32],
    rstd: &mut [f32],
) -> Result<(), KernelError> {
    check_forward(shape, x.len(), rstd.len())?;
    let eps = eps as f32;
    x.par_chunks_mut(ROWS * shape.row_len())
        .zip(rstd.par_chunks_mut(ROWS * SEGMENTS))
        .for_each(|(x, rstd)| dispatch(set, Forward { shape, eps, x, rstd }));
    Ok(())
}

/// [`backward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward_on(
    set: InstructionSet,
    shape: &Shape,
    kept: &Kept<'_, f32>,
    grad: &mut [f32],
) -> Result<(), KernelError> {
    check_backward(shape, kept, grad.len())?;
    let block = ROWS * shape.row_len();
    grad.par_chunks_mut(block)
        .zip(kept.normed.par_chunks(block))
        .zip(kept.rstd.par_chunks(ROWS * SEGMENTS))
        .for_each(|((grad, normed), rstd)| {
            dispatch(set, Backward { shape, kept: Kept { normed, rstd }, grad });
        });
    Ok(())
}

struct Forward<'a> {
    shape: &'a Shape,
    eps: f32,
    x: &'a mut [f32],
    rstd: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { shape, eps, x, rstd } = self;
        let rows = x.chunks_exact_mut(shape.row_len()).zip(rstd.chunks_exact_mut(SEGMENTS));
        for (mut row, rstd) in rows {
            for (&width, rstd) in shape.widths.iter().zip(rstd) {
                let (segment, rest) = row.split_at_mut(width);
                row = rest;
                let mut squares = simd.splat(0.0);
                for x in segment.chunks(LANES) {
                    let x = simd.load_part(x);
                    squares = simd.fma(x, x, squares);
                }
                *rstd = 1.0 / (simd.sum(squares) / width as f32 + eps).sqrt();
                let factor = simd.splat(*rstd);
                for x in segment.chunks_mut(LANES) {
                    simd.store_part(simd.mul(simd.load_part(x), factor), x);
                }
            }
        }
    }
}

struct Backward<'a> {
    shape: &'a Shape,
    kept: Kept<'a, f32>,
    grad: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { shape, kept: Kept { normed, rstd }, grad } = self;
        let rows = normed.chunks_exact(shape.row_len()).zip(rstd.chunks_exact(SEGMENTS));
        for (mut row, (mut normed, rstd)) in grad.chunks_exact_mut(shape.row_len()).zip(rows) {
            for (&width, &rstd) in shape.widths.iter().zip(rstd) {
                let (grad, rest) = row.split_at_mut(width);
                row = rest;
                let (own, rest) = normed.split_at(width);
                normed = rest;
                let mut dot = simd.splat(0.0);
                for (g, y) in grad.chunks(LANES).zip(own.chunks(LANES)) {
                    dot = simd.fma(simd.load_part(g), simd.load_part(y), dot);
                }
                let along = simd.splat(-simd.sum(dot) / width as f32);
                let rstd = simd.splat(rstd);
                for (g, y) in grad.chunks_mut(LANES).zip(own.chunks(LANES)) {
                    let across = simd.fma(along, simd.load_part(y), simd.load_part(g));
                    simd.store_part(simd.mul(rstd, across), g);
                }
            }
        }
    }
}
