//! Exponential integration in the logarithm of the noise.

use super::leap::{DpmForm, Leap};
use super::multistep::{Answers, FinalOrder, MultistepPlan};
use super::walk::Walk;
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, Grid, NoiseSource, Prediction, Real};

/// DEIS with the polynomial in `ln rho`, `rho = s/a`:
///
/// `x' = a' (x/a + sum_j C_j e_{i-j})`, `C_j` the integral over `rho` from `rho_i` to `rho'` of the
/// Lagrange polynomial in `ln rho` that is 1 at `rho_{i-j}` and 0 at the other answers.
///
/// As `ln rho = -lambda`, these are the integrals of DPM-Solver in noise form. With its `D1`, `D2` (see
/// [`super::DpmMultistep`]) and `h = lambda' - lambda`,
///
/// `x' = (a'/a) x - s' h (phi_1(h) e_i + phi_2(h) D1 + 2 phi_3(h) D2)`:
///
/// order 2 is DPM-Solver's with Heun's formula; order 3 differs in the factor 2, and is the exact one.
///
/// Source: arXiv 2204.13902 section 3, polynomials in `ln rho` as diffusers.
#[derive(Clone, Debug)]
pub struct Deis<T> {
    walk: Walk,
    plan: MultistepPlan,
    x: Vec<T>,
    answers: Answers<T>,
}

impl<T: Real> Deis<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid, with an order of 1 to 3.
    ///
    /// # Errors
    /// [`DiffusionError::SolverOrder`]; [`DiffusionError::Combination`] when the grid begins with noise
    /// alone.
    pub fn new(
        grid: Grid,
        order: usize,
        final_order: FinalOrder,
        x: Vec<T>,
    ) -> Result<Self, DiffusionError> {
        let plan = MultistepPlan::new("DEIS", &grid, order, final_order)?;
        DpmForm::Noise.check_start("DEIS", &grid)?;
        let answers = Answers::new(order, x.len());
        Ok(Self { walk: Walk::new(grid), plan, x, answers })
    }
}

impl<T: Real> Sampler<T> for Deis<T> {
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
        let (from, to) = (self.walk.level(i), self.walk.level(i + 1));

        // e_i.
        prediction.noise(from, &self.x, self.answers.renew());

        // x' = (a'/a) x + a' sum_j C_j e_{i-j}.
        let Leap { keep, gains: [g1, g2, g3], .. } = Leap::new(DpmForm::Noise, from, to);
        let [e, d1, d2] = self.plan.polynomial(i);
        let weights: [f64; 3] = std::array::from_fn(|j| g1 * e[j] + g2 * d1[j] + 2.0 * g3 * d2[j]);
        self.answers.step(&mut self.x, keep, &weights[..self.plan.order(i)]);
    }
}
