//! From an image to the noise it would be sampled from.

use super::{SampleRequest, Sampler};
use crate::{DiffusionTable, NoiseSource, Prediction, Real};

/// The deterministic sampler run backwards: from the first entry of the grid to the last,
///
/// `x_{t+1} = sqrt(ab_{t+1}) x0_hat + sqrt(1 - ab_{t+1}) eps_hat`, `ab_N = 0`,
///
/// so the last state is `eps_hat`. Feeding that to [`super::DdimSampler`] with `eta = 0` gives the
/// image back, up to the error of the grid.
///
/// Source: arXiv 2010.02502 section 4.3; as guided-diffusion's `ddim_reverse_sample`.
#[derive(Clone, Debug)]
pub struct DdimInversion<T> {
    table: DiffusionTable,
    /// The entry the next request is for; the grid's length when done.
    t: usize,
    x: Vec<T>,
    x0: Vec<T>,
    eps: Vec<T>,
}

impl<T: Real> DdimInversion<T> {
    /// Starts from images `x` `[B, C, H, W]`.
    pub fn new(table: DiffusionTable, x: Vec<T>) -> Self {
        let scratch = vec![T::from_f64(0.0); x.len()];
        Self { table, t: 0, x, x0: scratch.clone(), eps: scratch }
    }
}

impl<T: Real> Sampler<T> for DdimInversion<T> {
    fn request(&self) -> Option<SampleRequest> {
        (self.t < self.table.len()).then(|| SampleRequest::at(self.table[self.t].node(), self.t))
    }

    fn request_count(&self) -> usize {
        self.table.len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, _noise: &mut dyn NoiseSource<T>) {
        assert!(self.t < self.table.len(), "advance after the end of the run");
        let row = self.table[self.t];
        prediction.x0(row.level(), &self.x, &mut self.x0);
        prediction.noise(row.level(), &self.x, &mut self.eps);
        let of_x0 = T::from_f64(row.alpha_bar_next.sqrt());
        let of_eps = T::from_f64((1.0 - row.alpha_bar_next).sqrt());
        for ((x, &x0), &eps) in self.x.iter_mut().zip(&self.x0).zip(&self.eps) {
            *x = of_x0 * x0 + of_eps * eps;
        }
        self.t += 1;
    }
}
