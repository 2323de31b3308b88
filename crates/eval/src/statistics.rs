//! Mean and covariance of features that come in parts.
//!
//! An [`Accumulator`] takes rows as they are computed and keeps sums alone, so its memory is `O(d²)`
//! whatever their number. [`Statistics`] are what it leads to, and what files of references hold.

mod accumulator;
mod merge;
mod tiles;

pub use accumulator::{Accumulator, AccumulatorState};
pub(crate) use tiles::{BLOCK, Tiles};

use crate::EvalError;

/// How far the two halves of a covariance may be apart, relative to its largest variance.
///
/// Above the 6e-8 of matrices that were rounded to f32, far below what another matrix has.
const ASYMMETRY: f64 = 1e-6;

/// How far below 0 a variance may be by rounding, relative to the largest.
const NEGATIVE: f64 = 1e-6;

/// Mean and covariance of features: what two sets of images are compared by.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// `[d]`.
    pub mean: Vec<f64>,
    /// `[d, d]`, row-major and symmetric; sums of squares are divided by `n - 1`, as `numpy.cov` does.
    pub covariance: Vec<f64>,
    /// Number of images, where it is known.
    pub count: Option<u64>,
}

impl Statistics {
    /// Statistics of any origin. The halves of the covariance become their mean, and variances that are
    /// negative by rounding 0.
    ///
    /// # Errors
    /// [`EvalError::Input`] when there is no feature, `covariance` has another size than `mean` asks for,
    /// is not symmetric within 1e-6 of its largest variance, or has a negative variance;
    /// [`EvalError::NotFinite`] at the first number that is NaN or infinite.
    pub fn new(
        mean: Vec<f64>,
        mut covariance: Vec<f64>,
        count: Option<u64>,
    ) -> Result<Self, EvalError> {
        check_shape(&mean, &covariance)?;
        check_finite("mean", &mean, mean.len())?;
        check_finite("covariance", &covariance, mean.len())?;
        let dim = mean.len();
        let largest = largest_variance(&covariance, dim);
        for i in 0..dim {
            let variance = &mut covariance[i * dim + i];
            if *variance < -NEGATIVE * largest {
                let what = format!("covariance[{i}][{i}]");
                return Err(EvalError::input(what, *variance, "a variance, at least 0"));
            }
            *variance = variance.max(0.0);
            for j in 0..i {
                let (below, above) = (covariance[i * dim + j], covariance[j * dim + i]);
                if (below - above).abs() > ASYMMETRY * largest {
                    let expected = format!("covariance[{j}][{i}], which is {above}");
                    return Err(EvalError::input(format!("covariance[{i}][{j}]"), below, expected));
                }
                let mean = 0.5 * below + 0.5 * above;
                (covariance[i * dim + j], covariance[j * dim + i]) = (mean, mean);
            }
        }
        Ok(Self { mean, covariance, count })
    }

    /// Number of features of an image.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Sum of the variances.
    pub(crate) fn trace(&self) -> f64 {
        self.covariance.iter().step_by(self.dim() + 1).sum()
    }

    /// Refuses what was not made by [`Statistics::new`] and could not have been.
    pub(crate) fn check(&self) -> Result<(), EvalError> {
        check_shape(&self.mean, &self.covariance)?;
        check_finite("mean", &self.mean, self.dim())?;
        check_finite("covariance", &self.covariance, self.dim())
    }
}

/// The largest number of the diagonal.
pub(crate) fn largest_variance(covariance: &[f64], dim: usize) -> f64 {
    covariance.iter().step_by(dim + 1).copied().fold(0.0, f64::max)
}

fn check_shape(mean: &[f64], covariance: &[f64]) -> Result<(), EvalError> {
    let dim = mean.len();
    if dim == 0 {
        return Err(EvalError::input("length of the mean", 0, "at least 1"));
    }
    if dim.checked_mul(dim) != Some(covariance.len()) {
        let expected = format!("{dim} x {dim}, because the mean has {dim}");
        return Err(EvalError::input("length of the covariance", covariance.len(), expected));
    }
    Ok(())
}

fn check_finite(what: &str, values: &[f64], row_len: usize) -> Result<(), EvalError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(EvalError::NotFinite {
            what: what.into(),
            row: (at / row_len) as u64,
            column: at % row_len,
            value: values[at],
        }),
    }
}
