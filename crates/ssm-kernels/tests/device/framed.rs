//! Operands inside wider rows, whose margins nobody may use.

use crate::support::{Lab, TestActivation, TestDriver};
use ssm_kernels::device::{DeviceBuffer, OnDevice, Slice, SliceMut};
use ssm_kernels::{Mat, MatMut, Storage, View, ViewMut};

/// A multiple of 16 bytes in every format: rows in it may move in vectors.
pub(crate) const WHOLE: usize = 8;
/// No multiple of a vector: elements move one by one, and give the same bits.
pub(crate) const ODD: usize = 3;

/// A matrix with a margin on either side of each row. Margins are NaN, so that their use is seen.
pub(crate) struct Framed<T: TestActivation, D: TestDriver> {
    buffer: DeviceBuffer<T, D>,
    rows: usize,
    cols: usize,
    margin: usize,
}

impl<T: TestActivation, D: TestDriver> Framed<T, D> {
    /// `rows` rows of `values`.
    pub(crate) fn of<A: TestActivation>(
        lab: &Lab<A, D>,
        values: &[f64],
        rows: usize,
        margin: usize,
    ) -> Self {
        let cols = values.len() / rows.max(1);
        assert_eq!(values.len(), rows * cols, "whole rows");
        let mut framed = vec![T::round(f64::NAN); rows * (cols + 2 * margin)];
        let elements = values.chunks(cols.max(1));
        for (row, values) in framed.chunks_exact_mut((cols + 2 * margin).max(1)).zip(elements) {
            for (to, &value) in row[margin..].iter_mut().zip(values) {
                *to = T::round(value);
            }
        }
        Self { buffer: lab.put(&framed), rows, cols, margin }
    }

    /// One row of `values`.
    pub(crate) fn row<A: TestActivation>(lab: &Lab<A, D>, values: &[f64], margin: usize) -> Self {
        Self::of(lab, values, 1, margin)
    }

    /// A result of one row.
    pub(crate) fn empty<A: TestActivation>(lab: &Lab<A, D>, len: usize, margin: usize) -> Self {
        Self::row(lab, &vec![f64::NAN; len], margin)
    }

    pub(crate) fn mat(&self) -> Mat<'_, T, OnDevice<D>> {
        self.buffer.columns(self.rows, self.margin..self.margin + self.cols)
    }

    pub(crate) fn mat_mut(&mut self) -> MatMut<'_, T, OnDevice<D>> {
        self.buffer.columns_mut(self.rows, self.margin..self.margin + self.cols)
    }

    /// All elements of one row.
    pub(crate) fn view(&self) -> Slice<'_, T, D> {
        assert_eq!(self.rows, 1, "contiguous elements");
        self.buffer.view().part(self.margin..self.margin + self.cols)
    }

    /// All elements of one row.
    pub(crate) fn view_mut(&mut self) -> SliceMut<'_, T, D> {
        assert_eq!(self.rows, 1, "contiguous elements");
        self.buffer.view_mut().part(self.margin..self.margin + self.cols)
    }

    /// The elements, after a look at the margins.
    #[track_caller]
    pub(crate) fn get<A: TestActivation>(&self, lab: &Lab<A, D>) -> Vec<f64> {
        let all: Vec<f64> = lab.get(&self.buffer).into_iter().map(T::exact).collect();
        let mut elements = Vec::with_capacity(self.rows * self.cols);
        for row in all.chunks_exact((self.cols + 2 * self.margin).max(1)) {
            let (before, rest) = row.split_at(self.margin);
            let (inside, after) = rest.split_at(self.cols);
            assert!(before.iter().chain(after).all(|x| x.is_nan()), "a margin was written");
            elements.extend_from_slice(inside);
        }
        elements
    }
}
