//! Strided views of matrices inside flat buffers.
//!
//! Halves of a wider matrix, transposed operands and token rows inside a larger row are views, so
//! no copy ever stands around a product.

use crate::KernelError;
use crate::space::{Element, Host, Memory, View, ViewMut};
use std::ops::Range;

/// A read-only `rows x cols` view: element `(r, c)` is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, T: Element, M: Memory = Host> {
    pub(crate) data: M::Ref<'a, T>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

/// A writable view with contiguous rows: element `(r, c)` is `data[r * row_stride + c]`.
#[derive(Debug)]
pub struct MatMut<'a, T: Element, M: Memory = Host> {
    pub(crate) data: M::Mut<'a, T>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
}

/// Elements from the first to one past the last of a strided view.
fn span(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 }
}

/// Elements of the buffer that columns `first .. first + cols` reach.
#[track_caller]
fn column_range(rows: usize, row_stride: usize, columns: Range<usize>) -> Range<usize> {
    let (first, cols) = (columns.start, columns.len());
    assert!(columns.end <= row_stride, "columns {first}+{cols} of rows of {row_stride}");
    first..first + span(rows, cols, row_stride, 1)
}

impl<'a, T: Element> Mat<'a, T> {
    /// Contiguous row-major matrix.
    ///
    /// # Panics
    /// When `data` has another length than `rows * cols`.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::of(data, rows, cols)
    }

    /// Columns `first .. first + cols` of a row-major matrix whose rows are `row_stride` long.
    ///
    /// # Panics
    /// When the view reaches beyond `data` or beyond a row.
    #[track_caller]
    pub fn columns(
        data: &'a [T],
        rows: usize,
        row_stride: usize,
        first: usize,
        cols: usize,
    ) -> Self {
        Self::columns_of(data, rows, row_stride, first..first + cols)
    }

    /// One row of a view with contiguous rows.
    ///
    /// # Panics
    /// When the view is transposed or has no such row.
    #[inline]
    pub fn row(&self, r: usize) -> &'a [T] {
        debug_assert_eq!(self.col_stride, 1, "rows of a transposed view are not contiguous");
        &self.data[r * self.row_stride..][..self.cols]
    }

    /// Some rows and columns of a view with contiguous rows.
    ///
    /// # Panics
    /// When the view has not that many.
    pub(crate) fn block(&self, rows: Range<usize>, columns: Range<usize>) -> Mat<'_, T> {
        let len = span(rows.len(), columns.len(), self.row_stride, 1);
        let data = if len == 0 {
            &[]
        } else {
            &self.data[rows.start * self.row_stride + columns.start..][..len]
        };
        let (row_stride, col_stride) = (self.row_stride, self.col_stride);
        Mat { data, rows: rows.len(), cols: columns.len(), row_stride, col_stride }
    }
}

impl<'a, T: Element, M: Memory> Mat<'a, T, M> {
    /// As [`Mat::new`], in any memory.
    ///
    /// # Panics
    /// When `data` has another length than `rows * cols`.
    #[track_caller]
    pub fn of(data: M::Ref<'a, T>, rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows}x{cols} matrix");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// As [`Mat::columns`], in any memory.
    ///
    /// # Panics
    /// When the view reaches beyond `data` or beyond a row.
    #[track_caller]
    pub fn columns_of(
        data: M::Ref<'a, T>,
        rows: usize,
        row_stride: usize,
        columns: Range<usize>,
    ) -> Self {
        let cols = columns.len();
        let data = data.part(column_range(rows, row_stride, columns));
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

impl<'a, T: Element> MatMut<'a, T> {
    /// Contiguous row-major matrix.
    ///
    /// # Panics
    /// When `data` has another length than `rows * cols`.
    #[track_caller]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        Self::of(data, rows, cols)
    }

    /// Columns `first .. first + cols` of a row-major matrix whose rows are `row_stride` long.
    ///
    /// # Panics
    /// When the view reaches beyond `data` or beyond a row.
    #[track_caller]
    pub fn columns(
        data: &'a mut [T],
        rows: usize,
        row_stride: usize,
        first: usize,
        cols: usize,
    ) -> Self {
        Self::columns_of(data, rows, row_stride, first..first + cols)
    }

    /// One row.
    #[inline]
    pub fn row_mut(&mut self, r: usize) -> &mut [T] {
        &mut self.data[r * self.row_stride..][..self.cols]
    }
}

impl<'a, T: Element, M: Memory> MatMut<'a, T, M> {
    /// As [`MatMut::new`], in any memory.
    ///
    /// # Panics
    /// When `data` has another length than `rows * cols`.
    #[track_caller]
    pub fn of(data: M::Mut<'a, T>, rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows}x{cols} matrix");
        Self { data, rows, cols, row_stride: cols }
    }

    /// As [`MatMut::columns`], in any memory.
    ///
    /// # Panics
    /// When the view reaches beyond `data` or beyond a row.
    #[track_caller]
    pub fn columns_of(
        data: M::Mut<'a, T>,
        rows: usize,
        row_stride: usize,
        columns: Range<usize>,
    ) -> Self {
        let cols = columns.len();
        let data = data.part(column_range(rows, row_stride, columns));
        Self { data, rows, cols, row_stride }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

/// Checks rows and columns of one matrix operand.
pub(crate) fn check_mat(
    op: &'static str,
    operand: &'static str,
    got: (usize, usize),
    expected: (usize, usize),
) -> Result<(), KernelError> {
    if got == expected {
        return Ok(());
    }
    let words = |(rows, cols): (usize, usize)| format!("{rows}x{cols}");
    Err(KernelError::Matrix { op, operand, expected: words(expected), got: words(got) })
}

/// Checks that neighbours in a row are neighbours in memory.
pub(crate) fn check_contiguous_rows<T: Element, M: Memory>(
    op: &'static str,
    operand: &'static str,
    mat: &Mat<'_, T, M>,
) -> Result<(), KernelError> {
    if mat.col_stride == 1 || mat.cols <= 1 {
        return Ok(());
    }
    let got = format!("{}x{} with columns {} apart", mat.rows, mat.cols, mat.col_stride);
    Err(KernelError::Matrix { op, operand, expected: "contiguous in its rows".into(), got })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_transpose_address_the_same_elements() {
        let data: Vec<u32> = (0..12).collect();
        let right = Mat::columns(&data, 3, 4, 2, 2);
        assert_eq!(right.row(2), [10, 11]);
        let t = right.t();
        assert_eq!((t.rows(), t.cols()), (2, 3));
        assert_eq!(t.data[t.row_stride + 2 * t.col_stride], 11);
    }

    #[test]
    #[should_panic(expected = "columns 3+2 of rows of 4")]
    fn columns_stay_inside_the_row() {
        Mat::columns(&[0u32; 12], 3, 4, 3, 2);
    }
}
