//! Averages of widths that nobody tracked, from snapshots of those that were.
//!
//! The profile that is wanted is approximated by a sum of the profiles of snapshots,
//! `sum_i x_i p_i`, with the least squared distance: `A x = b`, where `A_ij = <p_i, p_j>` and
//! `b_i = <p_i, p*>`. Divided by their sum, so that they add up to 1, the coefficients combine the
//! snapshots to the average. Some are negative.
//!
//! # Source
//! Karras et al., arXiv 2312.02696, section 3.2 and appendix C.

use super::power::Profile;

/// Least part of a profile of norm 1 that those before must leave, in squares; with less it says
/// nothing that f64 could tell from rounding.
const LEAST_REST: f64 = 1e-12;

/// How to combine snapshots, and how good that is.
#[derive(Clone, Debug, PartialEq)]
pub struct Combination {
    /// Factor of each snapshot. They add up to 1; 0 has one that others make superfluous.
    pub coefficients: Vec<f64>,
    /// Condition of the equations that were solved, `|A| |A^-1|` in the 1-norm for profiles of norm
    /// 1: by how much they enlarge a relative error.
    pub condition: f64,
    /// `|sum_i x_i p_i - p*| / |p*|`: 0 where the snapshots span the profile, 1 where they miss it.
    pub residual: f64,
}

/// Combines snapshots of some profiles to the one that is wanted.
///
/// # Panics
/// When there are none.
pub fn combine(given: &[Profile], wanted: Profile) -> Combination {
    assert!(!given.is_empty(), "snapshots to combine");
    // Profiles of norm 1 make the equations as well conditioned as scaling can.
    let norms: Vec<f64> = given.iter().map(|p| p.overlap(*p).sqrt()).collect();
    let overlap = |i: usize, j: usize| given[i].overlap(given[j]) / (norms[i] * norms[j]);
    let Root { order, rows } = Root::new(given.len(), overlap);
    let target: Vec<f64> = order.iter().map(|&i| given[i].overlap(wanted) / norms[i]).collect();
    let mut solution = target.clone();
    solve(&rows, &mut solution);

    let mut coefficients = vec![0.0; given.len()];
    for (&i, y) in order.iter().zip(&solution) {
        coefficients[i] = y / norms[i];
    }
    let sum: f64 = coefficients.iter().sum();
    coefficients.iter_mut().for_each(|x| *x /= sum);
    solution.iter_mut().for_each(|y| *y /= sum);

    let wanted_squared = wanted.overlap(wanted);
    let (mut distance_squared, mut norm) = (wanted_squared, 0.0_f64);
    for ((&i, y), target) in order.iter().zip(&solution).zip(&target) {
        let row: Vec<f64> = order.iter().map(|&j| overlap(i, j)).collect();
        let fitted: f64 = row.iter().zip(&solution).map(|(a, y)| a * y).sum();
        distance_squared += y * (fitted - 2.0 * target);
        norm = norm.max(row.iter().map(|a| a.abs()).sum());
    }
    let residual = (distance_squared / wanted_squared).max(0.0).sqrt();
    Combination { coefficients, condition: norm * norm_of_inverse(&rows), residual }
}

/// The triangular root `a = l l^T` of a symmetric matrix with a diagonal of ones, of the rows and
/// columns that do not depend on others.
struct Root {
    /// Which rows, those first that the ones before say least about.
    order: Vec<usize>,
    /// `l`, row by row, each up to its diagonal.
    rows: Vec<Vec<f64>>,
}

impl Root {
    /// Cholesky's decomposition with the largest pivot first, up to [`LEAST_REST`].
    fn new(n: usize, a: impl Fn(usize, usize) -> f64) -> Self {
        let mut rows: Vec<Vec<f64>> = vec![Vec::new(); n];
        let mut rests = vec![1.0_f64; n];
        let (mut order, mut is_left) = (Vec::new(), vec![true; n]);
        while let Some(pivot) = (0..n).max_by(|&i, &j| rests[i].total_cmp(&rests[j]))
            && rests[pivot] > LEAST_REST
        {
            let (root, of_pivot) = (rests[pivot].sqrt(), rows[pivot].clone());
            (rests[pivot], is_left[pivot]) = (0.0, false);
            rows[pivot].push(root);
            order.push(pivot);
            for i in (0..n).filter(|&i| is_left[i]) {
                let known: f64 = rows[i].iter().zip(&of_pivot).map(|(x, y)| x * y).sum();
                let x = (a(i, pivot) - known) / root;
                rows[i].push(x);
                rests[i] -= x * x;
            }
        }
        let rows = order.iter().map(|&i| std::mem::take(&mut rows[i])).collect();
        Self { order, rows }
    }
}

/// Solves `l l^T x = b` in place.
fn solve(l: &[Vec<f64>], b: &mut [f64]) {
    for (i, row) in l.iter().enumerate() {
        let known: f64 = row[..i].iter().zip(&*b).map(|(l, y)| l * y).sum();
        b[i] = (b[i] - known) / row[i];
    }
    for (i, row) in l.iter().enumerate().rev() {
        b[i] /= row[i];
        let solved = b[i];
        b[..i].iter_mut().zip(row).for_each(|(y, l)| *y -= l * solved);
    }
}

/// `|(l l^T)^-1|` in the 1-norm.
fn norm_of_inverse(l: &[Vec<f64>]) -> f64 {
    let column = |i: usize| {
        let mut column = vec![0.0; l.len()];
        column[i] = 1.0;
        solve(l, &mut column);
        column.iter().map(|x| x.abs()).sum::<f64>()
    };
    (0..l.len()).map(column).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ends` snapshots of each width.
    fn snapshots(ends: u32, widths: &[f64]) -> Vec<Profile> {
        let of = |std: f64| (1..=ends).map(move |end| Profile::new(f64::from(end), std));
        widths.iter().flat_map(|&std| of(std)).collect()
    }

    #[test]
    fn a_tracked_width_is_its_own_snapshot() {
        let given = snapshots(8, &[0.05, 0.1]);
        for (i, profile) in given.iter().enumerate() {
            let found = combine(&given, *profile);
            for (j, x) in found.coefficients.iter().enumerate() {
                let expected = f64::from(u8::from(i == j));
                assert!((x - expected).abs() < 1e-11, "{i}, {j}: {x:e}");
            }
            assert!(found.residual < 1e-7, "{}", found.residual);
        }
    }

    #[test]
    fn coefficients_add_up_to_one_and_the_fit_gets_better_with_snapshots() {
        for std in [0.03, 0.06, 0.075, 0.15, 0.25] {
            let fits = [2, 4, 8, 16, 32].map(|n| {
                let wanted = Profile::new(f64::from(n), std);
                let found = combine(&snapshots(n, &[0.05, 0.1]), wanted);
                let sum: f64 = found.coefficients.iter().sum();
                assert!((sum - 1.0).abs() < 1e-11, "{std}, {n}: {sum}");
                assert!(found.condition >= 1.0);
                found.residual
            });
            assert!(fits.is_sorted_by(|a, b| a > b), "{std}: {fits:?}");
        }
    }

    #[test]
    fn the_unit_of_time_does_not_matter() {
        let scaled = |factor: f64| {
            let mut given = snapshots(4, &[0.05, 0.1]);
            given.iter_mut().for_each(|profile| profile.end *= factor);
            combine(&given, Profile::new(4.0 * factor, 0.15)).coefficients
        };
        for (a, b) in scaled(1.0).iter().zip(scaled(1.28e8)) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn what_others_say_already_gets_nothing() {
        let once = snapshots(3, &[0.05, 0.1]);
        let twice: Vec<Profile> = once.iter().chain(&once).copied().collect();
        let wanted = Profile::new(3.0, 0.07);
        let (one, two) = (combine(&once, wanted), combine(&twice, wanted));
        assert_eq!(two.coefficients.iter().filter(|x| **x == 0.0).count(), 6);
        for (i, x) in one.coefficients.iter().enumerate() {
            let sum = two.coefficients[i] + two.coefficients[i + 6];
            assert!((x - sum).abs() < 1e-12, "{i}: {x} and {sum}");
        }
        assert!((one.residual - two.residual).abs() < 1e-12);
        assert!((one.condition / two.condition - 1.0).abs() < 1e-9);
    }

    #[test]
    fn as_many_snapshots_as_there_may_be_are_combined() {
        for (ends, widths) in [(200, &[0.05, 0.1][..]), (200, &[0.01, 0.05, 0.1, 0.2])] {
            let wanted = Profile::new(f64::from(ends), 0.07);
            let found = combine(&snapshots(ends, widths), wanted);
            let sum: f64 = found.coefficients.iter().sum();
            assert!((sum - 1.0).abs() < 1e-9 && found.residual < 1e-4, "{sum}, {found:?}");
            assert!(found.condition < 1e15, "{:e}", found.condition);
        }
    }
}
