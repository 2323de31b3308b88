//! The fast f32 form: lanes are channels, tasks are rows of the output.
#![allow(unsafe_code, reason = "tasks own rows of one output")]

use super::{Args, Kind, check};
use crate::disjoint::Disjoint;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError, MatMut};
use rayon::prelude::*;
use std::ops::Range;

/// Vectors of channels that pass over a window together.
const VECTORS: usize = 4;

/// Value pass; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape, or a window may lie outside the image.
pub fn forward(args: &Args<'_, f32>, out: MatMut<'_, f32>) -> Result<(), KernelError> {
    forward_on(InstructionSet::current(), args, out)
}

/// [`forward`] with the vectors of `set`.
///
/// # Errors
/// As [`forward`].
pub fn forward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    out: MatMut<'_, f32>,
) -> Result<(), KernelError> {
    let (rows, columns) = check(args, &out)?;
    let stride = out.row_stride;
    let span = (columns - 1) * stride + args.channels;
    let out = Disjoint::new(out.data);
    (0..args.shape.batch * rows).into_par_iter().for_each(|row| {
        // SAFETY: the pixels of this row, which no other task reaches.
        let out = unsafe { out.part(row * columns * stride, span) };
        dispatch(set, Row { args, image: row / rows, y: row % rows, stride, out });
    });
    Ok(())
}

/// One row of the output.
struct Row<'a, 'x> {
    args: &'a Args<'x, f32>,
    image: usize,
    y: usize,
    /// Elements from a pixel of the output to the next.
    stride: usize,
    out: &'a mut [f32],
}

impl Kernel for Row<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { args, image, y, stride, out } = self;
        let rows = args.window.inside(y, args.shape.height);
        for (x, out) in out.chunks_mut(stride).enumerate() {
            let columns = args.window.inside(x, args.shape.width);
            let under = Under { args, image, rows: rows.clone(), columns };
            let mut channels = 0..0;
            while channels.end < args.channels {
                channels = channels.end..args.channels.min(channels.end + VECTORS * LANES);
                let out = &mut out[channels.clone()];
                match args.window.kind {
                    Kind::Max => under.pool::<S, false>(simd, channels.start, out),
                    Kind::Average => under.pool::<S, true>(simd, channels.start, out),
                }
            }
        }
    }
}

/// What is under one window.
struct Under<'a, 'x> {
    args: &'a Args<'x, f32>,
    image: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Under<'_, '_> {
    /// Pools as many channels from `first` as `out` has, which are at most [`VECTORS`] vectors.
    #[inline(always)]
    fn pool<S: Simd, const AVERAGE: bool>(&self, simd: S, first: usize, out: &mut [f32]) {
        let start = if AVERAGE { 0.0 } else { f32::NEG_INFINITY };
        let mut results = [simd.splat(start); VECTORS];
        for y in self.rows.clone() {
            let row = (self.image * self.args.shape.height + y) * self.args.shape.width;
            for x in self.columns.clone() {
                let pixel = &self.args.x.row(row + x)[first..][..out.len()];
                for (result, value) in results.iter_mut().zip(pixel.chunks(LANES)) {
                    let value = simd.load_part(value);
                    *result =
                        if AVERAGE { simd.add(*result, value) } else { simd.max(*result, value) };
                }
            }
        }
        let count = simd.splat((self.rows.len() * self.columns.len()) as f32);
        for (result, out) in results.iter().zip(out.chunks_mut(LANES)) {
            let result = if AVERAGE { simd.div(*result, count) } else { *result };
            simd.store_part(result, out);
        }
    }
}
