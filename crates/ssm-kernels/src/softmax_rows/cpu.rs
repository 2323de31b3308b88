//! The fast f32 form: lanes are columns, tasks are rows.

use super::check;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError, MatMut};
use rayon::prelude::*;

/// Softmax of every row times `factor`; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// [`KernelError::Unsupported`] when there are no columns.
pub fn forward(rows: MatMut<'_, f32>, factor: f64) -> Result<(), KernelError> {
    forward_on(InstructionSet::current(), rows, factor)
}

/// [`forward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError::Unsupported`] when there are no columns.
pub fn forward_on(
    set: InstructionSet,
    rows: MatMut<'_, f32>,
    factor: f64,
) -> Result<(), KernelError> {
    check(rows.cols())?;
    let columns = rows.cols();
    let factor = factor as f32;
    // The last row ends with its last column, the others with their stride.
    rows.data
        .par_chunks_mut(rows.row_stride)
        .for_each(|row| dispatch(set, Row { row: &mut row[..columns], factor }));
    Ok(())
}

struct Row<'a> {
    row: &'a mut [f32],
    factor: f32,
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let factor = simd.splat(self.factor);
        let (groups, rest) = self.row.as_chunks_mut::<LANES>();
        let mut most = simd.splat(f32::NEG_INFINITY);
        for x in &mut *groups {
            let scaled = simd.mul(simd.load(x), factor);
            simd.store(scaled, x);
            most = simd.max(most, scaled);
        }
        // Lanes beyond the row must not count, neither here nor in the sum.
        rest.iter_mut().for_each(|x| *x *= self.factor);
        let mut lanes = [f32::NEG_INFINITY; LANES];
        simd.store(most, &mut lanes);
        let largest = lanes.iter().chain(&*rest).fold(f32::NEG_INFINITY, |most, &x| most.max(x));
        let shift = simd.splat(largest);
        let to_powers_of_two = simd.splat(std::f32::consts::LOG2_E);
        let mut sums = simd.splat(0.0);
        for x in &mut *groups {
            let e = simd.exp2(simd.mul(simd.sub(simd.load(x), shift), to_powers_of_two));
            simd.store(e, x);
            sums = simd.add(sums, e);
        }
        let e = simd.exp2(simd.mul(simd.sub(simd.load_part(rest), shift), to_powers_of_two));
        simd.store_part(e, rest);
        let sum = simd.sum(sums) + rest.iter().sum::<f32>();
        let share = simd.splat(1.0 / sum);
        for x in groups {
            simd.store(simd.mul(simd.load(x), share), x);
        }
        simd.store_part(simd.mul(simd.load_part(rest), share), rest);
    }
}
