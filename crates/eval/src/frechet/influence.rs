//! How much every image moves a Frechet distance.

use super::normal::{Normal, centred, cut, unsolved};
use super::product;
use crate::statistics::BLOCK;
use crate::{EvalError, Rows};
use faer::{Mat, MatRef, Side};
use rayon::prelude::*;

/// Derivative of the distance of `samples` from `reference` by the share of every row: where the share of
/// row `i` grows by `ε`, at the cost of all, the distance grows by `ε I_i`.
///
/// For `z = x - μ`, `I = 2 (μ - ν)·z + |z|² - zᵀ T z`, less its mean, where `T` is the map of optimal
/// transport from one normal distribution to the other (Olkin and Pukelsheim, 1982). With a factor `F2`
/// of the reference and `F2ᵀ Σ F2 = V S² Vᵀ` it is `F2 V S⁻¹ Vᵀ F2ᵀ`, so `zᵀ T z = |S^(-1/2) Vᵀ F2ᵀ z|²`.
/// No covariance is inverted, and directions with an `S` of 0 have no samples in them; what is lost with
/// those near it is below 1e-6 of the whole.
pub(crate) fn influences(
    rows: Rows<'_>,
    samples: &Normal,
    reference: &Normal,
) -> Result<Vec<f64>, EvalError> {
    let map = root_of_map(samples, reference)?;
    let shift: Vec<f64> = samples
        .mean
        .iter()
        .zip(&reference.mean)
        .map(|(mean, other)| 2.0 * (mean - other))
        .collect();
    let mut influences = vec![0.0; rows.len()];
    influences.par_chunks_mut(BLOCK).enumerate().for_each(|(block, influences)| {
        let picks: Vec<_> = (block * BLOCK..block * BLOCK + influences.len()).collect();
        let centred = centred(rows, &picks, &samples.mean, 1.0);
        let columns = MatRef::from_column_major_slice(&centred, rows.dim(), picks.len());
        let mapped = product(map.transpose(), columns);
        for (i, (influence, z)) in
            influences.iter_mut().zip(centred.chunks_exact(rows.dim())).enumerate()
        {
            let own: f64 = z.iter().zip(&shift).map(|(z, shift)| z * (shift + z)).sum();
            *influence = own - mapped.col(i).squared_norm_l2();
        }
    });
    let mean = influences.iter().sum::<f64>() / rows.len() as f64;
    influences.iter_mut().for_each(|influence| *influence -= mean);
    Ok(influences)
}

/// `F2 V S^(-1/2)`, `[d, r]`.
fn root_of_map(samples: &Normal, reference: &Normal) -> Result<Mat<f64>, EvalError> {
    let (factor, size) = (reference.factor.as_ref(), reference.factor.ncols());
    if size == 0 {
        return Ok(Mat::zeros(samples.mean.len(), 0));
    }
    let cross = product(samples.factor.transpose(), factor);
    let gram = product(cross.transpose(), cross.as_ref());
    let eigen = gram.self_adjoint_eigen(Side::Lower).map_err(|_| unsolved())?;
    // In ascending order; the squares of S.
    let (squares, vectors) = (eigen.S().column_vector(), eigen.U());
    let cut = cut(size, squares[size - 1]);
    let first = (0..size).find(|&i| squares[i] > cut).unwrap_or(size);
    let scaled = Mat::from_fn(size, size - first, |i, j| {
        vectors[(i, first + j)] / squares[first + j].sqrt().sqrt()
    });
    Ok(product(factor, scaled.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::super::between;
    use super::*;
    use crate::statistics::Statistics;

    /// The distribution of rows that count as much as their weights say.
    fn weighted(rows: Rows<'_>, weights: &[f64]) -> Normal {
        let (dim, total) = (rows.dim(), weights.iter().sum::<f64>());
        let at = |i: usize, j: usize| f64::from(rows.row(i)[j]);
        let mean_of = |f: &dyn Fn(usize) -> f64| {
            weights.iter().enumerate().map(|(i, weight)| weight * f(i)).sum::<f64>() / total
        };
        let mean: Vec<f64> = (0..dim).map(|j| mean_of(&|i| at(i, j))).collect();
        let covariance =
            |j: usize, k: usize| mean_of(&|i| (at(i, j) - mean[j]) * (at(i, k) - mean[k]));
        let covariance = (0..dim * dim).map(|at| covariance(at / dim, at % dim)).collect();
        let statistics = Statistics::new(mean, covariance, None).expect("a covariance");
        Normal::of_statistics(&statistics).expect("a factor")
    }

    #[test]
    fn influences_are_derivatives_by_the_weights() {
        for (count, dim, others) in [(12, 4, 20), (5, 9, 30), (20, 6, 4), (5, 9, 4), (7, 1, 9)] {
            let values = parity::to_f32(&parity::uniform(1, count * dim));
            let rows = Rows::new(&values, dim).expect("whole rows");
            let other = parity::to_f32(&parity::uniform(2, others * dim));
            let reference = Normal::of_rows(Rows::new(&other, dim).expect("whole rows"));
            let reference = reference.expect("a factor");
            let distance = |weights: &[f64]| {
                between(&weighted(rows, weights), &reference).expect("equal lengths").distance
            };
            let mut weights = vec![1.0; count];
            let got = influences(rows, &weighted(rows, &weights), &reference).expect("finite");
            let want: Vec<f64> = (0..count)
                .map(|i| {
                    let [above, below] = [1e-3, -1e-3].map(|change| {
                        weights[i] = 1.0 + change;
                        let distance = distance(&weights);
                        weights[i] = 1.0;
                        distance
                    });
                    (above - below) / 2e-3 * count as f64
                })
                .collect();
            // The differences have an error of 1e-6 themselves, by third derivatives.
            parity::assert_close("influences", &got, &want, 1e-5);
        }
    }
}
