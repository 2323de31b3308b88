//! Operands inside wider rows, whose margins nobody may use.

use ssm_kernels::{Mat, MatMut, Real};

/// A matrix with a margin on either side of each row. Margins are NaN, so that their use is seen.
pub(crate) struct Wide<T> {
    data: Vec<T>,
    rows: usize,
    cols: usize,
    margin: usize,
}

impl<T: Real> Wide<T> {
    /// Rows of `cols` values each.
    pub(crate) fn of(values: &[T], cols: usize, margin: usize) -> Self {
        let mut wide = Self::empty(values.len(), cols, margin);
        for (row, values) in values.chunks_exact(cols).enumerate() {
            wide.mat_mut().row_mut(row).copy_from_slice(values);
        }
        wide
    }

    /// A result of `len` elements, of NaN.
    pub(crate) fn empty(len: usize, cols: usize, margin: usize) -> Self {
        let rows = len / cols;
        let data = vec![T::from_f64(f64::NAN); rows * (cols + 2 * margin)];
        Self { data, rows, cols, margin }
    }

    pub(crate) fn mat(&self) -> Mat<'_, T> {
        Mat::columns(&self.data, self.rows, self.stride(), self.margin, self.cols)
    }

    pub(crate) fn mat_mut(&mut self) -> MatMut<'_, T> {
        let stride = self.stride();
        MatMut::columns(&mut self.data, self.rows, stride, self.margin, self.cols)
    }

    fn stride(&self) -> usize {
        self.cols + 2 * self.margin
    }

    /// The elements, after a look at the margins.
    #[track_caller]
    pub(crate) fn get(&self) -> Vec<T> {
        let mut elements = Vec::with_capacity(self.rows * self.cols);
        for row in self.data.chunks_exact(self.stride()) {
            let (before, rest) = row.split_at(self.margin);
            let (inside, after) = rest.split_at(self.cols);
            let margins = before.iter().chain(after);
            assert!(margins.clone().all(|x| x.to_f64().is_nan()), "a margin was written");
            elements.extend_from_slice(inside);
        }
        elements
    }
}
