//! The Frechet distance at infinitely many samples.
//!
//! The distance of N samples is too large by about `slope / N`, and by another slope for every model
//! (Chong and Forsyth, 2020, arXiv 1911.07023). Distances of random subsets of several sizes give a line
//! over `1 / N`, and its value at 0 is the distance without that bias. Sizes and the fit are those of
//! dgm-eval (Stein et al., 2023, arXiv 2306.04675), whose subsets have no seed.

use crate::frechet::{Normal, between};
use crate::statistics::Statistics;
use crate::subset::{Use, without_replacement};
use crate::{EvalError, Rows};
use rayon::prelude::*;

/// Subsets of a fit.
const SIZES: usize = 15;

/// A line through distances over `1 / N`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The distance at `1 / N = 0`.
    pub intercept: f64,
    /// Distance times N.
    pub slope: f64,
}

/// A Frechet distance without the bias of few samples, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct FidInfinity {
    /// The distance at infinitely many samples.
    pub intercept: f64,
    /// How much the distance of N samples is too large, times N.
    pub slope: f64,
    /// Rows of every subset, ascending; the last has all.
    pub sizes: Vec<usize>,
    /// Distances of the subsets.
    pub distances: Vec<f64>,
}

/// Extrapolates the Frechet distance of samples, `[n, d]`, from a reference.
///
/// Fifteen sizes are equally spaced from `min(5000, max(n / 10, 2))` to `n`; each has a subset of its own,
/// drawn without replacement, which the seed decides on every machine. It takes the time of fifteen
/// distances. On every thread it needs the memory of one: some `40 d²` bytes.
///
/// # Errors
/// [`EvalError::Input`] when the numbers of features differ, with fewer than three samples, of which there
/// are no subsets of two sizes, and as of [`crate::frechet::frechet`]; [`EvalError::NotFinite`] at the
/// first feature that is NaN or infinite.
pub fn fid_infinity(
    samples: Rows<'_>,
    reference: &Statistics,
    seed: u64,
) -> Result<FidInfinity, EvalError> {
    if samples.len() < 3 {
        return Err(EvalError::input("number of samples", samples.len(), "at least 3"));
    }
    samples.check_finite("samples")?;
    let reference = Normal::of_statistics(reference)?;
    let sizes = sizes(samples.len());
    let distance = |(number, &size): (usize, &usize)| {
        let picks = without_replacement(seed, Use::FidInfinity, number as u64, samples.len(), size);
        Ok(between(&Normal::of_picks(samples, &picks)?, &reference)?.distance)
    };
    let distances =
        sizes.par_iter().enumerate().map(distance).collect::<Result<Vec<f64>, EvalError>>()?;
    let points: Vec<_> = sizes.iter().copied().zip(distances.iter().copied()).collect();
    let Fit { intercept, slope } = fit(&points)?;
    Ok(FidInfinity { intercept, slope, sizes, distances })
}

/// Least squares `d ≈ intercept + slope / n` of points `(n, d)`.
///
/// # Errors
/// [`EvalError::Input`] when an `n` is 0 or there are no two different ones.
pub fn fit(points: &[(usize, f64)]) -> Result<Fit, EvalError> {
    if points.iter().any(|&(size, _)| size == 0) {
        return Err(EvalError::input("size of a subset", 0, "at least 1"));
    }
    if points.iter().all(|point| point.0 == points[0].0) {
        let expected = "at least two different sizes";
        return Err(EvalError::input("sizes of the fit", format!("{points:?}"), expected));
    }
    let count = points.len() as f64;
    let x_mean = points.iter().map(|&(size, _)| 1.0 / size as f64).sum::<f64>() / count;
    let y_mean = points.iter().map(|&(_, distance)| distance).sum::<f64>() / count;
    let (mut products, mut squares) = (0.0, 0.0);
    for &(size, distance) in points {
        let x = 1.0 / size as f64 - x_mean;
        products += x * (distance - y_mean);
        squares += x * x;
    }
    let slope = products / squares;
    Ok(Fit { intercept: y_mean - slope * x_mean, slope })
}

/// Sizes of subsets of `len` samples, rounded down.
fn sizes(len: usize) -> Vec<usize> {
    let first = (len / 10).clamp(2, 5000);
    (0..SIZES).map(|i| first + (len - first) * i / (SIZES - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_formula() {
        // int(numpy.linspace(min(5000, max(n // 10, 2)), n, 15))
        let thousand = [100, 164, 228, 292, 357, 421, 485, 550, 614, 678, 742, 807, 871, 935, 1000];
        assert_eq!(sizes(1000), thousand);
        let many = sizes(100_000);
        assert_eq!((many[0], many[1], many[14]), (5000, 11_785, 100_000));
        assert_eq!(sizes(3), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3]);
    }
}
