//! Features of many images, one row each.

use crate::EvalError;

/// Rows of equal length, `[n, dim]`, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `dim` numbers.
    ///
    /// # Errors
    /// [`EvalError::Input`] when `dim` is 0 or `values` are no whole rows.
    pub fn new(values: &'a [f32], dim: usize) -> Result<Self, EvalError> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            let expected = format!("whole rows of {dim} numbers, at least one a row");
            return Err(EvalError::input("number of features", values.len(), expected));
        }
        Ok(Self { values, dim })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers, row by row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.dim..][..self.dim]
    }

    /// Rows `first .. first + count`.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn part(&self, first: usize, count: usize) -> Self {
        Self { values: &self.values[first * self.dim..][..count * self.dim], dim: self.dim }
    }

    /// Refuses NaN and infinite numbers; `what` names the features in the error.
    ///
    /// # Errors
    /// [`EvalError::NotFinite`] with the first such element.
    pub fn check_finite(&self, what: &str) -> Result<(), EvalError> {
        match self.values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => Err(EvalError::NotFinite {
                what: what.into(),
                row: (at / self.dim) as u64,
                column: at % self.dim,
                value: f64::from(self.values[at]),
            }),
        }
    }
}
