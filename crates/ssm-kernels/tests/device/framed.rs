//! Operands inside wider rows, whose margins nobody may use.

use crate::support::{Lab, TestActivation, TestDriver};
use ssm_kernels::device::{DeviceBuffer, OnDevice, Slice, SliceMut};
use ssm_kernels::{Mat, MatMut, Storage, View, ViewMut};
use std::ops::Range;

/// A multiple of 16 bytes in every format: rows in it may move in vectors.
pub(crate) const WHOLE: usize = 8;
/// No multiple of a vector: elements move one by one, and give the same bits.
pub(crate) const ODD: usize = 3;

/// A matrix with margins around each row. They are NaN, so that their use is seen.
pub(crate) struct Framed<T: TestActivation, D: TestDriver> {
    buffer: DeviceBuffer<T, D>,
    rows: usize,
    cols: usize,
    /// Elements before a row and behind it.
    margins: [usize; 2],
}

impl<T: TestActivation, D: TestDriver> Framed<T, D> {
    /// `rows` rows of `values`, with as much before each as behind it.
    pub(crate) fn of<A: TestActivation>(
        lab: &Lab<A, D>,
        values: &[f64],
        rows: usize,
        margin: usize,
    ) -> Self {
        Self::between(lab, values, rows, [margin; 2])
    }

    /// `rows` rows of `values`.
    pub(crate) fn between<A: TestActivation>(
        lab: &Lab<A, D>,
        values: &[f64],
        rows: usize,
        margins: [usize; 2],
    ) -> Self {
        let [before, after] = margins;
        let cols = values.len() / rows.max(1);
        assert_eq!(values.len(), rows * cols, "whole rows");
        let stride = before + cols + after;
        let mut framed = vec![T::round(f64::NAN); rows * stride];
        let elements = values.chunks(cols.max(1));
        for (row, values) in framed.chunks_exact_mut(stride.max(1)).zip(elements) {
            for (to, &value) in row[before..].iter_mut().zip(values) {
                *to = T::round(value);
            }
        }
        Self { buffer: lab.put(&framed), rows, cols, margins }
    }

    /// One row of `values`.
    pub(crate) fn row<A: TestActivation>(lab: &Lab<A, D>, values: &[f64], margin: usize) -> Self {
        Self::of(lab, values, 1, margin)
    }

    /// A result of one row.
    pub(crate) fn empty<A: TestActivation>(lab: &Lab<A, D>, len: usize, margin: usize) -> Self {
        Self::row(lab, &vec![f64::NAN; len], margin)
    }

    fn inside(&self) -> Range<usize> {
        let [before, _] = self.margins;
        before..before + self.cols
    }

    pub(crate) fn mat(&self) -> Mat<'_, T, OnDevice<D>> {
        self.buffer.columns(self.rows, self.inside())
    }

    pub(crate) fn mat_mut(&mut self) -> MatMut<'_, T, OnDevice<D>> {
        self.buffer.columns_mut(self.rows, self.inside())
    }

    /// All elements of one row.
    pub(crate) fn view(&self) -> Slice<'_, T, D> {
        assert_eq!(self.rows, 1, "contiguous elements");
        self.buffer.view().part(self.inside())
    }

    /// All elements of one row.
    pub(crate) fn view_mut(&mut self) -> SliceMut<'_, T, D> {
        assert_eq!(self.rows, 1, "contiguous elements");
        let inside = self.inside();
        self.buffer.view_mut().part(inside)
    }

    /// The elements, after a look at the margins.
    #[track_caller]
    pub(crate) fn get<A: TestActivation>(&self, lab: &Lab<A, D>) -> Vec<f64> {
        let all: Vec<f64> = lab.get(&self.buffer).into_iter().map(T::exact).collect();
        let mut elements = Vec::with_capacity(self.rows * self.cols);
        let [margin_before, margin_after] = self.margins;
        for row in all.chunks_exact((margin_before + self.cols + margin_after).max(1)) {
            let (before, rest) = row.split_at(margin_before);
            let (inside, after) = rest.split_at(self.cols);
            assert!(before.iter().chain(after).all(|x| x.is_nan()), "a margin was written");
            elements.extend_from_slice(inside);
        }
        elements
    }
}
