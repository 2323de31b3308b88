//! The definition.

use super::check;
use crate::{KernelError, MatMut, Real};

/// Softmax of every row times `factor`.
///
/// # Errors
/// [`KernelError::Unsupported`] when there are no columns.
pub fn forward<T: Real>(mut rows: MatMut<'_, T>, factor: f64) -> Result<(), KernelError> {
    check(rows.cols())?;
    let factor = T::from_f64(factor);
    for r in 0..rows.rows() {
        let row = rows.row_mut(r);
        row.iter_mut().for_each(|x| *x *= factor);
        let largest = row[1..].iter().fold(row[0], |most, &x| if x > most { x } else { most });
        row.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let sum: T = row.iter().copied().sum();
        row.iter_mut().for_each(|x| *x = *x / sum);
    }
    Ok(())
}
