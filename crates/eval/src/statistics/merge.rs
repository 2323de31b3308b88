//! Statistics of several sets as of one.

use super::Statistics;
use crate::EvalError;

impl Statistics {
    /// Statistics of the images of both sets together.
    ///
    /// # Errors
    /// [`EvalError::Input`] when lengths differ or the number of images of a set is unknown.
    ///
    /// # Source
    /// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    /// variances", 1979.
    pub fn merge(&self, other: &Self) -> Result<Self, EvalError> {
        if self.dim() != other.dim() {
            let expected = self.dim().to_string();
            return Err(EvalError::input("number of features", other.dim(), expected));
        }
        let [Some(first), Some(second)] = [self.count, other.count] else {
            return Err(EvalError::input("number of images", "unknown", "known of both sets"));
        };
        let (a, b, n) = (first as f64, second as f64, (first + second) as f64);
        let shift: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(y, x)| y - x).collect();
        let mean = self.mean.iter().zip(&shift).map(|(x, shift)| x + shift * (b / n)).collect();
        let dim = self.dim();
        let pairs = self.covariance.iter().zip(&other.covariance).enumerate();
        let covariance = pairs.map(|(at, (x, y))| {
            let between = shift[at / dim] * shift[at % dim] * (a * b / n);
            ((a - 1.0) * x + (b - 1.0) * y + between) / (n - 1.0)
        });
        Ok(Self { mean, covariance: covariance.collect(), count: Some(first + second) })
    }
}
