//! Euler's method with fresh noise at every level.

use super::ancestral::ancestral_step;
use super::sums::add_scaled;
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, Grid, Mix, NoiseSource, Prediction, Real};

/// The ancestral Euler sampler, in the coordinates of its grid: with `sigma = s/a`,
///
/// `up = min(sigma', eta sqrt(sigma'² (sigma² - sigma'²)/sigma²))`, `down = sqrt(sigma'² - up²)`,
/// `x' = a' (x0_hat + down n_hat + up z)`.
///
/// The Euler step `y + (down - sigma) n_hat` of `y = x/a` is `x0_hat + down n_hat`, which is finite also
/// where `sigma` is not: the run may begin with noise alone.
///
/// Source: `sample_euler_ancestral` of k-diffusion 4601bf0 (MIT), after arXiv 2006.11239 equation 7.
#[derive(Clone, Debug)]
pub struct EulerAncestral<T> {
    grid: Grid,
    eta: f64,
    /// The evaluation that is next.
    i: usize,
    x: Vec<T>,
    moved: Vec<T>,
    z: Vec<T>,
}

impl<T: Real> EulerAncestral<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid. `eta` is the stochasticity,
    /// 0 (deterministic) or more, usually 1.
    ///
    /// # Errors
    /// [`DiffusionError::SolverEta`] when `eta` is below 0 or not a finite number.
    pub fn new(grid: Grid, eta: f64, x: Vec<T>) -> Result<Self, DiffusionError> {
        if !(eta.is_finite() && eta >= 0.0) {
            return Err(DiffusionError::SolverEta { solver: "Euler ancestral", eta });
        }
        let scratch = vec![T::from_f64(0.0); x.len()];
        Ok(Self { grid, eta, i: 0, x, moved: scratch.clone(), z: scratch })
    }
}

impl<T: Real> Sampler<T> for EulerAncestral<T> {
    fn request(&self) -> Option<SampleRequest> {
        self.grid.nodes().get(self.i).map(|&node| SampleRequest::at(node, self.i))
    }

    fn request_count(&self) -> usize {
        self.grid.nodes().len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, noise: &mut dyn NoiseSource<T>) {
        assert!(self.i < self.grid.nodes().len(), "advance after the end of the run");
        let (level, next) = (self.grid.level(self.i), self.grid.level(self.i + 1));
        let step = ancestral_step(level.noise_per_data(), next.noise_per_data(), self.eta);

        // a' (x0_hat + down n_hat).
        let mix = Mix { first: next.a, second: next.a * step.down };
        prediction.combine(level, mix, &self.x, &mut self.moved);
        std::mem::swap(&mut self.x, &mut self.moved);

        // + a' up z; up is 0 in a step to data.
        if step.up > 0.0 {
            noise.fill(self.i as u32, &mut self.z);
            add_scaled(&mut self.x, next.a * step.up, &self.z);
        }
        self.i += 1;
    }
}
