//! Products with a narrow side: at most 64 columns, or at most 64 rows.
//!
//! The projections to and from the rank of delta, to B and C, and their gradients. A library's
//! kernels spend such products on packing the long operand, which is used only a few times. Here
//! the narrow operand is packed, padded to whole vectors, and every element of the long one is
//! broadcast from where it stands, once for every vector of a row of the result.
#![allow(unsafe_code, reason = "strided reads inside checked views, tasks that own rows")]

use super::Write;
use crate::disjoint::Disjoint;
use crate::matrix::{Mat, MatMut};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, Scratch};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Most columns of a narrow result: four vectors.
const MOST: usize = 4 * LANES;
/// Fewer rows or terms are left to the library.
const LEAST: usize = 32;
/// Terms whose operands stay in the cache while they serve all rows of a task, where neighbours
/// along K are not neighbours in memory.
const CHUNK: usize = 128;
/// Rows of a task: the least that uses whole cache lines of a transposed operand.
const TASK_ROWS: usize = 96;

/// Computes the product, or returns false where it is better left to others.
///
/// Needs the 32 registers of AVX-512; with fewer the library is no slower.
pub(super) fn run(
    set: InstructionSet,
    out: &mut MatMut<'_, f32>,
    write: Write,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
) -> bool {
    let has_registers = matches!(set, InstructionSet::Amx | InstructionSet::Avx512);
    if !has_registers || a.cols < LEAST || out.rows.max(out.cols) < LEAST {
        return false;
    }
    if out.cols <= MOST {
        product(set, out, write, a, b, Layout::Rows);
    } else if out.rows <= MOST {
        product(set, out, write, b.t(), a.t(), Layout::Columns);
    } else {
        return false;
    }
    true
}

/// How the rows of the product stand in the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Rows,
    Columns,
}

/// `long [m, k]` times `narrow [k, n]`, `n` at most [`MOST`].
fn product(
    set: InstructionSet,
    out: &mut MatMut<'_, f32>,
    write: Write,
    long: Mat<'_, f32>,
    narrow: Mat<'_, f32>,
    layout: Layout,
) {
    thread_local! {
        static PACKED: Cell<Scratch<f32>> = const { Cell::new(Scratch::new()) };
    }
    let vectors = narrow.cols.div_ceil(LANES);
    let mut memory = PACKED.take();
    let packed = memory.take(narrow.rows * vectors * LANES);
    pack(narrow, packed);
    let out_stride = out.row_stride;
    let product = Product {
        out: Disjoint::new(&mut *out.data),
        out_stride,
        write,
        layout,
        long,
        narrow: packed,
        columns: narrow.cols,
    };
    (0..long.rows.div_ceil(TASK_ROWS)).into_par_iter().for_each(|task| {
        let rows = task * TASK_ROWS..((task + 1) * TASK_ROWS).min(long.rows);
        dispatch(set, Task { product, rows });
    });
    PACKED.set(memory);
}

/// Copies to `[k, vector, LANES]`, 0 beyond the columns.
fn pack(narrow: Mat<'_, f32>, packed: &mut [f32]) {
    let width = packed.len() / narrow.rows;
    packed.par_chunks_mut(64 * width).enumerate().for_each(|(block, rows)| {
        for (k, row) in rows.chunks_exact_mut(width).enumerate() {
            let at = (64 * block + k) * narrow.row_stride;
            for (column, to) in row.iter_mut().enumerate() {
                let inside = column < narrow.cols;
                *to = if inside { narrow.data[at + column * narrow.col_stride] } else { 0.0 };
            }
        }
    });
}

#[derive(Clone, Copy)]
struct Product<'a, 'o> {
    out: Disjoint<'a, f32>,
    out_stride: usize,
    write: Write,
    layout: Layout,
    long: Mat<'o, f32>,
    /// `[k, vector, LANES]`.
    narrow: &'a [f32],
    columns: usize,
}

/// Some rows of the product.
struct Task<'a, 'o> {
    product: Product<'a, 'o>,
    rows: Range<usize>,
}

impl Kernel for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // As many rows at a time as fill the registers with sums.
        match self.product.columns.div_ceil(LANES) {
            1 => self.chunks::<S, 16, 1>(simd),
            2 => self.chunks::<S, 12, 2>(simd),
            3 => self.chunks::<S, 8, 3>(simd),
            _ => self.chunks::<S, 6, 4>(simd),
        }
    }
}

impl Task<'_, '_> {
    #[inline(always)]
    fn chunks<S: Simd, const R: usize, const V: usize>(&self, simd: S) {
        let long = self.product.long;
        let mut sums = [[[0.0; LANES]; 4]; TASK_ROWS];
        let chunk = if long.col_stride == 1 { long.cols } else { CHUNK };
        for first in (0..long.cols).step_by(chunk) {
            let terms = first..(first + chunk).min(long.cols);
            self.prefetch(simd, terms.clone());
            for tile in (0..self.rows.len()).step_by(R) {
                self.tile::<S, R, V>(simd, terms.clone(), tile, &mut sums);
            }
        }
        for (row, sums) in self.rows.clone().zip(&sums) {
            self.finish(row, sums.as_flattened());
        }
    }

    /// Asks for the long operand where its rows are scattered.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, simd: S, terms: Range<usize>) {
        let long = self.product.long;
        if long.col_stride == 1 {
            return;
        }
        for k in terms {
            let row = long.data.as_ptr().wrapping_add(k * long.col_stride + self.rows.start);
            for line in (0..self.rows.len()).step_by(LANES) {
                simd.prefetch(row.wrapping_add(line));
            }
        }
    }

    /// Adds some terms to the sums of `R` rows from `tile`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        terms: Range<usize>,
        tile: usize,
        sums: &mut [[[f32; LANES]; 4]; TASK_ROWS],
    ) {
        let long = self.product.long;
        let mut starts = [long.data.as_ptr(); R];
        let mut tile_sums = [[simd.splat(0.0); V]; R];
        for r in 0..R {
            // Rows beyond the last repeat it, and nobody reads their sums.
            let row = (self.rows.start + tile + r).min(self.rows.end - 1);
            starts[r] = starts[r].wrapping_add(row * long.row_stride);
            for v in 0..V {
                tile_sums[r][v] = simd.load(&sums[(tile + r).min(TASK_ROWS - 1)][v]);
            }
        }
        let narrow = self.product.narrow.as_chunks::<LANES>().0.as_chunks::<V>().0;
        for k in terms {
            let mut vectors = [simd.splat(0.0); V];
            for v in 0..V {
                vectors[v] = simd.load(&narrow[k][v]);
            }
            for r in 0..R {
                let x = starts[r].wrapping_add(k * long.col_stride);
                // SAFETY: element `(row, k)` of the view, which was checked when it was made.
                let x = simd.splat(unsafe { *x });
                for v in 0..V {
                    tile_sums[r][v] = simd.fma(x, vectors[v], tile_sums[r][v]);
                }
            }
        }
        for r in 0..R.min(self.rows.len() - tile) {
            for v in 0..V {
                simd.store(tile_sums[r][v], &mut sums[tile + r][v]);
            }
        }
    }

    /// Hands the sums of a row over.
    #[inline(always)]
    fn finish(&self, row: usize, sums: &[f32]) {
        let Product { out, out_stride, write, layout, columns, .. } = self.product;
        if layout == Layout::Rows {
            // SAFETY: a row of this task; the slice dies here.
            let out = unsafe { out.part(row * out_stride, columns) };
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = if write == Write::Accumulate { *out + sum } else { *sum };
            }
            return;
        }
        for (column, sum) in sums.iter().enumerate().take(columns) {
            // SAFETY: an element of a row of this task; the slice dies here.
            let out = unsafe { out.part(column * out_stride + row, 1) };
            out[0] = if write == Write::Accumulate { out[0] + sum } else { *sum };
        }
    }
}
