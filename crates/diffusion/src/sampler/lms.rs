//! A linear multistep method in the noise per data.

use super::sums::{add_scaled, scale};
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, Grid, Mix, NoiseSource, Prediction, Real};
use std::collections::VecDeque;

/// Most predictions a step looks at.
const MOST: usize = 4;

/// The Adams-Bashforth method for unequal steps: `d(x/a)/dsigma = n` with `n` a polynomial through
/// the last predictions, in the coordinates of the grid: with `sigma = s/a`,
///
/// `x' = (a'/a) x + a' sum_j C_j n_{i-j}`, `C_j = integral over [sigma, sigma'] of the Lagrange basis`
/// `prod_{k != j} (sigma - sigma_{i-k})/(sigma_{i-j} - sigma_{i-k})`.
///
/// The first steps look at as many predictions as there are. A level of noise alone has no finite
/// `sigma`: its step is `a' x0_hat + s' n_hat` and its prediction is not kept.
///
/// Source: `sample_lms` of k-diffusion 4601bf0 (MIT); the probability flow is arXiv 2206.00364
/// equation 1.
#[derive(Clone, Debug)]
pub struct LmsSampler<T> {
    grid: Grid,
    order: usize,
    /// The evaluation that is next.
    i: usize,
    x: Vec<T>,
    /// `sigma` and predicted noise of past evaluations, the latest first.
    history: VecDeque<(f64, Vec<T>)>,
}

impl<T: Real> LmsSampler<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid; `order` 1 (Euler) to 4.
    ///
    /// # Errors
    /// [`DiffusionError::SolverOrder`] for another order.
    pub fn new(grid: Grid, order: usize, x: Vec<T>) -> Result<Self, DiffusionError> {
        if !(1..=MOST).contains(&order) {
            return Err(DiffusionError::SolverOrder { solver: "LMS", order, most: MOST });
        }
        Ok(Self { grid, order, i: 0, x, history: VecDeque::with_capacity(order) })
    }

    /// A buffer for a prediction: that of the oldest one, when there are enough.
    fn buffer(&mut self) -> Vec<T> {
        if self.history.len() < self.order {
            return vec![T::from_f64(0.0); self.x.len()];
        }
        self.history.pop_back().map(|(_, noise)| noise).unwrap_or_default()
    }
}

impl<T: Real> Sampler<T> for LmsSampler<T> {
    fn request(&self) -> Option<SampleRequest> {
        self.grid.nodes().get(self.i).map(|&node| SampleRequest::at(node, self.i))
    }

    fn request_count(&self) -> usize {
        self.grid.nodes().len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, _noise: &mut dyn NoiseSource<T>) {
        assert!(self.i < self.grid.nodes().len(), "advance after the end of the run");
        let (level, next) = (self.grid.level(self.i), self.grid.level(self.i + 1));
        self.i += 1;
        if level.a == 0.0 {
            let mut moved = vec![T::from_f64(0.0); self.x.len()];
            let mix = Mix { first: next.a, second: next.s };
            prediction.combine(level, mix, &self.x, &mut moved);
            self.x = moved;
            return;
        }

        // n_i.
        let mut n = self.buffer();
        prediction.noise(level, &self.x, &mut n);
        self.history.push_front((level.noise_per_data(), n));

        // x' = (a'/a) x + a' sum_j C_j n_{i-j}.
        let (from, to) = (level.noise_per_data(), next.noise_per_data());
        let sigmas: Vec<f64> = self.history.iter().map(|entry| entry.0).collect();
        scale(&mut self.x, next.a / level.a);
        for (j, (_, n)) in self.history.iter().enumerate() {
            add_scaled(&mut self.x, next.a * basis_integral(&sigmas, j, from, to), n);
        }
    }
}

/// The integral over `[from, to]` of the Lagrange basis that is 1 at `nodes[j]` and 0 at the others.
///
/// By the two points of Gauss and Legendre, which are exact for cubics: for up to four nodes.
fn basis_integral(nodes: &[f64], j: usize, from: f64, to: f64) -> f64 {
    let basis = |at: f64| {
        let others = nodes.iter().enumerate().filter(|&(k, _)| k != j);
        others.map(|(_, node)| (at - node) / (nodes[j] - node)).product::<f64>()
    };
    let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
    let offset = half / 3.0f64.sqrt();
    half * (basis(middle - offset) + basis(middle + offset))
}
