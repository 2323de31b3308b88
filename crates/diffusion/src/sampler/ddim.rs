//! Implicit sampling.

use super::descent::Descent;
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, DiffusionTable, NoiseSource, Prediction, Real};

/// DDIM: from the last entry of the grid to the first, with `ab' = ab_{t-1}`, 1 after the last,
///
/// `sg = eta sqrt((1-ab')/(1-ab)) sqrt(1 - ab/ab')`,
/// `x_{t-1} = sqrt(ab') x0_hat + sqrt(1 - ab' - sg²) eps_hat + sg z`.
///
/// Source: arXiv 2010.02502 equations 12 and 16.
#[derive(Clone, Debug)]
pub struct DdimSampler<T> {
    descent: Descent,
    /// Stochasticity, 0 (deterministic) to 1 (DDPM with fixed small variance).
    eta: f64,
    x: Vec<T>,
    x0: Vec<T>,
    eps: Vec<T>,
    z: Vec<T>,
}

impl<T: Real> DdimSampler<T> {
    /// Starts from noise `x` `[B, C, H, W]`.
    ///
    /// # Errors
    /// [`DiffusionError::Eta`] when `eta` is outside [0, 1].
    pub fn new(table: DiffusionTable, eta: f64, x: Vec<T>) -> Result<Self, DiffusionError> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(DiffusionError::Eta { eta });
        }
        let scratch = vec![T::from_f64(0.0); x.len()];
        let descent = Descent::new(table);
        Ok(Self { descent, eta, x, x0: scratch.clone(), eps: scratch.clone(), z: scratch })
    }

    /// Starts at entry `t` of the grid instead of the last: `x` is an image noised to that entry.
    ///
    /// # Panics
    /// When the grid has no entry `t`.
    #[must_use]
    pub fn starting_at(mut self, t: usize) -> Self {
        self.descent = self.descent.starting_at(t);
        self
    }
}

impl<T: Real> Sampler<T> for DdimSampler<T> {
    fn request(&self) -> Option<SampleRequest> {
        self.descent.request()
    }

    fn request_count(&self) -> usize {
        self.descent.len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, noise: &mut dyn NoiseSource<T>) {
        let (row, draw_index) = self.descent.take();
        let (ab, ab_prev) = (row.alpha_bar, row.alpha_bar_prev);

        // x0_hat and eps_hat.
        prediction.x0(row.level(), &self.x, &mut self.x0);
        prediction.noise(row.level(), &self.x, &mut self.eps);

        // x_{t-1} = sqrt(ab') x0_hat + sqrt(1 - ab' - sg²) eps_hat.
        let sg = self.eta * ((1.0 - ab_prev) / (1.0 - ab)).sqrt() * (1.0 - ab / ab_prev).sqrt();
        let of_x0 = T::from_f64(ab_prev.sqrt());
        let of_eps = T::from_f64((1.0 - ab_prev - sg * sg).max(0.0).sqrt());
        for ((x, &x0), &eps) in self.x.iter_mut().zip(&self.x0).zip(&self.eps) {
            *x = of_x0 * x0 + of_eps * eps;
        }

        // + sg z; sg is 0 at t = 0.
        if sg > 0.0 {
            noise.fill(draw_index, &mut self.z);
            let sg = T::from_f64(sg);
            for (x, &z) in self.x.iter_mut().zip(&self.z) {
                *x = *x + sg * z;
            }
        }
    }
}
