//! What multistep solvers share: orders, earlier answers, the polynomial through them.

use super::sums::{add_scaled, scale};
use crate::{DiffusionError, Grid, Real};

/// Orders of the last steps of a multistep solver.
///
/// A step that ends at data alone always has order 1: it is infinitely long in `lambda`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalOrder {
    /// As all the others.
    Kept,
    /// Order 1 for the last step; diffusers' `euler_at_final`.
    One,
    /// At most `.., 3, 2, 1` in runs of fewer evaluations than this number: 15 in diffusers, 10 in
    /// dpm-solver. UniPC descends always.
    DescendingBelow(usize),
}

/// Length and order of every step of a grid.
#[derive(Clone, Debug)]
pub(super) struct MultistepPlan {
    /// `lambda' - lambda`.
    h: Vec<f64>,
    orders: Vec<usize>,
}

impl MultistepPlan {
    /// The highest orders up to `order` that there are enough answers for.
    ///
    /// # Errors
    /// [`DiffusionError::SolverOrder`] for an order other than 1 to 3.
    pub(super) fn new(
        solver: &'static str,
        grid: &Grid,
        order: usize,
        final_order: FinalOrder,
    ) -> Result<Self, DiffusionError> {
        check_order(solver, order)?;
        let count = grid.nodes().len();
        let lambda = |i: usize| grid.level(i).lambda();
        let h: Vec<f64> = (0..count).map(|i| lambda(i + 1) - lambda(i)).collect();
        let at_the_end = |i: usize| match final_order {
            FinalOrder::One if i + 1 == count => 1,
            FinalOrder::DescendingBelow(fewer) if count < fewer => count - i,
            _ => order,
        };
        let orders = (0..count).map(|i| {
            let reachable = h[..i].iter().rev().take_while(|h| has_length(**h)).count() + 1;
            if has_length(h[i]) { order.min(reachable).min(at_the_end(i)) } else { 1 }
        });
        let orders = orders.collect();
        Ok(Self { h, orders })
    }

    /// Order of step `i`.
    pub(super) fn order(&self, i: usize) -> usize {
        self.orders[i]
    }

    /// `lambda' - lambda` of step `i`.
    pub(super) fn h(&self, i: usize) -> f64 {
        self.h[i]
    }

    /// Whether step `i` goes on in `lambda`, and not by an infinite length.
    pub(super) fn has_length(&self, i: usize) -> bool {
        has_length(self.h[i])
    }

    /// The polynomial in `tau = (lambda - lambda_i)/h` through the answers that step `i` may use: its
    /// coefficients of `1, tau, tau²`, each as weights of the answers, newest first.
    ///
    /// With `r0 = h_{i-1}/h`, `r1 = h_{i-2}/h`, `d0 = (m_i - m_{i-1})/r0`, `d1 = (m_{i-1} - m_{i-2})/r1`
    /// these are `m_i`, `D1` and `D2`: of order 2 `D1 = d0`, of order 3 `D2 = (d0 - d1)/(r0 + r1)` and
    /// `D1 = d0 + r0 D2`.
    pub(super) fn polynomial(&self, i: usize) -> [[f64; 3]; 3] {
        let m = [1.0, 0.0, 0.0];
        if self.orders[i] == 1 {
            return [m, [0.0; 3], [0.0; 3]];
        }
        let r0 = self.h[i - 1] / self.h[i];
        let d0 = [1.0 / r0, -1.0 / r0, 0.0];
        if self.orders[i] == 2 {
            return [m, d0, [0.0; 3]];
        }
        let r1 = self.h[i - 2] / self.h[i];
        let d1 = [0.0, 1.0 / r1, -1.0 / r1];
        let second = std::array::from_fn(|j| (d0[j] - d1[j]) / (r0 + r1));
        let first = std::array::from_fn(|j| d0[j] + r0 * second[j]);
        [m, first, second]
    }
}

/// Whether a step moves in `lambda` by a finite length: only then is its slope known.
fn has_length(h: f64) -> bool {
    h.is_finite() && h > 0.0
}

/// Refuses an order other than 1 to 3.
pub(super) fn check_order(solver: &'static str, order: usize) -> Result<(), DiffusionError> {
    if (1..=3).contains(&order) {
        Ok(())
    } else {
        Err(DiffusionError::SolverOrder { solver, order, most: 3 })
    }
}

/// The last answers of a network, newest first, in memory that is reused.
#[derive(Clone, Debug)]
pub(super) struct Answers<T>(Vec<Vec<T>>);

impl<T: Real> Answers<T> {
    /// Room for `count` answers of `elements` elements.
    pub(super) fn new(count: usize, elements: usize) -> Self {
        Self(vec![vec![T::from_f64(0.0); elements]; count])
    }

    /// Forgets the oldest answer: its memory, for one that is newer than the others.
    pub(super) fn renew(&mut self) -> &mut [T] {
        self.0.rotate_right(1);
        &mut self.0[0]
    }

    /// `x = keep x + sum_j weights[j] answers[j]`, `answers[0]` the newest.
    pub(super) fn step(&self, x: &mut [T], keep: f64, weights: &[f64]) {
        scale(x, keep);
        for (&weight, answer) in weights.iter().zip(&self.0) {
            add_scaled(x, weight, answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Node, NoiseLevel};

    fn plan(lambdas: &[f64], order: usize, final_order: FinalOrder) -> MultistepPlan {
        let level = |lambda: f64| match lambda {
            f64::INFINITY => NoiseLevel::DATA,
            f64::NEG_INFINITY => NoiseLevel { a: 0.0, s: 1.0 },
            _ => NoiseLevel { a: 1.0, s: (-lambda).exp() },
        };
        let node = |&lambda| Node { level: level(lambda), input_factor: 1.0, network_time: 0.0 };
        let (end, nodes) = lambdas.split_last().expect("an end");
        let grid = Grid::of_nodes(nodes.iter().map(node).collect(), level(*end));
        MultistepPlan::new("test", &grid, order, final_order).expect("a possible order")
    }

    #[test]
    fn orders_by_what_is_known() {
        use FinalOrder::{DescendingBelow, Kept, One};
        let (even, inf) = ([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], f64::INFINITY);
        assert_eq!(plan(&even, 1, Kept).orders, [1, 1, 1, 1, 1]);
        assert_eq!(plan(&even, 3, Kept).orders, [1, 2, 3, 3, 3]);
        assert_eq!(plan(&even, 3, One).orders, [1, 2, 3, 3, 1]);
        assert_eq!(plan(&even, 3, DescendingBelow(5)).orders, [1, 2, 3, 3, 3]);
        assert_eq!(plan(&even, 3, DescendingBelow(6)).orders, [1, 2, 3, 2, 1]);
        // From noise alone, to data alone, and twice the same level.
        assert_eq!(plan(&[-inf, -1.0, 0.0, 1.0, 2.0, inf], 3, Kept).orders, [1, 1, 2, 3, 1]);
        assert_eq!(plan(&[-1.0, 0.0, 0.0, 1.0, 2.0, 3.0], 3, Kept).orders, [1, 1, 1, 2, 3]);
    }

    /// Three answers of a parabola give it back.
    #[test]
    fn the_polynomial_goes_through_the_answers() {
        let lambdas = [-1.0, -0.2, 0.4, 0.9];
        let plan = plan(&lambdas, 3, FinalOrder::Kept);
        let tau = |i: usize| (lambdas[i] - lambdas[2]) / (lambdas[3] - lambdas[2]);
        let parabola = |tau: f64| 0.3 - 1.1 * tau + 0.7 * tau * tau;
        let answers = [2, 1, 0].map(|i| parabola(tau(i)));
        let coefficients = plan.polynomial(2).map(|weights| {
            weights.iter().zip(answers).map(|(weight, answer)| weight * answer).sum::<f64>()
        });
        for (got, want) in coefficients.into_iter().zip([0.3, -1.1, 0.7]) {
            assert!((got - want).abs() < 1e-14, "{coefficients:?}");
        }
    }
}
