//! A predictor and a corrector from the same evaluations.

use super::leap::{DpmForm, Leap, factorial, phi};
use super::multistep::{Answers, FinalOrder, MultistepPlan};
use super::walk::Walk;
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, Grid, NoiseSource, Prediction, Real};

/// The function `B(h)` of UniPC, with `hh = -h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniPcB {
    /// `B = hh`.
    Bh1,
    /// `B = e^hh - 1`, the usual one.
    Bh2,
}

/// UniPC-p on predicted data `m`. With `h = lambda' - lambda`, `hh = -h`,
/// `b_q = hh phi_{q+1}(hh) q!/B` and `R_{q,j} = r_j^{q-1}`, `q` from 1,
///
/// predictor: `x' = (s'/s) x - a' (e^hh - 1) m_i - a' B sum_{j=1}^{p-1} rho_j (m_{i-j} - m_i)/r_j`, where
/// `r_j = (lambda_{i-j} - lambda_i)/h` and `R rho = b`;
///
/// corrector: the same step again once `m_{i+1}` is known, with one more term of `r_p = 1`,
/// `m_{i+1} - m_i`; the answer itself is kept.
///
/// A single `rho` is `½` instead. The orders descend at the end, `p <= N - i`; the last step has no
/// corrector. Steps from noise alone or to data alone are of first order and not corrected, so that
/// `B = hh` is finite everywhere.
///
/// Source: arXiv 2302.04867 algorithms 1 and 2.
#[derive(Clone, Debug)]
pub struct UniPc<T> {
    walk: Walk,
    plan: MultistepPlan,
    b: UniPcB,
    x: Vec<T>,
    /// The state that the last step began with.
    before: Vec<T>,
    answers: Answers<T>,
}

impl<T: Real> UniPc<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid, with an order of 1 to 3.
    ///
    /// # Errors
    /// [`DiffusionError::SolverOrder`].
    pub fn new(grid: Grid, order: usize, b: UniPcB, x: Vec<T>) -> Result<Self, DiffusionError> {
        let always = FinalOrder::DescendingBelow(usize::MAX);
        let plan = MultistepPlan::new("UniPC", &grid, order, always)?;
        // The corrector needs the answer after the step as well.
        let answers = Answers::new(order + 1, x.len());
        Ok(Self { walk: Walk::new(grid), plan, b, before: x.clone(), x, answers })
    }

    /// `r_1 .. r_{p-1}` of step `i`.
    fn ratios(&self, i: usize) -> Vec<f64> {
        let lambda = |i: usize| self.walk.level(i).lambda();
        let ratio = |j: usize| (lambda(i - j) - lambda(i)) / self.plan.h(i);
        (1..self.plan.order(i)).map(ratio).collect()
    }

    /// `-a' B rho_j/r_j` for each `r_j` of a step of length `h`.
    fn weights(&self, h: f64, a_next: f64, r: &[f64]) -> Vec<f64> {
        let hh = -h;
        let b_h = match self.b {
            UniPcB::Bh1 => hh,
            UniPcB::Bh2 => hh.exp_m1(),
        };
        let rho = if r.len() == 1 {
            vec![0.5]
        } else {
            let b = (1..=r.len()).map(|q| hh * phi(q + 1, hh) * factorial(q) / b_h).collect();
            let row = |q: usize| r.iter().map(|r| r.powi(q as i32)).collect();
            solve((0..r.len()).map(row).collect(), b)
        };
        rho.iter().zip(r).map(|(rho, r)| -a_next * b_h * rho / r).collect()
    }

    /// Makes step `i`; `m_i` is the newest answer.
    fn predict(&mut self, i: usize) {
        let (from, to) = (self.walk.level(i), self.walk.level(i + 1));
        let Leap { keep, gains, .. } = Leap::new(DpmForm::Data, from, to);
        let earlier = self.weights(self.plan.h(i), to.a, &self.ratios(i));

        let of_m = gains[0] - earlier.iter().sum::<f64>();
        let weights: Vec<f64> = std::iter::once(of_m).chain(earlier).collect();
        self.answers.step(&mut self.x, keep, &weights);
    }

    /// Makes step `i` again; `m_{i+1}` is the newest answer, `m_i` the second.
    fn correct(&mut self, i: usize) {
        let (from, to) = (self.walk.level(i), self.walk.level(i + 1));
        let Leap { keep, gains, .. } = Leap::new(DpmForm::Data, from, to);
        let r: Vec<f64> = self.ratios(i).into_iter().chain([1.0]).collect();
        let mut weights = self.weights(self.plan.h(i), to.a, &r);

        let of_m = gains[0] - weights.iter().sum::<f64>();
        weights.insert(0, of_m);
        // The term of r_p = 1, the last one, is that of the newest answer.
        weights.rotate_right(1);
        self.x.copy_from_slice(&self.before);
        self.answers.step(&mut self.x, keep, &weights);
    }
}

impl<T: Real> Sampler<T> for UniPc<T> {
    fn request(&self) -> Option<SampleRequest> {
        self.walk.request()
    }

    fn request_count(&self) -> usize {
        self.walk.len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, _noise: &mut dyn NoiseSource<T>) {
        let i = self.walk.take();
        // m_i.
        prediction.x0(self.walk.level(i), &self.x, self.answers.renew());

        // The corrected x_i, then the predicted x_{i+1}.
        if i > 0 && self.plan.has_length(i - 1) {
            self.correct(i - 1);
        }
        self.before.copy_from_slice(&self.x);
        self.predict(i);
    }
}

/// Solves `rows x = b` by elimination; the rows are powers of different numbers, so there is a solution.
fn solve(mut rows: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for column in 0..n {
        let largest = (column..n)
            .max_by(|&p, &q| rows[p][column].abs().total_cmp(&rows[q][column].abs()))
            .unwrap_or(column);
        rows.swap(column, largest);
        b.swap(column, largest);
        let (pivot, pivot_b) = (rows[column].clone(), b[column]);
        for (row, b) in rows.iter_mut().zip(&mut b).skip(column + 1) {
            let factor = row[column] / pivot[column];
            for (r, p) in row.iter_mut().zip(&pivot) {
                *r -= factor * p;
            }
            *b -= factor * pivot_b;
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| rows[row][k] * b[k]).sum();
        b[row] = (b[row] - known) / rows[row][row];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn solves_by_swapping_rows() {
        let rows = vec![vec![0.0, 2.0, 1.0], vec![1.0, 1.0, 1.0], vec![-2.0, 0.5, 4.0]];
        let x = [0.3, -1.0, 2.0];
        let b = rows.iter().map(|row| row.iter().zip(x).map(|(r, x)| r * x).sum()).collect();
        for (got, want) in solve(rows, b).into_iter().zip(x) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
        assert_eq!(solve(Vec::new(), Vec::new()), Vec::<f64>::new());
    }
}
