//! Normal distributions with a factor of their covariance.
//!
//! faer is built without threads, so a factorisation has the same bits wherever it runs.

use super::product;
use crate::statistics::{BLOCK, Statistics, Tiles, largest_variance};
use crate::{EvalError, Rows};
use faer::{Mat, MatRef, Side};

/// The least eigenvalue of a covariance, relative to the largest, that can be a rounding error: 3e-6 is
/// what rounding 2048 features to f32 can do.
const INDEFINITE: f64 = 1e-4;

/// A normal distribution: its mean and `F` with `F Fᵀ` the covariance.
#[derive(Debug)]
pub(crate) struct Normal {
    /// `[d]`.
    pub(crate) mean: Vec<f64>,
    /// `F`, `[d, r]`; r is the rank, or the number of rows where the rows are the factor.
    pub(crate) factor: Mat<f64>,
    /// Sum of the variances.
    pub(crate) trace: f64,
    /// Rank of the covariance.
    pub(crate) rank: usize,
}

impl Normal {
    /// The distribution with given statistics.
    pub(crate) fn of_statistics(statistics: &Statistics) -> Result<Self, EvalError> {
        statistics.check()?;
        let dim = statistics.dim();
        // Of n images the covariance has rank n - 1 at most, whatever rounding makes of the rest.
        let most = statistics.count.map_or(dim, |n| dim.min(n.saturating_sub(1) as usize));
        let factor = factor(&statistics.covariance, dim, most)?;
        Ok(Self {
            mean: statistics.mean.clone(),
            trace: statistics.trace(),
            rank: factor.ncols(),
            factor,
        })
    }

    /// The distribution of rows, `[n, d]`; they have to be finite.
    pub(crate) fn of_rows(rows: Rows<'_>) -> Result<Self, EvalError> {
        Self::of_picks(rows, &(0..rows.len()).collect::<Vec<_>>())
    }

    /// The distribution of some rows of `[n, d]`; they have to be finite.
    pub(crate) fn of_picks(rows: Rows<'_>, picks: &[usize]) -> Result<Self, EvalError> {
        if picks.len() < 2 {
            return Err(EvalError::input("number of rows", picks.len(), "at least 2"));
        }
        let dim = rows.dim();
        let mean = mean(rows, picks);
        let scale = ((picks.len() - 1) as f64).sqrt().recip();
        if picks.len() <= dim {
            return Self::of_few(&centred(rows, picks, &mean, scale), mean);
        }
        let mut products = Tiles::new(dim);
        for picks in picks.chunks(BLOCK) {
            products.add(&centred(rows, picks, &mean, scale));
        }
        let covariance = products.into_symmetric(|_, _, product| product);
        let trace = covariance.iter().step_by(dim + 1).sum();
        let factor = factor(&covariance, dim, dim)?;
        Ok(Self { mean, trace, rank: factor.ncols(), factor })
    }

    /// The distribution of no more rows than features, whose rows `[n, d]`, centred and divided by
    /// `√(n - 1)`, are the factor. Their products with each other have the covariance's eigenvalues.
    fn of_few(rows: &[f64], mean: Vec<f64>) -> Result<Self, EvalError> {
        let (dim, count) = (mean.len(), rows.len() / mean.len());
        let factor = MatRef::from_column_major_slice(rows, dim, count).to_owned();
        let gram = product(factor.transpose(), factor.as_ref());
        let trace = (0..count).map(|i| gram[(i, i)]).sum();
        let eigenvalues = gram.self_adjoint_eigenvalues(Side::Lower).map_err(|_| unsolved())?;
        let cut = cut(dim, eigenvalues.iter().copied().fold(0.0, f64::max));
        // The rows sum to 0, so that one of them is none of the rank.
        let rank = eigenvalues.iter().filter(|&&value| value > cut).count().min(count - 1);
        Ok(Self { mean, factor, trace, rank })
    }
}

/// What is rounding in the eigenvalues of a matrix of `dim` rows.
pub(super) fn cut(dim: usize, largest: f64) -> f64 {
    dim as f64 * f64::EPSILON * largest
}

/// `F [d, r]` with `F Fᵀ` a covariance of rank r, at most `most`: Cholesky's where every pivot is above rounding, else
/// the eigenvectors of eigenvalues above rounding, each times their root.
fn factor(covariance: &[f64], dim: usize, most: usize) -> Result<Mat<f64>, EvalError> {
    let matrix = MatRef::from_column_major_slice(covariance, dim, dim);
    if most == dim
        && let Ok(cholesky) = matrix.llt(Side::Lower)
    {
        let lower = cholesky.L();
        let least = (0..dim).map(|i| lower[(i, i)] * lower[(i, i)]).fold(f64::INFINITY, f64::min);
        if least > cut(dim, largest_variance(covariance, dim)) {
            return Ok(lower.to_owned());
        }
    }
    let eigen = matrix.self_adjoint_eigen(Side::Lower).map_err(|_| unsolved())?;
    let (values, vectors) = (eigen.S().column_vector(), eigen.U());
    // In ascending order.
    let (least, largest) = (values[0], values[dim - 1].max(0.0));
    if least < -INDEFINITE * largest.max(-least) {
        let expected = "at least 0, but for rounding";
        return Err(EvalError::input("least eigenvalue of a covariance", least, expected));
    }
    let first = (0..dim).find(|&i| values[i] > cut(dim, largest)).unwrap_or(dim);
    let first = first.max(dim - most);
    let rank = dim - first;
    Ok(Mat::from_fn(dim, rank, |i, j| vectors[(i, first + j)] * values[first + j].sqrt()))
}

pub(super) fn unsolved() -> EvalError {
    EvalError::input("covariance", "without eigenvalues", "a symmetric matrix of finite numbers")
}

/// Mean of picked rows, summed in f64 in the order of the picks.
fn mean(rows: Rows<'_>, picks: &[usize]) -> Vec<f64> {
    let mut mean = vec![0.0; rows.dim()];
    for &pick in picks {
        mean.iter_mut().zip(rows.row(pick)).for_each(|(mean, x)| *mean += f64::from(*x));
    }
    mean.iter_mut().for_each(|mean| *mean /= picks.len() as f64);
    mean
}

/// Picked rows minus a mean, times `scale`, `[n, d]`.
pub(super) fn centred(rows: Rows<'_>, picks: &[usize], mean: &[f64], scale: f64) -> Vec<f64> {
    let mut centred = Vec::with_capacity(picks.len() * mean.len());
    for &pick in picks {
        let row = rows.row(pick).iter().zip(mean);
        centred.extend(row.map(|(x, mean)| scale * (f64::from(*x) - mean)));
    }
    centred
}
